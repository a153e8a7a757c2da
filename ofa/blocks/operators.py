"""The block operators, each described once. docs/contributing/adding_a_block.md adds one.

Every convolution is followed by batch normalisation and its activation; those without one are linear.
"""

from __future__ import annotations

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
    mid, y = b.mid_channels, INPUT
    if mid != b.in_channels:
        y = s.conv("expand", y, mid, activation=b.activation)
    y = s.conv("depthwise", y, mid, b.kernel_size, b.stride, b.activation, depthwise=True)
    if b.squeeze_excite:
        y = s.squeeze_excite("se", y, b.se_channels)
    y = s.conv("project", y, b.out_channels)
    if b.skip:
        s.add(INPUT, y)


def _bottleneck(b: Block, s: Steps) -> None:
    """1x1, k x k with the stride, 1x1 to out channels, and a shortcut: the identity with `skip`, else average pooling
    where the stride is 2, then 1x1 (ResNet-D, He et al. 2019)."""
    shortcut = INPUT
    if not b.skip:
        if b.stride == 2:
            shortcut = s.average_pool(shortcut, shortcut=True)
        shortcut = s.conv("downsample", shortcut, b.out_channels, at="shortcut", shortcut=True)
    y = s.conv("conv1", INPUT, b.mid_channels, activation=b.activation)
    y = s.conv("conv2", y, b.mid_channels, b.kernel_size, b.stride, b.activation)
    y = s.conv("conv3", y, b.out_channels)
    s.add(y, shortcut, b.activation)


def _feature_mix(b: Block, s: Steps) -> None:
    """MobileNetV3's 1x1 convolution of pooled features."""
    s.mix("conv", INPUT, b.out_channels, b.activation, at="")


def _linear(b: Block, s: Steps) -> None:
    s.linear("linear", INPUT, b.out_channels, at="")


_ONE_BY_ONE: dict[str, object] = {"kernel_size": 1, "stride": 1, "squeeze_excite": False, "skip": False}

OPERATORS: dict[str, Operator] = {
    operator.name: operator
    for operator in (
        Operator("conv", _conv, fixed={"squeeze_excite": False}),
        Operator("mbconv", _mbconv, has_inside=True),
        Operator("bottleneck", _bottleneck, has_inside=True, fixed={"squeeze_excite": False}),
        Operator("feature_mix", _feature_mix, fixed=_ONE_BY_ONE),
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
