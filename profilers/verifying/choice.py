"""Which network keeps a limit, by what was measured, and where a better one may be: pure functions.

The most accurate network whose odd visits keep the limit is chosen; it is certified by its even visits, which no choice
looked at. One whose even visits break the limit is passed over.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ofa.search.specialised import Specialised
from profilers.whole_networks.measured import MeasuredNetwork

# how far apart, in latency, the networks near a limit are: about what one network's sum is off
STEP = 0.02
# a better network is not looked for between one that keeps the limit and one that does not, if they are so near
NEAR = 3 * STEP
# of so many networks whose latencies are nearest to a limit the ratio of measured to predicted is taken
NEIGHBOURS = 4


@dataclass(frozen=True)
class Contender:
    """A network that was measured.

    network: what the search says of it; round: in which it was measured, from 1
    doubtful: fewer than half of its visits were good
    """

    network: Specialised
    times: MeasuredNetwork
    round: int
    doubtful: bool = False

    @property
    def predicted_ms(self) -> float:
        """The sum of its blocks."""
        return self.network.latency_ms

    @property
    def top1(self) -> float:
        """What the search maximises, per cent."""
        return self.network.predictor_top1

    def chosen_within(self, limit_ms: float) -> bool:
        """Whether its odd visits keep the limit."""
        return self.times.odd_ms <= limit_ms

    def keeps(self, limit_ms: float) -> bool:
        """Whether the even visits keep it too."""
        even = self.times.even_ms
        return self.chosen_within(limit_ms) and even is not None and even <= limit_ms


@dataclass(frozen=True)
class Choice:
    """winner: None where no network keeps the limit

    passed_over: how many more accurate networks were chosen, and then not certified
    """

    winner: Contender | None
    passed_over: int


def choose(contenders: Sequence[Contender], limit_ms: float) -> Choice:
    """The most accurate that keeps the limit; among equally accurate ones that of the smaller sum."""
    ranked = sorted(contenders, key=lambda c: (-c.top1, c.predicted_ms))
    winner = next((c for c in ranked if c.keeps(limit_ms)), None)
    before = ranked if winner is None else ranked[: ranked.index(winner)]
    return Choice(winner, sum(c.chosen_within(limit_ms) for c in before))


@dataclass(frozen=True)
class Further:
    """Where to search again: networks whose sums are about `within_ms`.

    why: in words; growth: by what to multiply where that finds no new network; 1: then there is none
    """

    within_ms: float
    why: str
    growth: float


def further(contenders: Sequence[Contender], limit_ms: float) -> Further | None:
    """Where to search for a better network than the one that is chosen; None where there is no need.

    contenders: at least one; doubtful ones count only where there are no others
    """
    contenders = [c for c in contenders if not c.doubtful] or contenders
    winner = choose(contenders, limit_ms).winner
    likely = limit_ms / measured_to_predicted(contenders, limit_ms)
    broken = [c for c in contenders if not c.keeps(limit_ms) and (winner is None or c.top1 > winner.top1)]
    upper = min((c.predicted_ms for c in broken), default=math.inf)
    if winner is None:
        return Further(min(likely, upper * (1 - STEP)), "no network keeps it", 1 - 2 * STEP)
    lower = winner.predicted_ms
    if upper == math.inf:
        return Further(max(likely, lower * (1 + STEP)), "the most accurate one keeps it", 1 + 2 * STEP)
    if upper <= lower * (1 + NEAR):
        return None
    within = min(max(likely, lower * (1 + STEP)), upper * (1 - STEP))
    return Further(within, f"none was measured between sums of {lower:.4g} and {upper:.4g} ms", 1.0)


def measured_to_predicted(contenders: Sequence[Contender], limit_ms: float) -> float:
    """By how much networks that take about so long take longer than their sums, by the odd visits: the median."""
    nearest = sorted(contenders, key=lambda c: abs(math.log(c.times.odd_ms / limit_ms)))[:NEIGHBOURS]
    return float(np.median([c.times.odd_ms / c.predicted_ms for c in nearest]))


def ladder(centre_ms: float, count: int) -> list[float]:
    """So many latencies about one of them, a step apart: the centre, a step below, a step above, two below ..."""
    return [centre_ms * (1 + STEP * (-1) ** k * ((k + 1) // 2)) for k in range(count)]
