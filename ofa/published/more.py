"""Further named networks, which have no accuracies here; every network by its name, ours or timm's or torchvision's."""

from __future__ import annotations

import difflib
from functools import partial

from ofa.errors import InputError
from ofa.published.network import BlockChain, PublishedNetwork
from ofa.published.networks import PUBLISHED, V2_ROWS, Rows, mobile, of_resnet, of_v4
from ofa.reading.numbers import short
from ofa.space import make_divisible

_M, _S, _U3, _U5 = "mbconv", "mbconv_se_in", "uib3", "uib5"
# operator, kernel, expand ratio, channels, repeats, stride of the first
_SPNASNET: Rows = (
    (_M, 3, 1, 16, 1, 1), (_M, 3, 3, 24, 3, 2), (_M, 5, 6, 40, 1, 2), (_M, 3, 3, 40, 3, 1), (_M, 5, 6, 80, 1, 2),
    (_M, 3, 3, 80, 3, 1), (_M, 5, 6, 96, 1, 1), (_M, 5, 3, 96, 3, 1), (_M, 5, 6, 192, 4, 2), (_M, 3, 6, 320, 1, 1),
)  # fmt: skip
_MNASNET_SMALL: Rows = (
    (_M, 3, 1, 8, 1, 1), (_M, 3, 3, 16, 1, 2), (_M, 3, 6, 16, 2, 2), (_S, 5, 6, 32, 4, 2), (_S, 3, 6, 32, 3, 1),
    (_S, 5, 6, 88, 3, 2), (_M, 3, 6, 144, 1, 1),
)  # fmt: skip
_V4_LARGE: Rows = (
    (_U3, 5, 4, 96, 1, 2), (_U3, 3, 4, 96, 1, 1),
    (_U3, 5, 4, 192, 1, 2), (_U3, 3, 4, 192, 3, 1), (_U3, 5, 4, 192, 1, 1), (_U5, 3, 4, 192, 5, 1),
    (_U3, 1, 4, 192, 1, 1),
    (_U5, 5, 4, 512, 4, 2), (_U5, 1, 4, 512, 1, 1), (_U5, 3, 4, 512, 1, 1), (_U5, 1, 4, 512, 2, 1),
    (_U5, 3, 4, 512, 1, 1), (_U5, 5, 4, 512, 1, 1), (_U5, 1, 4, 512, 3, 1),
)  # fmt: skip
_V4_LARGE_FIRST = ((3, 2, 96, "relu"), (1, 1, 48, "none"))
# channels, repeats, stride of the first (Howard et al. 2017, table 1)
_V1 = ((64, 1, 1), (128, 2, 2), (256, 2, 2), (512, 6, 2), (1024, 2, 2))
# kernel, expand ratio, channels, repeats, stride of the first: B0 with a tenth more blocks
_B1 = (
    (3, 1, 16, 2, 1), (3, 6, 24, 3, 2), (5, 6, 40, 3, 2), (3, 6, 80, 4, 2), (5, 6, 112, 4, 1), (5, 6, 192, 5, 2),
    (3, 6, 320, 2, 1),
)  # fmt: skip
_LITE1: Rows = [(_M, *row) for row in ((3, 1, 16, 1, 1), *_B1[1:-1], (3, 6, 320, 1, 1))]


def _of_v1(chain: BlockChain) -> None:
    chain.conv(32, 3, 2, "relu6")
    for channels, repeats, stride in _V1:
        for i in range(repeats):
            chain.separable(channels, stride if i == 0 else 1, "relu6")
    chain.pool()


def _of_v2(chain: BlockChain, width: float) -> None:
    """Of another width; the last convolution is never narrower than at full width."""
    rows: Rows = [("mbconv", 3, e, make_divisible(c * width), n, s) for e, c, n, s in V2_ROWS]
    mobile(chain, rows, "relu6", make_divisible(32 * width), max(1280, make_divisible(1280 * width)))


