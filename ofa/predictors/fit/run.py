"""From a config to an accuracy predictor's files: fitted on measured accuracies, or on another predictor."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ofa.errors import InputError
from ofa.images.facts import ImageFacts
from ofa.predictors.accuracy import AccuracyPredictor
from ofa.predictors.fit.config import FitConfig
from ofa.predictors.fit.distilled import fit_to_teacher
from ofa.predictors.fit.ensemble_training import Recipe
from ofa.predictors.fit.measured import Progress, fit_to_measured
from ofa.predictors.metrics import shown_tau
from ofa.predictors.subnet_accuracies import SubnetAccuracies, read_accuracies_csv, read_image_facts
from ofa.runs.files import sha256
from ofa.space import get_space

# Predictions have no noise to smooth away, and there are many: wider networks, less weight decay.
TEACHER_RECIPE = Recipe(members=6, hidden=(256,), weight_decay=1.0, epochs=80, batch_size=256)


@dataclass(frozen=True)
class FitResult:
    """A predictor that was fitted and written.

    path: its .safetensors; the .json beside it is `predictor.header`
    data: the measured accuracies, None where another predictor was imitated
    images: what is known of the images behind the accuracies
    """

    predictor: AccuracyPredictor
    path: Path
    data: SubnetAccuracies | None
    images: ImageFacts | None

    @property
    def report(self) -> dict[str, Any]:
        """How good it is, on sub-networks that it was not fitted on."""
        found: dict[str, Any] = self.predictor.header["report"]
        return found


@dataclass(frozen=True)
class _Fitted:
    """A predictor, before its header says where it comes from."""

    predictor: AccuracyPredictor
    data: SubnetAccuracies | None
    images: ImageFacts | None
    kind: str
    description: str


def fit_predictor(config: FitConfig, progress: Progress = lambda *_: None) -> FitResult:
    """Fits a predictor, tests it on sub-networks that it never saw, and writes it to `config.path`.

    progress: called with what is being done, and the share of it that is
    Raises InputError for what is wrong with the files, or where they hold too little; then nothing is written.
    """
    origin = _origin(config)
    fitted = _of_data(config, progress) if config.data else _of_teacher(config, progress)
    predictor, description = fitted.predictor, fitted.description
    if fitted.images is not None:
        predictor.header["images"] = fitted.images.to_dict()
        if fitted.images.marks:
            description += f"; {'; '.join(fitted.images.marks)}"
    if config.note:
        description += f"; {config.note}"
    predictor.header |= {"description": description, "origin": {**origin, "kind": fitted.kind}}
    predictor.save(config.path)
    return FitResult(predictor, config.path, fitted.data, fitted.images)


def recipe_of(config: FitConfig) -> Recipe:
    """How members are trained: what the config says, else what suits measured accuracies, or a teacher."""
    chosen = {name: getattr(config, name) for name in vars(Recipe())}
    given = {name: value for name, value in chosen.items() if value is not None and value != ()}
    return replace(Recipe() if config.teacher is None else TEACHER_RECIPE, **given)


def _origin(config: FitConfig) -> dict[str, str]:
    """The files that are read, for the header; InputError where one is not there."""
    sources = config.data or ((config.teacher,) if config.teacher is not None else ())
    for source in sources:
        if not source.is_file():
            raise InputError(f"no such file: {source}")
    return {
        "file": ", ".join(source.name for source in sources),
        "sha256": ", ".join(sha256(source) for source in sources),
        **({"source": config.source} if config.source else {}),
    }


def _of_data(config: FitConfig, progress: Progress) -> _Fitted:
    """Fitted on measured accuracies."""
    recipe, data = recipe_of(config), read_accuracies_csv(config.data, config.space)
    predictor = fit_to_measured(data, recipe, progress)
    report = predictor.header["report"]
    figures = report["test"]["all"]
    description = (
        f"{recipe.members} networks fitted on {report['rows']['train'] + report['rows']['calibration']:,} measured "
        f"accuracies; on {report['rows']['test']:,} others RMSE {figures['rmse']:.2f} %, Kendall tau "
        f"{shown_tau(figures['kendall_tau'], 2)}"
    )
    return _Fitted(predictor, data, read_image_facts(config.data), "measured accuracies", description)


def _of_teacher(config: FitConfig, progress: Progress) -> _Fitted:
    """Fitted on what another predictor says."""
    assert config.teacher is not None
    recipe, teacher = recipe_of(config), AccuracyPredictor.load(config.teacher, get_space(config.space))
    stated = teacher.header.get("images")
    images = None if stated is None else ImageFacts.from_dict(stated, config.teacher)
    predictor = fit_to_teacher(teacher, config.samples, recipe, progress)
    test = predictor.header["report"]["test"]
    random, best = test["random"]["all"], test["near_optimal"]["all"]
    description = (
        f"{recipe.members} networks fitted on {config.samples:,} predictions of {config.teacher.name} (not measured "
        f"accuracies); they differ from it by RMSE {random['rmse']:.2f} % on random sub-networks (Kendall tau "
        f"{shown_tau(random['kendall_tau'], 2)}), {best['rmse']:.2f} % on near-optimal ones; the interval covers that "
        "only"
    )
    kind = f"{config.samples} predictions of another predictor, not measured accuracies"
    return _Fitted(predictor, None, images, kind, description)
