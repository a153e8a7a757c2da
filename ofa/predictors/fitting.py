"""From data to a predictor and a report on it: the library behind `python -m ofa.predictors.fit`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ofa.errors import InputError
from ofa.predictors.accuracy import AccuracyPredictor, Uncertainty
from ofa.predictors.encoder import FeatureEncoder
from ofa.predictors.fidelity import figures, fit_uncertainty, kendall_tau, macs_features, ridge, rmse
from ofa.predictors.teacher import near_optimal, search_devices
from ofa.predictors.training import Recipe, train_members
from ofa.predictors.training_data import TrainingData, counts, split
from ofa.space import Genes

Step = Callable[[str, float], None]  # what is being done, and the share of it that is
_SHARES = (0.25, 0.25)  # of the questions to a teacher: random, near its optimum
_ROUNDS = 8  # of questions to a teacher
_OPTIMISM = 1.0
_LEAST_ROWS = 5  # of the test and the calibration part, at every resolution


def train(data: TrainingData, recipe: Recipe, step: Callable[[float], None] = lambda _: None) -> AccuracyPredictor:
    """An ensemble trained on all of the data; it knows the resolutions of the data's space, and no uncertainty."""
    known = data.space.resolutions
    encoder = FeatureEncoder(data.space, known)
    groups = data.genes[:, 0].astype(np.intp)
    # the level of a resolution is taken out first: weight decay would pull it to 0
    levels = np.array([data.top1[groups == r].mean() for r in range(len(known))])
    features = encoder.training_features(data.genes)
    members = train_members(features, data.top1 - levels[groups], groups, recipe, step)
    return AccuracyPredictor(encoder, members, {}, levels=levels.tolist())


def fit(data: TrainingData, recipe: Recipe, step: Step = lambda *_: None) -> AccuracyPredictor:
    """A predictor fitted on the data less its test part, with its report in `header["report"]`.

    Uncertainty is fitted on the calibration part with an ensemble trained without it; the ensemble that is
    returned was then trained on both. Raises InputError if the test or calibration part is too small anywhere.
    """
    masks = split(data.genes)
    known = data.space.resolutions
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
    uncertainty = fit_uncertainty(first.members(held.genes), held.top1, held.genes[:, 0].astype(np.intp), len(known))
    fitted = data.where(~masks["test"])
    test = data.where(masks["test"])
    between = interpolation(fitted, test, recipe, lambda share: step("interpolation", share))
    if between:
        uncertainty = replace(uncertainty, interpolation=max(row["added_rmse"] for row in between.values()))
    final = train(fitted, recipe, lambda share: step("final", share))
    predictor = with_uncertainty(final, uncertainty)
    predictor.header["report"] = {
        "rows": {part: sum(sizes[part].values()) for part in sizes},
        "rows_per_resolution": sizes,
        "merged_rows": data.merged,
        "test": evaluate(predictor, test),
        "baselines": baselines(fitted, test),
        "interpolation": between,
        "largest_subnet": largest(predictor, test),
    }
    predictor.header["recipe"] = asdict(recipe)
    return predictor


def with_uncertainty(predictor: AccuracyPredictor, uncertainty: Uncertainty) -> AccuracyPredictor:
    """The same ensemble, with intervals."""
    return AccuracyPredictor(
        predictor.encoder, predictor.ensemble, predictor.header, uncertainty, predictor.levels.tolist()
    )


def evaluate(predictor: AccuracyPredictor, test: TrainingData) -> dict[str, Any]:
    """`fidelity.figures` of the whole test part ("all") and of each resolution that has two rows or more, in pixels."""
    predicted = predictor.predict(test.genes)
    report = {"all": figures(predicted, test.top1)}
    for i, r in enumerate(test.space.resolutions):
        rows = test.genes[:, 0] == i
        if rows.sum() < 2:
            continue
        part = replace(predicted, top1=predicted.top1[rows], std=predicted.std[rows])
        report[str(r)] = figures(part, test.top1[rows])
    return report


def baselines(fitted: TrainingData, test: TrainingData) -> dict[str, Any]:
    """RMSE and Kendall's tau on the test part of two models that any predictor should beat, trained on the same rows.

    "ridge": linear in the one-hot features. "macs": a parabola in log MACs for each resolution.
    """
    encoder = FeatureEncoder(fitted.space, fitted.space.resolutions)

    def one_hot(data: TrainingData) -> NDArray[np.float64]:
        return encoder.training_features(data.genes).astype(np.float64)

    report: dict[str, Any] = {}
    for name, features, penalty in (("ridge", one_hot, 1.0), ("macs", macs_features, 1e-6)):
        weights, intercept = ridge(features(fitted), fitted.top1, penalty)
        predicted = features(test) @ weights + intercept
        report[name] = {}
        for label, rows in (
            ("all", np.ones(len(test.top1), dtype=bool)),
            *((str(r), test.genes[:, 0] == i) for i, r in enumerate(test.space.resolutions)),
        ):
            report[name][label] = {
                "rmse": round(rmse(predicted[rows], test.top1[rows]), 4),
                "kendall_tau": round(kendall_tau(predicted[rows], test.top1[rows]), 4),
            }
    return report


