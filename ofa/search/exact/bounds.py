"""Upper bounds under several limits: a price on every cost turns limits into a sum that is maximised unit by unit.

For prices p >= 0 every network x within the limits L has

    score(x) <= score(x) + p (L - cost(x)) <= max over all networks of that = bound(p)

and the middle adds up over units, so the maximum is found exactly, one unit after the other (Everett 1963; Lagrange
multipliers). What a unit's item loses against the best continuation is its loss; a network's losses add up to
bound(p) minus the middle. So whatever scores at least T within the limits has losses of at most bound(p) - T:
everything else is left out without looking. Prices change how much is left out, never what is right.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ofa.search.exact.chain import Chain, Ints

Floats = NDArray[np.float64]
_WIDTHS = 256


@dataclass(frozen=True, eq=False)
class Priced:
    """A chain under prices.

    prices: (C,) of score for each unit of a cost
    bound: no network within the limits scores more
    gains: for each unit (N,) score minus price of its items
    ahead: ahead[u][w]: the most that units u and on gain behind width w; -inf where none joins
    best: (units,) positions of a network that attains the bound
    """

    prices: Floats
    bound: float
    gains: list[Floats]
    ahead: list[Floats]
    best: list[int]

    def losses(self, chain: Chain, u: int) -> Floats:
        """(N,) what each item of unit u loses against the best behind the same width; inf where none joins."""
        items = chain.units[u]
        behind = self.ahead[u + 1][items.right]
        with np.errstate(invalid="ignore"):
            lost: Floats = self.ahead[u][items.left] - self.gains[u] - behind
        return np.where(np.isfinite(lost), np.maximum(lost, 0.0), np.inf)


def priced(chain: Chain, limits: Ints, prices: Floats) -> Priced:
    """The chain under those prices; a bound of -inf where no network joins at all."""
    gains = [items.score - prices @ items.float_costs for items in chain.units]
    ahead = list(np.full((len(chain.units) + 1, _WIDTHS), -np.inf))
    ahead[-1][:] = 0.0
    picks: list[dict[int, int]] = []
    for u in range(len(chain.units) - 1, -1, -1):
        items = chain.units[u]
        joined = gains[u] + ahead[u + 1][items.right]
        pick: dict[int, int] = {}
        for width, here in items.by_left:
            pick[width] = int(joined.argmax() if len(here) == len(joined) else here[joined[here].argmax()])
            ahead[u][width] = joined[pick[width]]
        picks.append(pick)
    fixed = chain.score + float(prices @ (limits - chain.costs))
    best, width = [], 0
    for items, pick in zip(chain.units, reversed(picks), strict=True):
        best.append(pick.get(width, 0))  # no such width: nothing joins
        width = int(items.right[best[-1]])
    return Priced(prices, fixed + float(ahead[0][0]), gains, ahead, best)


def total_of(chain: Chain, positions: list[int]) -> tuple[int, Ints]:
    """Score and (C,) costs of the network with those positions among each unit's items."""
    pairs = list(zip(chain.units, positions, strict=True))
    costs: Ints = chain.costs + sum(items.costs[:, at] for items, at in pairs)
    return chain.score + int(sum(int(items.score[at]) for items, at in pairs)), costs


def good_prices(chain: Chain, limits: Ints, steps: int = 120) -> tuple[list[Priced], int | None]:
    """The chain under the prices with the lowest bound, then under others around them; and the best score within the
    limits met on the way.

    Subgradient steps (Polyak's length towards the best score known), each cost in units of its spread.
    """
    spread = np.array([max(1.0, sum(float(np.ptp(i.costs[c])) for i in chain.units)) for c in range(len(limits))])
    gain = max(1.0, sum(float(np.ptp(items.score)) for items in chain.units))
    scaled = np.full(len(limits), 0.5 / len(limits))  # prices in units of gain / spread
    found: list[Priced] = []
    met: int | None = None
    lowest, patience, reach = np.inf, 0, 0.1 * gain
    for _ in range(steps):
        here = priced(chain, limits, scaled * gain / spread)
        if not np.isfinite(here.bound):
            return [here], None
        score, costs = total_of(chain, here.best)
        if (costs <= limits).all():
            met = score if met is None else max(met, score)
        found.append(here)
        if here.bound < lowest - 1e-4 * reach:
            lowest, patience = here.bound, 0
        else:
            patience += 1
        if patience >= 6:
            reach, patience = reach / 2, 0
        if reach < 1e-7 * gain:
            break
        slope = (limits - costs) * gain / spread
        slope = np.where((scaled <= 0) & (slope > 0), 0.0, slope)
        norm = float(slope @ slope)
        if norm == 0:
            break
        aim = lowest - reach if met is None else max(lowest - reach, met)
        scaled = np.maximum(0.0, scaled - slope * max(here.bound - aim, 1e-9 * gain) / norm)
    best = min(found, key=lambda p: p.bound)
    # a beginning that has spent more or less than others is bounded best by other prices
    around = [best.prices * factor for factor in (0.8, 1.25)]
    for own in np.eye(len(limits)):
        around += [best.prices * (1 + own * (factor - 1)) for factor in (0.0, 0.6, 0.85, 1.2, 1.7)]
    return [best, *(priced(chain, limits, prices) for prices in around)], met
