"""Names of the original implementation's tensors, and its net.config of a plain network.

Ours follow the slots and are the same in a supernet and its sub-networks; MIT's number the blocks, and wrap what is
elastic once more ("conv.conv.weight"). The layouts are those of the published checkpoints.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ofa.blocks import Block
from ofa.errors import InputError
from ofa.networks.spec import NetworkSpec, share_of_1
from ofa.reading.numbers import CHANNELS, SIZE, short
from ofa.space import make_divisible

_INSIDE_BLOCKS = (
    (r"^expand\.", "inverted_bottleneck."),
    (r"^depthwise\.", "depth_conv."),
    (r"^se\.", "depth_conv.se.fc."),
    (r"^project\.", "point_linear."),
    (r"^matrices\.(.*)$", r"depth_conv.conv.\1_matrix"),
    (r"^shortcut\.", "downsample."),
)
MIT_OPS = ("conv", "mbconv", "bottleneck", "feature_mix", "max_pool", "global_pool", "linear")
_NETWORKS = {"mobilenet_v3": "MobileNetV3", "proxyless_nas": "ProxylessNASNets", "resnet50d": "ResNets"}


def mit_names(
    names: Iterable[str], family: str, layers: Sequence[tuple[str, Block]], *, elastic: bool
) -> dict[str, str]:
    """MIT's name of every tensor, by ours; those of operators that MIT lacks are left out.

    layers: the network's (name, block) in order; elastic: the names in a supernet, else in a plain network
    """
    prefixes = _prefixes(family, layers)
    blocks = dict(layers)
    first_block = next((name for name, block in layers if block.op == "mbconv"), "")
    found = {}
    for name in names:
        layer, _, inside = name.partition(".")
        if layer not in prefixes:
            continue
        for pattern, replacement in _INSIDE_BLOCKS if blocks[layer].op in ("mbconv", "bottleneck") else ():
            inside = re.sub(pattern, replacement, inside)
        # MobileNetV3's and ProxylessNAS's stem, first block and head are fixed, all of ResNet50D is elastic
        wrapped = family == "resnet50d" or (blocks[layer].op == "mbconv" and layer != first_block)
        if elastic and wrapped:
            inside = re.sub(
                r"\b(conv|bn|linear)\.(?=(weight|bias|running_mean|running_var|num_batches_tracked)$)",
                r"\1.\1.",
                inside,
            )
            inside = re.sub(r"\.conv\.(\dto\d_matrix)", r".conv.\1", inside)
        found[name] = f"{prefixes[layer]}.{inside}"
    return found


def _prefixes(family: str, layers: Sequence[tuple[str, Block]]) -> dict[str, str]:
    prefixes, stems, blocks = {}, 0, 0
    for name, block in layers:
        if block.op in ("mbconv", "bottleneck"):
            prefixes[name] = f"blocks.{blocks}" + (".conv" if block.op == "mbconv" else "")
            blocks += 1
        elif block.op == "conv" and family == "resnet50d":
            prefixes[name] = f"input_stem.{stems}" + (".conv" if block.skip else "")
            stems += 1
        elif block.op == "conv":
            after = "final_expand_layer" if family == "mobilenet_v3" else "feature_mix_layer"
            prefixes[name] = after if blocks else "first_conv"
        elif block.op in ("feature_mix", "linear"):
            prefixes[name] = "feature_mix_layer" if block.op == "feature_mix" else "classifier"
    return prefixes


def modern_name(name: str) -> str:
    """MIT's present name of a tensor in an older checkpoint, or one saved from a wrapped (parallel) network."""
    return name.removeprefix("module.").replace(".mobile_inverted_conv.", ".conv.")


# ---- net.config


