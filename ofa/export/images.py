"""Which real images to calibrate with, and which to compare models on."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from torch import Tensor

from ofa.export.metadata import Preprocessing
from ofa.images.classes import IMAGENETTE
from ofa.images.folder import ImageFolder
from ofa.images.opening import open_images
from ofa.images.reading import batches, broken_line


@dataclass
class Images:
    """Some images of a folder or zip, in random order: one of a folder's classes after the other is no fair batch.

    broken: names of those that could not be read so far
    """

    folder: ImageFolder
    indices: list[int]
    broken: list[str] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.indices)

    def batches(
        self, preprocessing: Preprocessing, size: int, *, limit: int | None = None, strict: bool = False
    ) -> Iterator[tuple[Tensor, Tensor]]:
        """Images (N, 3, R, R) and labels (N,). A broken one is skipped and named once; an InputError with `strict`."""
        p, broken = preprocessing, list[str]()
        yield from batches(
            self.folder, p.resolution, size, mean=p.mean, std=p.std, limit=limit, strict=strict,
            indices=self.indices, broken=broken,
        )  # fmt: skip
        new = [name for name in broken if name not in self.broken]
        if new:
            print(broken_line(self.folder, new), file=sys.stderr)
            self.broken += new


def choose(folder: ImageFolder, count: int, seed: int, without: Sequence[int] = ()) -> Images:
    """At most `count` images at random, none of those in `without`."""
    rest = sorted(set(range(len(folder))) - set(without))
    return Images(folder, [rest[i] for i in np.random.default_rng(seed).permutation(len(rest))[:count]])


@dataclass(frozen=True)
class ImagePlan:
    """The images that an export uses.

    calibration, evaluation: None where there are none
    shared: whether, for want of others, those to compare on were calibrated with
    """

    calibration: Images | None
    evaluation: Images | None
    shared: bool = False


def plan_images(calibration: Path | None, evaluation: Path | None, counts: tuple[int, int], seed: int) -> ImagePlan:
    """Images to calibrate with (of the split train, where there are splits) and others to compare on (of val).

    counts: at most how many of either
    Raises InputError where a folder or zip cannot be read, holds no images or lacks that split.
    """
    given = None if calibration is None else choose(open_images(calibration, split="train"), counts[0], seed)
    if evaluation is not None:
        return ImagePlan(given, choose(open_images(evaluation), counts[1], seed))
    if calibration is None or given is None:
        return ImagePlan(None, None)
    if "val" in given.folder.splits:
        return ImagePlan(given, choose(open_images(calibration), counts[1], seed))
    others = choose(given.folder, counts[1], seed, without=given.indices)
    if len(others):
        return ImagePlan(given, others)
    return ImagePlan(given, Images(given.folder, given.indices[: counts[1]]), shared=True)


def class_numbers(folder: ImageFolder, num_classes: int, labels: Sequence[str] | None) -> list[int] | None:
    """The logit of every label of the folder, None where that cannot be known.

    By the labels whose first word a class folder is; by order, where there are as many folders as classes; for
    ImageNet's 1000 classes Imagenette's ten are known.
    """
    if not folder.labelled:
        return None
    if labels is not None:
        named = {word: i for i, label in enumerate(labels) for word in (label, label.split()[0].rstrip(","))}
        if all(name in named for name in folder.classes):
            return [named[name] for name in folder.classes]
    if len(folder.classes) == num_classes:
        return list(range(num_classes))
    if num_classes == 1000 and all(name in IMAGENETTE for name in folder.classes):
        return [IMAGENETTE[name] for name in folder.classes]
    return None
