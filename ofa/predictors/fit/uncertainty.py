"""How sure an ensemble may claim to be: its intervals, fitted on rows that no member was trained on."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ofa.predictors.metrics import Floats
from ofa.predictors.prediction import Uncertainty


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
