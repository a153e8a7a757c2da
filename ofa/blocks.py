"""Blocks: the typed keys of everything that is measured, and which of them a sub-network is made of.

A network is a sequence of *slots* (positions). Which block stands in a slot depends on a few genes:
the resolution, and the layer's own kernel size and expand ratio, say. `slots_of(space)` lists for
every slot each block it can hold; profilers measure those, and `BlockIndex` turns the same list
into index arrays, so that anything that adds up over blocks (latency, MACs, parameters) is a table
look-up for a million sub-networks at once.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Sequence
from dataclasses import astuple, dataclass, fields
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ofa.errors import InputError
from ofa.space import Genes, SearchSpace, Subnet, make_divisible

OPS = ("conv", "mbconv", "bottleneck", "feature_mix", "max_pool", "global_pool", "linear")
ACTIVATIONS = ("none", "relu", "relu6", "h_swish")


@dataclass(frozen=True, order=True)
class Block:
    """One measurable block; two blocks that a device runs alike are equal.

    op: "conv": convolution, batch normalisation, activation
        "mbconv": 1x1 expansion (absent where mid = in channels), depthwise k x k, squeeze-and-excite
            where asked, linear 1x1 projection, all with batch normalisation
        "bottleneck": 1x1, k x k with the stride, 1x1 to out channels, and a shortcut: the identity with
            `skip`, else average pooling where the stride is 2, then 1x1 (ResNet-D)
        "feature_mix": 1x1 convolution of pooled features and activation, no normalisation
        "max_pool": 3 x 3; "global_pool": average to 1 x 1; "linear": with bias, on flat features
    in_size: side of the square input feature map, pixels
    mid_channels: channels inside mbconv and bottleneck, 0 for the others
    kernel_size: 1 where the op has no kernel; padding is kernel_size // 2 on every side
    skip: whether the block's input is added to its output
    """

    op: str
    in_size: int
    in_channels: int
    mid_channels: int
    out_channels: int
    kernel_size: int
    stride: int
    activation: str
    squeeze_excite: bool
    skip: bool

    def __post_init__(self) -> None:
        for field, allowed in (
            ("op", OPS),
            ("kernel_size", (1, 3, 5, 7)),
            ("stride", (1, 2)),
            ("activation", ACTIVATIONS),
        ):
            value = getattr(self, field)
            if value not in allowed:
                raise InputError(f"{field} is {value!r}, expected one of {', '.join(map(str, allowed))}")
        has_inside = self.op in ("mbconv", "bottleneck")
        for field, least in (("in_size", 1), ("in_channels", 1), ("out_channels", 1), ("mid_channels", has_inside)):
            if getattr(self, field) < least:
                raise InputError(f"{field} is {getattr(self, field)}, expected at least {int(least)} for {self.op}")
        if not has_inside and self.mid_channels:
            raise InputError(f"mid_channels is {self.mid_channels}, expected 0 for {self.op}")
        if self.skip and (self.stride != 1 or self.in_channels != self.out_channels):
            raise InputError("skip is 1, but a block that changes size or channels cannot add its input")

    @property
    def out_size(self) -> int:
        """Side of the output feature map, pixels."""
        if self.op in ("global_pool", "linear"):
            return 1
        return -(-self.in_size // self.stride)

    @property
    def se_channels(self) -> int:
        """Hidden channels of squeeze-and-excite."""
        return make_divisible(self.mid_channels // 4) if self.squeeze_excite else 0

    def __str__(self) -> str:
        inside = f">{self.mid_channels}" if self.mid_channels else ""
        size = f"{self.in_size}x{self.in_size}x{self.in_channels}{inside}>{self.out_channels}"
        marks = [mark for mark, there in (("se", self.squeeze_excite), ("skip", self.skip)) if there]
        return " ".join([self.op, size, f"k{self.kernel_size}", f"s{self.stride}", self.activation, *marks])


BLOCK_FIELDS = tuple(field.name for field in fields(Block))


@dataclass(frozen=True)
class Slot:
    """One position in the network.

    name: such as "unit 3 layer 2"
    columns: the gene columns that its block depends on
    blocks: the block for every combination of those genes, the last column fastest; None where skipped
    """

    name: str
    columns: tuple[int, ...]
    blocks: tuple[Block | None, ...]


@lru_cache(maxsize=32)
def slots_of(space: SearchSpace) -> tuple[Slot, ...]:
    """Every slot of the space's largest network, in network order."""
    return tuple((_resnet_slots if space.family == "resnet50d" else _mobile_slots)(space))


