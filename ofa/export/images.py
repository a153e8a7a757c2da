"""Which real images to calibrate with, and which to compare models on."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from ofa.errors import InputError
from ofa.export.metadata import Preprocessing
from ofa.images.choice import (
    HELD_OUT,
    Chosen,
    changed_since,
    images_to_calibrate,
    images_to_evaluate,
    trained_on_by_content,
)
from ofa.images.classes import IMAGENETTE, matched
from ofa.images.facts import ImageFacts, data_identity
from ofa.images.files.folder import ImageFolder
from ofa.images.files.opening import open_images
from ofa.images.reading import batches


@dataclass
class Images:
    """Some images of a folder or zip, in random order: one of a folder's classes after the other is no fair batch.

    mark: what is wrong with them, to be kept with any figure that rests on them
    """

    folder: ImageFolder
    indices: list[int]
    mark: str | None = None

    def __len__(self) -> int:
        return len(self.indices)

    def batches(
        self, preprocessing: Preprocessing, size: int, *, limit: int | None = None, strict: bool = False
    ) -> Iterator[tuple[Tensor, Tensor]]:
        """Images (N, 3, R, R) and labels (N,). A broken one is skipped; an InputError with `strict`."""
        p = preprocessing
        yield from batches(
            self.folder, p.resolution, size, mean=p.mean, std=p.std, limit=limit, strict=strict,
            indices=self.indices,
        )  # fmt: skip


@dataclass(frozen=True)
class ImagePlan:
    """The images that an export uses.

    calibration, evaluation: None where there are none
    shared: whether, for want of others, those to compare on were calibrated with
    """

    calibration: Images | None
    evaluation: Images | None
    shared: bool = False


def plan_images(
    calibration: Path | None,
    evaluation: Path | None,
    counts: tuple[int, int],
    seed: int,
    known: ImageFacts | None,
    source: Path,
) -> ImagePlan:
    """Images to calibrate with (of the split train, where there are splits) and others to compare on.

    Those are of val, or what the training held out, else what is not calibrated with.
    counts: at most how many of either; known: what the checkpoint, `source`, knows of its images
    Raises InputError where a folder or zip cannot be read, holds no images or lacks that split.
    """
    chosen = None if calibration is None else images_to_calibrate(calibration, calibration, known, None, source)
    given = None if chosen is None else Images(chosen.folder, chosen.at_random(counts[0], seed))
    if evaluation is not None:
        others = images_to_evaluate(evaluation, known, source, allow_training=True)
        return ImagePlan(given, Images(others.folder, others.at_random(counts[1], seed), others.mark))
    if calibration is None or chosen is None or given is None:
        return ImagePlan(None, None)
    if "val" in chosen.folder.splits:
        folder = open_images(calibration, split="val")
        return ImagePlan(given, Images(folder, Chosen(folder, range(len(folder)), "val").at_random(counts[1], seed)))
    # of a folder that changed since, what was held out cannot be told
    mark = changed_since(chosen.folder, known, source) or trained_on_by_content(chosen.folder, known, source)
    trained_on = None if known is None else known.trained_on
    if known is not None and trained_on is not None and trained_on.same_images(data_identity(chosen.folder)):
        if known.held_out is not None and known.held_out.count:
            others = images_to_evaluate(calibration, known, source, split=HELD_OUT)
            return ImagePlan(given, Images(others.folder, others.at_random(counts[1], seed)))
        mark = f"compared on images that {source} was trained on"
    used = set(given.indices)
    rest = Chosen(chosen.folder, [i for i in chosen.indices if i not in used], chosen.split)
    if rest.indices:
        return ImagePlan(given, Images(rest.folder, rest.at_random(counts[1], seed), mark))
    return ImagePlan(given, Images(given.folder, given.indices[: counts[1]], mark), shared=True)


def class_numbers(
    folder: ImageFolder, num_classes: int, known: ImageFacts | None, labels: Sequence[str], source: Path
) -> tuple[list[int] | None, str | None]:
    """The logit of every class of the folder, in its order, None where that cannot be known; and why, or what lacks.

    By the class names that the checkpoint, `source`, knows. Where it knows none: by the labels whose first word a class
    folder is; by order, where there are as many folders as classes; for ImageNet's 1000 classes Imagenette's ten are
    known.
    """
    if not folder.labelled:
        return None, None
    if known is not None and known.classes:
        try:
            named, line = matched(folder, known, num_classes, source=source)
        except InputError as error:
            return None, f"accuracy is not known: {error}".split(": give --classes")[0]
        return [named.class_index[name] for name in folder.classes], line
    words = {word: i for i, label in enumerate(labels) for word in (label, label.split()[0].rstrip(","))}
    if labels and all(name in words for name in folder.classes):
        return [words[name] for name in folder.classes], None
    if len(folder.classes) == num_classes:
        return list(range(num_classes)), None
    if num_classes == 1000 and all(name in IMAGENETTE for name in folder.classes):
        return [IMAGENETTE[name] for name in folder.classes], None
    return None, None
