"""What can be limited: latency, energy, MACs, parameters, each a sum over blocks in whole numbers.

Nanoseconds, nanojoules, MACs and parameters are added up without rounding, in any order. So a limit that is kept is
kept whoever adds up.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from ofa.blocks import BlockIndex
from ofa.blocks.costs import block_macs, block_params
from ofa.blocks.extremes import cheapest
from ofa.reading.amounts import amount
from ofa.search.exact.chain import Ints, UnitCosts
from ofa.search.exact.search import ExactSearch
from ofa.space import Genes
from ofa.tables.lookup import LatencyLookup

_BLOCKS = 30  # a network has no more
Allowed = Sequence[NDArray[np.bool_]] | None


@dataclass(frozen=True, eq=False)
class Cost:
    """per_block: (U,) whole numbers, so many of which are one `unit`, "ms" or "M MACs"; batch: images it is for.

    of: whose it is, where several are limited
    """

    per_block: Ints
    unit: str
    wholes: int = 1_000_000
    batch: int = 1
    of: str = ""

    def whole(self, value: float) -> int:
        """The greatest whole number that keeps a limit, which was written in units.

        A limit with more digits than that is some network's own cost, added up before anything was rounded up: that
        network keeps it, with one whole number for each of its blocks.
        """
        wholes = round(value * self.wholes, 3)
        return int(np.floor(wholes)) + (0 if wholes == np.floor(wholes) else _BLOCKS)

    def words(self, value: float, form: str = "g") -> str:
        """A value in units, in words."""
        return amount(value, self.unit, self.batch, form) + (f" on {self.of}" if self.of else "")


@dataclass(frozen=True, eq=False)
class Limit:
    """At most so much, in units, of a cost."""

    cost: Cost
    value: float

    def __str__(self) -> str:
        return self.cost.words(self.value)


def latency_cost(lookup: LatencyLookup, batch: int, of: str = "") -> Cost:
    """Of a table that knows all blocks of its index."""
    return Cost(lookup.block_ns.astype(np.int64), "ms", batch=batch, of=of)


def energy_cost(lookup: LatencyLookup, batch: int) -> Cost:
    """Of a table that knows the energies of all blocks of its index."""
    return Cost(np.rint(lookup.block_energy_mj * 1e6).astype(np.int64), "mJ", batch=batch)


def macs_cost(index: BlockIndex) -> Cost:
    return Cost(np.array([block_macs(block) for block in index.blocks], dtype=np.int64), "M MACs")


def params_cost(index: BlockIndex) -> Cost:
    return Cost(np.array([block_params(block) for block in index.blocks], dtype=np.int64), "M parameters")


def least(index: BlockIndex, cost: Cost, allowed: Allowed = None) -> tuple[Genes, int]:
    """The sub-network with the least of a cost, (1, genes), and how much that is."""
    if allowed is None:
        genes, total = cheapest(index, cost.per_block.astype(np.float64))
        return genes, round(total)
    search = _least_of(index, cost, cost, allowed)
    only = search.frontier()
    return search.genes(only), int(only.costs[0, 0])


def exclusion(index: BlockIndex, limits: Sequence[Limit], allowed: Allowed = None) -> str | None:
    """Which two of the limits no network keeps together, in words; None where each pair has one."""
    for first, second in combinations(limits, 2):
        for one, other in ((first, second), (second, first)):
            (best,) = _least_of(index, one.cost, other.cost, allowed).best(np.array([one.cost.whole(one.value)]))
            if best is not None and -best.score > other.cost.whole(other.value):
                return f"{one} and {other} exclude each other: within {one} the least is " + other.cost.words(
                    -best.score / other.cost.wholes, ".4g"
                )
    return None


def _least_of(index: BlockIndex, limited: Cost, minimised: Cost, allowed: Allowed) -> ExactSearch:
    """A search for the least of one cost under a limit of the other: the score is minus the cost."""
    return ExactSearch(index, _minus(index, minimised), limited.per_block[None], allowed)


def _minus(index: BlockIndex, cost: Cost) -> list[tuple[int, list[Ints]]]:
    fixed, units = UnitCosts(index).of(cost.per_block)
    return [(-int(fixed[r]), [-of_unit[r] for of_unit in units]) for r in range(len(index.resolutions))]
