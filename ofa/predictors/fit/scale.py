"""A predictor's figures beside measured accuracies of the same supernet."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ofa.errors import InputError
from ofa.predictors.prediction import Predictor, Scale
from ofa.predictors.subnet_accuracies import read_accuracies_csv

LEAST = 3


def fit_scale(predictor: Predictor, path: Path) -> Scale:
    """The offset that puts a predictor on the scale of a file's accuracies, and what is left of the error.

    The error is of each row by the offset of the others. A slope is not fitted: a few rows, close together, do not
    tell one. Raises InputError for a file with too few rows, or of resolutions that the predictor does not cover.
    """
    data = read_accuracies_csv(path, predictor.space, least=LEAST)
    above = predictor.top1(data.genes) - data.top1
    n = len(above)
    if n < LEAST:
        raise InputError(f"{path}: {n} different sub-networks, at least {LEAST} are needed for a scale")
    left_out = (above - above.mean()) * n / (n - 1)
    pixels = ", ".join(map(str, data.known))
    return Scale(
        offset=round(-float(above.mean()), 3),
        sd=round(float(np.sqrt(np.mean(left_out**2))), 3),
        checked=f"{n} measured sub-networks at {pixels} px, {data.top1.min():.1f} to {data.top1.max():.1f} %",
    )
