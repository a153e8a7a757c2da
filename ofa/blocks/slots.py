"""Which blocks can stand at every position of a network, and which genes decide it."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache

from ofa.blocks.block import Block, at_size
from ofa.space import SearchSpace, make_divisible
from ofa.space.unit_operators import unit_operator


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
        return tuple(None if block is None else at_size(block, size) for block in self.blocks)


@lru_cache(maxsize=32)
def slots_of(space: SearchSpace) -> tuple[Slot, ...]:
    """Every slot of the space's largest network, in network order."""
    makers = _Slots(space)
    slots = makers.deep_stem() if space.deep_stem else makers.plain_stem()
    halvings = 2 if space.deep_stem else 1
    for i, (u, j) in enumerate(space.layers):
        slots.append(makers.layer(i, u, j, halvings))
        halvings += j == 0 and space.units[u].stride == 2
    return (*slots, *makers.head(halvings))


class _Slots:
    """Makes the slots of a space: every block from the values of the genes that decide it."""

    def __init__(self, space: SearchSpace) -> None:
        self.space = space
        self.depths, self.widths = (space.columns(field).start for field in ("depths", "width_mults"))

    def channels(self, listed: tuple[int, ...]) -> dict[float, int]:
        """By width multiplier."""
        return dict(zip(self.space.width_choices, listed, strict=True))

    def slot(
        self,
        name: str,
        halvings: int | None,
        columns: Sequence[int],
        width_columns: Sequence[int],
        make: Callable[..., Block | None],
    ) -> Slot:
        """A slot whose block is `make(*values)` of the genes in its columns, and of its widths last.

        Without elastic width there are no genes for those.
        """
        space, only = self.space, []
        if len(space.width_choices) > 1:
            columns = [*columns, *(self.widths + w for w in width_columns)]
        else:
            only = [space.width_choices[0]] * len(width_columns)
        values = itertools.product(*(space.choices[c] for c in columns))
        return Slot(name, tuple(columns), tuple(make(*each, *only) for each in values), halvings)

    def fixed(self, name: str, halvings: int | None, block: Block) -> Slot:
        return self.slot(name, halvings, [], [], lambda: block)

    def plain_stem(self) -> list[Slot]:
        """Halves once: a convolution, and the first block where there is one."""
        stem, first = self.space.stem, self.space.first_block
        channels = stem.channels[0]
        slots = [self.fixed("stem", 0, Block("conv", 1, 3, 0, channels, 3, 2, stem.activation, False, False))]
        if first is not None:
            block = Block("mbconv", 1, channels, channels, first.channels, 3, 1, first.activation, False, first.skip)
            slots.append(self.fixed("first block", 1, block))
        return slots

    def deep_stem(self) -> list[Slot]:
        """Halves twice: two or three convolutions, and max pooling (ResNet-D)."""
        space, act = self.space, self.space.stem.activation
        inner, outer = self.channels(space.stem.channels), self.channels(space.units[0].out_channels)

        def first(w: float) -> Block:
            return Block("conv", 1, 3, 0, inner[w], 3, 2, act, False, False)

        def residual(d: int, w: float) -> Block | None:
            return None if d == 0 else Block("conv", 1, inner[w], 0, inner[w], 3, 1, act, False, True)

        def last(wi: float, wo: float) -> Block:
            return Block("conv", 1, inner[wi], 0, outer[wo], 3, 1, space.units[0].activation, False, False)

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
        space, unit = self.space, self.space.units[u]
        operator, stride = unit_operator(unit.op), unit.stride if j == 0 else 1
        out, before = self.channels(unit.out_channels), self.channels(self.before(u))
        # what has no gene has one choice
        only: dict[str, float] = {
            "kernel_sizes": unit.kernel_sizes[0],
            "expand_ratios": unit.expand_ratios[0],
            "start_kernels": unit.start_kernels[0],
            "squeeze_excites": int(unit.squeeze_excite),
        }
        chosen = [field for field in only if space.has(field)]

        def elastic(d: int, *values: float) -> Block | None:
            if j >= unit.base_depth + d:
                return None
            k, e, s, gated = {**only, **dict(zip(chosen, values[: len(chosen)], strict=True))}.values()
            w = values[len(chosen) :]
            c_in, c_out = before[w[0]] if j == 0 else out[w[-1]], out[w[-1]]
            c = c_out if operator.of_output else c_in
            mid = c if e == 1 else make_divisible(round(c * e), space.channel_divisor)
            skip = j > 0 if operator.of_output else stride == 1 and c_in == c_out
            se = bool(gated)
            return Block(operator.of_block(s, se), 1, c_in, mid, c_out, int(k), stride, unit.activation, se, skip)

        # the stem has the first width gene, unit u the one after its own number
        width_columns = [u, u + 1] if j == 0 else [u + 1]
        columns = [self.depths + u, *(space.columns(field).start + i for field in chosen)]
        return self.slot(f"unit {u + space.first_unit} layer {j + 1}", halvings, columns, width_columns, elastic)

    def before(self, u: int) -> tuple[int, ...]:
        """Channels that unit u is given, one per width multiplier."""
        if u:
            return self.space.units[u - 1].out_channels
        first = self.space.first_block
        return self.space.stem.channels if first is None else (first.channels,)

    def head(self, halvings: int) -> list[Slot]:
        """What the description's head has, pooling and the classifier."""
        head, last = self.space.head, self.channels(self.space.units[-1].out_channels)
        width_columns, slots = [len(self.space.units)], []
        if head.expand:

            def expand(w: float) -> Block:
                return Block("conv", 1, last[w], 0, head.expand, 1, 1, head.activation, False, False)

            name = "final expand" if head.mix else "feature mix"
            slots.append(self.slot(name, halvings, [], width_columns, expand))

        def pool(*w: float) -> Block:
            c = head.expand or last[w[0]]
            return Block("global_pool", 1, c, 0, c, 1, 1, "none", False, False)

        def mix(*w: float) -> Block:
            return Block("feature_mix", 1, head.expand or last[w[0]], 0, head.mix, 1, 1, head.activation, False, False)

        def linear(*w: float) -> Block:
            c = head.mix or head.expand or last[w[0]]
            return Block("linear", 1, c, 0, self.space.num_classes, 1, 1, "none", False, False)

        behind = [] if head.expand else width_columns  # of a fixed width, whatever the last unit's
        slots.append(self.slot("global pool", halvings, [], behind, pool))
        if head.mix:
            slots.append(self.slot("feature mix", None, [], behind, mix))
        slots.append(self.slot("classifier", None, [], [] if head.mix else behind, linear))
        return slots