MORE: dict[str, PublishedNetwork] = {
    network.name: network
    for network in (
        PublishedNetwork("mobilenet_v1", "MobileNet", "arXiv 1704.04861, table 1; timm's mobilenetv1_100", _of_v1),
        PublishedNetwork(
            "mobilenet_v2_050",
            "MobileNetV2 0.5",
            "arXiv 1801.04381; torchvision's, width 0.5",
            partial(_of_v2, width=0.5),
        ),
        PublishedNetwork(
            "mobilenet_v2_140",
            "MobileNetV2 1.4",
            "arXiv 1801.04381; torchvision's, width 1.4",
            partial(_of_v2, width=1.4),
        ),
        PublishedNetwork(
            "mobilenet_v4_conv_large",
            "MobileNetV4-Conv-L",
            "arXiv 2404.10518; timm's mobilenetv4_conv_large",
            partial(of_v4, rows=_V4_LARGE, first=_V4_LARGE_FIRST, stem=24),
            resolution=384,
        ),
        PublishedNetwork(
            "mnasnet_small",
            "MnasNet-small",
            "arXiv 1807.11626; timm's mnasnet_small",
            partial(mobile, rows=_MNASNET_SMALL, activation="relu", stem=8),
        ),
        PublishedNetwork(
            "spnasnet",
            "Single-Path NAS",
            "arXiv 1904.02877; timm's spnasnet_100",
            partial(mobile, rows=_SPNASNET, activation="relu"),
        ),
        PublishedNetwork(
            "efficientnet_b1",
            "EfficientNet-B1",
            "arXiv 1905.11946; torchvision's efficientnet_b1",
            partial(mobile, rows=[(_S, *row) for row in _B1], activation="swish"),
            resolution=240,
        ),
        PublishedNetwork(
            "efficientnet_lite1",
            "EfficientNet-Lite1",
            "github.com/tensorflow/tpu, models/official/efficientnet/lite; timm's efficientnet_lite1",
            partial(mobile, rows=_LITE1, activation="relu6"),
            resolution=240,
        ),
        PublishedNetwork(
            "resnet34",
            "ResNet-34",
            "arXiv 1512.03385, table 1",
            partial(of_resnet, op="basic", widening=1, repeats=(3, 4, 6, 3)),
        ),
        PublishedNetwork(
            "resnet101",
            "ResNet-101",
            "arXiv 1512.03385, table 1; the stride in the 3x3 convolution",
            partial(of_resnet, op="bottleneck_b", widening=4, repeats=(3, 4, 23, 3)),
        ),
    )
}
NAMED = {**PUBLISHED, **MORE}

# what timm and torchvision call them
ALIASES = {
    "fbnetc_100": "fbnet_c",
    "mnasnet1_0": "mnasnet_b1",
    "mnasnet_100": "mnasnet_b1",
    "mobilenetv1_100": "mobilenet_v1",
    "mobilenetv2_050": "mobilenet_v2_050",
    "mobilenetv2_100": "mobilenet_v2",
    "mobilenetv2_140": "mobilenet_v2_140",
    "mobilenetv3_large_100": "mobilenet_v3_large",
    "mobilenetv3_small_100": "mobilenet_v3_small",
    "mobilenetv4_conv_large": "mobilenet_v4_conv_large",
    "mobilenetv4_conv_medium": "mobilenet_v4_conv_medium",
    "mobilenetv4_conv_small": "mobilenet_v4_conv_small",
    "semnasnet_100": "mnasnet_a1",
    "spnasnet_100": "spnasnet",
}


def get_published(name: str) -> PublishedNetwork:
    """The network of that name, which may be timm's or torchvision's; InputError lists the names."""
    known = ALIASES.get(name, name)
    if known in NAMED:
        return NAMED[known]
    close = difflib.get_close_matches(name.casefold().replace("-", "_"), [*NAMED, *ALIASES], 1, 0.6)
    guess = f"; did you mean {ALIASES.get(close[0], close[0])}?" if close else ""
    raise InputError(f"there is no published network {short(name)}, expected one of {', '.join(NAMED)}{guess}")
