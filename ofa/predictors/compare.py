"""`python -m ofa.predictors.compare`: the comparisons behind the predictor's recipe, on measured accuracies."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
from numpy.typing import NDArray

from ofa.cli.command import Command
from ofa.cli.config import Config, Input, Option
from ofa.cli.options import PredictorFile, SpaceName
from ofa.cli.run import run
from ofa.predictors.accuracy import AccuracyPredictor
from ofa.predictors.encoder import FeatureEncoder
from ofa.predictors.fit.assessment import without_resolution
from ofa.predictors.fit.baselines import macs_features, ridge
from ofa.predictors.fit.ensemble_training import Recipe, train_ensemble
from ofa.predictors.metrics import figures, kendall_tau, rmse
from ofa.predictors.prediction import Predictor
from ofa.predictors.subnet_accuracies import SubnetAccuracies, read_accuracies_csv, split
from ofa.reading.kinds import ACCURACIES

FOLDS = 5
REPEATS = 3
RECIPES = (
    Recipe(members=4, weight_decay=0.1),
    Recipe(members=4, weight_decay=1.0),
    Recipe(members=4, weight_decay=2.0),
    Recipe(members=4, weight_decay=4.0),
    Recipe(members=8, weight_decay=2.0),
    Recipe(members=4, weight_decay=2.0, hidden=(32,)),
    Recipe(members=4, weight_decay=2.0, hidden=(128,)),
    Recipe(members=4, weight_decay=2.0, hidden=(64, 32)),
    Recipe(members=4, weight_decay=4.0, hidden=(64, 32)),
    Recipe(members=4, weight_decay=3.0, hidden=(64, 64)),
    # the shape, rate and decay of the original implementation
    Recipe(members=1, weight_decay=1e-4, learning_rate=1e-3, hidden=(400, 400, 400), epochs=60),
)
Model = Callable[[SubnetAccuracies, SubnetAccuracies], NDArray[np.float64]]  # trained on the first, predicts the second


@dataclass(frozen=True, kw_only=True)
class ComparePredictorsConfig(Config):
    """Compare ways to predict, on measured accuracies.

    Four tables: recipes by cross-validation inside the training and calibration parts; powers of the resolution to
    interpolate in, on the calibration part; the error of a fitted predictor on the test part by how far the test row
    is from any row trained on; and the error on the test part by the number of rows trained on.
    """

    data: Annotated[tuple[Path, ...], Input(kinds=(ACCURACIES,)), Option(metavar="CSV")]
    """measured accuracies, as for ofa.predictors.fit"""

    space: SpaceName = None
    """search space, such as mbv3-w1.0, or the file of its description (default: as the data states)"""

    predictor: PredictorFile = None
    """the predictor of the third table (default: the space's own)"""

    curve: bool = False
    """print only the fourth table"""


COMMAND = Command("ofa.predictors.compare", ComparePredictorsConfig, example="--data accuracies.csv --space mbv3-w1.0")


def main(argv: Sequence[str] | None = None) -> int:
    for line in compare(COMMAND.parse(argv)):
        print(line, flush=True)
    return 0


def compare(config: ComparePredictorsConfig) -> Iterator[str]:
    """The tables, line by line, each as soon as it is known; InputError for what is wrong with the files."""
    data = read_accuracies_csv(config.data, config.space)
    if config.curve:
        yield from learning_curve(data)
        return
    if config.predictor is None:
        predictor = AccuracyPredictor.default(data.space)
    else:
        predictor = AccuracyPredictor.load(config.predictor, data.space)
    parts = split(data.genes)
    yield f"cross-validation, {FOLDS} folds of the training and calibration parts: RMSE %, Kendall tau of each px,"
    yield "bias and RMSE of the tenth predicted best at the highest px"
    for name, model in models():
        yield f"{name:48} {cross_validate(model, data.where(~parts['test']))}"
    yield "\na resolution left out and interpolated linearly in resolution^power, on the calibration part"
    yield from compare_powers(data.where(parts["train"]), data.where(parts["calibration"]))
    yield "\ntest part, by the choices that differ from the nearest row trained on at the same px"
    yield from by_distance(predictor, data.where(~parts["test"]), data.where(parts["test"]))
    yield ""
    yield from learning_curve(data)


def models() -> list[tuple[str, Model]]:
    """What is compared, by name: from a parabola in MACs up to ensembles."""

    def macs(fitted: SubnetAccuracies, asked: SubnetAccuracies) -> NDArray[np.float64]:
        weights, intercept = ridge(macs_features(fitted), fitted.top1, 1e-6)
        return macs_features(asked) @ weights + intercept

    def one_hot(fitted: SubnetAccuracies, asked: SubnetAccuracies, with_macs: bool = False) -> NDArray[np.float64]:
        encoder = FeatureEncoder(fitted.space, fitted.known)

        def features(data: SubnetAccuracies) -> NDArray[np.float64]:
            hot = encoder.training_features(data.genes).astype(np.float64)
            return np.concatenate([hot, macs_features(data)], axis=1) if with_macs else hot

        weights, intercept = ridge(features(fitted), fitted.top1)
        return features(asked) @ weights + intercept

    def network(recipe: Recipe) -> Model:
        return lambda fitted, asked: train_ensemble(fitted, recipe).top1(asked.genes)

    return [
        ("MACs, a parabola for each resolution", macs),
        ("ridge, one-hot", one_hot),
        ("ridge, one-hot and the MACs parabola", lambda fitted, asked: one_hot(fitted, asked, with_macs=True)),
        *(
            (f"{r.members} x {'-'.join(map(str, r.hidden))}, weight decay {r.weight_decay:g}", network(r))
            for r in RECIPES
        ),
    ]


def cross_validate(model: Model, data: SubnetAccuracies) -> str:
    """The errors of a model on rows of other folds than it was trained on."""
    folds = np.random.default_rng(0).permutation(len(data.top1)) % FOLDS
    predicted = np.empty(len(data.top1))
    for fold in range(FOLDS):
        predicted[folds == fold] = model(data.where(folds != fold), data.where(folds == fold))
    shown = [f"all {rmse(predicted, data.top1):.3f}"]
    for r in data.known:
        rows = data.resolutions == r
        shown.append(
            f"{r}: {rmse(predicted[rows], data.top1[rows]):.3f} {kendall_tau(predicted[rows], data.top1[rows]):.3f}"
        )
    error = (predicted - data.top1)[rows]
    top = predicted[rows] >= np.quantile(predicted[rows], 0.9)
    return " | ".join([*shown, f"top {error[top].mean():+.3f} {np.sqrt((error[top] ** 2).mean()):.3f}"])


def compare_powers(fitted: SubnetAccuracies, asked: SubnetAccuracies) -> Iterator[str]:
    """A line a resolution and power: the error of what is interpolated at a resolution that was left out."""
    known = fitted.known
    for low, left_out, high in zip(known[:-2], known[1:-1], known[2:], strict=True):
        narrow = train_ensemble(without_resolution(fitted, left_out), Recipe())
        there = asked.where(asked.resolutions == left_out)
        ends = []
        for end in (low, high):
            genes = there.genes.copy()
            genes[:, 0] = end
            ends.append(narrow.top1(genes))
        for power in (1, -1, -2, -3, -4):
            line = [float(r) ** power for r in (low, left_out, high)]
            guess = ends[0] + (ends[1] - ends[0]) * (line[1] - line[0]) / (line[2] - line[0])
            bias = float((guess - there.top1).mean())
            yield f"{left_out} px, power {power:2}: bias {bias:+.3f} %, RMSE {rmse(guess, there.top1):.3f} %"


def by_distance(predictor: Predictor, fitted: SubnetAccuracies, test: SubnetAccuracies) -> Iterator[str]:
    """A line a resolution and distance: the error, and what the predictor states."""
    for r in test.known:
        near, here = fitted.genes[fitted.resolutions == r], test.where(test.resolutions == r)
        distance = np.array([(row != near).sum(axis=1).min() for row in here.genes])
        for low, high in ((1, 2), (3, 5), (6, 9), (10, 99)):
            rows = (distance >= low) & (distance <= high)
            if rows.sum() >= 10:
                predicted = predictor.predict(here.genes[rows])
                found = figures(predicted, here.top1[rows])
                yield (
                    f"{r} px, {low:2} to {high:2} away: {found['rows']:4} rows, RMSE {found['rmse']:.3f} %, "
                    f"stated {predicted.std.mean():.3f} %"
                )


def learning_curve(data: SubnetAccuracies) -> Iterator[str]:
    """What more rows bring: trained on a part of the training and calibration parts, judged on the test part."""
    parts = split(data.genes)
    fitted, test = data.where(~parts["test"]), data.where(parts["test"])
    yield (
        f"test part, {len(test.top1):,} rows, by the number of rows trained on ({REPEATS} draws each): RMSE %, Kendall "
        "tau of all, Kendall tau within a resolution"
    )
    for size in sizes(len(fitted.top1)):
        found = []
        for draw in range(REPEATS):
            taken = np.zeros(len(fitted.top1), dtype=bool)
            taken[np.random.default_rng(draw).permutation(len(taken))[:size]] = True
            part = fitted.where(taken)
            if len(np.unique(part.resolutions)) < len(data.known):
                continue  # a resolution without a row has no level
            predicted = train_ensemble(part, Recipe(seed=draw)).top1(test.genes)
            within = [
                kendall_tau(predicted[rows], test.top1[rows]) for rows in (test.resolutions == r for r in data.known)
            ]
            found.append((rmse(predicted, test.top1), kendall_tau(predicted, test.top1), float(np.mean(within))))
        if found:
            means, lows, highs = np.mean(found, axis=0), np.min(found, axis=0), np.max(found, axis=0)
            shown = [f"{m:.3f} ({a:.3f}-{b:.3f})" for m, a, b in zip(means, lows, highs, strict=True)]
            yield f"{size:6,} rows: {' | '.join(shown)}"


def sizes(rows: int) -> list[int]:
    """50, 100, 200 and so on, doubled, and all there are."""
    doubled = [50 * 2**i for i in range(20) if 50 * 2**i < rows]
    return [*doubled, rows]


if __name__ == "__main__":
    run(main)
