"""Which blocks can stand at every position of a network, and which genes decide it."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

from ofa.blocks.block import Block
from ofa.space import SearchSpace, make_divisible


@dataclass(frozen=True)
class Slot:
    """One position in the network.

    name: such as "unit 3 layer 2"
    columns: the gene columns that its block depends on, beside the resolution
    blocks: the block for every combination of those genes, the last column fastest, None where skipped;
        all of them on a map of one pixel: `at` gives those of a resolution
    halvings: how often the image was halved on the way to it; None where it sees one pixel at any resolution
    """

    name: str
    columns: tuple[int, ...]
    blocks: tuple[Block | None, ...]
    halvings: int | None

    def size_at(self, resolution: int) -> int:
        """Side of the map it is given, pixels: every halving rounds up."""
        return 1 if self.halvings is None else -(-resolution // 2**self.halvings)

    def at(self, resolution: int) -> tuple[Block | None, ...]:
        """`blocks` at a resolution."""
        size = self.size_at(resolution)
        return tuple(None if block is None else replace(block, in_size=size) for block in self.blocks)


@lru_cache(maxsize=32)
def slots_of(space: SearchSpace) -> tuple[Slot, ...]:
    """Every slot of the space's largest network, in network order."""
    return tuple((_resnet_slots if space.family == "resnet50d" else _mobile_slots)(space))


def _slot(
    space: SearchSpace, name: str, halvings: int | None, columns: Sequence[int], make: Callable[..., Block | None]
) -> Slot:
    """A slot whose block is `make(*choices)`, one argument a column: the value, not its index."""
    blocks = tuple(make(*values) for values in itertools.product(*(space.choices[c] for c in columns)))
    return Slot(name, tuple(columns), blocks, halvings)


def _mobile_slots(space: SearchSpace) -> list[Slot]:
    """MobileNetV3 and ProxylessNAS: stem, first block, units of the operator that each names, head."""
    stem, first = space.stem_channels[0], space.first_block_channels
    v3 = space.family == "mobilenet_v3"
    stem_act, first_act = ("h_swish", "relu") if v3 else ("relu6", "relu6")
    first_block = Block("mbconv", 1, stem, stem, first, 3, 1, first_act, False, stem == first and v3)
    slots = [
        _slot(space, "stem", 0, [], lambda: Block("conv", 1, 3, 0, stem, 3, 2, stem_act, False, False)),
        _slot(space, "first block", 1, [], lambda: first_block),
    ]
    depths, kernels, expands = (space.columns(f).start for f in ("depths", "kernel_sizes", "expand_ratios"))
    channels, halvings = first, 1
    for i, (u, j) in enumerate(space.layers):
        unit, out = space.units[u], space.units[u].out_channels[0]
        stride = unit.stride if j == 0 else 1

        def elastic(
            d: int,
            k: int,
            e: float,
            j: int = j,
            unit: Any = unit,
            c: int = channels,
            out: int = out,
            stride: int = stride,
        ) -> Block | None:
            if j >= d:
                return None
            mid = make_divisible(round(c * e))
            skip = stride == 1 and c == out
            return Block(unit.op, 1, c, mid, out, k, stride, unit.activation, unit.squeeze_excite, skip)

        columns = [depths + u, kernels + i, expands + i]
        slots.append(_slot(space, f"unit {u + 1} layer {j + 1}", halvings, columns, elastic))
        channels, halvings = out, halvings + (stride == 2)
    wide, act = space.head_channels[0], "h_swish" if v3 else "relu6"
    last, classes = space.head_channels[-1], space.num_classes
    expand = Block("conv", 1, channels, 0, wide, 1, 1, act, False, False)
    pool = Block("global_pool", 1, wide, 0, wide, 1, 1, "none", False, False)
    slots += [
        _slot(space, "final expand" if v3 else "feature mix", halvings, [], lambda: expand),
        _slot(space, "global pool", halvings, [], lambda: pool),
    ]
    if v3:
        mix = Block("feature_mix", 1, wide, 0, last, 1, 1, "h_swish", False, False)
        slots.append(_slot(space, "feature mix", None, [], lambda: mix))
    linear = Block("linear", 1, last, 0, classes, 1, 1, "none", False, False)
    slots.append(_slot(space, "classifier", None, [], lambda: linear))
    return slots


