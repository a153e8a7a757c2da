"""How good predictions are, how sure they may claim to be, and what they are compared with: pure functions."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ofa.blocks.costs import count_macs
from ofa.predictors.accuracy import Prediction, Uncertainty
from ofa.predictors.training_data import TrainingData

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


def fit_uncertainty(members: Floats, actual: Floats, groups: NDArray[np.intp], num_groups: int) -> Uncertainty:
    """The most likely noise of each group and scale of the spread, for normal errors.

    members: (members, N) predictions of rows that no member was trained on
    actual: (N,) per cent; groups: (N,) resolution of each row, 0 to num_groups - 1
    """
    error2 = (members.mean(axis=0) - actual) ** 2
    spread2 = members.var(axis=0)
    noises = np.geomspace(0.005, 3.0, 120)[:, None]
    best_scale, best_noise, best_loss = 0.0, np.full(num_groups, np.nan), np.inf
    # never below 1: where members disagree, so may the truth
    for scale in np.linspace(1, 10, 91):
        loss, chosen = 0.0, np.full(num_groups, np.nan)
        for group in range(num_groups):
            rows = groups == group
            variance = noises**2 + scale**2 * spread2[rows]  # (noises, rows)
            nll = 0.5 * (error2[rows] / variance + np.log(variance)).sum(axis=1)
            chosen[group] = noises[np.argmin(nll), 0]
            loss += float(nll.min()) if rows.any() else 0.0
        if loss < best_loss:
            best_scale, best_noise, best_loss = float(scale), chosen, loss
    return Uncertainty(tuple(round(float(noise), 4) for noise in best_noise), round(best_scale, 4))


def figures(predicted: Prediction, actual: Floats) -> dict[str, Any]:
    """RMSE, Kendall's tau, the share inside the 68 and 95 % intervals, and the errors of the tenth predicted best."""
    error = predicted.top1 - actual
    top = predicted.top1 >= np.quantile(predicted.top1, 0.9)
    sigmas = np.abs(error) / predicted.std
    return {
        "rows": len(actual),
        "rmse": round(rmse(predicted.top1, actual), 4),
        "kendall_tau": round(kendall_tau(predicted.top1, actual), 4),
        "coverage_68": round(float((sigmas <= _Z68).mean()), 4),
        "coverage_95": round(float((sigmas <= _Z95).mean()), 4),
        "top_decile_bias": round(float(error[top].mean()), 4),
        "top_decile_rmse": round(rmse(predicted.top1[top], actual[top]), 4),
    }


def ridge(features: Floats, targets: Floats, penalty: float = 1.0) -> tuple[Floats, float]:
    """Weights (F,) and intercept of the linear model of the features (N, F)."""
    centre, level = features.mean(axis=0), float(targets.mean())
    centred = features - centre
    gram = centred.T @ centred + penalty * np.eye(features.shape[1])
    weights: Floats = np.linalg.solve(gram, centred.T @ (targets - level))
    return weights, level - float(centre @ weights)


def macs_features(data: TrainingData) -> Floats:
    """(N, 3 x resolutions): for each resolution its own constant, log MACs and log MACs squared."""
    log = np.log(count_macs(data.space, data.genes).astype(np.float64)) - 19.0  # about the middle: 180 million
    one_hot = (data.genes[:, :1] == np.arange(len(data.space.resolutions))).astype(np.float64)
    return np.concatenate([one_hot, one_hot * log[:, None], one_hot * log[:, None] ** 2], axis=1)
