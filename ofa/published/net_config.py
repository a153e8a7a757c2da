"""The original implementation's net.config of a plain network, as blocks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ofa.blocks import Block
from ofa.errors import InputError
from ofa.reading.numbers import CHANNELS, SIZE, short
from ofa.space import make_divisible

NETWORKS = {"mobilenet_v3": "MobileNetV3", "proxyless_nas": "ProxylessNASNets", "resnet50d": "ResNets"}


@dataclass(frozen=True)
class NetConfig:
    """family: of `NETWORKS`; layers: (name, block) in order; bn_eps, dropout: as the file has them, not checked"""

    family: str
    layers: tuple[tuple[str, Block], ...]
    bn_eps: Any
    dropout: Any


def read_net_config(config: Mapping[str, Any], resolution: int) -> NetConfig:
    """The network of a net.config, at the given image size.

    Reads old and new names of blocks, and drops blocks that do nothing (ProxylessNAS's zero layers).
    InputError names what is missing or not of the three families.
    """
    families = {name: family for family, name in NETWORKS.items()}
    if not isinstance(config, Mapping) or config.get("name") not in list(families):
        shown = config.get("name") if isinstance(config, Mapping) else config
        raise InputError(f"net.config: name is {short(shown)}, expected one of {', '.join(families)}")
    reader = _Reader(families[config["name"]], resolution)
    try:
        if reader.family == "resnet50d":
            for entry in config["input_stem"]:
                reader.conv(entry)
            reader.pool("max_pool", 2)
            for entry in config["blocks"]:
                reader.bottleneck(entry)
        else:
            reader.conv(config["first_conv"])
            for entry in config["blocks"]:
                reader.mbconv(entry)
            head = "final_expand_layer" if reader.family == "mobilenet_v3" else "feature_mix_layer"
            if config[head] is not None:  # MCUNet's have none
                reader.conv(config[head], head.removesuffix("_layer"))
        reader.pool("global_pool", 1)
        if reader.family == "mobilenet_v3" and (mix := config["feature_mix_layer"]) is not None:
            reader.add("feature_mix", "feature_mix", mix["in_channels"], 0, mix["out_channels"], 1, 1, mix["act_func"])
        last = config["classifier"]
        reader.add("classifier", "linear", last["in_features"], 0, last["out_features"], 1, 1, None)
        eps, dropout = config["bn"]["eps"], last.get("dropout_rate") or 0.0
    except (KeyError, TypeError, AttributeError, IndexError, OverflowError) as error:
        raise InputError(f"net.config: {short(error)} while reading {reader.place()}") from None
    except InputError as error:
        raise InputError(f"net.config: {reader.place()}: {error}") from None
    return NetConfig(reader.family, tuple(reader.layers), eps, dropout)


class _Reader:
    """Turns a net.config's entries into named blocks, one after the other."""

    def __init__(self, family: str, resolution: int) -> None:
        self.family, self.size = family, resolution
        self.layers: list[tuple[str, Block]] = []
        self.unit, self.position = 0, 0

    def place(self) -> str:
        return f"what follows {self.layers[-1][0]}" if self.layers else "the first layer"

    def add(
        self, name: str, op: str, inside: int, mid: int, out: int, kernel: int, stride: int, activation: str | None,
        *, se: bool = False, skip: bool = False,
    ) -> None:  # fmt: skip
        for what, size in (("size", self.size), ("kernel_size", kernel), ("stride", stride)):
            SIZE.whole(what, size)
        for what, channels in (("in_channels", inside), ("mid_channels", mid), ("out_channels", out)):
            CHANNELS.whole(what, channels)
        block = Block(op, self.size, inside, mid, out, kernel, stride, activation or "none", se, skip)
        self.layers.append((name, block))
        self.size = block.out_size

    def pool(self, op: str, stride: int) -> None:
        channels = self.layers[-1][1].out_channels
        self.add(op, op, channels, 0, channels, 3 if op == "max_pool" else 1, stride, None)

    def conv(self, entry: Mapping[str, Any], name: str = "stem") -> None:
        inner = entry.get("conv") or entry
        if self.family == "resnet50d":
            # the stem's residual convolution is the second of three, and may be left out
            name = "stem_2" if "conv" in entry else ("stem_3" if self.layers else "stem_1")
        self.add(
            name, "conv", inner["in_channels"], 0, inner["out_channels"], inner["kernel_size"], inner["stride"],
            inner["act_func"], skip="conv" in entry,
        )  # fmt: skip

    def mbconv(self, entry: Mapping[str, Any]) -> None:
        conv = entry.get("mobile_inverted_conv") or entry.get("conv") or {}
        if conv.get("name") == "ZeroLayer":
            return
        c_in, c_out, stride = conv["in_channels"], conv["out_channels"], conv["stride"]
        mid = conv.get("mid_channels") or round(c_in * conv["expand_ratio"])
        name = self._block_name(opens=stride == 2 or c_in != c_out)
        se, skip = bool(conv.get("use_se")), entry.get("shortcut") is not None
        self.add(name, "mbconv", c_in, mid, c_out, conv["kernel_size"], stride, conv["act_func"], se=se, skip=skip)

    def bottleneck(self, entry: Mapping[str, Any]) -> None:
        c_in, c_out, stride = entry["in_channels"], entry["out_channels"], entry["stride"]
        mid = entry.get("mid_channels") or make_divisible(round(c_out * entry["expand_ratio"]))
        # as in the original: a block that keeps size and channels has an identity shortcut
        skip = stride == 1 and c_in == c_out
        name = self._block_name(opens=not skip)
        self.add(name, "bottleneck", c_in, mid, c_out, entry["kernel_size"], stride, entry["act_func"], skip=skip)

    def _block_name(self, *, opens: bool) -> str:
        if self.family != "resnet50d" and self.layers[-1][0] == "stem":
            return "first_block"
        if opens or not self.unit:
            self.unit, self.position = self.unit + 1, 0
        self.position += 1
        return f"unit_{self.unit}_layer_{self.position}"
