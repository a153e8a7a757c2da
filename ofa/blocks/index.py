"""Sums over the blocks of whole batches of sub-networks, as array look-ups."""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ofa.blocks.block import Block
from ofa.blocks.slots import slots_of
from ofa.space import Genes, SearchSpace, Subnet


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
