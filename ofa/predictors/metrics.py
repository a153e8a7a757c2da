"""How good predictions are: pure functions."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ofa.predictors.prediction import Prediction

Floats = NDArray[np.float64]
_Z68, _Z95 = 1.0, 1.959964  # half widths of normal intervals, in standard deviations


def rmse(predicted: Floats, actual: Floats) -> float:
    """Root mean squared error of (N,) against (N,)."""
    return float(np.sqrt(np.mean((predicted - actual) ** 2)))


def kendall_tau(a: Floats, b: Floats) -> float:
    """Kendall's rank correlation, tau-b (ties count for neither), of (N,) and (N,); NaN if one is constant.

    Quadratic in N in time, linear in memory; the same as scipy.stats.kendalltau.
    """
    concordant = ties_a = ties_b = 0
    for i in range(1, len(a)):
        sign_a, sign_b = np.sign(a[i] - a[:i]).astype(np.int64), np.sign(b[i] - b[:i]).astype(np.int64)
        concordant += int(sign_a @ sign_b)
        ties_a += int((sign_a == 0).sum())
        ties_b += int((sign_b == 0).sum())
    pairs = len(a) * (len(a) - 1) // 2
    scale = float(np.sqrt(float(pairs - ties_a) * float(pairs - ties_b)))
    return concordant / scale if scale else float("nan")


def tau_figure(predicted: Floats, actual: Floats) -> float | None:
    """Kendall's tau for a report, to four digits; None where it is not defined: JSON has no NaN."""
    tau = kendall_tau(predicted, actual)
    return None if math.isnan(tau) else round(tau, 4)


def shown_tau(tau: float | None, digits: int = 3) -> str:
    """For a person."""
    return "not defined" if tau is None else f"{tau:.{digits}f}"


def figures(predicted: Prediction, actual: Floats) -> dict[str, Any]:
    """RMSE, Kendall's tau, the share inside the 68 and 95 % intervals, and the errors of the tenth predicted best."""
    error = predicted.top1 - actual
    top = predicted.top1 >= np.quantile(predicted.top1, 0.9)
    sigmas = np.abs(error) / predicted.std
    return {
        "rows": len(actual),
        "rmse": round(rmse(predicted.top1, actual), 4),
        "kendall_tau": tau_figure(predicted.top1, actual),
        "coverage_68": round(float((sigmas <= _Z68).mean()), 4),
        "coverage_95": round(float((sigmas <= _Z95).mean()), 4),
        "top_decile_bias": round(float(error[top].mean()), 4),
        "top_decile_rmse": round(rmse(predicted.top1[top], actual[top]), 4),
    }
