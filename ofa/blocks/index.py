"""Sums over the blocks of whole batches of sub-networks, as array look-ups."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ofa.blocks.block import Block
from ofa.blocks.slots import slots_of
from ofa.errors import InputError
from ofa.space import RESOLUTIONS, Genes, SearchSpace, Subnet, checked_resolutions, resolutions_in


class BlockIndex:
    """Which distinct block stands in each slot, as arrays: sums over blocks for whole batches.

    Of a space at some resolutions; get one with `block_index`.

    resolutions: pixels, ascending
    blocks: the U distinct blocks of the space there, in network order
    columns: for every slot the gene columns that its block depends on, the resolution's, 0, before the others
    gene_values: for every gene what it may be, ascending: the resolutions, then the indices of its choices
    """

    _CHUNK = 16384  # rows at a time: the working arrays stay in the cache

    def __init__(self, space: SearchSpace, resolutions: tuple[int, ...]) -> None:
        self.space, self.resolutions = space, resolutions
        self.slots = slots_of(space)
        numbers: dict[Block, int] = {}
        # blocks in the order of `Slot.at`, one resolution after the other; a skipped slot is -1 as yet
        listed: list[list[int]] = []
        for slot in self.slots:
            of_size: dict[int, list[int]] = {}
            for resolution in resolutions if slot.halvings is not None else (1,):
                if (size := slot.size_at(resolution)) not in of_size:
                    blocks = slot.at(resolution)
                    of_size[size] = [-1 if b is None else numbers.setdefault(b, len(numbers)) for b in blocks]
            sizes = [1] if slot.halvings is None else [slot.size_at(r) for r in resolutions]
            listed.append([number for size in sizes for number in of_size[size]])
        self.blocks = tuple(numbers)
        # a skipped slot points one past the last block, where every cost is 0
        self._numbers = [np.where(row < 0, len(numbers), row) for row in (np.array(n, dtype=np.intp) for n in listed)]
        self.columns = [slot.columns if slot.halvings is None else (0, *slot.columns) for slot in self.slots]
        self.gene_values = tuple(
            np.array(resolutions, dtype=np.int64) if c == 0 else np.arange(len(choices))
            for c, choices in enumerate(space.choices)
        )
        sizes = [len(values) for values in self.gene_values]
        self._radices = [
            [int(np.prod([sizes[c] for c in columns[i + 1 :]], dtype=np.int64)) for i in range(len(columns))]
            for columns in self.columns
        ]
        self._positions = np.full(1 << 16, -1, dtype=np.intp)  # of a resolution among `resolutions`
        self._positions[list(resolutions)] = range(len(resolutions))

    def block_numbers(self, genes: Genes) -> NDArray[np.int64]:
        """(N, slots) index into `blocks` of what stands in each slot, len(blocks) where skipped."""
        numbers = np.empty((len(genes), len(self.slots)), dtype=np.int64)
        for start in range(0, len(genes), self._CHUNK):
            chunk = self._chunk(genes, start)
            for s in range(len(self.slots)):
                numbers[start : start + self._CHUNK, s] = self._numbers[s][self._rows(s, chunk)]
        return numbers

    def numbers_at(self, resolution: int) -> list[int]:
        """Index into `blocks` of every block that stands in a network at one of the resolutions, in network order."""
        at = self.resolutions.index(resolution)
        found: dict[int, None] = {}
        for slot, numbers in zip(self.slots, self._numbers, strict=True):
            start = 0 if slot.halvings is None else at * len(slot.blocks)
            found |= dict.fromkeys(numbers[start : start + len(slot.blocks)].tolist())
        found.pop(len(self.blocks), None)
        return list(found)

    def per_slot(self, costs: NDArray[Any]) -> list[NDArray[Any]]:
        """For every slot, the costs of its blocks, for every combination of the genes in `columns`; 0 where skipped."""
        padded = np.append(costs, np.zeros(1, dtype=costs.dtype))
        return [padded[numbers] for numbers in self._numbers]

    def total(self, genes: Genes, costs: NDArray[Any]) -> NDArray[Any]:
        """(N,) sum over each sub-network's blocks of `costs`, (U,) one per distinct block.

        As with all that takes genes here, InputError names a resolution that is not one of the index's.
        """
        return self._reduce(genes, costs, np.add)

    def peak(self, genes: Genes, costs: NDArray[Any]) -> NDArray[Any]:
        """(N,) greatest of each sub-network's block costs, (U,) one per distinct block, none negative."""
        return self._reduce(genes, costs, np.maximum)

    def _chunk(self, genes: Genes, start: int) -> NDArray[np.intp]:
        """(genes, rows) of the rows from `start` on, positions among `gene_values`."""
        # a gene's column is read several times: it lies in one piece
        chunk = np.array(genes[start : start + self._CHUNK].T, dtype=np.intp, order="C")
        pixels = chunk[0].copy()
        chunk[0] = self._positions[pixels]
        if chunk[0].min() < 0:
            wrong = int(pixels[np.argmin(chunk[0])])
            known = ", ".join(map(str, self.resolutions))
            raise InputError(f"resolution is {wrong} px, but only {known} px of {self.space.name} were asked for")
        return chunk

    def _rows(self, s: int, chunk: NDArray[np.intp]) -> NDArray[np.intp]:
        row = np.zeros(chunk.shape[1], dtype=np.intp)
        for column, radix in zip(self.columns[s], self._radices[s], strict=True):
            row += chunk[column] * radix
        return row

    def _reduce(self, genes: Genes, costs: NDArray[Any], combine: np.ufunc) -> NDArray[Any]:
        per_slot = self.per_slot(costs)
        result = np.zeros(len(genes), dtype=costs.dtype)
        for start in range(0, len(genes), self._CHUNK):
            chunk = self._chunk(genes, start)
            part = result[start : start + self._CHUNK]
            for s, slot_costs in enumerate(per_slot):
                combine(part, slot_costs[self._rows(s, chunk)], out=part)
        return result


@lru_cache(maxsize=64)
def _index(space: SearchSpace, resolutions: tuple[int, ...]) -> BlockIndex:
    return BlockIndex(space, resolutions)


def block_index(space: SearchSpace, resolutions: Iterable[int] = RESOLUTIONS) -> BlockIndex:
    """The `BlockIndex` of a space at those resolutions, made once."""
    return _index(space, checked_resolutions(resolutions))


def index_of(space: SearchSpace, genes: Genes) -> BlockIndex:
    """The `BlockIndex` of a space at the resolutions of those sub-networks: its blocks are theirs and more."""
    return _index(space, resolutions_in(genes))


def blocks_of(space: SearchSpace, subnet: Subnet) -> tuple[Block, ...]:
    """The blocks of one sub-network, in network order; equal blocks appear as often as they run."""
    return blocks_of_all(space, [subnet])[0]


def blocks_of_all(space: SearchSpace, subnets: Sequence[Subnet] | Genes) -> list[tuple[Block, ...]]:
    """`blocks_of` every sub-network, or row of an (N, genes) matrix: looked up all at once."""
    genes = space.as_genes(subnets)
    if not len(genes):
        return []
    index = index_of(space, genes)
    blocks = index.blocks
    return [tuple(blocks[n] for n in row if n < len(blocks)) for row in index.block_numbers(genes).tolist()]


def all_blocks(space: SearchSpace, resolutions: Iterable[int] = RESOLUTIONS) -> tuple[Block, ...]:
    """Every distinct block that any sub-network of the space has at those resolutions, in network order."""
    return block_index(space, resolutions).blocks
