"""Named CNNs that qed-usc timed on phones, as chains of blocks, each as its paper and pytorchcv define it.

Only those that mobile networks' blocks can describe: of each, multiply-accumulates and parameters equal what the list
states (tests/latency_tables/test_convert_networks.py).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial

from ofa.blocks import Block
from ofa.errors import InputError
from ofa.published.more import get_published
from ofa.published.network import BlockChain
from ofa.reading.numbers import short
from ofa.space import make_divisible

_WIDTHS = {"w1": 1.0, "w3d4": 0.75, "wd2": 0.5, "wd4": 0.25, "w5d4": 1.25, "w7d20": 0.35}
_SIDE, _CLASSES = 224, 1000
# channels of each stage's layers (Howard et al. 2017; FD-MobileNet, Qin et al. 2018)
_V1 = ((64,), (128,) * 2, (256,) * 2, (512,) * 6, (1024,) * 2)
_FD = ((64,), (128,) * 2, (256,) * 2, (512,) * 5 + (1024,))
# expand ratio, channels, repeats, stride (Sandler et al. 2018)
_V2 = ((1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1))
# kernel, inside, channels, squeeze-and-excite, activation, stride (Howard et al. 2019)
_R, _H = "relu", "h_swish"
_V3 = {
    "large": (
        (3, 16, 16, 0, _R, 1), (3, 64, 24, 0, _R, 2), (3, 72, 24, 0, _R, 1), (5, 72, 40, 1, _R, 2),
        (5, 120, 40, 1, _R, 1), (5, 120, 40, 1, _R, 1), (3, 240, 80, 0, _H, 2), (3, 200, 80, 0, _H, 1),
        (3, 184, 80, 0, _H, 1), (3, 184, 80, 0, _H, 1), (3, 480, 112, 1, _H, 1), (3, 672, 112, 1, _H, 1),
        (5, 672, 160, 1, _H, 2), (5, 960, 160, 1, _H, 1), (5, 960, 160, 1, _H, 1),
    ),
    "small": (
        (3, 16, 16, 1, _R, 2), (3, 72, 24, 0, _R, 2), (3, 88, 24, 0, _R, 1), (5, 96, 40, 1, _H, 2),
        (5, 240, 40, 1, _H, 1), (5, 240, 40, 1, _H, 1), (5, 120, 48, 1, _H, 1), (5, 144, 48, 1, _H, 1),
        (5, 288, 96, 1, _H, 2), (5, 576, 96, 1, _H, 1), (5, 576, 96, 1, _H, 1),
    ),
}  # fmt: skip
_V3_HEADS = {"large": 960, "small": 576}
# stem, head, layers: stage, channels, kernel, expand ratio (Cai et al. 2019); a stage after the first begins with a
# stride of 2
_PROXYLESS = {
    "cpu": (40, 1432, ((0, 24, 3, 1), (1, 32, 3, 6), (1, 32, 3, 3), (1, 32, 3, 3), (1, 32, 3, 3), (2, 48, 3, 6),
        (2, 48, 3, 3), (2, 48, 3, 3), (2, 48, 5, 3), (3, 88, 3, 6), (3, 88, 3, 3), (3, 104, 5, 6), (3, 104, 3, 3),
        (3, 104, 3, 3), (3, 104, 3, 3), (4, 216, 5, 6), (4, 216, 5, 3), (4, 216, 5, 3), (4, 216, 3, 3),
        (4, 360, 5, 6))),
    "gpu": (40, 1728, ((0, 24, 3, 1), (1, 32, 5, 3), (2, 56, 7, 3), (2, 56, 3, 3), (3, 112, 7, 6), (3, 112, 5, 3),
        (3, 128, 5, 6), (3, 128, 3, 3), (3, 128, 5, 3), (4, 256, 7, 6), (4, 256, 7, 6), (4, 256, 7, 6),
        (4, 256, 5, 6), (4, 432, 7, 6))),
    "mobile": (32, 1280, ((0, 16, 3, 1), (1, 32, 5, 3), (1, 32, 3, 3), (2, 40, 7, 3), (2, 40, 3, 3), (2, 40, 5, 3),
        (2, 40, 5, 3), (3, 80, 7, 6), (3, 80, 5, 3), (3, 80, 5, 3), (3, 80, 5, 3), (3, 96, 5, 6), (3, 96, 5, 3),
        (3, 96, 5, 3), (3, 96, 5, 3), (4, 192, 7, 6), (4, 192, 7, 6), (4, 192, 7, 3), (4, 192, 7, 3), (4, 320, 7, 6))),
    "mobile14": (48, 1792, ((0, 24, 3, 1), (1, 40, 5, 3), (1, 40, 3, 3), (2, 56, 7, 3), (2, 56, 3, 3), (2, 56, 5, 3),
        (2, 56, 5, 3), (3, 112, 7, 6), (3, 112, 5, 3), (3, 112, 5, 3), (3, 112, 5, 3), (3, 136, 5, 6), (3, 136, 5, 3),
        (3, 136, 5, 3), (3, 136, 5, 3), (4, 256, 7, 6), (4, 256, 7, 6), (4, 256, 7, 3), (4, 256, 7, 3),
        (4, 448, 7, 6))),
}  # fmt: skip
# channels, layers, kernel, expand ratio of the first and of the others, stride (Single-Path NAS, Stamoulis et al. 2019)
_SPNAS = ((24, 3, 3, 3, 3, 2), (40, 1, 5, 6, 3, 2), (40, 3, 3, 3, 3, 1), (80, 1, 5, 6, 3, 2), (80, 3, 3, 3, 3, 1),
          (96, 4, 5, 6, 3, 1), (192, 4, 5, 6, 6, 2))  # fmt: skip
# channels, layers, expand ratio, kernel, stride (EfficientNet-EdgeTPU, Gupta and Tan 2019); depth and width of each
_EDGE = ((24, 1, 4, 3, 1), (32, 2, 8, 3, 2), (48, 4, 8, 3, 2), (96, 5, 8, 5, 2), (144, 4, 8, 5, 1), (192, 2, 8, 5, 2))
_EDGE_SIZES = {"small": (1.0, 1.0), "medium": (1.1, 1.0), "large": (1.4, 1.2)}


def _v1(chain: BlockChain, width: float, stages: Sequence[Sequence[int]]) -> None:
    chain.conv(int(32 * width), 3, 2, "relu")
    for i, stage in enumerate(stages):
        for j, channels in enumerate(stage):
            strided = j == 0 and (i > 0 or stages is _FD)
            chain.add("mbconv", int(channels * width), 3, 1 + strided, "relu", inside=chain.channels)


def _v2(chain: BlockChain, width: float, *, plain: bool) -> None:
    """plain: whether the first block has its 1x1 expansion although it does not expand"""
    chain.conv(int(32 * width), 3, 2, "relu6")
    for expand, channels, repeats, stride in _V2:
        for i in range(repeats):
            op = "uib" if expand == 1 and plain else "mbconv"
            chain.inverted(int(channels * width), 3, stride if i == 0 else 1, "relu6", expand=expand, op=op)
    chain.conv(1280, 1, 1, "relu6")


def _v3(chain: BlockChain, width: float, size: str) -> None:
    chain.conv(make_divisible(16 * width), 3, 2, _H)
    for kernel, inside, channels, se, activation, stride in _V3[size]:
        out, middle = make_divisible(channels * width), make_divisible(inside * width)
        chain.residual("mbconv", out, kernel, stride, activation, middle, bool(se))
    chain.conv(make_divisible(_V3_HEADS[size] * max(1.0, width)), 1, 1, _H)
    chain.pool()
    chain.add("feature_mix_bias", 1280, activation=_H)


def _proxyless(chain: BlockChain, version: str) -> None:
    stem, head, layers = _PROXYLESS[version]
    chain.conv(stem, 3, 2, "relu6")
    before = 0
    for stage, channels, kernel, expand in layers:
        chain.inverted(channels, kernel, 1 + (stage > before), "relu6", expand=expand)
        before = stage
    chain.conv(head, 1, 1, "relu6")


def _spnas(chain: BlockChain) -> None:
    chain.conv(32, 3, 2, "relu")
    chain.add("mbconv", 16, 3, 1, "relu", inside=32)
    for channels, count, kernel, first, others, stride in _SPNAS:
        for i in range(count):
            chain.inverted(channels, kernel, stride if i == 0 else 1, "relu", expand=first if i == 0 else others)
    chain.add("mbconv", 320, 3, 1, "relu", inside=6 * 192)
    chain.conv(1280, 1, 1, "relu")


def _edge(chain: BlockChain, size: str) -> None:
    """The first three stages have a full convolution in place of expansion and depthwise one, and stride after it."""
    depth, width = _EDGE_SIZES[size]
    chain.conv(make_divisible(32 * width), 3, 2, "relu")
    for i, (channels, layers, expand, kernel, stride) in enumerate(_EDGE):
        out = make_divisible(channels * width)
        for j in range(math.ceil(layers * depth)):
            step = stride if j == 0 else 1
            if i < 3:
                chain.conv(expand * (chain.channels if i else out), 3, 1, "relu")
                chain.conv(out, 1, step, "none")
            else:
                chain.inverted(out, kernel, step, "relu", expand=expand)
    chain.conv(make_divisible(1280 * width), 1, 1, "relu")


_PUBLISHED = {"mnasnet_a1": "mnasnet_a1", "mnasnet_b1": "mnasnet_b1", "fbnet_cb": "fbnet_c"}
_FAMILIES: dict[str, Callable[[BlockChain, float], None]] = {
    "mobilenet": partial(_v1, stages=_V1),
    "fdmobilenet": partial(_v1, stages=_FD),
    "mobilenetv2": partial(_v2, plain=True),
    "mobilenetv2b": partial(_v2, plain=False),
    "mobilenetv3_large": partial(_v3, size="large"),
    "mobilenetv3_small": partial(_v3, size="small"),
}


def phone_cnn(name: str) -> tuple[Block, ...] | None:
    """The blocks of a network of that list at 224 px; None for what our blocks do not describe.

    pytorchcv's mobilenetb differs from its mobilenet in normalisation alone: a repeated measurement, and left out.
    """
    if name in _PUBLISHED:
        return get_published(_PUBLISHED[name]).blocks(_SIDE)
    family, _, last = name.rpartition("_")
    chain = BlockChain(_SIDE)
    if family in _FAMILIES and last in _WIDTHS:
        _FAMILIES[family](chain, _WIDTHS[last])
    elif family == "proxylessnas" and last in _PROXYLESS:
        _proxyless(chain, last)
    elif name == "spnasnet":
        _spnas(chain)
    elif name.startswith("efficientnet_edge_"):
        _edge(chain, _edge_size(name))
    else:
        return None
    if chain.size > 1:
        chain.pool()
    chain.classifier(_CLASSES)
    return tuple(chain.blocks)


def _edge_size(name: str) -> str:
    size = name.split("_")[2]
    if size not in _EDGE_SIZES:
        raise InputError(f"network {short(name)} is none of {', '.join(_EDGE_SIZES)}")
    return size
