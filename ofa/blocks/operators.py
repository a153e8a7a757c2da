"""The block operators, each described once. docs/contributing/adding_a_block.md adds one.

Every convolution is followed by batch normalisation and its activation; those without one are linear.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from ofa.blocks.operator import INPUT, Operator, Step, Steps

if TYPE_CHECKING:
    from ofa.blocks.block import Block


def _conv(b: Block, s: Steps) -> None:
    """A convolution."""
    y = s.conv("conv", INPUT, b.out_channels, b.kernel_size, b.stride, b.activation, at="")
    if b.skip:
        s.add(INPUT, y)


def _mbconv(b: Block, s: Steps) -> None:
    """Inverted residual: 1x1 expansion (absent where mid = in channels), depthwise k x k, squeeze-and-excite where
    asked, linear 1x1 projection (Sandler et al. 2018; Howard et al. 2019)."""
    y = _expanded(b, s)
    if b.squeeze_excite:
        y = s.squeeze_excite("se", y, b.se_channels)
    _projected(b, s, y)


def _mbconv_se_in(b: Block, s: Steps) -> None:
    """`mbconv` whose squeeze-and-excite is a quarter as wide as the block's input, with the block's own activation
    inside and a sigmoid gate (Tan et al. 2019; EfficientNet, Tan and Le 2019)."""
    _projected(b, s, s.squeeze_excite("se", _expanded(b, s), max(1, b.in_channels // 4), b.activation, "sigmoid"))


def _expanded(b: Block, s: Steps) -> int:
    y = INPUT
    if b.mid_channels != b.in_channels:
        y = s.conv("expand", y, b.mid_channels, activation=b.activation)
    return s.conv("depthwise", y, b.mid_channels, b.kernel_size, b.stride, b.activation, depthwise=True)


def _projected(b: Block, s: Steps, y: int) -> None:
    y = s.conv("project", y, b.out_channels)
    if b.skip:
        s.add(INPUT, y)


def _uib(b: Block, s: Steps, *, start: int) -> None:
    """Universal inverted bottleneck (Qin et al. 2024): a depthwise convolution at the start (none: 0), a 1x1 expansion
    even where mid = in channels, a depthwise one inside (none: kernel size 1), a linear 1x1 projection. The stride is
    that of the last depthwise convolution, and of the expansion where there is none."""
    inside = b.kernel_size > 1
    y = INPUT
    if start:
        y = s.conv("start", y, b.in_channels, start, 1 if inside else b.stride, depthwise=True)
    y = s.conv("expand", y, b.mid_channels, stride=1 if start or inside else b.stride, activation=b.activation)
    if inside:
        y = s.conv("depthwise", y, b.mid_channels, b.kernel_size, b.stride, b.activation, depthwise=True)
    _projected(b, s, y)


def _uib_grouped(b: Block, s: Steps, *, groups: int) -> None:
    """`uib` whose 1x1 convolutions are grouped, with a shuffle of the channels between (FBNet, Wu et al. 2019)."""
    y = s.conv("expand", INPUT, b.mid_channels, activation=b.activation, groups=groups)
    y = s.shuffle(y, groups)
    y = s.conv("depthwise", y, b.mid_channels, b.kernel_size, b.stride, b.activation, depthwise=True)
    y = s.conv("project", y, b.out_channels, groups=groups)
    if b.skip:
        s.add(INPUT, y)


def _separable_conv(b: Block, s: Steps) -> None:
    """Depthwise k x k, then 1x1, each with the activation (MobileNet, Howard et al. 2017)."""
    y = s.conv("depthwise", INPUT, b.in_channels, b.kernel_size, b.stride, b.activation, depthwise=True)
    y = s.conv("pointwise", y, b.out_channels, activation=b.activation)
    if b.skip:
        s.add(INPUT, y)


def _basic(b: Block, s: Steps) -> None:
    """Two k x k convolutions, the first with the stride, and a shortcut: the identity with `skip`, else a 1x1
    convolution with the stride (He et al. 2016)."""
    y = s.conv("conv1", INPUT, b.out_channels, b.kernel_size, b.stride, b.activation)
    y = s.conv("conv2", y, b.out_channels, b.kernel_size)
    shortcut = INPUT
    if not b.skip:
        shortcut = s.conv("downsample", INPUT, b.out_channels, stride=b.stride, at="shortcut", shortcut=True)
    s.add(y, shortcut, b.activation)


def _bottleneck(b: Block, s: Steps, *, pooled: bool) -> None:
    """1x1, k x k with the stride, 1x1 to out channels, and a shortcut: the identity with `skip`, else a 1x1
    convolution. A stride of 2 is average pooling before it (ResNet-D, He et al. 2019), or its own (ResNet-B there)."""
    shortcut = INPUT
    if not b.skip:
        if pooled and b.stride == 2:
            shortcut = s.average_pool(shortcut, shortcut=True)
        stride = 1 if pooled else b.stride
        shortcut = s.conv("downsample", shortcut, b.out_channels, stride=stride, at="shortcut", shortcut=True)
    y = s.conv("conv1", INPUT, b.mid_channels, activation=b.activation)
    y = s.conv("conv2", y, b.mid_channels, b.kernel_size, b.stride, b.activation)
    y = s.conv("conv3", y, b.out_channels)
    s.add(y, shortcut, b.activation)


def _feature_mix(b: Block, s: Steps) -> None:
    """MobileNetV3's 1x1 convolution of pooled features."""
    s.mix("conv", INPUT, b.out_channels, b.activation, at="")


