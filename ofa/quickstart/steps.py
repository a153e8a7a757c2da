"""The steps as the commands that a person would type, and what each leaves behind."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ofa.checkpoints.shipped import WEIGHTS
from ofa.errors import InputError
from ofa.quickstart.photos import PhotoCounts
from ofa.quickstart.plan import (
    CHECKS,
    COLLECT,
    EVALUATE,
    EXPORT,
    FIT,
    PROFILE,
    REPORT,
    SEARCH,
    TRAIN,
    VERIFY,
    QuickstartPlan,
)
from ofa.reading.structured import read_json


@dataclass(frozen=True)
class CommandStep:
    """One command.

    title: what it does; module: after `python -m`
    makes: the file that is there when it has ended well
    words: its arguments, known when the steps before it have ended
    resumes: whether it takes --resume
    wanted: whether what comes after needs it: if one that is not wanted fails, the others are run all the same
    """

    name: str
    title: str
    module: str
    makes: Path
    words: Callable[[QuickstartPlan], tuple[str, ...]]
    resumes: bool = False
    wanted: bool = True


@dataclass(frozen=True)
class Places:
    """Where everything of a run lies, below one folder."""

    out: Path

    @property
    def state(self) -> Path:
        return self.out / "quickstart.json"

    @property
    def supernet(self) -> Path:
        return self.out / "supernet" / "supernet.safetensors"

    @property
    def accuracies(self) -> Path:
        return self.out / "accuracies.csv"

    @property
    def predictor(self) -> Path:
        return self.out / "predictor.safetensors"

    @property
    def table(self) -> Path:
        return self.out / "this-machine.csv"

    @property
    def result(self) -> Path:
        return self.out / "search" / "result.json"

    @property
    def verified(self) -> Path:
        return self.out / "search" / "verified.json"

    @property
    def network(self) -> Path:
        return self.out / "network.onnx"

    @property
    def evaluation(self) -> Path:
        return self.out / "evaluation.json"

    @property
    def report(self) -> Path:
        return self.out / "report.html"

    @property
    def made(self) -> tuple[Path, ...]:
        """What the steps write, in their order."""
        before = (self.supernet, self.accuracies, self.predictor, self.table, self.result, self.verified)
        return (*before, self.network, self.evaluation, self.report)

    def found(self) -> Path:
        """The networks to choose from: those that were measured, else those that were searched."""
        try:
            return self.verified if read_json(self.verified).get("results") else self.result
        except InputError:
            return self.result


@dataclass(frozen=True)
class Arguments:
    """The words after each command, for some photographs and a plan.

    photos: counted, of the folder or zip `images`
    """

    images: Path
    places: Places
    photos: PhotoCounts

    def train(self, plan: QuickstartPlan) -> tuple[str, ...]:
        weights = WEIGHTS / f"{plan.size.space}.safetensors"
        start = ("--start", str(weights), "--new-classes", "--learning-rate-scale", "0.3") if plan.learnt else ()
        limit = () if plan.limit is None else ("--limit", str(plan.limit))
        kept = () if self.photos.own_val else ("--held-out", str(self.photos.held_out))
        return (
            "--data", str(self.images), "--space", plan.size.space, "--resolutions", listed(plan),
            "--method", "uniform", "--subnets-per-step", "1", "--epochs", str(plan.epochs),
            "--batch-size", str(plan.batch), *kept, *limit, *start, "--check-every", str(max(1, plan.epochs // CHECKS)),
            "--check-images", str(plan.images), "--calibration-images", str(plan.calibration),
            "--out", str(self.places.supernet.parent),
        )  # fmt: skip

    def collect(self, plan: QuickstartPlan) -> tuple[str, ...]:
        return (
            "--checkpoint", str(self.places.supernet), "--data", str(self.images), "--subnets", str(plan.subnets),
            "--tilted", "0.5", "--resolutions", listed(plan), "--images", str(plan.images),
            "--calibration-images", str(plan.calibration), "--out", str(self.places.accuracies),
        )  # fmt: skip

    def fit(self, plan: QuickstartPlan) -> tuple[str, ...]:
        p = self.places
        return "--data", str(p.accuracies), "--space", plan.size.space, "--out", str(p.predictor)

    def profile(self, plan: QuickstartPlan) -> tuple[str, ...]:
        return (
            "--space", plan.size.space, "--num-classes", str(self.photos.classes), "--resolutions", listed(plan),
            "--quick", "--out", str(self.places.table),
        )  # fmt: skip

    def search(self, _: QuickstartPlan) -> tuple[str, ...]:
        p = self.places
        return "--table", str(p.table), "--predictor", str(p.predictor), "--out", str(p.result.parent)

    def verify(self, _: QuickstartPlan) -> tuple[str, ...]:
        p = self.places
        return "--table", str(p.table), "--result", str(p.result), "--limits", "3", "--near", "2", "--quick"

    def export(self, plan: QuickstartPlan) -> tuple[str, ...]:
        return (
            *self._best(), "--calibration", str(self.images), "--calibration-images", str(plan.calibration),
            "--evaluate-images", str(plan.images), "--format", "onnx", "--out", str(self.places.network),
        )  # fmt: skip

    def evaluate(self, plan: QuickstartPlan) -> tuple[str, ...]:
        return (
            *self._best(), "--data", str(self.images), "--calibration-images", str(plan.calibration),
            "--out", str(self.places.evaluation),
        )  # fmt: skip

    def report(self, _: QuickstartPlan) -> tuple[str, ...]:
        p = self.places
        runs = (p.result.parent, p.supernet.parent, p.evaluation, p.table)
        return *map(str, runs), "--out", str(p.report)

    def _best(self) -> tuple[str, ...]:
        """The most accurate network that was found."""
        found = self.places.found()
        return "--checkpoint", str(self.places.supernet), "--subnet", str(found), "--index", str(chosen(found))


def steps_of(images: Path, places: Places, photos: PhotoCounts) -> list[CommandStep]:
    """All steps, in order; the report only where this version has one."""
    p, words = places, Arguments(images, places, photos)
    found = [
        CommandStep(TRAIN, "train a supernet on your photographs", "ofa.train", p.supernet, words.train, resumes=True),
        CommandStep(COLLECT, "measure the accuracy of some of its networks", "ofa.predictors.collect", p.accuracies,
                    words.collect, resumes=True),
        CommandStep(FIT, "learn to predict the accuracy of all of them", "ofa.predictors.fit", p.predictor, words.fit),
        CommandStep(PROFILE, "time every block on this CPU", "profilers.cpu", p.table, words.profile,
                    resumes=True),
        CommandStep(SEARCH, "find the best network for every latency", "ofa.search", p.result, words.search),
        CommandStep(VERIFY, "time three of these networks", "profilers.verify", p.verified, words.verify,
                    resumes=True, wanted=False),
        CommandStep(EXPORT, "write the most accurate of the three as a file", "ofa.export", p.network, words.export),
        CommandStep(EVALUATE, "measure its accuracy", "ofa.evaluate", p.evaluation, words.evaluate,
                    resumes=True),
    ]  # fmt: skip
    if importlib.util.find_spec("ofa.report") is not None:
        found.append(
            CommandStep(REPORT, "write a page about all of it", "ofa.report", p.report, words.report, wanted=False)
        )
    return found


def listed(plan: QuickstartPlan) -> str:
    """The resolutions as an option takes them."""
    return ",".join(map(str, plan.size.resolutions))


def chosen(file: Path) -> int:
    """The most accurate network of a file of results; 0 where there is no such file yet."""
    try:
        results: list[Mapping[str, Any]] = read_json(file)["results"]
        return max(range(len(results)), key=lambda i: (results[i]["predicted_top1"], -results[i]["latency_ms"]))
    except (InputError, KeyError, TypeError, ValueError):
        return 0
