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
from ofa.published.net_config import NETWORKS, read_net_config

_INSIDE_BLOCKS = (
    (r"^expand\.", "inverted_bottleneck."),
    (r"^depthwise\.", "depth_conv."),
    (r"^se\.", "depth_conv.se.fc."),
    (r"^project\.", "point_linear."),
    (r"^matrices\.(.*)$", r"depth_conv.conv.\1_matrix"),
    (r"^shortcut\.", "downsample."),
)
MIT_OPS = ("conv", "mbconv", "bottleneck", "feature_mix", "max_pool", "global_pool", "linear")


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
    config: dict[str, Any] = {"name": NETWORKS[spec.family], "bn": {"momentum": 0.1, "eps": spec.bn_eps}}
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
    """The plain network of a net.config, at the given image size, as `read_net_config` reads it."""
    found = read_net_config(config, resolution)
    eps = share_of_1("net.config: bn: eps", found.bn_eps)
    dropout = share_of_1("net.config: classifier: dropout_rate", found.dropout)
    return NetworkSpec(found.family, found.layers, eps, dropout, calibrated)
