"""The last steps of an evolution: near a network a predictor is almost a sum over units, which is searched exactly.

Every configuration of every unit is tried in the network, the other units as they are. What each gains is a table of
unit scores; the networks with the highest sums within the limits are asked about, and the best of them is the next
network, until none is better.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ofa.blocks import BlockIndex
from ofa.search.exact.chain import Chain, Ints, UnitCosts, genes_of, make_chains
from ofa.search.exact.limits import Networks, TooMany, all_within, best_within
from ofa.space import Genes, SearchSpace
from ofa.space.unit_choices import unit_choices

ROUNDS = 3
ASKED = 1000
_BEHIND = 0.1  # per cent
_PER_CENT = 1_000_000
Score = Callable[[Genes], NDArray[np.float64]]


class AskedScore:
    """A predictor's score that counts what it is asked about, and keeps the best network met within each limit.

    score: (N, genes) -> (N,); costs: (C, U) whole numbers; limits: (L, C)
    best: for each limit its network, (1, genes), or None where none was met; values: (L,) their scores
    """

    def __init__(self, index: BlockIndex, score: Score, costs: NDArray[Any], limits: NDArray[Any]) -> None:
        self._index, self._score, self._costs, self._limits = index, score, costs, limits
        self.count = 0
        self.best: list[Genes | None] = [None] * len(limits)
        self.values = np.full(len(limits), -np.inf)

    def counted(self, genes: Genes) -> NDArray[np.float64]:
        """(N,) scores, for whoever keeps the best within each limit himself."""
        self.count += len(genes)
        return np.asarray(self._score(genes), dtype=np.float64)

    def __call__(self, genes: Genes) -> NDArray[np.float64]:
        values = self.counted(genes)
        totals = np.stack([self._index.total(genes, row) for row in self._costs], axis=1)
        for i, limit in enumerate(self._limits):
            within = np.where((totals <= limit).all(axis=1), values, -np.inf)
            if len(within) and within.max() > self.values[i]:
                at = int(within.argmax())
                self.best[i], self.values[i] = genes[at : at + 1].copy(), values[at]
        return values


def polish(index: BlockIndex, score: Score, costs: Ints, limits: Ints, starts: Genes) -> tuple[Genes, float]:
    """The best network that polishing each of the starts gives, (1, genes), and its score.

    costs: (C, U) whole numbers; limits: (C,); starts: (N, genes), within the limits
    """
    nothing = [(0, [np.zeros(len(part.rows), dtype=np.int64) for part in unit_choices(index.space)])]
    wanted = set(starts[:, 0].tolist())
    chains = make_chains(UnitCosts(index), costs, nothing * len(index.resolutions))
    by_resolution = {chain.resolution: chain for chain in chains if chain.resolution in wanted}
    found = [polished(index.space, by_resolution[int(start[0])], score, limits, start[None]) for start in starts]
    return max(found, key=lambda f: f[1])


def polished(space: SearchSpace, chain: Chain, score: Score, limits: Ints, start: Genes) -> tuple[Genes, float]:
    """A network at least as good as the start, (1, genes), and its score.

    chain: of the start's resolution, with (C,) costs that are limited; its scores are not looked at
    """
    best, value = start, float(score(start)[0])
    for _ in range(ROUNDS):
        gains = _expanded(space, chain, score, best, value)
        found = _highest(gains, limits)
        genes = genes_of(space, found.resolution, found.numbers)
        values = score(genes) if len(genes) else np.empty(0)
        if not len(genes) or values.max() <= value + 1e-9:
            break
        at = int(values.argmax())
        best, value = genes[at : at + 1], float(values[at])
    return best, value


def _expanded(space: SearchSpace, chain: Chain, score: Score, around: Genes, value: float) -> Chain:
    """The chain with what each configuration gains in the network, the others as they are."""
    units = []
    for part, items in zip(unit_choices(space), chain.units, strict=True):
        changed = np.repeat(around, len(items.number), axis=0)
        changed[:, list(part.columns)] = part.rows[items.number]
        gain = np.rint((score(changed) - value) * _PER_CENT).astype(np.int64)
        units.append(replace(items, score=gain))
    return replace(chain, score=0, units=tuple(units))


def _highest(chain: Chain, limits: Ints) -> Networks:
    """The networks within the limits with the highest sums: at most `ASKED`."""
    best = best_within([chain], limits)
    behind = int(_BEHIND * _PER_CENT)
    while len(best):
        try:
            return all_within(chain, limits, int(best.score[0]) - behind).ranked(ASKED)
        except TooMany:
            behind //= 2
    return best
