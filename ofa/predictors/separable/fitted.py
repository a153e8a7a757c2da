"""A separable predictor of accuracies: its members are trained side by side, their sums averaged."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ofa.predictors.fit.ensemble_training import Recipe
from ofa.predictors.separable.predictor import SeparablePredictor
from ofa.predictors.separable.training import Rows, train_units
from ofa.predictors.subnet_accuracies import SubnetAccuracies
from ofa.space.unit_choices import unit_choices


def train_separable(
    data: SubnetAccuracies, recipe: Recipe, step: Callable[[float], None] = lambda _: None
) -> SeparablePredictor:
    """A predictor trained on all of the data; it knows the resolutions of the data, and no uncertainty.

    A mean of bent sums does not separate. So the sums are averaged, and bent once: members are trained side by side
    through one bend, which puts their sums on one scale. (A bend that is fitted anew to the means follows the scatter
    of the rows instead: docs/results/accuracy_predictor.md.)
    """
    numbers = np.stack([part.numbers(data.genes) for part in unit_choices(data.space)], axis=1)
    rows = Rows(numbers, data.groups, data.top1)
    networks, bend = train_units(data.space, len(data.known), rows, recipe, step)
    return SeparablePredictor(data.space, data.known, networks, bend, {})
