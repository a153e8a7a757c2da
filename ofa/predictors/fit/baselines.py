"""Two models that any predictor should beat: linear in the one-hot choices, and a parabola in log MACs."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ofa.blocks.costs import count_macs
from ofa.predictors.encoder import FeatureEncoder
from ofa.predictors.metrics import Floats, rmse, tau_figure
from ofa.predictors.subnet_accuracies import SubnetAccuracies


def baselines(fitted: SubnetAccuracies, test: SubnetAccuracies) -> dict[str, Any]:
    """RMSE and Kendall's tau on the test part of two models that any predictor should beat, trained on the same rows.

    "ridge": linear in the one-hot features. "macs": a parabola in log MACs for each resolution.
    """
    encoder = FeatureEncoder(fitted.space, fitted.known)

    def one_hot(data: SubnetAccuracies) -> NDArray[np.float64]:
        return encoder.training_features(data.genes).astype(np.float64)

    report: dict[str, Any] = {}
    for name, features, penalty in (("ridge", one_hot, 1.0), ("macs", macs_features, 1e-6)):
        weights, intercept = ridge(features(fitted), fitted.top1, penalty)
        predicted = features(test) @ weights + intercept
        report[name] = {}
        for label, rows in (
            ("all", np.ones(len(test.top1), dtype=bool)),
            *((str(r), test.resolutions == r) for r in test.known),
        ):
            report[name][label] = {
                "rmse": round(rmse(predicted[rows], test.top1[rows]), 4),
                "kendall_tau": tau_figure(predicted[rows], test.top1[rows]),
            }
    return report


def ridge(features: Floats, targets: Floats, penalty: float = 1.0) -> tuple[Floats, float]:
    """Weights (F,) and intercept of the linear model of the features (N, F)."""
    centre, level = features.mean(axis=0), float(targets.mean())
    centred = features - centre
    gram = centred.T @ centred + penalty * np.eye(features.shape[1])
    weights: Floats = np.linalg.solve(gram, centred.T @ (targets - level))
    return weights, level - float(centre @ weights)


def macs_features(data: SubnetAccuracies) -> Floats:
    """(N, 3 x resolutions): for each resolution its own constant, log MACs and log MACs squared."""
    log = np.log(count_macs(data.space, data.genes).astype(np.float64)) - 19.0  # about the middle: 180 million
    one_hot = (data.genes[:, :1] == np.array(data.known)).astype(np.float64)
    return np.concatenate([one_hot, one_hot * log[:, None], one_hot * log[:, None] ** 2], axis=1)
