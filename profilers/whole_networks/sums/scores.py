"""How well sums over blocks predict whole networks that were measured."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from profilers.measuring.statistics import kept_with, variance_of_median

Floats = NDArray[np.float64]
# with fewer networks a fifth says nothing of its spread
_FEWEST_A_FIFTH = 5


@dataclass(frozen=True)
class SumScores:
    """How sums compare with measurements of N whole networks.

    mape_pct: mean absolute error; bias_pct: mean signed error, positive where the sum is too high
    spread_pct: mean absolute error once the bias, as one factor, is taken out
    within_5_pct, within_10_pct: shares, in per cent, of networks predicted that well
    worst_pct: the greatest absolute error; p95_pct: what a further network keeps with 95 %, None for fewer than 19
    kendall_tau: of the order
    """

    networks: int
    mape_pct: float
    bias_pct: float
    spread_pct: float
    within_5_pct: float
    within_10_pct: float
    p95_pct: float | None
    worst_pct: float
    kendall_tau: float


@dataclass(frozen=True)
class Fifth:
    """A fifth of the networks, by what they took: from_ms to to_ms; spread_pct: standard deviation of their errors."""

    networks: int
    from_ms: float
    to_ms: float
    bias_pct: float
    spread_pct: float
    worst_pct: float


@dataclass(frozen=True)
class Repeat:
    """How the same networks compare with themselves, the odd rounds with the even: what no table can do better.

    mape_pct: mean absolute difference; kendall_tau: of the order
    """

    mape_pct: float | None
    kendall_tau: float | None


def repeat(visits_ms: Sequence[Sequence[float]]) -> Repeat:
    """Of every network's visits, in order; networks of one visit say nothing, and None is what fewer than two say."""
    from scipy.stats import kendalltau

    comparable = [visits for visits in visits_ms if len(visits) > 1]
    if len(comparable) < 2:
        return Repeat(None, None)
    odd, even = (np.array([np.median(visits[start::2]) for visits in comparable]) for start in (0, 1))
    return Repeat(_rounded(100 * np.mean(np.abs(odd / even - 1))), round(float(kendalltau(odd, even).statistic), 4))


def score(predicted: Floats, measured: Floats) -> SumScores:
    """Scores of N predictions, ms, against N measurements, ms."""
    from scipy.stats import kendalltau

    error = 100 * (predicted / measured - 1)
    scaled = predicted / np.median(predicted / measured)
    return SumScores(
        networks=len(measured),
        mape_pct=_rounded(np.mean(np.abs(error))),
        bias_pct=_rounded(np.mean(error)),
        spread_pct=_rounded(np.mean(np.abs(100 * (scaled / measured - 1)))),
        within_5_pct=_rounded(100 * np.mean(np.abs(error) <= 5)),
        within_10_pct=_rounded(100 * np.mean(np.abs(error) <= 10)),
        p95_pct=None if (bound := kept_with(np.abs(error), 95)) is None else _rounded(bound),
        worst_pct=_rounded(np.max(np.abs(error))),
        kendall_tau=round(float(kendalltau(predicted, measured).statistic), 4),
    )


def fifths(predicted: Floats, measured: Floats) -> tuple[Fifth, ...]:
    """From the fastest fifth of N networks to the slowest; none where a fifth would be fewer than _FEWEST_A_FIFTH."""
    if len(measured) < 5 * _FEWEST_A_FIFTH:
        return ()
    error = 100 * (predicted / measured - 1)
    return tuple(
        Fifth(
            networks=len(rows),
            from_ms=round(float(measured[rows[0]]), 6),
            to_ms=round(float(measured[rows[-1]]), 6),
            bias_pct=_rounded(error[rows].mean()),
            spread_pct=_rounded(error[rows].std(ddof=1)),
            worst_pct=_rounded(np.abs(error[rows]).max()),
        )
        for rows in np.array_split(np.argsort(measured, kind="stable"), 5)
    )


def noise_pct(predicted: Floats, visits_ms: Sequence[Sequence[float]]) -> float | None:
    """How much of the variance of N networks' errors is that their medians over visits are noisy, per cent.

    predicted: (N,) ms. The odd visits against the even ones tell how noisy a visit is, and so a median of all. The bias
    is no variance. None where fewer than two networks have two visits, or none is off. What differs between days is not
    in it.
    """
    halves = [(np.median(v[0::2]), np.median(v[1::2]), len(v)) for v in visits_ms if len(v) > 1]
    if len(halves) < 2:
        return None
    noise = np.mean([
        np.log(odd / even) ** 2
        * variance_of_median(count) / (variance_of_median(-(-count // 2)) + variance_of_median(count // 2))
        for odd, even, count in halves
    ])  # fmt: skip
    off = np.log(predicted / np.array([np.median(visits) for visits in visits_ms]))
    variance = float(np.var(off, ddof=1))
    return round(min(100.0, 100 * float(noise) / variance), 1) if variance > 0 else None


def _rounded(value: Any) -> float:
    return round(float(value), 2)
