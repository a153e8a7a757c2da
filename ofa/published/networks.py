"""The published networks, each as the table of its paper.

tests/ofa/published compares multiply-accumulates and parameters with torchvision's networks, and with timm's and the
authors' counts where torchvision has none.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from ofa.published.network import BlockChain, PublishedNetwork

# expand ratio, channels, repeats, stride of the first (Sandler et al. 2018, table 2)
V2_ROWS = ((1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1))

# kernel, inside, channels, squeeze-and-excite, activation, stride (Howard et al. 2019, tables 1 and 2)
_V3_LARGE = (
    (3, 16, 16, False, "relu", 1),
    (3, 64, 24, False, "relu", 2),
    (3, 72, 24, False, "relu", 1),
    (5, 72, 40, True, "relu", 2),
    (5, 120, 40, True, "relu", 1),
    (5, 120, 40, True, "relu", 1),
    (3, 240, 80, False, "h_swish", 2),
    (3, 200, 80, False, "h_swish", 1),
    (3, 184, 80, False, "h_swish", 1),
    (3, 184, 80, False, "h_swish", 1),
    (3, 480, 112, True, "h_swish", 1),
    (3, 672, 112, True, "h_swish", 1),
    (5, 672, 160, True, "h_swish", 2),
    (5, 960, 160, True, "h_swish", 1),
    (5, 960, 160, True, "h_swish", 1),
)
_V3_SMALL = (
    (3, 16, 16, True, "relu", 2),
    (3, 72, 24, False, "relu", 2),
    (3, 88, 24, False, "relu", 1),
    (5, 96, 40, True, "h_swish", 2),
    (5, 240, 40, True, "h_swish", 1),
    (5, 240, 40, True, "h_swish", 1),
    (5, 120, 48, True, "h_swish", 1),
    (5, 144, 48, True, "h_swish", 1),
    (5, 288, 96, True, "h_swish", 2),
    (5, 576, 96, True, "h_swish", 1),
    (5, 576, 96, True, "h_swish", 1),
)

# operator, kernel, expand ratio, channels, repeats, stride of the first
Rows = Sequence[tuple[str, int, int, int, int, int]]
_M, _S, _U = "mbconv", "mbconv_se_in", "uib"
# Tan et al. 2019, figure 7; B1 is A1's predecessor without squeeze-and-excite
_MNASNET_A1: Rows = (
    (_M, 3, 1, 16, 1, 1), (_M, 3, 6, 24, 2, 2), (_S, 5, 3, 40, 3, 2), (_M, 3, 6, 80, 4, 2), (_S, 3, 6, 112, 2, 1),
    (_S, 5, 6, 160, 3, 2), (_M, 3, 6, 320, 1, 1),
)  # fmt: skip
_MNASNET_B1: Rows = (
    (_M, 3, 1, 16, 1, 1), (_M, 3, 3, 24, 3, 2), (_M, 5, 3, 40, 3, 2), (_M, 5, 6, 80, 3, 2), (_M, 3, 6, 96, 2, 1),
    (_M, 5, 6, 192, 4, 2), (_M, 3, 6, 320, 1, 1),
)  # fmt: skip
# kernel, expand ratio, channels, repeats, stride of the first (Tan and Le 2019, table 1)
_EFFICIENTNET_B0 = (
    (3, 1, 16, 1, 1), (3, 6, 24, 2, 2), (5, 6, 40, 2, 2), (3, 6, 80, 3, 2), (5, 6, 112, 3, 1), (5, 6, 192, 4, 2),
    (3, 6, 320, 1, 1),
)  # fmt: skip
# Cai et al. 2019, figure 4 (mobile), and the authors' configuration
_PROXYLESS_MOBILE: Rows = (
    (_M, 3, 1, 16, 1, 1),
    (_M, 5, 3, 32, 1, 2), (_M, 3, 3, 32, 1, 1),
    (_M, 7, 3, 40, 1, 2), (_M, 3, 3, 40, 1, 1), (_M, 5, 3, 40, 2, 1),
    (_M, 7, 6, 80, 1, 2), (_M, 5, 3, 80, 3, 1), (_M, 5, 6, 96, 1, 1), (_M, 5, 3, 96, 3, 1),
    (_M, 7, 6, 192, 2, 2), (_M, 7, 3, 192, 2, 1), (_M, 7, 6, 320, 1, 1),
)  # fmt: skip
# Wu et al. 2019, figure 4, as timm reads it; its blocks have the first 1x1 convolution at an expand ratio of 1 too
_FBNET_C: Rows = (
    (_U, 3, 1, 16, 1, 1),
    (_U, 3, 6, 24, 1, 2), (_U, 3, 1, 24, 2, 1),
    (_U, 5, 6, 32, 1, 2), (_U, 5, 3, 32, 1, 1), (_U, 5, 6, 32, 1, 1), (_U, 3, 6, 32, 1, 1),
    (_U, 5, 6, 64, 1, 2), (_U, 5, 3, 64, 1, 1), (_U, 5, 6, 64, 2, 1), (_U, 5, 6, 112, 3, 1), (_U, 5, 3, 112, 1, 1),
    (_U, 5, 6, 184, 4, 2), (_U, 3, 6, 352, 1, 1),
)  # fmt: skip
# Qin et al. 2024, appendix; a kernel of 1 is no depthwise convolution inside
_U3, _U5 = "uib3", "uib5"
_V4_SMALL: Rows = (
    (_U5, 5, 3, 96, 1, 2), (_U, 3, 2, 96, 4, 1), (_U3, 1, 4, 96, 1, 1),
    (_U3, 3, 6, 128, 1, 2), (_U5, 5, 4, 128, 1, 1), (_U, 5, 4, 128, 1, 1), (_U, 5, 3, 128, 1, 1),
    (_U, 3, 4, 128, 2, 1),
)  # fmt: skip
_V4_MEDIUM: Rows = (
    (_U3, 5, 4, 80, 1, 2), (_U3, 3, 2, 80, 1, 1),
    (_U3, 5, 6, 160, 1, 2), (_U3, 3, 4, 160, 2, 1), (_U3, 5, 4, 160, 1, 1), (_U3, 3, 4, 160, 1, 1),
    (_U3, 1, 4, 160, 1, 1), (_U, 1, 2, 160, 1, 1), (_U3, 1, 4, 160, 1, 1),
    (_U5, 5, 6, 256, 1, 2), (_U5, 5, 4, 256, 1, 1), (_U3, 5, 4, 256, 2, 1), (_U, 1, 4, 256, 1, 1),
    (_U3, 1, 4, 256, 1, 1), (_U3, 5, 2, 256, 1, 1), (_U5, 5, 4, 256, 1, 1), (_U, 1, 4, 256, 2, 1),
    (_U5, 1, 2, 256, 1, 1),
)  # fmt: skip


def add_rows(chain: BlockChain, rows: Rows, activation: str) -> None:
    for op, kernel, expand, channels, repeats, stride in rows:
        for i in range(repeats):
            chain.inverted(channels, kernel, stride if i == 0 else 1, activation, expand=expand, op=op)


def mobile(chain: BlockChain, rows: Rows, activation: str, stem: int = 32, head: int = 1280) -> None:
    """A 3x3 convolution with a stride of 2, inverted residuals, a 1x1 convolution, pooling."""
    chain.conv(stem, 3, 2, activation)
    add_rows(chain, rows, activation)
    chain.conv(head, 1, 1, activation)
    chain.pool()


def _of_v2(chain: BlockChain) -> None:
    mobile(chain, [("mbconv", 3, *row) for row in V2_ROWS], "relu6")


def of_efficientnet(chain: BlockChain, op: str, activation: str) -> None:
    mobile(chain, [(op, *row) for row in _EFFICIENTNET_B0], activation)


def _of_v3(chain: BlockChain, rows: Sequence[tuple[int, int, int, bool, str, int]], head: int, last: int) -> None:
    chain.conv(16, 3, 2, "h_swish")
    for kernel, inside, channels, se, activation, stride in rows:
        chain.residual("mbconv", channels, kernel, stride, activation, inside, se)
    chain.conv(head, 1, 1, "h_swish")
    chain.pool()
    chain.add("feature_mix_bias", last, activation="h_swish")


def of_v4(chain: BlockChain, rows: Rows, first: Sequence[tuple[int, int, int, str]], stem: int = 32) -> None:
    """first: kernel, stride, channels, activation of the convolutions before the universal inverted bottlenecks"""
    chain.conv(stem, 3, 2, "relu")
    for kernel, stride, channels, activation in first:
        chain.conv(channels, kernel, stride, activation)
    add_rows(chain, rows, "relu")
    chain.conv(960, 1, 1, "relu")
    chain.pool()
    chain.conv(1280, 1, 1, "relu")


def of_resnet(chain: BlockChain, op: str, widening: int, repeats: Sequence[int]) -> None:
    """He et al. 2016, table 1; the stride in the 3x3 convolution, as in torchvision and timm."""
    chain.conv(64, 7, 2, "relu")
    chain.add("max_pool", 64, 3, 2)
    for stage, count in enumerate(repeats):
        width = 64 * 2**stage
        for i in range(count):
            stride = 2 if stage and i == 0 else 1
            chain.residual(op, width * widening, 3, stride, "relu", inside=width if widening > 1 else 0)
    chain.pool()


# the medium one's fused inverted bottleneck is two convolutions
_V4_SMALL_FIRST = ((3, 2, 32, "relu"), (1, 1, 32, "relu"), (3, 2, 96, "relu"), (1, 1, 64, "relu"))
_V4_MEDIUM_FIRST = ((3, 2, 128, "relu"), (1, 1, 48, "none"))

PUBLISHED: dict[str, PublishedNetwork] = {
    network.name: network
    for network in (
        PublishedNetwork("mobilenet_v2", "MobileNetV2", "arXiv 1801.04381, table 2", _of_v2),
        PublishedNetwork(
            "mobilenet_v3_small",
            "MobileNetV3-Small",
            "arXiv 1905.02244, table 2",
            partial(_of_v3, rows=_V3_SMALL, head=576, last=1024),
        ),
        PublishedNetwork(
            "mobilenet_v3_large",
            "MobileNetV3-Large",
            "arXiv 1905.02244, table 1",
            partial(_of_v3, rows=_V3_LARGE, head=960, last=1280),
        ),
        PublishedNetwork(
            "mobilenet_v4_conv_small",
            "MobileNetV4-Conv-S",
            "arXiv 2404.10518, appendix; timm's mobilenetv4_conv_small",
            partial(of_v4, rows=_V4_SMALL, first=_V4_SMALL_FIRST),
        ),
        PublishedNetwork(
            "mobilenet_v4_conv_medium",
            "MobileNetV4-Conv-M",
            "arXiv 2404.10518, appendix; timm's mobilenetv4_conv_medium",
            partial(of_v4, rows=_V4_MEDIUM, first=_V4_MEDIUM_FIRST),
        ),
        PublishedNetwork(
            "mnasnet_a1",
            "MnasNet-A1",
            "arXiv 1807.11626, figure 7; timm's semnasnet_100",
            partial(mobile, rows=_MNASNET_A1, activation="relu"),
        ),
        PublishedNetwork(
            "mnasnet_b1",
            "MnasNet-B1",
            "arXiv 1807.11626; torchvision's mnasnet1_0",
            partial(mobile, rows=_MNASNET_B1, activation="relu"),
        ),
        PublishedNetwork(
            "efficientnet_b0",
            "EfficientNet-B0",
            "arXiv 1905.11946, table 1",
            partial(of_efficientnet, op="mbconv_se_in", activation="swish"),
        ),
        PublishedNetwork(
            "efficientnet_lite0",
            "EfficientNet-Lite0",
            "github.com/tensorflow/tpu, models/official/efficientnet/lite",
            partial(of_efficientnet, op="mbconv", activation="relu6"),
        ),
        PublishedNetwork(
            "proxylessnas_mobile",
            "ProxylessNAS-Mobile",
            "arXiv 1812.00332, figure 4; github.com/mit-han-lab/proxylessnas",
            partial(mobile, rows=_PROXYLESS_MOBILE, activation="relu6"),
        ),
        PublishedNetwork(
            "fbnet_c",
            "FBNet-C",
            "arXiv 1812.03443, figure 4; timm's fbnetc_100",
            partial(mobile, rows=_FBNET_C, activation="relu", stem=16, head=1984),
        ),
        PublishedNetwork(
            "resnet18",
            "ResNet-18",
            "arXiv 1512.03385, table 1",
            partial(of_resnet, op="basic", widening=1, repeats=(2, 2, 2, 2)),
        ),
        PublishedNetwork(
            "resnet50",
            "ResNet-50",
            "arXiv 1512.03385, table 1; the stride in the 3x3 convolution",
            partial(of_resnet, op="bottleneck_b", widening=4, repeats=(3, 4, 6, 3)),
        ),
    )
}
