"""All exact searches of one problem: a separable predictor's scores, and one or several costs.

Ties: of networks with the same predicted accuracy the one with the least of the first cost; of those the one with the
smallest resolution; of those the one whose last unit's configuration comes first (by depth, kernel sizes, expand
ratios), then the unit before, and so on. Nothing is drawn at random.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from ofa.blocks import BlockIndex
from ofa.search.exact.bounds import good_prices
from ofa.search.exact.chain import Chain, Ints, UnitCosts, genes_of, make_chains
from ofa.search.exact.fronts import ChainFronts, Front, front
from ofa.search.exact.limits import Networks, TooMany, all_within, best_within, joined
from ofa.space import Genes
from ofa.space.unit_choices import unit_choices


@dataclass(frozen=True)
class Answer:
    """The network under one set of limits: its gene row (genes,), score, costs (C,), and a bound of the score.

    bound: no network within the limits scores more; equal to the score where that is proven to be the highest
    """

    genes: Genes
    score: int
    costs: Ints
    bound: int


class ExactSearch:
    """Networks of the index's resolutions.

    scores: for each resolution what all of its networks have, and (N,) of each unit's configurations
    costs: (C, U) whole numbers, one for each distinct block of the index
    allowed: for each unit (N,) which configurations may be chosen (default: all)
    """

    def __init__(
        self,
        index: BlockIndex,
        scores: Sequence[tuple[int, Sequence[Ints]]],
        costs: Ints,
        allowed: Sequence[NDArray[np.bool_]] | None = None,
    ) -> None:
        self.index = index
        self.chains = make_chains(UnitCosts(index), costs, scores, allowed)

    @cached_property
    def _fronts(self) -> list[ChainFronts]:
        return [fronts for fronts in map(ChainFronts, self.chains) if not fronts.empty]

    def front(self) -> Front:
        """Score and first cost of every network that no other beats in both; other costs are not limited."""
        whole = [fronts.whole for fronts in self._fronts]
        return front(np.concatenate([w.cost for w in whole]), np.concatenate([w.score for w in whole]))

    def range(self) -> tuple[int, int]:
        """The least and the greatest first cost of any network whose units are all on their fronts."""
        ends = [(fronts.begun[-1].values(), fronts.singles[-1].values()) for fronts in self._fronts]
        low = min(min(int(b.cost[0]) for b in before) + min(int(s.cost[0]) for s in last) for before, last in ends)
        high = max(max(int(b.cost[-1]) for b in before) + max(int(s.cost[-1]) for s in last) for before, last in ends)
        return low, high

    def frontier(self) -> Networks:
        """The networks of `front`, ascending."""
        whole = [fronts.whole for fronts in self._fronts]
        best = self.front()
        found: list[Networks] = []
        missing = np.ones(len(best.cost), dtype=bool)
        for fronts, own in zip(self._fronts, whole, strict=True):
            here = missing & own.has(best.cost, best.score)
            missing &= ~here
            found.append(self._networks(fronts, best.cost[here], best.score[here]))
        together = joined(found)
        order = np.argsort(together.costs[:, 0])
        return together.only(order)

    def points(self, most: int) -> Networks:
        """Of each resolution's own frontier at most so many networks, evenly spread."""
        found = []
        for fronts in self._fronts:
            whole = fronts.whole
            at = np.unique(np.linspace(0, len(whole.cost) - 1, most).round().astype(np.intp))
            found.append(self._networks(fronts, whole.cost[at], whole.score[at]))
        return joined(found)

    def best(self, limits: Ints) -> list[Answer | None]:
        """Of the best network within each of L limits of the first cost; None where there is none."""
        found: list[Answer | None] = []
        each = [fronts.best(limits) for fronts in self._fronts]
        for at in range(len(limits)):
            ranked = [
                (-int(score[at]), int(cost[at]), fronts.chain.resolution, i)
                for i, (fronts, (cost, score)) in enumerate(zip(self._fronts, each, strict=True))
                if cost[at] != np.iinfo(np.int64).min
            ]
            if not ranked:
                found.append(None)
                continue
            score, cost, _, i = min(ranked)
            network = self._networks(self._fronts[i], np.array([cost]), np.array([-score]))
            found.append(self._answer(network, -score))
        return found

    def best_under(self, limits: Ints) -> Answer | None:
        """The best network within (C,) limits, one a cost; None where there is none.

        Where the best by the first limit alone keeps the others, it is that.
        """
        return self._best_under(self.chains, limits)

    def different(self, limits: Ints, count: int, differ: int) -> list[Answer]:
        """The best within (C,) limits, then the best of those that differ from it in at least so many choices, ...

        As many as there are, up to `count`. How many choices differ adds up over units, so it is one more cost.
        """
        found: list[Answer] = []
        chains = self.chains
        while len(found) < count:
            further = np.concatenate([limits, np.full(len(found), -differ)])
            best = self._best_under(chains, further)
            if best is None:
                break
            found.append(Answer(best.genes, best.score, best.costs[: len(limits)], best.bound))
            chains = [self._with_distance(chain, best.genes) for chain in chains]
        return found

    def near(self, limits: Ints, behind: int, most: int) -> Networks:
        """The networks within (C,) limits that score at most so much less than the best: so many, best first."""
        best = self.best_under(limits)
        if best is None:
            return joined([all_within(self.chains[0], limits, np.iinfo(np.int64).max >> 1)])
        while True:
            try:
                parts = [all_within(chain, limits, best.score - behind) for chain in self.chains]
                return joined(parts).ranked(most)
            except TooMany:
                behind //= 2

    def genes(self, networks: Networks) -> Genes:
        """(M, genes)."""
        return genes_of(self.index.space, networks.resolution, networks.numbers)

    def _best_under(self, chains: Sequence[Chain], limits: Ints) -> Answer | None:
        if len(limits) == 1:
            return self.best(limits)[0]
        (alone,) = self.best(limits[:1])
        if alone is None:
            return None
        if chains is self.chains and (alone.costs <= limits).all():
            return alone
        try:
            found = best_within(chains, limits)
        except TooMany:
            return self._unproven(chains, limits)
        return self._answer(found, int(found.score[0])) if len(found) else None

    def _unproven(self, chains: Sequence[Chain], limits: Ints) -> Answer | None:
        """The best that is met on the way to a bound, where what may be better is too much to look through."""
        found: list[Networks] = []
        bound = -np.inf
        for chain in chains:
            prices, _ = good_prices(chain, limits)
            bound = max(bound, prices[0].bound)
            gap = 0.25 * prices[0].bound - 0.25 * (chain.score + sum(int(items.score.min()) for items in chain.units))
            while gap > 1:
                try:
                    found.append(all_within(chain, limits, int(prices[0].bound - gap), prices).ranked(1))
                    break
                except TooMany:
                    gap /= 2
        best = joined(found).ranked(1) if found else None
        return self._answer(best, int(np.floor(bound))) if best is not None and len(best) else None

    def _with_distance(self, chain: Chain, genes: Genes) -> Chain:
        """With minus the number of choices in which networks differ from the given row, as one more cost."""
        units = unit_choices(self.index.space)
        away = []
        for u, (part, items) in enumerate(zip(units, chain.units, strict=True)):
            own = part.marked[part.numbers(genes)[0]]
            differs = part.marked[items.number] != own
            if u > 0 and part.left.any():
                differs[:, -2] = False  # the width at the left border is the unit's before
            away.append(-differs.sum(axis=1).astype(np.int64))
        return chain.with_costs([(-int(chain.resolution != genes[0, 0]), away)])

    def _networks(self, fronts: ChainFronts, cost: Ints, score: Ints) -> Networks:
        """Networks at points of a chain's front, with all their costs."""
        numbers = fronts.networks(cost, score)
        total = np.repeat(fronts.chain.costs[None], len(cost), axis=0)
        for u, items in enumerate(fronts.chain.units):
            total = total + items.costs[:, np.searchsorted(items.number, numbers[:, u])].T
        return Networks(score, total, np.full(len(cost), fronts.chain.resolution), numbers)

    def _answer(self, network: Networks, bound: int) -> Answer:
        return Answer(self.genes(network), int(network.score[0]), network.costs[0], bound)
