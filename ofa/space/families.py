"""The families of spaces, and any member of them by its name: MobileNetV3, ProxylessNAS, ResNet50D."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from typing import Any

from ofa.errors import InputError
from ofa.reading.numbers import short
from ofa.space.space import SearchSpace, Unit

_NAMES = ("mbv3-w<width>", "proxyless-w<width>", "resnet50d")


def make_divisible(value: float, divisor: int = 8) -> int:
    """Channels rounded to a multiple of `divisor`, never more than 10 % below `value` (MobileNetV2's rule)."""
    rounded = max(divisor, int(value + divisor / 2) // divisor * divisor)
    return rounded + divisor if rounded < 0.9 * value else rounded


def get_space(name: str, num_classes: int = 1000, width_mults: Iterable[float] | None = None) -> SearchSpace:
    """The search space of that name: "mbv3-w1.0", "mbv3-w1.2", "proxyless-w1.3", any other width, "resnet50d".

    `width_mults` replaces ResNet50D's elastic widths (0.65, 0.8, 1.0). Raises InputError for an unknown name.
    """
    common: dict[str, Any] = {"name": name, "num_classes": num_classes}
    if name == "resnet50d":
        return _resnet50d(common, (0.65, 0.8, 1.0) if width_mults is None else tuple(sorted(set(width_mults))))
    match = re.fullmatch(r"(mbv3|proxyless)-w([0-9]{1,9}(?:\.[0-9]{1,9})?)", name)
    width = float(match.group(2)) if match else 0.0
    if match is None or not 0.05 <= width <= 4:
        raise InputError(f"unknown space {short(name)}, expected one of {', '.join(_NAMES)} (width 0.05 to 4)")
    if width_mults is not None:
        raise InputError(f"{name} has one width, in its name: width_mults is for resnet50d")
    return (_mobilenet_v3 if match.group(1) == "mbv3" else _proxyless_nas)(common, width)


def _mobilenet_v3(common: dict[str, Any], width: float) -> SearchSpace:
    stem, first, *stages, final_expand, last = (
        make_divisible(c * width) for c in (16, 16, 24, 40, 80, 112, 160, 960, 1280)
    )
    strides = (2, 2, 2, 1, 2)
    activations = ("relu", "relu", "h_swish", "h_swish", "h_swish")
    squeeze_excites = (False, True, False, True, True)
    units = tuple(
        Unit("mbconv", (channels,), stride, activation, se, (2, 3, 4))
        for channels, stride, activation, se in zip(stages, strides, activations, squeeze_excites, strict=True)
    )
    return SearchSpace(
        **common,
        family="mobilenet_v3",
        kernel_choices=(3, 5, 7),
        expand_choices=(3, 4, 6),
        width_choices=(width,),
        units=units,
        stem_channels=(stem,),
        first_block_channels=first,
        head_channels=(final_expand, last),
    )


def _proxyless_nas(common: dict[str, Any], width: float) -> SearchSpace:
    stem, first, *stages, last = (make_divisible(c * width) for c in (32, 16, 24, 40, 80, 96, 192, 320, 1280))
    units = tuple(
        Unit("mbconv", (channels,), stride, "relu6", False, depths)
        for channels, stride, depths in zip(stages, (2, 2, 2, 1, 2, 1), [(2, 3, 4)] * 5 + [(1,)], strict=True)
    )
    return SearchSpace(
        **common,
        family="proxyless_nas",
        kernel_choices=(3, 5, 7),
        expand_choices=(3, 4, 6),
        width_choices=(width,),
        units=units,
        stem_channels=(stem,),
        first_block_channels=first,
        head_channels=(last,),
    )


def _resnet50d(common: dict[str, Any], widths: tuple[float, ...]) -> SearchSpace:
    if not widths or any(not math.isfinite(w) or not 0 < w <= 4 for w in widths):
        raise InputError(f"width_mults is {short(widths)}, expected positive numbers up to 4")
    stem = Unit("stem", tuple(make_divisible(64 * w) for w in widths), 2, "relu", False, (0, 2))
    stages = tuple(
        Unit("bottleneck", tuple(make_divisible(c * w) for w in widths), stride, "relu", False, (0, 1, 2), base)
        for c, stride, base in zip((256, 512, 1024, 2048), (1, 2, 2, 2), (2, 2, 4, 2), strict=True)
    )
    return SearchSpace(
        **common,
        family="resnet50d",
        kernel_choices=(),
        expand_choices=(0.2, 0.25, 0.35),
        width_choices=widths,
        units=(stem, *stages),
        stem_channels=tuple(make_divisible(make_divisible(64 * w) // 2) for w in widths),
        first_block_channels=0,
        head_channels=(),
    )