def interpolation(
    fitted: TrainingData, test: TrainingData, recipe: Recipe, step: Callable[[float], None]
) -> dict[str, Any]:
    """Leave one resolution out: what it costs to interpolate it from those around, for each that has both.

    A predictor that never saw the resolution is compared, on the test part, with one that did. The gap
    it bridges is twice as wide as any that users meet, so that `added_rmse` (per cent, what comes on top of
    the error without interpolation, in quadrature) is on the safe side.
    """
    space = fitted.space
    recipe = replace(recipe, members=min(2, recipe.members))
    inner = space.resolutions[1:-1]
    report: dict[str, Any] = {}
    direct = train(fitted, recipe, lambda share: step(share / (len(inner) + 1))) if inner else None
    for n, left_out in enumerate(inner, 1):
        narrow = train(
            without_resolution(fitted, left_out),
            recipe,
            lambda share, n=n: step((n + share) / (len(inner) + 1)),  # type: ignore[misc]
        )
        wide = AccuracyPredictor(
            FeatureEncoder(space, narrow.resolutions), narrow.ensemble, {}, levels=narrow.levels.tolist()
        )
        asked = test.where(test.resolutions == left_out)
        guess = wide.predict(asked.genes).top1
        assert direct is not None
        seen = direct.predict(asked.genes).top1
        report[str(left_out)] = {
            "rmse": round(rmse(guess, asked.top1), 4),
            "rmse_if_known": round(rmse(seen, asked.top1), 4),
            "bias": round(float((guess - asked.top1).mean()), 4),
            "kendall_tau": round(kendall_tau(guess, asked.top1), 4),
            "added_rmse": round(
                float(np.sqrt(max(0.0, rmse(guess, asked.top1) ** 2 - rmse(seen, asked.top1) ** 2))), 4
            ),
        }
    return report


def without_resolution(data: TrainingData, left_out: int) -> TrainingData:
    """The rows of the other resolutions, in a space that has only those."""
    kept = data.where(data.resolutions != left_out)
    genes = kept.genes.copy()
    genes[:, 0] -= genes[:, 0] > data.space.resolutions.index(left_out)
    space = replace(data.space, resolutions=tuple(r for r in data.space.resolutions if r != left_out))
    return TrainingData(space, genes, kept.top1)


def largest(predictor: AccuracyPredictor, test: TrainingData) -> dict[str, Any]:
    """The largest sub-network at the highest resolution, which should be predicted near the top of the test part."""
    genes = (predictor.space.cardinalities - 1).astype(np.uint8)[None]
    genes[0, 0] = predictor.space.resolutions.index(predictor.resolutions[-1])
    predicted = float(predictor.predict(genes).top1[0])
    same = test.where(test.resolutions == predictor.resolutions[-1])
    return {
        "predicted_top1": round(predicted, 3),
        "best_measured_in_test": round(float(same.top1.max()), 3),
        "share_of_test_predicted_below": round(float((predictor.predict(same.genes).top1 < predicted).mean()), 4),
    }


