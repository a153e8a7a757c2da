"""What a fitted predictor is worth, on sub-networks that it never saw, and at a resolution that it never saw."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from ofa.predictors.fit.ensemble_training import Recipe
from ofa.predictors.metrics import figures, rmse, tau_figure
from ofa.predictors.prediction import Predictor
from ofa.predictors.subnet_accuracies import SubnetAccuracies

Train = Callable[[SubnetAccuracies, Recipe, Callable[[float], None]], Predictor]  # on all of the data


def assess(predictor: Predictor, test: SubnetAccuracies) -> dict[str, Any]:
    """`metrics.figures` of the whole test part ("all") and of each resolution that has two rows or more, in pixels."""
    predicted = predictor.predict(test.genes)
    report = {"all": figures(predicted, test.top1)}
    for r in test.known:
        rows = test.resolutions == r
        if rows.sum() < 2:
            continue
        part = replace(predicted, top1=predicted.top1[rows], std=predicted.std[rows])
        report[str(r)] = figures(part, test.top1[rows])
    return report


def interpolation(
    fitted: SubnetAccuracies, test: SubnetAccuracies, recipe: Recipe, train: Train, step: Callable[[float], None]
) -> dict[str, Any]:
    """Leave one resolution out: what it costs to interpolate it from those around, for each that has both.

    A predictor that never saw the resolution is compared, on the test part, with one that did. The gap
    it bridges is twice as wide as any that users meet, so that `added_rmse` (per cent, what comes on top of
    the error without interpolation, in quadrature) is on the safe side.
    """
    recipe = replace(recipe, members=min(2, recipe.members))
    inner = fitted.known[1:-1]
    report: dict[str, Any] = {}
    direct = train(fitted, recipe, lambda share: step(share / (len(inner) + 1))) if inner else None
    for n, left_out in enumerate(inner, 1):
        narrow = train(
            without_resolution(fitted, left_out),
            recipe,
            lambda share, n=n: step((n + share) / (len(inner) + 1)),  # type: ignore[misc]
        )
        asked = test.where(test.resolutions == left_out)
        guess = narrow.predict(asked.genes).top1
        assert direct is not None
        seen = direct.predict(asked.genes).top1
        report[str(left_out)] = {
            "rmse": round(rmse(guess, asked.top1), 4),
            "rmse_if_known": round(rmse(seen, asked.top1), 4),
            "bias": round(float((guess - asked.top1).mean()), 4),
            "kendall_tau": tau_figure(guess, asked.top1),
            "added_rmse": round(
                float(np.sqrt(max(0.0, rmse(guess, asked.top1) ** 2 - rmse(seen, asked.top1) ** 2))), 4
            ),
        }
    return report


def without_resolution(data: SubnetAccuracies, left_out: int) -> SubnetAccuracies:
    """The rows of the other resolutions, as data that has only those."""
    kept = data.where(data.resolutions != left_out)
    return replace(kept, known=tuple(r for r in data.known if r != left_out))


def largest(predictor: Predictor, test: SubnetAccuracies) -> dict[str, Any]:
    """The largest sub-network at the highest resolution, which should be predicted near the top of the test part."""
    genes = np.array([[predictor.resolutions[-1], *(predictor.space.cardinalities[1:] - 1)]], dtype=np.uint16)
    predicted = float(predictor.predict(genes).top1[0])
    same = test.where(test.resolutions == predictor.resolutions[-1])
    return {
        "predicted_top1": round(predicted, 3),
        "best_measured_in_test": round(float(same.top1.max()), 3),
        "share_of_test_predicted_below": round(float((predictor.predict(same.genes).top1 < predicted).mean()), 4),
    }
