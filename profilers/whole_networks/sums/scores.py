"""How well sums over blocks predict whole networks that were measured."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class SumScores:
    """How sums compare with measurements of N whole networks.

    mape_pct: mean absolute error; bias_pct: mean signed error, positive where the sum is too high
    spread_pct: mean absolute error once the bias, as one factor, is taken out
    within_5_pct, within_10_pct: shares, in per cent, of networks predicted that well
    worst_pct: the greatest absolute error; p95_pct: that of 95 % of the networks
    kendall_tau: of the order
    """

    networks: int
    mape_pct: float
    bias_pct: float
    spread_pct: float
    within_5_pct: float
    within_10_pct: float
    p95_pct: float
    worst_pct: float
    kendall_tau: float


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


def score(predicted: NDArray[np.float64], measured: NDArray[np.float64]) -> SumScores:
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
        p95_pct=_rounded(np.percentile(np.abs(error), 95)),
        worst_pct=_rounded(np.max(np.abs(error))),
        kendall_tau=round(float(kendalltau(predicted, measured).statistic), 4),
    )


def _rounded(value: Any) -> float:
    return round(float(value), 2)
