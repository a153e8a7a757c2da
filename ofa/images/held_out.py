"""What a supernet is trained and checked on: a folder's training images without those held out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ofa.errors import InputError
from ofa.images.content import content_sample
from ofa.images.facts import HeldOut, ImageFacts, Triple, data_identity, names_sha256
from ofa.images.files.folder import ImageFolder
from ofa.images.files.names import shown
from ofa.images.files.opening import open_images

# the paper holds out 10,000 of ImageNet's training images
HELD_OUT, HELD_OUT_PART = 10_000, 10
HELD_OUT_SEED = 20200426  # never the run's: runs that are compared must hold out the same images


@dataclass(frozen=True, eq=False)
class Photos:
    """folder: the training images; indices: those to train on, held_out: those to check with, both sorted."""

    folder: ImageFolder
    indices: tuple[int, ...]
    held_out: tuple[int, ...]


def check_learnable(folder: ImageFolder) -> None:
    """InputError where there is nothing to learn: no classes, one class, or a class without images."""
    if not folder.labelled:
        raise InputError(f"{folder.path} has no class folders: there is nothing to learn")
    if len(folder.classes) < 2:
        raise InputError(
            f"{folder.path} has one class folder, {shown(folder.classes[0])}: at least two classes are needed"
        )
    empty = folder.empty_classes()
    if empty:
        names = ", ".join(map(shown, empty[:5]))
        raise InputError(f"{folder.path}: class folders without images: {names}: remove them, or put images into them")


def held_out_indices(folder: ImageFolder, count: int | None = None, seed: int = HELD_OUT_SEED) -> list[int]:
    """The images of a training folder that are never trained on: the same for every run on the same images.

    count: default a tenth of them, at most 10,000
    """
    if count is None:
        count = min(HELD_OUT, len(folder) // HELD_OUT_PART)
    if not 0 <= count < len(folder):
        raise InputError(f"{folder.path} has {len(folder)} training images: {count} cannot be held out")
    return sorted(np.random.default_rng(seed).permutation(len(folder))[:count].tolist())


def open_photos(
    path: Path, *, held_out: int | None = None, limit: int | None = None, classes: Mapping[str, int] | None = None
) -> Photos:
    """The training images of a folder, zip or CIFAR: below `train` where there is such a folder.

    held_out: as of `held_out_indices`; limit: train on so many of the others, chosen at random
    """
    folder = open_images(path, split="train", classes=classes)
    check_learnable(folder)
    kept_back = held_out_indices(folder, held_out)
    mine = np.setdiff1d(np.arange(len(folder)), kept_back)
    if limit is not None:
        mine = np.sort(np.random.default_rng([HELD_OUT_SEED, 1]).permutation(mine)[:limit])
    return Photos(folder, tuple(mine.tolist()), tuple(kept_back))


def facts_of_training(photos: Photos, mean: Triple, std: Triple, smallest_crop: float) -> ImageFacts:
    """What a network that is trained on these photographs will know of them."""
    folder = photos.folder
    names = sorted(folder.class_index, key=lambda name: folder.class_index[name])
    whole = sorted(folder.class_index.values()) == list(range(len(names)))  # else other logits have no name
    return ImageFacts(
        mean,
        std,
        classes=tuple(names) if whole else (),
        smallest_crop=smallest_crop,
        trained_on=data_identity(folder),
        held_out=HeldOut(len(photos.held_out), HELD_OUT_SEED, names_sha256(folder, photos.held_out)),
        contents=(content_sample(folder, photos.indices),),
    )
