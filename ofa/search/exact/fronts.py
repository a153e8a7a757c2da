"""Pareto fronts of a score and one cost, and their sums.

Of all networks that end in the same width only those matter that no other beats in cost and score at once: whatever
stands behind them, replacing one that is beaten by the one that beats it keeps the limit and gains. So the front
of a chain is the front of the sums of its parts' fronts, one unit after the other. A larger choice need not cost more.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ofa.search.exact.chain import Chain, Ints, Items

_NOWHERE = np.iinfo(np.int64).min


@dataclass(frozen=True, eq=False)
class Front:
    """Cost and score of the points that no other beats, (P,) each, both strictly ascending."""

    cost: Ints
    score: Ints

    def has(self, cost: Ints, score: Ints) -> NDArray[np.bool_]:
        """Which of some points are on it, of any shape."""
        at = np.minimum(np.searchsorted(self.cost, cost), len(self.cost) - 1)
        found: NDArray[np.bool_] = (self.cost[at] == cost) & (self.score[at] == score)
        return found


def front(cost: Ints, score: Ints) -> Front:
    """The front of N >= 1 points."""
    low, high = cost.min(), score.max()
    width = int(high - score.min()).bit_length()
    if int(cost.max() - low).bit_length() + width <= 63:
        # one number a point, cost before loss of score: sorting those is ten times as fast as sorting pairs
        packed = np.sort(((cost - low) << width) | (high - score))
        cost, score = (packed >> width) + low, high - (packed & ((1 << width) - 1))
    else:
        order = np.lexsort((-score, cost))
        cost, score = cost[order], score[order]
    best = np.maximum.accumulate(score)
    kept = np.empty(len(score), dtype=bool)
    kept[0] = True
    np.greater(score[1:], best[:-1], out=kept[1:])
    return Front(cost[kept], score[kept])


def merged(parts: Sequence[tuple[Front, Front]]) -> Front:
    """The front of all sums of a point of the first and a point of the second, for any of the pairs."""
    costs = [np.add.outer(a.cost, b.cost).ravel() for a, b in parts]
    scores = [np.add.outer(a.score, b.score).ravel() for a, b in parts]
    return front(np.concatenate(costs), np.concatenate(scores)) if len(parts) > 1 else front(costs[0], scores[0])


def unit_fronts(items: Items) -> dict[tuple[int, int], Front]:
    """The front of a unit's first cost, for each pair of border widths that it has."""
    borders = items.left.astype(np.intp) * 256 + items.right
    found = {}
    for border in np.unique(borders).tolist():
        here = borders == border
        found[divmod(border, 256)] = front(items.costs[0][here], items.score[here])
    return found


class ChainFronts:
    """The fronts of one chain's first cost, unit after unit.

    singles: for each unit the fronts of its items, by their border widths
    begun: begun[u][w]: the front of the first u units, where they end in width w
    """

    def __init__(self, chain: Chain) -> None:
        self.chain = chain
        self.singles = [unit_fronts(items) for items in chain.units]
        start = Front(np.array([chain.costs[0]]), np.array([chain.score]))
        self.begun: list[Mapping[int, Front]] = [{0: start}]
        for singles in self.singles[:-1]:
            self.begun.append(_step(self.begun[-1], singles))
        self._whole: Front | None = None

    @property
    def empty(self) -> bool:
        """Whether no network joins at every border."""
        return not any(left in self.begun[-1] for left, _ in self.singles[-1])

    @property
    def whole(self) -> Front:
        """The front of all networks, made when it is first asked for."""
        if self._whole is None:
            ends = _step(self.begun[-1], self.singles[-1]).values()
            self._whole = front(np.concatenate([e.cost for e in ends]), np.concatenate([e.score for e in ends]))
        return self._whole

    def best(self, limits: Ints) -> tuple[Ints, Ints]:
        """The highest score within each of L limits, and its least cost: (L,) each; _NOWHERE where there is none.

        The last unit is not merged: under one limit each of its points has one best partner.
        """
        cost, score = (np.full(len(limits), _NOWHERE) for _ in range(2))
        for (left, _), last in self.singles[-1].items():
            if left not in self.begun[-1]:
                continue
            before = self.begun[-1][left]
            at = np.searchsorted(before.cost, limits[:, None] - last.cost, side="right") - 1  # (L, points)
            total = np.where(at < 0, _NOWHERE, before.score[at] + last.score)
            spent = before.cost[at] + last.cost
            top = total.max(axis=1)
            least = np.where(total == top[:, None], spent, np.iinfo(np.int64).max).min(axis=1)
            better = (top > score) | ((top == score) & (least < cost))
            cost, score = np.where(better, least, cost), np.where(better, top, score)
        return cost, score

    def networks(self, cost: Ints, score: Ints) -> NDArray[np.intp]:
        """(M, units): for M points of the whole front the network there, by the numbers of its configurations.

        Of several the one whose last unit has the smallest number, then the unit before, and so on.
        """
        numbers = np.empty((len(cost), len(self.singles)), dtype=np.intp)
        state = np.full(len(cost), -1)  # any end will do
        cost, score = cost.copy(), score.copy()
        for u in range(len(self.singles) - 1, -1, -1):
            behind = state.copy()
            for here in np.unique(behind):
                rows = np.flatnonzero(behind == here)
                numbers[rows, u], cost[rows], score[rows], state[rows] = self._last_step(
                    u, int(here), cost[rows], score[rows]
                )
        return numbers

    def _last_step(self, u: int, state: int, cost: Ints, score: Ints) -> tuple[NDArray[np.intp], Ints, Ints, Ints]:
        """Of M points of begun[u + 1]: the number of unit u's configuration, and the point and width before it."""
        number = np.full(len(cost), np.iinfo(np.intp).max)
        before = np.zeros((3, len(cost)), dtype=np.int64)
        for (left, right), points in self.singles[u].items():
            if (right != state and state >= 0) or left not in self.begun[u]:
                continue
            first = _first_numbers(self.chain.units[u], left, right, points)
            rest = cost[:, None] - points.cost, score[:, None] - points.score  # (M, points)
            fits = np.where(self.begun[u][left].has(*rest), first, np.iinfo(np.intp).max)
            chosen = fits.argmin(axis=1)
            rows = np.arange(len(cost))
            better = fits[rows, chosen] < number
            number = np.where(better, fits[rows, chosen], number)
            found = np.stack([rest[0][rows, chosen], rest[1][rows, chosen], np.full(len(cost), left)])
            before = np.where(better, found, before)
        return number, before[0], before[1], before[2]


def _step(begun: Mapping[int, Front], singles: Mapping[tuple[int, int], Front]) -> dict[int, Front]:
    """Fronts by the width they end in, one unit further."""
    parts: dict[int, list[tuple[Front, Front]]] = {}
    for (left, right), single in singles.items():
        if left in begun:
            parts.setdefault(right, []).append((begun[left], single))
    return {right: merged(pairs) for right, pairs in parts.items()}


def _first_numbers(items: Items, left: int, right: int, points: Front) -> NDArray[np.intp]:
    """(P,) the smallest number among the items at each point of their front."""
    here = np.flatnonzero((items.left == left) & (items.right == right))
    at = np.minimum(np.searchsorted(points.cost, items.costs[0][here]), len(points.cost) - 1)
    on = (points.cost[at] == items.costs[0][here]) & (points.score[at] == items.score[here])
    first = np.full(len(points.cost), np.iinfo(np.intp).max)
    np.minimum.at(first, at[on], items.number[here[on]])
    return first
