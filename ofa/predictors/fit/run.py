"""From a config to an accuracy predictor's files: fitted on measured accuracies, or on another predictor."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from ofa.errors import InputError
from ofa.images.facts import ImageFacts
from ofa.predictors.accuracy import AccuracyPredictor
from ofa.predictors.files import stated_space
from ofa.predictors.fit.assessment import Train
from ofa.predictors.fit.config import FitConfig
from ofa.predictors.fit.distilled import fit_to_teacher
from ofa.predictors.fit.ensemble_training import Recipe, train_ensemble
from ofa.predictors.fit.measured import Progress, fit_to_measured
from ofa.predictors.fit.optimism import measure_optimism, optimism_against, source_sd
from ofa.predictors.fit.scale import fit_scale
from ofa.predictors.metrics import shown_tau
from ofa.predictors.prediction import DTYPES, Predictor
from ofa.predictors.separable.fitted import train_separable
from ofa.predictors.separable.predictor import SeparablePredictor
from ofa.predictors.subnet_accuracies import SubnetAccuracies, read_accuracies_csv, read_dtype, read_image_facts, split
from ofa.runs.files import sha256
from ofa.space import get_space

# Predictions have no noise to smooth away, and there are many: wider networks, less weight decay.
RECIPES = {
    ("ensemble", "data"): Recipe(),
    ("ensemble", "teacher"): Recipe(members=6, hidden=(256,), weight_decay=1.0, epochs=80, batch_size=256),
    ("separable", "data"): Recipe(hidden=(32,), weight_decay=1.5, epochs=60, learning_rate=1e-2),
    ("separable", "teacher"): Recipe(
        members=4, hidden=(32,), weight_decay=0.1, epochs=20, batch_size=256, learning_rate=1e-2
    ),
}
TRAINERS: dict[str, Train] = {"ensemble": train_ensemble, "separable": train_separable}


@dataclass(frozen=True)
class FitResult:
    """A predictor that was fitted and written.

    path: its .safetensors; the .json beside it is `predictor.header`
    data: the measured accuracies, None where another predictor was imitated
    images: what is known of the images behind the accuracies
    """

    predictor: Predictor
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

    predictor: Predictor
    data: SubnetAccuracies | None
    images: ImageFacts | None
    kind: str
    description: str
    dtype: str


def fit_predictor(config: FitConfig, progress: Progress = lambda *_: None) -> FitResult:
    """Fits a predictor, tests it on sub-networks that it never saw, and writes it to the config's path.

    progress: called with what is being done, and the share of it that is
    Raises InputError for what is wrong with the files, or where they hold too little; then nothing is written.
    """
    origin = _origin(config)
    fitted = _of_data(config, progress) if config.data else _of_teacher(config, progress)
    predictor, description = fitted.predictor, fitted.description
    if config.scale is not None:
        predictor.header["scale"] = asdict(fit_scale(predictor, config.scale))
    classes = _classes(config, fitted)
    if classes is not None:
        predictor.header["num_classes"] = classes
    if fitted.images is not None:
        predictor.header["images"] = fitted.images.to_dict()
        if fitted.images.marks:
            description += f"; {'; '.join(fitted.images.marks)}"
    if fitted.dtype != DTYPES[0]:
        predictor.header["dtype"] = fitted.dtype
        description = f"top-1 of {fitted.dtype} networks; {description}"
    if config.note:
        description += f"; {config.note}"
    predictor.header |= {"description": description, "origin": {**origin, "kind": fitted.kind}}
    path = config.path_for(predictor.space)
    predictor.save(path)
    return FitResult(predictor, path, fitted.data, fitted.images)


def recipe_of(config: FitConfig) -> Recipe:
    """How members are trained: what the config says, else what suits measured accuracies, or a teacher."""
    chosen = {name: getattr(config, name) for name in vars(Recipe())}
    given = {name: value for name, value in chosen.items() if value is not None and value != ()}
    return replace(RECIPES[config.kind, "data" if config.teacher is None else "teacher"], **given)


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


def _classes(config: FitConfig, fitted: _Fitted) -> int | None:
    """Of the network behind the accuracies, None where nobody says; InputError where two say otherwise."""
    listed = len(fitted.images.classes) if fitted.images is not None and fitted.images.classes else None
    stated = listed or fitted.predictor.header.get("num_classes")
    if config.num_classes is not None and stated not in (None, config.num_classes):
        raise InputError(f"--num-classes is {config.num_classes}, but the accuracies are of {stated} classes")
    return config.num_classes or stated


def _of_data(config: FitConfig, progress: Progress) -> _Fitted:
    """Fitted on measured accuracies."""
    recipe, data = recipe_of(config), read_accuracies_csv(config.data, config.space)
    predictor = fit_to_measured(data, recipe, progress, TRAINERS[config.kind])
    predictor.header["source_sd"] = source_sd(data, config.all_images)
    if isinstance(predictor, SeparablePredictor):
        fitted = data.where(~split(data.genes)["test"])
        predictor.header["optimism"] = measure_optimism(fitted, recipe, lambda share: progress("optimism", share))
    report = predictor.header["report"]
    figures = report["test"]["all"]
    description = (
        f"{recipe.members} networks fitted on {report['rows']['train'] + report['rows']['calibration']:,} measured "
        f"accuracies; on {report['rows']['test']:,} others RMSE {figures['rmse']:.2f} %, Kendall tau "
        f"{shown_tau(figures['kendall_tau'], 2)}"
    )
    images, dtype = read_image_facts(config.data), read_dtype(config.data)
    return _Fitted(predictor, data, images, "measured accuracies", description, dtype)


def _of_teacher(config: FitConfig, progress: Progress) -> _Fitted:
    """Fitted on what another predictor says."""
    assert config.teacher is not None
    space = stated_space(config.teacher) if config.space is None else get_space(config.space)
    recipe, teacher = recipe_of(config), AccuracyPredictor.load(config.teacher, space)
    stated = teacher.header.get("images")
    images = None if stated is None else ImageFacts.from_dict(stated, config.teacher)
    predictor = fit_to_teacher(teacher, config.samples, recipe, progress, TRAINERS[config.kind])
    predictor.header["optimism"] = optimism_against(teacher.top1, predictor, range(100, 105))
    for key in ("scale", "num_classes"):
        if key in teacher.header:
            predictor.header[key] = teacher.header[key]
    test = predictor.header["report"]["test"]
    random, best = test["random"]["all"], test["near_optimal"]["all"]
    description = (
        f"{recipe.members} networks fitted on {config.samples:,} predictions of {config.teacher.name} (not measured "
        f"accuracies); they differ from it by RMSE {random['rmse']:.2f} % on random sub-networks (Kendall tau "
        f"{shown_tau(random['kendall_tau'], 2)}), {best['rmse']:.2f} % on near-optimal ones; the interval covers that "
        "only"
    )
    kind = f"{config.samples} predictions of another predictor, not measured accuracies"
    return _Fitted(predictor, None, images, kind, description, teacher.dtype)
