"""A predictor fitted on measured accuracies, and its report."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, replace

from ofa.errors import InputError
from ofa.predictors.fit.assessment import Train, assess, interpolation, largest
from ofa.predictors.fit.baselines import baselines
from ofa.predictors.fit.ensemble_training import Recipe, train_ensemble
from ofa.predictors.fit.uncertainty import fit_uncertainty
from ofa.predictors.prediction import Predictor
from ofa.predictors.subnet_accuracies import SubnetAccuracies, counts, split

Progress = Callable[[str, float], None]  # what is being done, and the share of it that is
_LEAST_ROWS = 5  # of the test and the calibration part, at every resolution


def fit_to_measured(
    data: SubnetAccuracies, recipe: Recipe, step: Progress = lambda *_: None, train: Train = train_ensemble
) -> Predictor:
    """A predictor fitted on the data less its test part, with its report in `header["report"]`.

    Uncertainty is fitted on the calibration part with an ensemble trained without it; the ensemble that is
    returned was then trained on both. Raises InputError if the test or calibration part is too small anywhere.
    """
    masks = split(data.genes)
    known = data.known
    sizes = counts(data.resolutions, masks, known)
    for part in ("test", "calibration"):
        for r, rows in sizes[part].items():
            if rows < _LEAST_ROWS:
                raise InputError(
                    f"the {part} part has {rows} sub-networks at {r} px, at least {_LEAST_ROWS} are needed: "
                    f"measure more there, or leave {r} px out"
                )
    held = data.where(masks["calibration"])
    first = train(data.where(masks["train"]), recipe, lambda share: step("uncertainty", share))
    uncertainty = fit_uncertainty(first.members(held.genes), held.top1, held.groups, len(known))
    fitted = data.where(~masks["test"])
    test = data.where(masks["test"])
    between = interpolation(fitted, test, recipe, train, lambda share: step("interpolation", share))
    if between:
        uncertainty = replace(uncertainty, interpolation=max(row["added_rmse"] for row in between.values()))
    final = train(fitted, recipe, lambda share: step("final", share))
    predictor = final.with_uncertainty(uncertainty)
    predictor.header["report"] = {
        "rows": {part: sum(sizes[part].values()) for part in sizes},
        "rows_per_resolution": sizes,
        "merged_rows": data.merged,
        "test": assess(predictor, test),
        "baselines": baselines(fitted, test),
        "interpolation": between,
        "largest_subnet": largest(predictor, test),
    }
    predictor.header["recipe"] = asdict(recipe)
    return predictor
