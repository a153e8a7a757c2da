"""The best networks under several limits at once, by leaving out what cannot be among them, and proving it.

A front in two dimensions is not enough where two costs are limited: a network that is beaten in score and latency may
be the one with few enough MACs. So networks are built unit after unit, every beginning with all its costs; one is
dropped only if its costs with the least that must follow break a limit, or if its score with the most that can follow
(by the bounds of `ofa.search.exact.bounds`) stays below the score that is asked for. What is left at the end is
everything within the limits that scores as much. If that is nothing, less is asked for.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from ofa.search.exact.bounds import Priced, good_prices
from ofa.search.exact.chain import Chain, Ints, Items

MOST_LABELS = 500_000
_SAFE = 0.5  # bounds are floats, scores whole numbers


class TooMany(Exception):
    """More beginnings than `MOST_LABELS` would have to be kept."""


class TooLong(Exception):
    """More pairs of a beginning and a configuration than `bounded` allows would have to be looked at."""


_left: ContextVar[list[int] | None] = ContextVar("pairs that may be looked at", default=None)


@contextmanager
def bounded(pairs: int) -> Iterator[None]:
    """All searches within it look at most at so many pairs of a beginning and a configuration, else raise TooLong."""
    token = _left.set([pairs])
    try:
        yield
    finally:
        _left.reset(token)


def _look_at(pairs: int) -> None:
    left = _left.get()
    if left is not None:
        left[0] -= pairs
        if left[0] < 0:
            raise TooLong


@dataclass(frozen=True, eq=False)
class Networks:
    """M networks of any resolutions: score (M,), costs (M, C), resolution (M,), numbers (M, units)."""

    score: Ints
    costs: Ints
    resolution: Ints
    numbers: NDArray[np.intp]

    def __len__(self) -> int:
        return len(self.score)

    def ranked(self, first: int | None = None) -> Networks:
        """Best first: the highest score, then the least of the first cost, the smallest resolution, and the
        configuration with the smallest number in the last unit, then in the unit before, and so on."""
        order = np.lexsort((*self.numbers.T, self.resolution, self.costs[:, 0], -self.score))[:first]
        return self.only(order)

    def only(self, rows: NDArray[np.intp]) -> Networks:
        """Those of some rows, in their order."""
        return Networks(self.score[rows], self.costs[rows], self.resolution[rows], self.numbers[rows])


def joined(parts: Sequence[Networks]) -> Networks:
    """All of them."""
    return Networks(
        np.concatenate([p.score for p in parts]),
        np.concatenate([p.costs for p in parts]),
        np.concatenate([p.resolution for p in parts]),
        np.concatenate([p.numbers for p in parts]),
    )


def best_within(chains: Sequence[Chain], limits: Ints) -> Networks:
    """The best network within the limits, (C,), by the rule of `Networks.ranked`; none where none is within them.

    Raises TooMany where that cannot be proven in `MOST_LABELS`.
    """
    bounded = [(chain, *good_prices(chain, limits)) for chain in chains]
    met = [score for _, _, score in bounded if score is not None]
    least = max(met) if met else None
    found: list[Networks] = []
    for chain, prices, _ in sorted(bounded, key=lambda b: -b[1][0].bound):
        if not np.isfinite(prices[0].bound) or (least is not None and prices[0].bound < least - _SAFE):
            continue
        here = _best_of(chain, limits, prices, least)
        if len(here):
            found.append(here)
            least = int(here.score[0])
    return joined(found).ranked(1) if found else _none(chains[0])


def _best_of(chain: Chain, limits: Ints, prices: list[Priced], least: int | None) -> Networks:
    """Of one chain the best that scores at least so much."""
    bottom = chain.score + sum(int(items.score.min()) for items in chain.units)
    floor = bottom if least is None else max(least, bottom)
    # widened until something is met; what scores less than that is then proven to be no better
    gap = max(1000.0, 1e-4 * (prices[0].bound - bottom))
    while True:
        threshold = max(floor, int(np.floor(prices[0].bound - gap)))
        found = all_within(chain, limits, threshold, prices)
        if len(found) or threshold <= floor:
            return found.ranked(1)
        gap *= 2


def all_within(chain: Chain, limits: Ints, threshold: int, prices: Sequence[Priced] | None = None) -> Networks:
    """Every network of the chain within the limits that scores at least the threshold."""
    prices = good_prices(chain, limits)[0] if prices is None else prices
    kept = [_promising(chain, u, prices, threshold) for u in range(len(chain.units))]
    if not all(len(positions) for positions in kept):
        return _none(chain)
    units = [items.only(positions) for items, positions in zip(chain.units, kept, strict=True)]
    least = _least_ahead(units)
    labels = _Labels(
        np.array([chain.score]), chain.costs[:, None], np.zeros(1, dtype=np.uint8), np.empty((1, 0), dtype=np.int32)
    )
    for u, items in enumerate(units):
        hopeful = partial(_hopeful, limits=limits, threshold=threshold, prices=prices, u=u + 1)
        labels = _extended(labels, items, limits[:, None] - least[u + 1], hopeful)
    labels = labels.only(labels.score >= threshold)  # a bound leaves room for what the limits leave over
    numbers = np.stack([items.number[labels.path[:, u]] for u, items in enumerate(units)], axis=1)
    return Networks(labels.score, labels.costs.T, np.full(len(numbers), chain.resolution), numbers.astype(np.intp))


@dataclass(frozen=True, eq=False)
class _Labels:
    """M beginnings: score (M,), costs (C, M), the width they end in (M,), positions (M, units so far)."""

    score: Ints
    costs: Ints
    width: NDArray[np.uint8]
    path: NDArray[np.int32]

    def only(self, kept: NDArray[np.bool_]) -> _Labels:
        return _Labels(self.score[kept], self.costs[:, kept], self.width[kept], self.path[kept])


def _promising(chain: Chain, u: int, prices: Sequence[Priced], threshold: int) -> NDArray[np.intp]:
    """Positions of the unit's items that may be part of a network that scores so much."""
    kept = np.ones(len(chain.units[u].score), dtype=bool)
    for p in prices:
        kept &= p.losses(chain, u) <= p.bound - threshold + _SAFE
    return np.flatnonzero(kept)


