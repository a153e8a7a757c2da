"""How well sums over blocks predict whole networks, and the correction of the sums that is fitted on some of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ofa.blocks import slots_of
from ofa.space import Genes
from ofa.tables.lookup import LatencyLookup
from ofa.tables.sum_correction import SumCorrection, block_terms

# which terms of SumCorrection a fit may use, the simplest first: scale, weights, borders, calls
_TERMS = ((0,), (0, 1), (0, 2), (0, 3), (0, 1, 2), (0, 1, 3), (0, 2, 3), (0, 1, 2, 3))
_LARGE_ERROR = 0.02
# how strongly the units' factors are held to zero: a share of what a unit adds, times the root of the networks
_RIDGE = 0.05
# networks that a term of the correction needs
_NETWORKS_A_TERM = 4


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


def unit_errors(lookup: LatencyLookup, genes: Genes, measured: NDArray[np.float64]) -> dict[str, float]:
    """Per cent by which the sums of each unit's blocks seem too high: least squares over N networks of `measured` ms.

    An indication: units whose sums rise and fall together cannot be told apart, and the fit leans to zero.
    """
    names = [slot.name.split(" layer")[0] for slot in slots_of(lookup.space)]
    units = list(dict.fromkeys(names))
    per_slot = np.append(lookup.block_ms, 0.0)[lookup.index.block_numbers(genes)]
    sums = np.stack([per_slot[:, [n == unit for n in names]].sum(axis=1) for unit in units], axis=1)
    relative = sums / measured[:, None]
    residual = relative.sum(axis=1) - 1
    ridge = _RIDGE * np.sqrt(len(measured)) * relative.mean() * np.eye(len(units))
    factors, *_ = np.linalg.lstsq(np.vstack([relative, ridge]), np.append(residual, np.zeros(len(units))), rcond=None)
    return {unit: round(100 * float(f), 1) for unit, f in zip(units, factors, strict=True)}


def correction_terms(lookup: LatencyLookup, latency_ms: NDArray[np.float64], genes: Genes) -> NDArray[np.float64]:
    """(N, 4) the terms of `SumCorrection` of N networks, given what each block of the index takes alone, ms."""
    terms = block_terms(lookup.index.blocks, latency_ms)
    return np.stack([lookup.index.total(genes, column) for column in terms.T], axis=1)


def fit_correction(terms: NDArray[np.float64], measured: NDArray[np.float64]) -> SumCorrection:
    """The correction of least relative error over N networks: (N, 4) terms against measured ms.

    Errors beyond a few per cent count by their size, not their square: a network that a cache just holds may be far
    off the others. A term is used only where predicting each network from the others gains by it: of the sets of
    terms, the one of least mean absolute leave-one-out error. With fewer than four networks a term, only the scale is
    fitted.
    """
    relative = terms / measured[:, None]

    def fitted(columns: tuple[int, ...], rows: NDArray[np.bool_]) -> NDArray[np.float64]:
        from scipy.optimize import least_squares

        used = relative[rows][:, columns]
        start = np.linalg.lstsq(used, np.ones(len(used)), rcond=None)[0]
        weights = np.zeros(terms.shape[1])
        weights[list(columns)] = least_squares(lambda w: used @ w - 1, start, loss="soft_l1", f_scale=_LARGE_ERROR).x
        return weights

    def error(columns: tuple[int, ...]) -> float:
        others = ~np.eye(len(measured), dtype=bool)
        return float(np.mean([abs(relative[i] @ fitted(columns, others[i]) - 1) for i in range(len(measured))]))

    allowed = [columns for columns in _TERMS if len(columns) == 1 or _NETWORKS_A_TERM * len(columns) <= len(measured)]
    best = min(allowed, key=error)
    return SumCorrection(*fitted(best, np.ones(len(measured), dtype=bool)).tolist())