class _ResNetSlots:
    """ResNet50D: a stem of two or three convolutions, max pooling, bottleneck stages, classifier."""

    def __init__(self, space: SearchSpace) -> None:
        self.space = space
        self.depths, self.expands, self.widths = (
            space.columns(f).start for f in ("depths", "expand_ratios", "width_mults")
        )

    def channels(self, listed: tuple[int, ...]) -> dict[float, int]:
        """By width multiplier."""
        return dict(zip(self.space.width_choices, listed, strict=True))

    def slot(
        self,
        name: str,
        halvings: int | None,
        columns: list[int],
        width_columns: list[int],
        make: Callable[..., Block | None],
    ) -> Slot:
        """A slot whose maker takes the widths last; without elastic width there are no genes for them."""
        if len(self.space.width_choices) > 1:
            return _slot(self.space, name, halvings, columns + [self.widths + w for w in width_columns], make)
        only = [self.space.width_choices[0]] * len(width_columns)
        return _slot(self.space, name, halvings, columns, lambda *values: make(*values, *only))

    def stem(self) -> list[Slot]:
        """Halves twice."""
        inner, outer = self.channels(self.space.stem_channels), self.channels(self.space.units[0].out_channels)

        def first(w: float) -> Block:
            return Block("conv", 1, 3, 0, inner[w], 3, 2, "relu", False, False)

        def residual(d: int, w: float) -> Block | None:
            return None if d == 0 else Block("conv", 1, inner[w], 0, inner[w], 3, 1, "relu", False, True)

        def last(wi: float, wo: float) -> Block:
            return Block("conv", 1, inner[wi], 0, outer[wo], 3, 1, "relu", False, False)

        def pool(w: float) -> Block:
            return Block("max_pool", 1, outer[w], 0, outer[w], 3, 2, "none", False, False)

        return [
            self.slot("stem 1", 0, [], [0], first),
            self.slot("stem 2", 1, [self.depths], [0], residual),
            self.slot("stem 3", 1, [], [0, 1], last),
            self.slot("max pool", 1, [], [1], pool),
        ]

    def layer(self, i: int, u: int, j: int, halvings: int) -> Slot:
        """Elastic layer i, the j-th of unit u, on a map halved so often."""
        unit = self.space.units[u]
        out, before = self.channels(unit.out_channels), self.channels(self.space.units[u - 1].out_channels)

        def elastic(d: int, e: float, *w: float) -> Block | None:
            if j >= unit.base_depth + d:
                return None
            c = before[w[0]] if j == 0 else out[w[-1]]
            mid, stride = make_divisible(round(out[w[-1]] * e)), unit.stride if j == 0 else 1
            return Block(unit.op, 1, c, mid, out[w[-1]], 3, stride, unit.activation, False, j > 0)

        # the stem has two width genes (inner, outer), so unit u's is u + 1
        width_columns = [u, u + 1] if j == 0 else [u + 1]
        columns = [self.depths + u, self.expands + i]
        return self.slot(f"unit {u} layer {j + 1}", halvings, columns, width_columns, elastic)

    def head(self, halvings: int) -> list[Slot]:
        last, classes = self.channels(self.space.units[-1].out_channels), self.space.num_classes

        def pool(w: float) -> Block:
            return Block("global_pool", 1, last[w], 0, last[w], 1, 1, "none", False, False)

        def linear(w: float) -> Block:
            return Block("linear", 1, last[w], 0, classes, 1, 1, "none", False, False)

        width_column = len(self.space.units)
        return [
            self.slot("global pool", halvings, [], [width_column], pool),
            self.slot("classifier", None, [], [width_column], linear),
        ]


def _resnet_slots(space: SearchSpace) -> list[Slot]:
    makers = _ResNetSlots(space)
    slots, halvings = makers.stem(), 2
    for i, (u, j) in enumerate(space.layers):
        slots.append(makers.layer(i, u, j, halvings))
        halvings += j == 0 and space.units[u].stride == 2
    return slots + makers.head(halvings)
