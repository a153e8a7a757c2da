"""Which real images to calibrate with, and which to compare models on."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from ofa.export.metadata import Preprocessing
from ofa.images.choice import (
    HELD_OUT,
    ChosenImages,
    changed_since,
    images_to_calibrate,
    images_to_evaluate,
    trained_on_by_content,
)
from ofa.images.facts import ImageFacts, data_identity
from ofa.images.files.folder import ImageFolder
from ofa.images.files.opening import open_images
from ofa.images.reading import batches


@dataclass
class ShuffledImages:
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
        """ShuffledImages (N, 3, R, R) and labels (N,). A broken one is skipped; an InputError with `strict`."""
        p = preprocessing
        yield from batches(
            self.folder, p.resolution, size, mean=p.mean, std=p.std, limit=limit, strict=strict,
            indices=self.indices,
        )  # fmt: skip


@dataclass(frozen=True)
class ExportImages:
    """The images that an export uses.

    calibration, evaluation: None where there are none
    shared: whether, for want of others, those to compare on were calibrated with
    """

    calibration: ShuffledImages | None
    evaluation: ShuffledImages | None
    shared: bool = False


def choose_images(
    calibration: Path | None,
    evaluation: Path | None,
    counts: tuple[int, int],
    seed: int,
    known: ImageFacts | None,
    source: Path,
) -> ExportImages:
    """ShuffledImages to calibrate with (of the split train, where there are splits) and others to compare on.

    Those are of val, or what the training held out, else what is not calibrated with.
    counts: at most how many of either; known: what the checkpoint, `source`, knows of its images
    Raises InputError where a folder or zip cannot be read, holds no images or lacks that split.
    """
    chosen = None if calibration is None else images_to_calibrate(calibration, calibration, known, None, source)
    given = None if chosen is None else ShuffledImages(chosen.folder, chosen.at_random(counts[0], seed))
    if evaluation is not None:
        others = images_to_evaluate(evaluation, known, source, allow_training=True)
        return ExportImages(given, ShuffledImages(others.folder, others.at_random(counts[1], seed), others.mark))
    if calibration is None or chosen is None or given is None:
        return ExportImages(None, None)
    if "val" in chosen.folder.splits:
        folder = open_images(calibration, split="val")
        return ExportImages(
            given, ShuffledImages(folder, ChosenImages(folder, range(len(folder)), "val").at_random(counts[1], seed))
        )
    # of a folder that changed since, what was held out cannot be told
    mark = changed_since(chosen.folder, known, source) or trained_on_by_content(chosen.folder, known, source)
    trained_on = None if known is None else known.trained_on
    if known is not None and trained_on is not None and trained_on.same_images(data_identity(chosen.folder)):
        if known.held_out is not None and known.held_out.count:
            others = images_to_evaluate(calibration, known, source, split=HELD_OUT)
            return ExportImages(given, ShuffledImages(others.folder, others.at_random(counts[1], seed)))
        mark = f"compared on images that {source} was trained on"
    used = set(given.indices)
    rest = ChosenImages(chosen.folder, [i for i in chosen.indices if i not in used], chosen.split)
    if rest.indices:
        return ExportImages(given, ShuffledImages(rest.folder, rest.at_random(counts[1], seed), mark))
    return ExportImages(given, ShuffledImages(given.folder, given.indices[: counts[1]], mark), shared=True)