def fit_to_teacher(
    teacher: AccuracyPredictor, samples: int, recipe: Recipe, step: Step = lambda *_: None
) -> AccuracyPredictor:
    """A predictor fitted on `samples` predictions of another.

    A quarter of the sub-networks asked about are random; a quarter are near the best that searches with the
    teacher find; the other half is asked in rounds, on what searches with the student so far find best, so that what
    a search would exploit is what it is corrected on. (Those judge by the members' mean plus their spread:
    where the student does not know, it asks.) The report compares with the teacher on other sub-networks, random
    and near its optimum, and by the outcome of searches. Choosing takes many more predictions of the teacher
    than are fitted on.
    """
    if samples < 400:
        raise InputError(f"samples is {samples}, expected at least 400")
    rng = np.random.default_rng(recipe.seed)
    asked, sources = _questions(teacher, samples, recipe, rng, step)
    known = len(teacher.space.resolutions)
    held = split(asked.genes)["calibration"]
    first = train(asked.where(~held), recipe, lambda share: step("uncertainty", share))
    aside = asked.where(held)
    uncertainty = fit_uncertainty(first.members(aside.genes), aside.top1, aside.genes[:, 0].astype(np.intp), known)
    final = train(asked, recipe, lambda share: step("final", share))

    random, optimal = _examination(teacher, asked, max(200, samples // 8), rng)
    between = interpolation(asked, random, recipe, lambda share: step("interpolation", share))
    if between:
        uncertainty = replace(uncertainty, interpolation=max(row["added_rmse"] for row in between.values()))
    predictor = with_uncertainty(final, uncertainty)
    predictor.header["report"] = {
        "rows": sources,
        "test": {"random": evaluate(predictor, random), "near_optimal": evaluate(predictor, optimal)},
        "search": _loss_in_search(teacher, predictor, 64, recipe.seed),
        "interpolation": between,
    }
    predictor.header["recipe"] = asdict(recipe)
    return predictor


def _questions(
    teacher: AccuracyPredictor, samples: int, recipe: Recipe, rng: np.random.Generator, step: Step
) -> tuple[TrainingData, dict[str, int]]:
    """What the teacher says of `samples` sub-networks, and how many were chosen in which way."""
    space = teacher.space
    at_random, at_best = (int(samples * share) for share in _SHARES)
    asked = _answers(teacher, _different(space.sample(rng, at_random * 3 // 2), (), at_random))
    best = near_optimal(space, teacher.top1, at_best * 9 // 8, rng, lambda share: step("searching the teacher", share))
    asked = _joined(asked, _answers(teacher, _different(best, asked.genes, at_best)))
    draft = replace(recipe, members=min(4, recipe.members), epochs=max(1, recipe.epochs // 2))
    for n in range(_ROUNDS):
        student = train(asked, draft, lambda share, n=n: step("asking", (n + share) / _ROUNDS))  # type: ignore[misc]

        def hopeful(genes: Genes, student: AccuracyPredictor = student) -> NDArray[np.float64]:
            members = student.members(genes)
            upper: NDArray[np.float64] = members.mean(axis=0) + _OPTIMISM * members.std(axis=0)
            return upper

        count = (samples - len(asked.genes)) // (_ROUNDS - n)
        found = near_optimal(space, hopeful, count * 9 // 8, rng)
        asked = _joined(asked, _answers(teacher, _different(found, asked.genes, count)))
    sources = {
        "random": at_random,
        "near_optimal": at_best,
        "searched_with_student": samples - at_random - at_best,
    }
    return asked, sources


def _examination(
    teacher: AccuracyPredictor, asked: TrainingData, rows: int, rng: np.random.Generator
) -> tuple[TrainingData, TrainingData]:
    """What the teacher says of others than those it was asked about: random ones, and ones near its optimum."""
    space = teacher.space
    random = _answers(teacher, _different(space.sample(rng, 2 * rows), asked.genes, rows))
    best = near_optimal(space, teacher.top1, rows * 5 // 4, rng)
    return random, _answers(teacher, _different(best, asked.genes, rows))


def _answers(teacher: AccuracyPredictor, genes: Genes) -> TrainingData:
    """Sub-networks with what the teacher says of them."""
    return TrainingData(teacher.space, genes, teacher.predict(genes).top1)


def _joined(first: TrainingData, second: TrainingData) -> TrainingData:
    """Both, of one space."""
    genes = np.concatenate([first.genes, second.genes])
    return TrainingData(first.space, genes, np.concatenate([first.top1, second.top1]))


def _different(genes: Genes, known: Sequence[NDArray[np.uint8]] | Genes, n: int) -> Genes:
    """The first n rows that are not in `known`, each once."""
    seen = {row.tobytes() for row in known}
    rows = {row.tobytes(): row for row in genes if row.tobytes() not in seen}
    if len(rows) < n:
        raise InputError(f"only {len(rows)} different sub-networks where {n} are needed: lower samples")
    return np.stack(list(rows.values())[:n])


def _loss_in_search(teacher: AccuracyPredictor, student: AccuracyPredictor, devices: int, seed: int) -> dict[str, Any]:
    """What the teacher thinks of the best by the student, against the best by the teacher, on the same devices."""
    best = [
        teacher.top1(search_devices(teacher.space, judge.top1, devices, np.random.default_rng(seed + 1))[:, 0])
        for judge in (teacher, student)
    ]
    loss = best[0] - best[1]
    return {
        "devices": devices,
        "mean_loss": round(float(loss.mean()), 4),
        "worst_loss": round(float(loss.max()), 4),
    }