def spec_to_net_config(spec: NetworkSpec) -> dict[str, Any]:
    """The original implementation's net.config of a plain network, as JSON."""
    ratios = iter([e for e in spec.subnet.expand_ratios if e] if spec.subnet else [])
    config: dict[str, Any] = {"name": _NETWORKS[spec.family], "bn": {"momentum": 0.1, "eps": spec.bn_eps}}
    stem = []
    blocks: list[dict[str, Any]] = []
    for i, (_, block) in enumerate(spec.layers):
        if block.op == "mbconv":
            ratio = 1 if block.mid_channels == block.in_channels else next(ratios, None)
            blocks.append(_residual(_mbconv_config(block, ratio), block))
        elif block.op == "bottleneck":
            blocks.append(_bottleneck_config(block, next(ratios, None)))
        elif block.op == "conv" and spec.family == "resnet50d":
            stem.append(_residual(_conv_config(block), block) if block.skip else _conv_config(block))
        elif block.op == "conv" and i == 0:
            config["first_conv"] = _conv_config(block)
        elif block.op in ("conv", "feature_mix"):
            name = "final_expand_layer" if block.op == "conv" and spec.family == "mobilenet_v3" else "feature_mix_layer"
            config[name] = _conv_config(block)
        elif block.op not in MIT_OPS:
            raise InputError(f"the original implementation has no {block.op}: {spec.layers[i][0]}")
        elif block.op == "linear":
            config["classifier"] = {
                "name": "LinearLayer",
                "in_features": block.in_channels,
                "out_features": block.out_channels,
                "bias": True,
                "use_bn": False,
                "act_func": None,
                "dropout_rate": spec.dropout,
                "ops_order": "weight_bn_act",
            }
    if stem:
        config["input_stem"] = stem
    config["blocks"] = blocks
    return config


def _conv_config(block: Block) -> dict[str, Any]:
    return {
        "name": "ConvLayer",
        "kernel_size": block.kernel_size,
        "stride": block.stride,
        "dilation": 1,
        "groups": 1,
        "bias": False,
        "has_shuffle": False,
        "use_se": False,
        "in_channels": block.in_channels,
        "out_channels": block.out_channels,
        "use_bn": block.op == "conv",
        "act_func": block.activation,
        "dropout_rate": 0,
        "ops_order": "weight_bn_act",
    }


def _identity_config(channels: int) -> dict[str, Any]:
    return {
        "name": "IdentityLayer",
        "in_channels": [channels],
        "out_channels": [channels],
        "use_bn": False,
        "act_func": None,
        "dropout_rate": 0,
        "ops_order": "weight_bn_act",
    }


def _residual(conv: dict[str, Any], block: Block) -> dict[str, Any]:
    shortcut = _identity_config(block.out_channels) if block.skip else None
    return {"name": "ResidualBlock", "conv": conv, "shortcut": shortcut}


def _mbconv_config(block: Block, ratio: float | None) -> dict[str, Any]:
    return {
        "name": "MBConvLayer",
        "in_channels": block.in_channels,
        "out_channels": block.out_channels,
        "kernel_size": block.kernel_size,
        "stride": block.stride,
        "expand_ratio": _ratio(block.mid_channels, block.in_channels) if ratio is None else ratio,
        "mid_channels": None if block.mid_channels == block.in_channels else block.mid_channels,
        "act_func": block.activation,
        "use_se": block.squeeze_excite,
        "groups": 1,
    }


def _bottleneck_config(block: Block, ratio: float | None) -> dict[str, Any]:
    return {
        "name": "ResNetBottleneckBlock",
        "in_channels": block.in_channels,
        "out_channels": block.out_channels,
        "kernel_size": block.kernel_size,
        "stride": block.stride,
        "expand_ratio": _ratio(block.mid_channels, block.out_channels) if ratio is None else ratio,
        "mid_channels": block.mid_channels,
        "act_func": block.activation,
        "groups": 1,
        "downsample_mode": "avgpool_conv",
    }


def _ratio(mid: int, of: int) -> float:
    return mid // of if mid % of == 0 else mid / of


def spec_from_net_config(config: Mapping[str, Any], resolution: int, *, calibrated: bool = True) -> NetworkSpec:
    """The plain network of a net.config, at the given image size.

    Reads old and new names of blocks, and drops blocks that do nothing (ProxylessNAS's zero layers).
    InputError names what is missing or not of the three families.
    """
    families = {name: family for family, name in _NETWORKS.items()}
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
    eps, dropout = share_of_1("net.config: bn: eps", eps), share_of_1("net.config: classifier: dropout_rate", dropout)
    return NetworkSpec(reader.family, tuple(reader.layers), eps, dropout, calibrated)


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