def _feature_mix_bias(b: Block, s: Steps) -> None:
    """The same with a bias, as the published MobileNetV3 has it (Howard et al. 2019)."""
    s.mix("conv", INPUT, b.out_channels, b.activation, bias=True, at="")


def _linear(b: Block, s: Steps) -> None:
    s.linear("linear", INPUT, b.out_channels, at="")


_ONE_BY_ONE: dict[str, object] = {"kernel_size": 1, "stride": 1, "squeeze_excite": False, "skip": False}

_NO_SE: dict[str, object] = {"squeeze_excite": False}

OPERATORS: dict[str, Operator] = {
    operator.name: operator
    for operator in (
        Operator("conv", _conv, fixed=_NO_SE),
        Operator("mbconv", _mbconv, has_inside=True),
        Operator("mbconv_se_in", _mbconv_se_in, has_inside=True, fixed={"squeeze_excite": True}),
        # by the kernel of the depthwise convolution at their start
        Operator("uib", partial(_uib, start=0), has_inside=True, fixed=_NO_SE),
        Operator("uib3", partial(_uib, start=3), has_inside=True, fixed=_NO_SE),
        Operator("uib5", partial(_uib, start=5), has_inside=True, fixed=_NO_SE),
        Operator("uib_g2", partial(_uib_grouped, groups=2), has_inside=True, groups=2, fixed=_NO_SE),
        Operator("separable_conv", _separable_conv, fixed=_NO_SE),
        Operator("basic", _basic, fixed=_NO_SE),
        Operator("bottleneck", partial(_bottleneck, pooled=True), has_inside=True, fixed=_NO_SE),
        Operator("bottleneck_b", partial(_bottleneck, pooled=False), has_inside=True, fixed=_NO_SE),
        Operator("feature_mix", _feature_mix, fixed=_ONE_BY_ONE),
        Operator("feature_mix_bias", _feature_mix_bias, fixed=_ONE_BY_ONE),
        Operator(
            "max_pool",
            lambda _, s: s.max_pool(INPUT),
            fixed={**_ONE_BY_ONE, "kernel_size": 3, "stride": 2, "activation": "none"},
        ),
        Operator(
            "global_pool",
            lambda _, s: s.global_pool(INPUT),
            one_pixel=True,
            fixed={**_ONE_BY_ONE, "activation": "none"},
        ),
        Operator(
            "linear",
            _linear,
            one_pixel=True,
            fixed={**_ONE_BY_ONE, "in_size": 1, "activation": "none"},
        ),
    )
}


def steps_of(block: Block) -> tuple[Step, ...]:
    """What the block does, step by step."""
    return OPERATORS[block.op].steps(block)


def check_block(block: Block) -> None:
    """InputError for a block whose fields claim what its operator does not compute."""
    OPERATORS[block.op].check(block)
