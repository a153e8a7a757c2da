"""Which images of a data set a network is evaluated on, and which it is calibrated with, by what its file knows.

What a training held out is recognised again by the names and content of the data set, wherever it lies now. What it was
trained on is recognised by content alone.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ofa.errors import InputError
from ofa.images.content import SMALL_SHARE, share_known
from ofa.images.facts import DataIdentity, ImageFacts, data_identity, names_sha256
from ofa.images.files.folder import ImageFolder
from ofa.images.files.names import shown
from ofa.images.files.opening import open_images
from ofa.images.held_out import held_out_indices

HELD_OUT, ALL = "held-out", "all"  # beside the names of split folders


@dataclass(frozen=True, eq=False)
class ChosenImages:
    """Some images of a folder.

    indices: which, in order
    split: the split folder they are of, "held-out" or "all"
    notices: lines to tell the user
    mark: what is wrong with them, to be kept with any figure that rests on them
    """

    folder: ImageFolder
    indices: Sequence[int]
    split: str
    notices: tuple[str, ...] = ()
    mark: str | None = None

    def at_random(self, count: int | None, seed: int) -> list[int]:
        """At most so many of them (default all), in random order; see `ofa.images.reading.random_indices`."""
        return [self.indices[i] for i in np.random.default_rng(seed).permutation(len(self.indices))[:count]]


def images_to_evaluate(
    path: Path, known: ImageFacts | None, source: object, *, split: str | None = None, allow_training: bool = False
) -> ChosenImages:
    """The images to evaluate a network on.

    known: what its file, `source`, knows of its images
    split: a split folder, "held-out" or "all" (of a folder without splits). Default: val where there is one; else what
        the training held out, where it was on these images; else all
    allow_training: whether images that were trained on are taken, and marked, rather than refused

    Raises InputError where the split is not there, the images were trained on, or held-out ones cannot be told.
    """
    if split == HELD_OUT:
        return _held_out(open_images(path, split="train"), known, source)
    trained_on = None if known is None else known.trained_on
    folder = _opened(path, split, trained_on)
    if split not in (None, ALL, "train") and not folder.splits:
        raise InputError(f"{path} has no folders train, val or test: leave --split out")
    if split == ALL and folder.splits:
        raise InputError(f"{path} has the folders {', '.join(folder.splits)}: choose one of them with --split")
    identity = data_identity(folder)
    whole = range(len(folder))
    if known is not None and trained_on is not None and trained_on.same_images(identity):
        if split is None and known.held_out is not None and known.held_out.count:
            return _held_out(folder, known, source)
        mark = f"evaluated on images that {source} was trained on"
        if not allow_training:
            way = ", --split held-out" if known.held_out is not None and known.held_out.count else ""
            raise InputError(
                f"{path}: {source} was trained on these {len(folder)} images: its accuracy on them means little. Give "
                f"others{way}, or insist with --allow-training-images, which marks the result"
            )
        return ChosenImages(folder, whole, folder.split or ALL, (f"warning: {mark}",), mark)
    if split == "train" and not folder.splits:
        raise InputError(f"{path} has no folders train, val or test: leave --split out")
    changed = changed_since(folder, known, source) if split is None else None
    if changed is not None and not allow_training:
        raise InputError(
            f"{changed}. Which images were held out is no longer known: give the images as they were, or others; or "
            "insist with --split all, if none of these was trained on"
        )
    seen = changed if changed is not None else trained_on_by_content(folder, known, source)
    if seen is not None and not allow_training:
        raise InputError(
            f"{seen}, whatever they are called: its accuracy on them means little. Give others, or insist with "
            "--allow-training-images, which marks the result"
        )
    return ChosenImages(folder, whole, folder.split or ALL, () if seen is None else (f"warning: {seen}",), seen)


def trained_on_by_content(
    folder: ImageFolder, known: ImageFacts | None, source: object, indices: Sequence[int] | None = None
) -> str | None:
    """That more than a few of a folder's images were trained on, wherever they lay and whatever they were called.

    indices: of these images (default: all). None where they were not, or an older `source` does not say.
    """
    share = 0.0 if known is None else share_known(folder, known.contents, indices)
    if share <= SMALL_SHARE:
        return None
    about = "all" if share == 1 else f"about {math.ceil(100 * share)} %"
    count = len(folder) if indices is None else len(indices)
    return f"{folder.called}: {about} of {count} images are images that {source} was trained on"


def changed_since(folder: ImageFolder, known: ImageFacts | None, source: object) -> str | None:
    """That a folder without splits is called as what was trained on and is not the same: many may have been trained on.

    None where it is the same, or called otherwise.
    """
    trained_on = None if known is None else known.trained_on
    if trained_on is None or folder.splits or trained_on.name != folder.path.name:
        return None
    identity = data_identity(folder)
    return None if trained_on.same_images(identity) else _other(folder, identity, trained_on, source)


def images_to_calibrate(
    given: Path | None, data: Path, known: ImageFacts | None, evaluated: ChosenImages | None, source: object
) -> ChosenImages:
    """Training images to calibrate batch normalisation with; none that the training held out.

    given: where they are; by default train of `data`, or what of the evaluated folder was not held out
    evaluated: what the network is evaluated on
    Raises InputError where there are none.
    """
    if given is not None:
        folder = open_images(given, split="train")
    elif evaluated is not None and evaluated.split == HELD_OUT:
        folder = evaluated.folder
    elif evaluated is None or "train" in evaluated.folder.splits:
        folder = open_images(data, split="train")
    else:
        raise InputError(
            f"sub-networks of a supernet need training images to calibrate with, and {data} has no folder train: "
            "give --calibration DIR"
        )
    identity = data_identity(folder)
    chosen, mark = list(range(len(folder))), None
    if known is not None and known.held_out is not None and _is(known.trained_on, identity):
        kept_back = set(_held_out(folder, known, source).indices) if known.held_out.count else set()
        chosen = [i for i in chosen if i not in kept_back]
    elif evaluated is not None and data_identity(evaluated.folder).same_images(identity):
        mark = "calibrated with the images that it is evaluated on"
    return ChosenImages(folder, chosen, folder.split or ALL, () if mark is None else (f"warning: {mark}",), mark)


def _opened(path: Path, split: str | None, trained_on: DataIdentity | None) -> ImageFolder:
    """The split asked for; by default val, else the very train that was trained on: a part of it was held out."""
    if split not in (None, ALL):
        return open_images(path, split=split)
    try:
        return open_images(path, split="val")
    except InputError:
        if trained_on is None or split == ALL:
            raise
        with suppress(InputError):
            folder = open_images(path, split="train")
            if folder.splits and trained_on.same_images(data_identity(folder)):
                return folder
        raise


def _held_out(folder: ImageFolder, known: ImageFacts | None, source: object) -> ChosenImages:
    """The images that the training held out; InputError says why they cannot be told."""
    if known is None or known.held_out is None or known.trained_on is None:
        raise InputError(f"{source} does not record which images its training held out: leave --split held-out out")
    if not known.held_out.count:
        raise InputError(f"the training of {source} held out no images: give others, and leave --split held-out out")
    identity = data_identity(folder)
    if not _is(known.trained_on, identity):
        raise InputError(
            f"{_other(folder, identity, known.trained_on, source)}. Which images were held out is not known of it: "
            "give the images as they were, or leave --split held-out out"
        )
    indices = held_out_indices(folder, known.held_out.count, known.held_out.seed)
    if names_sha256(folder, indices) != known.held_out.sha256:
        raise InputError(
            f"{folder.called}: the images that the training of {source} held out are not those that this version would "
            "choose: give others, or train again"
        )
    return ChosenImages(folder, indices, HELD_OUT)


def _is(trained_on: DataIdentity | None, identity: DataIdentity) -> bool:
    return trained_on is not None and trained_on.same_images(identity)


def _other(folder: ImageFolder, identity: DataIdentity, trained_on: DataIdentity, source: object) -> str:
    """That a folder is not what was trained on, and how."""
    if identity.images != trained_on.images:
        how = f"{identity.images} images, not {trained_on.images}"
    elif identity.names_sha256 != trained_on.names_sha256:
        how = "as many images under other names"
    else:
        how = "the same names, but other images"
    return f"{folder.called} is not the {shown(trained_on.name)} that {source} was trained on: it has {how}"
