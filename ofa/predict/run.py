"""Predicting, from a config to the classes of every image."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ofa.errors import InputError
from ofa.export.labels import check_order, read_labels
from ofa.images.facts import ImageFacts
from ofa.images.files.loose import NamedImages, Photograph
from ofa.images.files.names import shown
from ofa.images.pixels.decoding import decode, reason_of, unreadable
from ofa.images.preprocessing import centre_crop, decided, to_array
from ofa.predict.config import PredictConfig
from ofa.predict.model import ModelFile, open_model, probabilities
from ofa.runs.files import write_json
from ofa.runs.places import check_replaced
from ofa.runs.settings import identity_of


@dataclass(frozen=True)
class Guess:
    """A class and its probability, 0 to 1. index: of the model's output"""

    label: str
    index: int
    probability: float


@dataclass(frozen=True)
class ImageClasses:
    """file: the image, as it can be shown; top: its most probable classes, the most probable first"""

    file: str
    top: tuple[Guess, ...]

    def to_dict(self) -> dict[str, Any]:
        """One of the result file's `images`."""
        return {
            "file": self.file,
            "top": [{"class": g.label, "index": g.index, "probability": round(g.probability, 6)} for g in self.top],
        }


@dataclass(frozen=True)
class PredictWatcher:
    """How a prediction reports its progress.

    begin: given the number of images, lines to show, and marks: what to know of the model
    predicted: given every image's classes, in order; broken: the name of each that cannot be read, and why
    """

    begin: Callable[[int, Sequence[str], Sequence[str]], object] = lambda *_: None
    predicted: Callable[[ImageClasses], object] = lambda _: None
    broken: Callable[[str, str], object] = lambda *_: None


@dataclass(frozen=True, eq=False)
class Predictions:
    """The classes of all images that could be read, in order.

    broken: why the others could not, by name
    facts: how images were prepared; labels: of all outputs, in order
    """

    config: PredictConfig
    model: ModelFile
    facts: ImageFacts
    labels: Sequence[str]
    images: tuple[ImageClasses, ...]
    broken: dict[str, str]

    def to_dict(self) -> dict[str, Any]:
        """The content of the result file."""
        return {
            "model": str(self.config.model),
            "format": self.model.format,
            "resolution": self.model.resolution,
            "mean": list(self.facts.mean),
            "std": list(self.facts.std),
            "marks": list(self.facts.marks),
            "classes": list(self.labels),
            "images": [image.to_dict() for image in self.images],
            "broken": self.broken,
            "settings": identity_of(self.config),
        }


def predict_images(config: PredictConfig, watcher: PredictWatcher | None = None) -> Predictions:
    """The most probable classes of photographs, by an exported model; written to `config.json` too, if that is given.

    Raises InputError where the model cannot be used or does not say how images are prepared, a folder holds no image,
    or no image can be read; with `config.strict` also for the first that cannot.
    """
    watcher = PredictWatcher() if watcher is None else watcher
    if config.json is not None:
        check_replaced(config.json, {"model", "images"}, "what ofa.predict writes", name="--json")
    images = NamedImages(config.file)
    model = open_model(config.model)
    facts, line = _facts(config, model)
    labels, lacking = _labels(config, model, facts)
    watcher.begin(len(images), [text for text in (line, lacking, *images.left_out) if text], facts.marks)
    found: list[ImageClasses] = []
    broken: dict[str, str] = {}
    for name, shares in _probabilities(model, images, facts):
        if isinstance(shares, str):
            if config.strict:
                raise InputError(f"{name} cannot be read as an image: {shares}")
            broken[name] = shares
            watcher.broken(name, shares)
        else:
            order = np.argsort(-shares, kind="stable")[: config.top]
            found.append(ImageClasses(name, tuple(Guess(labels[i], int(i), float(shares[i])) for i in order)))
            watcher.predicted(found[-1])
    if not found:
        first = next(iter(broken))
        raise InputError(f"no image could be read: {len(broken)} of {len(broken)} are broken, the first is {first}")
    result = Predictions(config, model, facts, labels, tuple(found), broken)
    if config.json is not None:
        write_json(config.json, result.to_dict())
    return result


def _facts(config: PredictConfig, model: ModelFile) -> tuple[ImageFacts, str | None]:
    """How images are prepared for a model, and a line on that."""
    model.check_preparation(config.override_preprocessing)
    known = model.facts
    if known is None and config.mean is None:
        raise InputError(
            f"{config.model} does not state how its images are prepared: give --mean and --std, such as --mean "
            "imagenet, or a model that ofa.export wrote"
        )
    return decided(known, config.mean, config.std, override=config.override_preprocessing, source=config.model)


def _labels(config: PredictConfig, model: ModelFile, facts: ImageFacts) -> tuple[Sequence[str], str | None]:
    """The name of every output, and a line where they have none."""
    stored = model.metadata.get("labels", "")
    if config.labels is not None:
        labels: Sequence[str] = read_labels(config.labels, model.classes)
        check_order(labels, facts.classes, config.labels)
    else:
        labels = stored.split("\n") if stored else facts.classes
    if not labels:
        numbers = [f"class {i}" for i in range(model.classes)]
        return numbers, f"{config.model} has no class names, so classes are numbered from 0 (--labels FILE names them)"
    if len(labels) != model.classes:
        raise InputError(f"{config.model}: its metadata names {len(labels)} classes, but it has {model.classes}")
    return [shown(label) for label in labels], None


def _probabilities(
    model: ModelFile, images: NamedImages, facts: ImageFacts
) -> Iterator[tuple[str, NDArray[np.float64] | str]]:
    """(name, its probabilities (classes,), or why it cannot be read) of every image, in order."""
    waiting: list[tuple[str, NDArray[np.float32] | str]] = []
    readable = 0
    for photograph in images:
        waiting.append((photograph[0], _prepared(photograph, model.resolution, facts)))
        readable += not isinstance(waiting[-1][1], str)
        if readable == model.batch:
            yield from _run(model, waiting)
            waiting, readable = [], 0
    yield from _run(model, waiting)


def _run(
    model: ModelFile, waiting: Sequence[tuple[str, NDArray[np.float32] | str]]
) -> Iterator[tuple[str, NDArray[np.float64] | str]]:
    """What `_probabilities` gives of some images, which are run together."""
    pixels = [found for _, found in waiting if not isinstance(found, str)]
    rows = [*probabilities(model, np.stack(pixels))] if pixels else []
    for name, found in waiting:
        yield name, found if isinstance(found, str) else rows.pop(0)


def _prepared(photograph: Photograph, resolution: int, facts: ImageFacts) -> NDArray[np.float32] | str:
    """An image as the model's input (3, R, R), or why it cannot be read."""
    _, read = photograph
    try:
        image = decode(read())
    except InputError:  # a package is missing
        raise
    except unreadable() as error:
        return reason_of(error)
    return to_array(centre_crop(image, resolution), facts.mean, facts.std)
