"""The user's photographs: whether there are enough to learn from, and how they are divided."""

from __future__ import annotations

import os
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from ofa.errors import InputError
from ofa.images.files.folder import ImageFolder
from ofa.images.files.names import shown
from ofa.images.files.opening import open_images
from ofa.images.held_out import check_learnable
from ofa.images.pixels.decoding import decode, reason_of, unreadable

HELD_OUT_OF_TRAIN = 10  # of a folder train beside val, ofa.train holds out a tenth by itself
# batch normalisation is calibrated on 64 images at least, and fewer to evaluate on than these tell nothing
LEAST_TRAINED, LEAST_HELD_OUT = 64, 16
LEAST = LEAST_TRAINED + LEAST_HELD_OUT
HELD_OUT_PART, MOST_HELD_OUT = 4, 1000  # a quarter is held out: of a few hundred, a tenth is too few to tell networks
FEW = 10  # a class with fewer images is warned of
TRIED = 16  # images that are decoded, to see how long that takes


@dataclass(frozen=True)
class PhotoCounts:
    """trained: images to train on; held_out: others, to evaluate on; own_val: whether these are in a folder val

    classes: how many
    decode_s: seconds that reading and decoding an image takes
    lines: to show
    """

    trained: int
    held_out: int
    own_val: bool
    classes: int
    decode_s: float
    lines: tuple[str, ...] = ()


def check_apart(images: Path, out: Path) -> None:
    """InputError where the results would lie among the photographs: pictures of curves would be taken for a class."""
    inside = Path(os.path.realpath(out))
    around = Path(os.path.realpath(images))
    if around.is_dir() and (inside == around or around in inside.parents):
        raise InputError(f"--out {out} lies in {images}, among the photographs: name a folder elsewhere")


def count_photos(path: Path) -> PhotoCounts:
    """Looks at a folder or zip; InputError where there are too few photographs, or too few can be read."""
    folder = open_images(path, split="train")
    check_learnable(folder)
    total, own_val = len(folder), "val" in folder.splits
    if total < (LEAST_TRAINED if own_val else LEAST):
        least = LEAST_TRAINED if own_val else LEAST
        raise InputError(
            f"{path} has {total} photographs to learn from: at least {least} are needed, and a hundred of each class "
            "are better"
        )
    if own_val:
        held_out, trained = len(open_images(path, split="val")), total - total // HELD_OUT_OF_TRAIN
    else:
        held_out = min(MOST_HELD_OUT, max(LEAST_HELD_OUT, total // HELD_OUT_PART))
        trained = total - held_out
    images = Counter(folder.labels)
    few = [name for name in folder.classes if images[folder.class_index[name]] < FEW]
    names = {label: name for name, label in folder.class_index.items()}
    most = images.most_common(1)[0]
    lines = [
        f"{folder.called}: {total} photographs in {len(folder.classes)} classes (the largest: {shown(names[most[0]])}, "
        f"{most[1]}); {trained} to train on, {held_out} others to evaluate on"
    ]
    if few:
        rest = f" and {len(few) - 3} more" if len(few) > 3 else ""
        lines.append(f"few photographs, under {FEW}: {', '.join(map(shown, few[:3]))}{rest}")
    if (left_out := folder.left_out_line()) is not None:
        lines.append(left_out)
    decode_s = _seconds_to_decode(folder)
    return PhotoCounts(trained, held_out, own_val, len(folder.classes), decode_s, tuple(lines))


def _seconds_to_decode(folder: ImageFolder) -> float:
    """Seconds an image, of some that are spread over the folder; InputError where most cannot be read."""
    count = min(TRIED, len(folder))
    chosen = [i * len(folder) // count for i in range(count)]
    broken: list[tuple[str, str]] = []
    began = time.perf_counter()
    for i in chosen:
        try:
            decode(folder.read(i))
        except InputError:  # a package is missing
            raise
        except unreadable() as error:
            broken.append((folder.names[i], reason_of(error)))
    if 2 * len(broken) > count:
        name, reason = broken[0]
        raise InputError(
            f"{folder.path}: {len(broken)} of {count} photographs that were tried cannot be read, such as {name}: "
            f"{reason}"
        )
    return (time.perf_counter() - began) / count
