"""The original implementation's formats: the architecture dict, and the net.config of a specialised network.

Dict: {"ks": 20 kernel sizes, "e": 20 expand ratios, "d": depths, "r": resolution, "w": width *indices*}.
A single number stands for a whole list. ProxylessNAS has a sixth unit of one block, whose depth may be left out.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ofa.errors import InputError
from ofa.space.families import get_space
from ofa.space.space import SearchSpace
from ofa.space.subnet import Subnet

_FIELDS = {"ks": "kernel_sizes", "e": "expand_ratios", "d": "depths", "w": "width_mults"}


def subnet_from_mit(space: SearchSpace, config: Mapping[str, Any], resolution: int | None = None) -> Subnet:
    """The sub-network of an MIT dict; the resolution is the argument, or the dict's "r"."""
    unknown = sorted(set(config) - {*_FIELDS, "r", "wid"})
    if unknown:
        raise InputError(f"MIT sub-network: unknown keys {unknown}, expected ks, e, d, w, r")
    listed = config.get("r")
    if isinstance(listed, Sequence) and not isinstance(listed, str):
        if len(listed) != 1:
            raise InputError(f"MIT sub-network: r is {listed!r}, expected one resolution")
        listed = listed[0]
    if resolution is None and listed is None:
        raise InputError('MIT sub-network: no resolution: pass resolution=..., or "r" in the dict')
    if resolution is not None and listed is not None and resolution != listed:
        raise InputError(f"MIT sub-network: resolution is {resolution}, but r is {listed}")
    fields: dict[str, list[Any]] = {}
    for key, field in _FIELDS.items():
        span = space.columns(field)
        size = span.stop - span.start
        value = config.get(key)
        if size == 0:
            if isinstance(value, Sequence) and len(value) and field == "kernel_sizes":
                raise InputError(f"MIT sub-network: {space.name} has no elastic kernel sizes, but ks is {value!r}")
            continue
        if value is None:
            raise InputError(f"MIT sub-network: {key} is missing, expected {size} values for {space.name}")
        values = list(value) if isinstance(value, Sequence) else [value] * size
        if field == "depths":
            values = _depths(space, values)
        if field == "width_mults":
            for i, w in enumerate(values):
                if not isinstance(w, int) or not 0 <= w < len(space.width_choices):
                    raise InputError(f"MIT sub-network: w[{i}] is {w!r}, expected 0 to {len(space.width_choices) - 1}")
            values = [space.width_choices[w] for w in values]
        fields[field] = values
    return space.subnet(**fields, resolution=resolution if resolution is not None else int(listed or 0))


def _depths(space: SearchSpace, values: list[Any]) -> list[Any]:
    """MIT clamps the depth of ProxylessNAS's last unit, and skips ResNet50D's stem block at any depth but 2."""
    if space.family == "proxyless_nas":
        if len(values) == len(space.units) - 1:
            values = [*values, 1]
        if len(values) == len(space.units) and values[-1] in (1, 2, 3, 4):
            values[-1] = 1
    if space.family == "resnet50d" and values and values[0] == 1:
        values[0] = 0
    return values


def subnet_to_mit(space: SearchSpace, subnet: Subnet) -> dict[str, Any]:
    """The MIT dict of a sub-network. Skipped layers, which MIT's code ignores, hold the smallest choice."""
    config: dict[str, Any] = {"d": list(subnet.depths), "r": [subnet.resolution]}
    config["e"] = [e or space.expand_choices[0] for e in subnet.expand_ratios]
    if space.kernel_choices:
        config["ks"] = [k or space.kernel_choices[0] for k in subnet.kernel_sizes]
    if subnet.width_mults:
        config["w"] = [space.width_choices.index(w) for w in subnet.width_mults]
    return config


def subnet_from_net_config(config: Mapping[str, Any], resolution: int) -> tuple[SearchSpace, Subnet]:
    """The space (its width recognised by its channels) and sub-network of a specialised network's net.config.

    Covers MobileNetV3 and ProxylessNAS, the families of the published networks.
    """
    names = {"MobileNetV3": "mbv3", "ProxylessNASNets": "proxyless"}
    if config.get("name") not in names:
        raise InputError(f"net.config: name is {config.get('name')!r}, expected one of {', '.join(names)}")
    try:
        convs = [block.get("mobile_inverted_conv") or block["conv"] for block in config["blocks"]]
        stem, classes = config["first_conv"]["out_channels"], config["classifier"]["out_features"]
        first, *rest = [(c["in_channels"], c["out_channels"], c["kernel_size"], c["stride"], c) for c in convs]
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise InputError(f"net.config: {error!r} while reading blocks, first_conv and classifier") from None
    space = _space_with_channels(names[config["name"]], stem, first[1], classes, [row[1] for row in rest])
    kernels: list[int] = [0] * len(space.layers)
    expands: list[float] = [0] * len(space.layers)
    depths = [0] * len(space.units)
    u = -1
    for position, (in_channels, out_channels, kernel, stride, conv) in enumerate(rest, start=1):
        opens = u + 1 < len(space.units) and (in_channels != out_channels or stride == 2)
        if opens:
            u += 1
        elif u < 0:
            raise InputError(f"net.config: block {position} should open the first unit, but keeps size and channels")
        j = depths[u]
        depths[u] += 1
        if out_channels != space.units[u].out_channels[0] or stride != (space.units[u].stride if j == 0 else 1):
            raise InputError(f"net.config: block {position} does not fit unit {u + 1} of {space.name}")
        if j >= space.units[u].num_layers:
            raise InputError(f"net.config: unit {u + 1} has more than {space.units[u].num_layers} blocks")
        layer = space.layers.index((u, j))
        kernels[layer], expands[layer] = kernel, conv["expand_ratio"]
    return space, space.subnet(kernels, expands, depths, resolution)


def _space_with_channels(family: str, stem: int, first: int, classes: int, channels: Sequence[int]) -> SearchSpace:
    """The member of the family, by width in steps of 0.05, whose channels these are."""
    for width in sorted((i / 20 for i in range(1, 61)), key=lambda w: (w not in (1.0, 1.2, 1.3), w)):
        space = get_space(f"{family}-w{width}", classes)
        widths = [unit.out_channels[0] for unit in space.units]
        if (stem, first) == (space.stem_channels[0], space.first_block_channels) and set(channels) == set(widths):
            return space
    raise InputError(f"net.config: no width of {family} has a stem of {stem} and blocks of {sorted(set(channels))}")