def _least_ahead(units: Sequence[Items]) -> list[Ints]:
    """least[u]: (C, 1) what units u and on cost at least."""
    least = [np.zeros((len(units[0].costs), 1), dtype=np.int64)]
    for items in reversed(units):
        least.append(least[-1] + items.costs.min(axis=1, keepdims=True))
    return least[::-1]


def _extended(labels: _Labels, items: Items, room: Ints, hopeful: Callable[[_Labels], NDArray[np.bool_]]) -> _Labels:
    """Every label with every item that joins, where the costs leave room, (C, 1), and there is hope."""
    parts = [_Labels(*_nothing(len(labels.costs)), np.empty((0, labels.path.shape[1] + 1), np.int32))]
    size = 0
    for width in np.unique(items.left).tolist():
        ends, starts = np.flatnonzero(labels.width == width), np.flatnonzero(items.left == width)
        # rows at a time, so that what is dropped never takes room
        rows = max(1, MOST_LABELS // max(1, len(starts)))
        for begin in range(0, len(ends), rows):
            here = ends[begin : begin + rows]
            _look_at(len(here) * len(starts))
            costs = labels.costs[:, here, None] + items.costs[:, None, starts]  # (C, labels, items)
            first, second = np.nonzero((costs <= room[:, :, None]).all(axis=0))
            label, item = here[first], starts[second]
            path = np.concatenate([labels.path[label], item[:, None].astype(np.int32)], axis=1)
            score = labels.score[label] + items.score[item]
            part = _Labels(score, costs[:, first, second], items.right[item], path)
            parts.append(part.only(hopeful(part)))
            size += len(parts[-1].score)
            if size > MOST_LABELS:
                raise TooMany
    return _Labels(
        np.concatenate([p.score for p in parts]),
        np.concatenate([p.costs for p in parts], axis=1),
        np.concatenate([p.width for p in parts]),
        np.concatenate([p.path for p in parts]),
    )


def _hopeful(labels: _Labels, limits: Ints, threshold: int, prices: Sequence[Priced], u: int) -> NDArray[np.bool_]:
    """Which labels may still end at the threshold, with the most that units u and on add under any prices."""
    kept = np.ones(len(labels.score), dtype=bool)
    for p in prices:
        most = labels.score + p.prices @ (limits[:, None] - labels.costs) + p.ahead[u][labels.width]
        kept &= most >= threshold - _SAFE
    return kept


def _nothing(costs: int) -> tuple[Ints, Ints, NDArray[np.uint8]]:
    """Score, costs and width of no labels."""
    return np.empty(0, np.int64), np.empty((costs, 0), np.int64), np.empty(0, np.uint8)


def _none(chain: Chain) -> Networks:
    score, costs, _ = _nothing(len(chain.costs))
    return Networks(score, costs.T, score, np.empty((0, len(chain.units)), dtype=np.intp))
