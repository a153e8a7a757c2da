"""What a plain network is made of: named blocks, as JSON.

A `NetworkSpec` is to a specialised network what a `Subnet` is to a supernet: the whole architecture as a value.
It needs no search space, so that networks published by others (ProxylessNAS's own, say) have one too.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from ofa.blocks import BLOCK_FIELDS, Block
from ofa.errors import InputError
from ofa.reading.numbers import CHANNELS, PIXELS, SIZE, Bounds, cut, short
from ofa.space import Subnet

FORMAT = "ofa-network/1"
CHOICE = Bounds(0, 1000, "a choice")
MOST_LAYERS = 1000
FAMILIES = ("mobilenet_v3", "proxyless_nas", "resnet50d", "own")


@dataclass(frozen=True)
class NetworkSpec:
    """The architecture of a plain network.

    family: "mobilenet_v3", "proxyless_nas" or "resnet50d", as the original has it; "own" for any other
    layers: (name, block) in network order; names as in the supernet, such as "unit_1_layer_2"
    bn_eps: added to the variance in every batch normalisation
    dropout: probability before the classifier, while training
    calibrated: whether the batch normalisations' statistics are this network's own, rather than the supernet's
    space: name of the search space that it comes from, "" if unknown
    subnet: which sub-network of that space it is, None if unknown
    space_sha256: of the space's description, "" if unknown
    """

    family: str
    layers: tuple[tuple[str, Block], ...]
    bn_eps: float
    dropout: float = 0.0
    calibrated: bool = False
    space: str = ""
    subnet: Subnet | None = None
    space_sha256: str = ""

    def __post_init__(self) -> None:
        if self.family not in FAMILIES:
            raise InputError(f"network: family is {short(self.family)}, expected one of {', '.join(FAMILIES)}")
        if not self.layers or self.layers[-1][1].op != "linear":
            raise InputError("network: the last layer must be the linear classifier")
        names = [name for name, _ in self.layers]
        if len(set(names)) < len(names) or any("." in name or not name for name in names):
            raise InputError("network: layer names must differ and hold no dot")
        channels, size = 3, self.resolution
        for name, block in self.layers:
            if block.in_channels != channels:
                raise InputError(f"network: {name} takes {block.in_channels} channels, but is given {channels}")
            if block.in_size != size:
                raise InputError(f"network: {name} takes {block.in_size} pixels, but is given {size}")
            channels, size = block.out_channels, block.out_size

    @property
    def blocks(self) -> tuple[Block, ...]:
        """The blocks in network order, as profilers measure them."""
        return tuple(block for _, block in self.layers)

    @property
    def resolution(self) -> int:
        """Side of the images that the blocks are sized for, pixels."""
        return self.layers[0][1].in_size

    @property
    def num_classes(self) -> int:
        return self.layers[-1][1].out_channels

    def to_dict(self) -> dict[str, Any]:
        """The JSON form; `from_dict` reads it back."""
        return {
            "format": FORMAT,
            "family": self.family,
            "bn_eps": self.bn_eps,
            "dropout": self.dropout,
            "calibrated": self.calibrated,
            "space": self.space,
            "space_sha256": self.space_sha256,
            "subnet": None if self.subnet is None else self.subnet.to_dict(),
            "layers": [
                {"name": name, **{field: getattr(block, field) for field in BLOCK_FIELDS}}
                for name, block in self.layers
            ],
        }

    @classmethod
    def from_dict(cls, config: Mapping[str, Any]) -> NetworkSpec:
        """Reads `to_dict`'s form; InputError names what is missing or wrong."""
        if not isinstance(config, Mapping) or config.get("format") != FORMAT:
            raise InputError(f"network: format is not {FORMAT!r}")
        try:
            subnet = config["subnet"]
            return cls(
                family=config["family"],
                layers=tuple(_layer(i, row) for i, row in enumerate(_entries(config["layers"]))),
                bn_eps=share_of_1("network: bn_eps", config["bn_eps"]),
                dropout=share_of_1("network: dropout", config["dropout"]),
                calibrated=_of_kind("calibrated", config["calibrated"], bool),
                space=_of_kind("space", config["space"], str),
                space_sha256=_of_kind("space_sha256", config.get("space_sha256", ""), str),
                subnet=None if subnet is None else _subnet(subnet),
            )
        except KeyError as error:
            raise InputError(f"network: {error} is missing") from None
        except (TypeError, AttributeError) as error:
            raise InputError(f"network: {error}") from None


def _entries(rows: Any) -> list[Any]:
    if not isinstance(rows, list) or len(rows) > MOST_LAYERS:
        raise InputError(f"network: layers is {short(rows)}, expected a list of at most {MOST_LAYERS}")
    return rows


def _of_kind(name: str, value: Any, kind: type) -> Any:
    if not isinstance(value, kind):
        raise InputError(f"network: {name} is {short(value)}, expected {kind.__name__}")
    return value


def _subnet(stated: Mapping[str, Any]) -> Subnet:
    """Numbers alone: whether the space has it, is for whoever knows the space."""
    found: dict[str, Any] = {}
    for field, value in stated.items():
        if field == "resolution":
            found[field] = PIXELS.whole("network: subnet: resolution", value)
        else:
            found[field] = tuple(CHOICE.check(f"network: subnet: {short(field)}", item) for item in _entries(value))
    return Subnet(**found)


def _layer(i: int, row: Mapping[str, Any]) -> tuple[str, Block]:
    if not isinstance(row, Mapping) or not isinstance(row.get("name"), str):
        raise InputError(f"network: layers[{i}] is {short(row)}, expected a block with a name")
    unknown = sorted(set(row) - {"name", *BLOCK_FIELDS})
    if unknown:
        raise InputError(f"network: layers[{i}] has unknown fields {cut(', '.join(map(str, unknown)))}")
    for field in fields(Block):
        value = row[field.name]
        if field.type == "int":
            (SIZE if field.name in ("in_size", "kernel_size", "stride") else CHANNELS).whole(
                f"network: layers[{i}].{field.name}", value
            )
        elif type(value).__name__ != field.type:
            raise InputError(f"network: layers[{i}].{field.name} is {short(value)}, expected {field.type}")
    return row["name"], Block(**{field: row[field] for field in BLOCK_FIELDS})


def share_of_1(name: str, value: Any) -> float:
    """A number from 0 to below 1; InputError names it."""
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value < 1:
        raise InputError(f"{name} is {short(value)}, expected a number from 0 to below 1")
    return float(value)
