"""Real images to calibrate with and to compare models on: a folder or a zip, read one batch at a time."""

from __future__ import annotations

import io
import struct
import sys
import zipfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

import numpy as np

from ofa.errors import InputError
from ofa.export.graph import Array
from ofa.export.metadata import Preprocessing

_SUFFIXES = {".jpg", ".jpeg", ".png", ".webp", ".bmp"}
_PARTS = ("train", "val")
# ImageNet's class numbers of Imagenette's ten classes
_IMAGENETTE = {
    "n01440764": 0, "n02102040": 217, "n02979186": 482, "n03000684": 491, "n03028079": 497,
    "n03394916": 566, "n03417042": 569, "n03425413": 571, "n03445777": 574, "n03888257": 701,
}  # fmt: skip


@dataclass(frozen=True, eq=False)
class Picture:
    """An image file: its path in the folder or zip, the folder it lies in, "train" or "val" if one is above it."""

    name: str
    category: str
    part: str
    read: Callable[[], bytes]


def list_pictures(path: Path) -> list[Picture]:
    """Every image in a folder (with its subfolders) or zip, by name.

    Raises InputError where there is none, or the path is neither.
    """
    if path.is_dir():
        files = sorted(p for p in path.rglob("*") if p.suffix.lower() in _SUFFIXES and p.is_file())
        names = [(p.relative_to(path).as_posix(), p.read_bytes) for p in files]
    elif path.is_file() and zipfile.is_zipfile(path):
        opened = zipfile.ZipFile(path)
        inside = sorted(n for n in opened.namelist() if PurePosixPath(n).suffix.lower() in _SUFFIXES)
        names = [(name, _member(opened, name)) for name in inside]
    else:
        raise InputError(
            f"{path}: expected a folder of images or a zip" if path.exists() else f"{path}: no such folder"
        )
    if not names:
        raise InputError(f"{path} holds no images ({', '.join(sorted(_SUFFIXES))})")
    return [Picture(name, *_place(path, name), read) for name, read in names]


def _member(opened: zipfile.ZipFile, name: str) -> Callable[[], bytes]:
    return lambda: opened.read(name)


def _place(path: Path, name: str) -> tuple[str, str]:
    """(category, part) by the folders above an image; --calibration .../train says the part itself."""
    folders = [path.name, *PurePosixPath(name).parts[:-1]]
    part = next((folder for folder in reversed(folders) if folder in _PARTS), "")
    category = folders[-1] if len(folders) > 1 and folders[-1] not in _PARTS else ""
    return category, part


def choose(pictures: Sequence[Picture], part: str, count: int, seed: int) -> list[Picture]:
    """A random choice of at most `count`, of that part where the folder has it (else of all)."""
    listed = [p for p in pictures if p.part == part] or list(pictures)
    order = np.random.default_rng(seed).permutation(len(listed))[:count]
    return [listed[i] for i in order]


def class_numbers(pictures: Sequence[Picture], num_classes: int, labels: Sequence[str] | None) -> dict[str, int] | None:
    """The logit of every category, None where that cannot be known.

    By the labels whose first word it is; by order, where there are as many categories as classes; for ImageNet's 1000
    classes Imagenette's ten are known.
    """
    categories = sorted({p.category for p in pictures})
    if "" in categories:
        return None
    if labels is not None:
        named = {word: i for i, label in enumerate(labels) for word in (label, label.split()[0].rstrip(","))}
        if all(category in named for category in categories):
            return {category: named[category] for category in categories}
    if len(categories) == num_classes:
        return {category: i for i, category in enumerate(categories)}
    if num_classes == 1000 and all(category in _IMAGENETTE for category in categories):
        return _IMAGENETTE
    return None


@dataclass
class Reader:
    """Prepares images, and counts those that cannot be read.

    strict: whether a broken image is an InputError rather than skipped
    skipped: names of the broken images so far
    """

    preprocessing: Preprocessing
    strict: bool = False
    skipped: list[str] = field(default_factory=list)

    def batches(self, pictures: Sequence[Picture], size: int) -> Iterator[tuple[Array, list[Picture]]]:
        """Images (N, 3, R, R), N <= size, and which they are. InputError where not one of them can be read."""
        images: list[Array] = []
        read: list[Picture] = []
        found = 0
        for picture in pictures:
            try:
                images.append(prepare(picture.read(), self.preprocessing))
            except _unreadable() as error:
                if self.strict:
                    raise InputError(f"{picture.name}: cannot be read as an image: {error}") from None
                if picture.name not in self.skipped:
                    self.skipped.append(picture.name)
                    print(f"warning: {picture.name} is skipped, it cannot be read: {error}", file=sys.stderr)
                continue
            read.append(picture)
            if len(images) == size:
                found += size
                yield np.stack(images), read
                images, read = [], []
        if images:
            yield np.stack(images), read
        elif not found:
            raise InputError(f"none of {len(pictures)} images can be read, the first is {pictures[0].name}")


def _unreadable() -> tuple[type[Exception], ...]:
    """What Pillow and zipfile raise for damaged or hostile files."""
    from PIL import Image

    damaged = (OSError, SyntaxError, ValueError, EOFError, struct.error, zlib.error, zipfile.BadZipFile)
    return (*damaged, Image.DecompressionBombError, Image.DecompressionBombWarning)


def prepare(content: bytes, preprocessing: Preprocessing) -> Array:
    """An encoded image as (3, R, R): the shorter side resized, the centre cut out, normalised."""
    try:
        from PIL import Image
    except ImportError:
        raise InputError("reading images needs Pillow: pip install -c constraints.txt pillow") from None

    r, p = preprocessing.resolution, preprocessing
    with Image.open(io.BytesIO(content)) as opened:
        image = opened.convert("RGB")
    short = round(r / p.crop_ratio)
    scale = short / min(image.size)
    width, height = (max(short, int(side * scale)) for side in image.size)
    left, top = round((width - r) / 2), round((height - r) / 2)
    image = image.resize((width, height), Image.Resampling.BILINEAR).crop((left, top, left + r, top + r))
    pixels = np.asarray(image, np.float32) / np.float32(255)
    normalised = (pixels - np.array(p.mean, np.float32)) / np.array(p.std, np.float32)
    return np.ascontiguousarray(normalised.transpose(2, 0, 1), dtype=np.float32)
