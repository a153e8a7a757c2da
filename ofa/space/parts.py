"""The parts that a space's networks are put together of: stem, first block, units, head; and all of them together."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from functools import cached_property
from typing import Literal, TypeAlias

from ofa.space.resolutions import RESOLUTIONS

Label: TypeAlias = Literal["own", "mobilenet_v3", "proxyless_nas", "resnet50d"]


@dataclass(frozen=True)
class Stem:
    """The first convolution: 3 x 3, of stride 2.

    channels: one per width multiplier of the space
    """

    channels: tuple[int, ...]
    activation: str


@dataclass(frozen=True)
class FirstBlock:
    """A block of depthwise and projecting convolution that is always there and has no choices.

    skip: whether it adds its input
    """

    channels: int
    activation: str
    skip: bool = False


@dataclass(frozen=True)
class Unit:
    """A run of blocks at one width, the first of which may change size and channels.

    op: one of `ofa.space.unit_operators`; "stem" for ResNet50D's elastic stem, which has no elastic layers
    out_channels: one per width multiplier of the space
    squeeze_excite: whether its blocks have it; where each layer chooses, the largest does
    base_depth: blocks that are always there, on top of the chosen depth (ResNet50D)
    kernel_sizes, expand_ratios, start_kernels: the choices of each of its layers, ascending; start_kernels: of
        operators that may have a depthwise convolution at their start, 0 for none
    squeeze_excite_chosen: whether squeeze-and-excite is a choice of each layer
    """

    op: str
    out_channels: tuple[int, ...]
    stride: int
    activation: str
    squeeze_excite: bool
    depth_choices: tuple[int, ...]
    base_depth: int = 0
    kernel_sizes: tuple[int, ...] = (3, 5, 7)
    expand_ratios: tuple[float, ...] = (3, 4, 6)
    start_kernels: tuple[int, ...] = (0,)
    squeeze_excite_chosen: bool = False

    @property
    def squeeze_excites(self) -> tuple[int, ...]:
        """The choices of each of its layers, ascending: 1 with squeeze-and-excite, 0 without."""
        return (0, 1) if self.squeeze_excite_chosen else (int(self.squeeze_excite),)

    @property
    def num_layers(self) -> int:
        """Elastic layers of the unit at its greatest depth."""
        return 0 if self.op == "stem" else self.base_depth + max(self.depth_choices)

    @property
    def configurations(self) -> int:
        """How many there are of it: each depth with the choices of its layers; widths apart."""
        if not self.num_layers:
            return len(self.depth_choices)
        per_layer = len(self.kernel_sizes) * len(self.expand_ratios) * len(self.start_kernels)
        per_layer *= len(self.squeeze_excites)
        return sum(per_layer ** (self.base_depth + depth) for depth in self.depth_choices)


@dataclass(frozen=True)
class Head:
    """What stands between the last unit and the classifier, beside the pooling; 0 channels: there is none.

    expand: channels of a 1x1 convolution before the pooling; mix: of one of the pooled features, without normalisation
    """

    expand: int = 0
    mix: int = 0
    activation: str = "none"


NO_HEAD = Head()


@dataclass(frozen=True)
class SpaceDescription:
    """What the networks of a space are made of, and what may be chosen: the description as a value.

    width_choices: multipliers of all channels, which are listed by them; more than one: a gene of every part
    bn_eps: added to the variance in every batch normalisation
    channel_divisor: channels inside blocks are rounded to a multiple of it
    family: which of the original's networks it is, for files that are read by its code; "own" for any other
    resolutions: pixels, which commands take where none are named: a default, and no part of what the space is
    source: the file of its description, as --space took it; "" for what has a name of ours, or is read from a table
    stated_file: that file as a table states it, for hints alone: it may be gone
    """

    name: str
    num_classes: int
    units: tuple[Unit, ...]
    stem: Stem
    first_block: FirstBlock | None = None
    head: Head = NO_HEAD
    width_choices: tuple[float, ...] = (1.0,)
    bn_eps: float = 1e-5
    channel_divisor: int = 8
    family: Label = "own"
    resolutions: tuple[int, ...] = dataclasses.field(default=RESOLUTIONS, compare=False)
    source: str = dataclasses.field(default="", compare=False)
    stated_file: str = dataclasses.field(default="", compare=False)

    @cached_property
    def kernel_choices(self) -> tuple[int, ...]:
        """The kernel sizes of all units, ascending; () where no unit has more than one, so that there are no genes."""
        there = {unit.kernel_sizes for unit in self.units if unit.num_layers}
        return tuple(sorted({k for of in there for k in of})) if any(len(of) > 1 for of in there) else ()

    @cached_property
    def start_choices(self) -> tuple[int, ...]:
        """The kernels of depthwise convolutions at the start of blocks, ascending; () where no unit may have one."""
        there = {k for unit in self.units if unit.num_layers for k in unit.start_kernels}
        return () if there <= {0} else tuple(sorted(there))

    @cached_property
    def squeeze_excite_choices(self) -> tuple[int, ...]:
        """(0, 1) where a unit's layers choose; () where none do, so that there are no genes."""
        return (0, 1) if any(unit.squeeze_excite_chosen for unit in self.units) else ()

    @cached_property
    def expand_choices(self) -> tuple[float, ...]:
        """The expand ratios of all units, ascending."""
        return tuple(sorted({e for unit in self.units if unit.num_layers for e in unit.expand_ratios}))

    @property
    def argument(self) -> str | None:
        """What --space takes for it; None of a space that a file describes, where no file is known."""
        return self.source or self.stated_file or (None if self.family == "own" else self.name)

    @property
    def deep_stem(self) -> bool:
        """Whether unit 0 is the rest of the stem: two or three convolutions and max pooling (ResNet-D)."""
        return self.units[0].op == "stem"

    @property
    def first_unit(self) -> int:
        """The number that unit 0 has in names: 1, or 0 where it is the stem."""
        return 0 if self.deep_stem else 1


def make_divisible(value: float, divisor: int = 8) -> int:
    """Channels rounded to a multiple of `divisor`, never more than 10 % below `value` (MobileNetV2's rule)."""
    rounded = max(divisor, int(value + divisor / 2) // divisor * divisor)
    return rounded + divisor if rounded < 0.9 * value else rounded