def _slot(space: SearchSpace, name: str, columns: Sequence[int], make: Callable[..., Block | None]) -> Slot:
    """A slot whose block is `make(*choices)`, one argument a column: the value, not its index."""
    blocks = tuple(make(*values) for values in itertools.product(*(space.choices[c] for c in columns)))
    return Slot(name, tuple(columns), blocks)


def _halved(size: int, times: int) -> int:
    for _ in range(times):
        size = -(-size // 2)
    return size


def _mobile_slots(space: SearchSpace) -> list[Slot]:
    """MobileNetV3 and ProxylessNAS: stem, first block, units of mbconv, head."""
    stem, first = space.stem_channels[0], space.first_block_channels
    v3 = space.family == "mobilenet_v3"
    stem_act, first_act = ("h_swish", "relu") if v3 else ("relu6", "relu6")
    slots = [
        _slot(space, "stem", [0], lambda r: Block("conv", r, 3, 0, stem, 3, 2, stem_act, False, False)),
        _slot(
            space,
            "first block",
            [0],
            lambda r: Block("mbconv", _halved(r, 1), stem, stem, first, 3, 1, first_act, False, stem == first and v3),
        ),
    ]
    depths, kernels, expands = (space.columns(f).start for f in ("depths", "kernel_sizes", "expand_ratios"))
    channels, halvings = first, 1
    for i, (u, j) in enumerate(space.layers):
        unit, out = space.units[u], space.units[u].out_channels[0]
        stride = unit.stride if j == 0 else 1

        def mbconv(
            r: int, d: int, k: int, e: float, j: int = j, unit: Any = unit, c: int = channels, out: int = out,
            stride: int = stride, halvings: int = halvings,
        ) -> Block | None:  # fmt: skip
            if j >= d:
                return None
            mid = make_divisible(round(c * e))
            skip = stride == 1 and c == out
            act, se = unit.activation, unit.squeeze_excite
            return Block("mbconv", _halved(r, halvings), c, mid, out, k, stride, act, se, skip)

        slots.append(_slot(space, f"unit {u + 1} layer {j + 1}", [0, depths + u, kernels + i, expands + i], mbconv))
        channels, halvings = out, halvings + (stride == 2)
    wide, act = space.head_channels[0], "h_swish" if v3 else "relu6"
    last, classes = space.head_channels[-1], space.num_classes
    slots += [
        _slot(
            space,
            "final expand" if v3 else "feature mix",
            [0],
            lambda r: Block("conv", _halved(r, halvings), channels, 0, wide, 1, 1, act, False, False),
        ),
        _slot(
            space,
            "global pool",
            [0],
            lambda r: Block("global_pool", _halved(r, halvings), wide, 0, wide, 1, 1, "none", False, False),
        ),
    ]
    if v3:
        mix = Block("feature_mix", 1, wide, 0, last, 1, 1, "h_swish", False, False)
        slots.append(_slot(space, "feature mix", [], lambda: mix))
    linear = Block("linear", 1, last, 0, classes, 1, 1, "none", False, False)
    slots.append(_slot(space, "classifier", [], lambda: linear))
    return slots


def _resnet_slots(space: SearchSpace) -> list[Slot]:
    """ResNet50D: a stem of two or three convolutions, max pooling, bottleneck stages, classifier."""
    depths, expands, widths = (space.columns(f).start for f in ("depths", "expand_ratios", "width_mults"))
    elastic_width = len(space.width_choices) > 1

    def channels_of(listed: tuple[int, ...]) -> dict[float, int]:
        return dict(zip(space.width_choices, listed, strict=True))

    def slot(name: str, columns: list[int], width_columns: list[int], make: Callable[..., Block | None]) -> Slot:
        """A slot whose maker takes the widths last; without elastic width there are no genes for them."""
        if elastic_width:
            return _slot(space, name, columns + [widths + w for w in width_columns], make)
        only = [space.width_choices[0]] * len(width_columns)
        return _slot(space, name, columns, lambda *values: make(*values, *only))

    inner, outer = channels_of(space.stem_channels), channels_of(space.units[0].out_channels)

    def stem_residual(r: int, d: int, w: float) -> Block | None:
        if d == 0:
            return None
        return Block("conv", _halved(r, 1), inner[w], 0, inner[w], 3, 1, "relu", False, True)

    slots = [
        slot("stem 1", [0], [0], lambda r, w: Block("conv", r, 3, 0, inner[w], 3, 2, "relu", False, False)),
        slot("stem 2", [0, depths], [0], stem_residual),
        slot(
            "stem 3",
            [0],
            [0, 1],
            lambda r, wi, wo: Block("conv", _halved(r, 1), inner[wi], 0, outer[wo], 3, 1, "relu", False, False),
        ),
        slot(
            "max pool",
            [0],
            [1],
            lambda r, w: Block("max_pool", _halved(r, 1), outer[w], 0, outer[w], 3, 2, "none", False, False),
        ),
    ]
    halvings = 2
    for i, (u, j) in enumerate(space.layers):
        unit = space.units[u]
        out, before = channels_of(unit.out_channels), channels_of(space.units[u - 1].out_channels)
        stride = unit.stride if j == 0 else 1

        def bottleneck(
            r: int, d: int, e: float, *w: float, j: int = j, unit: Any = unit, out: dict[float, int] = out,
            before: dict[float, int] = before, stride: int = stride, halvings: int = halvings,
        ) -> Block | None:  # fmt: skip
            if j >= unit.base_depth + d:
                return None
            c = before[w[0]] if j == 0 else out[w[-1]]
            mid = make_divisible(round(out[w[-1]] * e))
            return Block(
                "bottleneck", _halved(r, halvings), c, mid, out[w[-1]], 3, stride, unit.activation, False, j > 0
            )

        # the stem has two width genes (inner, outer), so unit u's is u + 1
        width_columns = [u, u + 1] if j == 0 else [u + 1]
        slots.append(slot(f"unit {u} layer {j + 1}", [0, depths + u, expands + i], width_columns, bottleneck))
        halvings += stride == 2
    last, classes = channels_of(space.units[-1].out_channels), space.num_classes
    slots += [
        slot(
            "global pool",
            [0],
            [len(space.units)],
            lambda r, w: Block("global_pool", _halved(r, halvings), last[w], 0, last[w], 1, 1, "none", False, False),
        ),
        slot(
            "classifier",
            [],
            [len(space.units)],
            lambda w: Block("linear", 1, last[w], 0, classes, 1, 1, "none", False, False),
        ),
    ]
    return slots


class BlockIndex:
    """Which distinct block of a space stands in each slot, as arrays: sums over blocks for whole batches.

    blocks: the U distinct blocks of the space, in network order
    """

    _CHUNK = 16384  # rows at a time: the working arrays stay in the cache

    def __init__(self, space: SearchSpace) -> None:
        self.space = space
        self.slots = slots_of(space)
        numbers: dict[Block, int] = {}
        for slot in self.slots:
            for block in slot.blocks:
                if block is not None:
                    numbers.setdefault(block, len(numbers))
        self.blocks = tuple(numbers)
        # a skipped slot points one past the last block, where every cost is 0
        self._numbers = [
            np.array([len(numbers) if b is None else numbers[b] for b in slot.blocks]) for slot in self.slots
        ]
        self._radices = [
            [int(np.prod(space.cardinalities[list(slot.columns[i + 1 :])])) for i in range(len(slot.columns))]
            for slot in self.slots
        ]

    def block_numbers(self, genes: Genes) -> NDArray[np.int64]:
        """(N, slots) index into `blocks` of what stands in each slot, len(blocks) where skipped."""
        numbers = np.empty((len(genes), len(self.slots)), dtype=np.int64)
        for start in range(0, len(genes), self._CHUNK):
            chunk = genes[start : start + self._CHUNK].T.astype(np.intp)
            for s in range(len(self.slots)):
                numbers[start : start + self._CHUNK, s] = self._numbers[s][self._rows(s, chunk)]
        return numbers

    def per_slot(self, costs: NDArray[Any]) -> list[NDArray[Any]]:
        """For every slot, the costs of its blocks, in the order of `Slot.blocks`; 0 where skipped."""
        padded = np.append(costs, np.zeros(1, dtype=costs.dtype))
        return [padded[numbers] for numbers in self._numbers]

    def total(self, genes: Genes, costs: NDArray[Any]) -> NDArray[Any]:
        """(N,) sum over each sub-network's blocks of `costs`, (U,) one per distinct block."""
        return self._reduce(genes, costs, np.add)

    def peak(self, genes: Genes, costs: NDArray[Any]) -> NDArray[Any]:
        """(N,) greatest of each sub-network's block costs, (U,) one per distinct block, none negative."""
        return self._reduce(genes, costs, np.maximum)

    def _rows(self, s: int, chunk: NDArray[np.intp]) -> NDArray[np.intp]:
        row = np.zeros(chunk.shape[1], dtype=np.intp)
        for column, radix in zip(self.slots[s].columns, self._radices[s], strict=True):
            row += chunk[column] * radix
        return row

    def _reduce(self, genes: Genes, costs: NDArray[Any], combine: np.ufunc) -> NDArray[Any]:
        per_slot = self.per_slot(costs)
        result = np.zeros(len(genes), dtype=costs.dtype)
        for start in range(0, len(genes), self._CHUNK):
            chunk = genes[start : start + self._CHUNK].T.astype(np.intp)
            part = result[start : start + self._CHUNK]
            for s, slot_costs in enumerate(per_slot):
                combine(part, slot_costs[self._rows(s, chunk)], out=part)
        return result


@lru_cache(maxsize=32)
def block_index(space: SearchSpace) -> BlockIndex:
    """The space's `BlockIndex`, made once."""
    return BlockIndex(space)


def blocks_of(space: SearchSpace, subnet: Subnet) -> tuple[Block, ...]:
    """The blocks of one sub-network, in network order; equal blocks appear as often as they run."""
    index = block_index(space)
    numbers = index.block_numbers(space.as_genes(subnet))[0]
    return tuple(index.blocks[n] for n in numbers if n < len(index.blocks))


def all_blocks(space: SearchSpace, resolutions: Iterable[int] | None = None) -> tuple[Block, ...]:
    """Every distinct block that any sub-network of the space has at those resolutions, in network order."""
    index = block_index(space)
    genes = None if resolutions is None else set(space.resolution_genes(resolutions).tolist())
    found: dict[Block, None] = {}
    for slot, radices in zip(index.slots, index._radices, strict=True):
        for row, block in enumerate(slot.blocks):
            # the resolution is every slot's first column where it depends on it at all
            at_wanted = genes is None or slot.columns[:1] != (0,) or row // radices[0] in genes
            if block is not None and at_wanted:
                found.setdefault(block)
    return tuple(found)


def block_row(block: Block) -> tuple[Any, ...]:
    """The block's fields in CSV order: booleans as 0 and 1."""
    return tuple(int(value) if isinstance(value, bool) else value for value in astuple(block))
