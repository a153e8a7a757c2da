"""Real images: a folder or a zip of them, prepared as networks are evaluated, in batches.

Images are decoded by Pillow alone, one by one; a zip is read in memory, nothing of it is ever written to disk.
"""

from __future__ import annotations

import io
import json
import math
import os
import struct
import sys
import warnings
import zipfile
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from ofa.errors import InputError

SUFFIXES = (".bmp", ".jpeg", ".jpg", ".png", ".webp")
SPLITS = ("train", "val", "test")
CROP_RATIO = 0.875
LARGEST_FILE = 1 << 28  # bytes; a zip member that unpacks to more is refused

Triple = tuple[float, float, float]
IMAGENET: tuple[Triple, Triple] = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
HALF: tuple[Triple, Triple] = ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
# mean and std of (red, green, blue) in 0 to 1, by name
NORMALISATIONS = {"imagenet": IMAGENET, "half": HALF}
# ImageNet's class numbers of Imagenette's ten classes
IMAGENETTE = {
    "n01440764": 0, "n02102040": 217, "n02979186": 482, "n03000684": 491, "n03028079": 497,
    "n03394916": 566, "n03417042": 569, "n03425413": 571, "n03445777": 574, "n03888257": 701,
}  # fmt: skip


class ImageFolder:
    """The images of a folder or zip, by name: their encoded bytes and labels. Nothing is decoded.

    Layouts: split folders (train, val, test) over class folders, class folders alone, or images alone (no labels).
    A single folder around all of that is looked through. What begins with a dot or __MACOSX is not looked at.

    path: as given
    splits: the split folders there are, none if the layout has none
    split: the one chosen, "" if the layout has none
    classes: names of the class folders, sorted; empty ones too, so that labels do not depend on what they hold
    class_index: the label of every class folder: its position, or what `classes` says
    names: paths of the images inside the folder or zip, sorted
    labels: one an image; -1 where the layout has no classes
    """

    def __init__(
        self, path: str | os.PathLike[str], *, split: str = "val", classes: Mapping[str, int] | None = None
    ) -> None:
        """split: which split folder to take, where the layout has them
        classes: the label of every class folder, as for the 1000 classes of ImageNet (default: sorted order)

        Raises InputError where the path is neither a folder nor a zip, holds no image, lacks that split, or has a
        class folder that `classes` does not know.
        """
        self.path = Path(path)
        self._archive: tuple[int, zipfile.ZipFile] | None = None
        self._zipped = not self.path.is_dir()
        if not self.path.exists():
            raise InputError(f"{self.path}: no such folder or zip")
        if self._zipped and not (self.path.is_file() and zipfile.is_zipfile(self.path)):
            raise InputError(f"{self.path}: expected a folder of images, or a zip of one")
        names, folders = self._listed()
        if not names:
            raise InputError(f"{self.path} holds no images ({', '.join(SUFFIXES)})")
        top = _wrapping(names, folders)
        inside = {f[len(top)] for f in folders if len(f) == len(top) + 1 and f[: len(top)] == top}
        self.splits = tuple(name for name in SPLITS if name in inside)
        self.split = ""
        if self.splits:
            if split not in self.splits:
                raise InputError(f"{self.path} has no folder {split}, only {', '.join(self.splits)}")
            self.split = split
            top = (*top, split)
        names = [name for name in names if name[: len(top)] == top]
        if not names:
            raise InputError(f"{self.path}: {'/'.join(top)} holds no images ({', '.join(SUFFIXES)})")
        self.classes = tuple(sorted({f[len(top)] for f in folders if len(f) > len(top) and f[: len(top)] == top}))
        if self.classes:
            loose = next((name for name in names if len(name) == len(top) + 1), None)
            if loose is not None:
                raise InputError(f"{self.path}: {'/'.join(loose)} lies beside the class folders, in none of them")
        self.class_index = _class_index(self.path, self.classes, classes)
        self.names = tuple("/".join(name) for name in names)
        self.labels = tuple(self.class_index[name[len(top)]] if self.classes else -1 for name in names)

    def __len__(self) -> int:
        return len(self.names)

    @property
    def labelled(self) -> bool:
        """Whether images have labels."""
        return bool(self.classes)

    def empty_classes(self) -> list[str]:
        """Class folders without an image."""
        used = set(self.labels)
        return [name for name in self.classes if self.class_index[name] not in used]

    def read(self, i: int) -> bytes:
        """The i-th image, encoded. OSError or zipfile's errors where it cannot be read."""
        if not self._zipped:
            return (self.path / self.names[i]).read_bytes()
        archive = self._opened()
        member = archive.getinfo(self.names[i])
        if member.file_size > LARGEST_FILE:
            raise ValueError(f"unpacks to {member.file_size} bytes, more than {LARGEST_FILE}")
        return archive.read(member)

    def _opened(self) -> zipfile.ZipFile:
        # a forked worker must not share its parent's file position
        if self._archive is None or self._archive[0] != os.getpid():
            self._archive = (os.getpid(), zipfile.ZipFile(self.path))
        return self._archive[1]

    def __getstate__(self) -> dict[str, Any]:
        return {**vars(self), "_archive": None}

    def close(self) -> None:
        """Closes the zip, if it is open; reading opens it again."""
        if self._archive is not None and self._archive[0] == os.getpid():
            self._archive[1].close()
        self._archive = None

    def _listed(self) -> tuple[list[tuple[str, ...]], set[tuple[str, ...]]]:
        """Paths of all images, sorted, and of all folders, as their parts."""
        files: list[tuple[str, ...]] = []
        folders: set[tuple[str, ...]] = set()
        if self._zipped:
            try:
                members = [(m.filename, m.is_dir()) for m in self._opened().infolist()]
            except zipfile.BadZipFile as error:
                raise InputError(f"{self.path}: damaged zip: {error}") from None
            for name, is_folder in members:
                parts = PurePosixPath(name).parts
                if _shown(parts) and "/".join(parts) == name.rstrip("/"):
                    folders.update(parts[:n] for n in range(1, len(parts) + is_folder))
                    if not is_folder:
                        files.append(parts)
        else:
            for folder, inner, found in os.walk(self.path, followlinks=True):
                inner[:] = sorted(name for name in inner if _shown((name,)))
                parts = Path(folder).relative_to(self.path).parts
                folders.update((*parts, name) for name in inner)
                files += [(*parts, name) for name in found if _shown((name,))]
        return sorted({f for f in files if f[-1].lower().endswith(SUFFIXES)}), folders


def _shown(parts: Sequence[str]) -> bool:
    return bool(parts) and not any(part.startswith((".", "/")) or part == "__MACOSX" for part in parts)


def _wrapping(names: Sequence[tuple[str, ...]], folders: set[tuple[str, ...]]) -> tuple[str, ...]:
    """The folders around everything: each holds one folder, with folders in it, and no image."""
    top: tuple[str, ...] = ()
    while True:
        inside = {f for f in folders if len(f) == len(top) + 1 and f[: len(top)] == top}
        only = next(iter(inside)) if len(inside) == 1 else None
        if only is None or only[-1] in SPLITS or any(len(name) == len(top) + 1 for name in names):
            return top
        if not any(len(f) == len(only) + 1 and f[: len(only)] == only for f in folders):
            return top
        top = only


def _class_index(path: Path, classes: Sequence[str], given: Mapping[str, int] | None) -> dict[str, int]:
    if given is None:
        return {name: i for i, name in enumerate(classes)}
    unknown = [name for name in classes if name not in given]
    if unknown:
        shown = ", ".join(unknown[:3]) + (f" and {len(unknown) - 3} more" if len(unknown) > 3 else "")
        raise InputError(f"{path}: the class mapping does not know the folders {shown}")
    return {name: given[name] for name in classes}


def read_classes(path: str | os.PathLike[str]) -> dict[str, int]:
    """A mapping of class folders to labels from a file, or the built-in "imagenette" (ImageNet's numbers).

    JSON {"n01440764": 0, ...}; or text, a line a folder: "n01440764 0", or without numbers the i-th line is class i
    (ImageNet's synset lists: only a line's first word counts). Raises InputError naming the file and line.
    """
    if str(path) == "imagenette":
        return dict(IMAGENETTE)
    path = Path(path)
    if not path.is_file():
        raise InputError(f"{path}: no such file (or give imagenette, which is built in)")
    text = path.read_text(encoding="utf-8")
    if text.lstrip().startswith("{"):
        try:
            found = json.loads(text)
        except json.JSONDecodeError as error:
            raise InputError(f"{path}: not JSON: {error}") from None
        for name, label in found.items():
            if isinstance(label, bool) or not isinstance(label, int) or label < 0:
                raise InputError(f"{path}: {name} is {label!r}, expected a class number")
        return {str(name): int(label) for name, label in found.items()}
    lines = [line.split() for line in text.splitlines() if line.strip()]
    numbered = all(len(words) == 2 and words[1].isdecimal() for words in lines)
    labels: dict[str, int] = {}
    for i, words in enumerate(lines):
        if words[0] in labels:
            raise InputError(f"{path}:{i + 1}: {words[0]} is listed twice")
        labels[words[0]] = int(words[1]) if numbered else i
    if not labels:
        raise InputError(f"{path}: no class")
    return labels


# ---- preparing


def unreadable() -> tuple[type[Exception], ...]:
    """What Pillow and zipfile raise for damaged or hostile files."""
    from PIL import Image

    damaged = (OSError, SyntaxError, ValueError, EOFError, struct.error, zlib.error, zipfile.BadZipFile)
    refused = (KeyError, NotImplementedError, RuntimeError)  # encrypted or oddly compressed zip members
    return (*damaged, *refused, Image.DecompressionBombError, Image.DecompressionBombWarning)


def decode(source: str | os.PathLike[str] | bytes) -> Any:
    """A PIL image in RGB (greyscale and palettes converted) of a file or encoded bytes; see `unreadable`."""
    try:
        from PIL import Image
    except ImportError:
        raise InputError("reading images needs Pillow: pip install -c constraints.txt pillow") from None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # remarks on odd EXIF data and palettes
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        with Image.open(io.BytesIO(source) if isinstance(source, bytes) else source) as opened:
            return opened.convert("RGB")


def image_size(source: str | os.PathLike[str] | bytes) -> tuple[int, int]:
    """Width and height, pixels, of an image that is not decoded; see `unreadable`."""
    from PIL import Image

    with Image.open(io.BytesIO(source) if isinstance(source, bytes) else source) as opened:
        return opened.size


def load_image(
    source: str | os.PathLike[str] | bytes,
    resolution: int,
    mean: Sequence[float] = IMAGENET[0],
    std: Sequence[float] = IMAGENET[1],
) -> Tensor:
    """(3, R, R) float32: the shorter side resized to R / 0.875 (bilinear), the centre cut out, normalised.

    source: a file, or its bytes
    mean, std: of (red, green, blue) in 0 to 1: the result is (pixel / 255 - mean) / std
    Raises one of `unreadable()` for what is not an image.
    """
    return to_tensor(centre_crop(decode(source), resolution), mean, std)


def centre_crop(image: Any, resolution: int) -> Any:
    """R x R pixels of a PIL image: the shorter side resized to R / 0.875 (bilinear), the centre cut out."""
    from PIL import Image

    short = round(resolution / CROP_RATIO)
    scale = short / min(image.size)
    width, height = (max(short, int(side * scale)) for side in image.size)
    left, top = round((width - resolution) / 2), round((height - resolution) / 2)
    image = image.resize((width, height), Image.Resampling.BILINEAR)
    return image.crop((left, top, left + resolution, top + resolution))


def to_tensor(image: Any, mean: Sequence[float], std: Sequence[float]) -> Tensor:
    """(3, H, W) float32, normalised, of a PIL image in RGB."""
    pixels = np.asarray(image, np.float32) / np.float32(255)
    normalised = (pixels - np.array(mean, np.float32)) / np.array(std, np.float32)
    return torch.from_numpy(np.ascontiguousarray(normalised.transpose(2, 0, 1)))


class _Prepared(Dataset[tuple[Any, int, int]]):
    """(tensor, label, index) of some images of a folder; for a broken one the tensor is what is wrong with it."""

    def __init__(self, folder: ImageFolder, indices: Sequence[int], *arguments: Any) -> None:
        self.folder, self.indices, self.arguments = folder, indices, arguments

    def __len__(self) -> int:
        return len(self.indices)

    def __getitem__(self, n: int) -> tuple[Any, int, int]:
        i = self.indices[n]
        try:
            return load_image(self.folder.read(i), *self.arguments), self.folder.labels[i], i
        except InputError:
            raise
        except unreadable() as error:
            return f"{type(error).__name__}: {error}"[:200], self.folder.labels[i], i


@dataclass(frozen=True, eq=False)
class Chunk:
    """A stretch of the images asked for.

    images: (N, 3, R, R) float32 of those that can be read, None if none can
    labels: (N,) int64
    broken: names of the others
    """

    images: Tensor | None
    labels: Tensor
    broken: tuple[str, ...]


def read_chunks(
    dataset: ImageFolder,
    resolution: int,
    batch_size: int,
    *,
    mean: Sequence[float] = IMAGENET[0],
    std: Sequence[float] = IMAGENET[1],
    strict: bool = False,
    workers: int = 0,
    indices: Sequence[int] | None = None,
) -> Iterator[Chunk]:
    """A chunk for every `batch_size` of the indices (default: all), in order, whatever is broken in it.

    strict, workers: as of `batches`
    """
    if batch_size < 1:
        raise InputError(f"batch size is {batch_size}, expected at least 1")
    chosen = range(len(dataset)) if indices is None else indices
    prepared = _Prepared(dataset, chosen, resolution, tuple(mean), tuple(std))
    own = torch.Generator()  # or each loader would draw from torch's global generator
    for rows in DataLoader(prepared, batch_size, num_workers=workers, collate_fn=list, generator=own):
        faults = [(fault, dataset.names[i]) for fault, _, i in rows if isinstance(fault, str)]
        if faults and strict:
            raise InputError(f"{dataset.path}: {faults[0][1]} cannot be read as an image: {faults[0][0]}")
        good = [(image, label) for image, label, _ in rows if not isinstance(image, str)]
        images = torch.stack([image for image, _ in good]) if good else None
        labels = torch.tensor([label for _, label in good], dtype=torch.int64)
        yield Chunk(images, labels, tuple(name for _, name in faults))


def batches(
    dataset: ImageFolder,
    resolution: int,
    batch_size: int,
    *,
    mean: Sequence[float] = IMAGENET[0],
    std: Sequence[float] = IMAGENET[1],
    limit: int | None = None,
    strict: bool = False,
    workers: int = 0,
    indices: Sequence[int] | None = None,
    broken: list[str] | None = None,
) -> Iterator[tuple[Tensor, Tensor]]:
    """Images (N, 3, R, R) float32 and labels (N,) int64, N <= batch_size, in order.

    limit: only the first so many images (of a sorted folder: those of its first classes; see `random_indices`)
    indices: these images, in this order (default: all); batches are cut from this list, so that a broken image
        makes its batch smaller and moves no other
    strict: whether a broken image is an InputError rather than skipped
    workers: processes that decode; 0 decodes here
    broken: takes the names of skipped images; without it they are named on standard error at the end
    Raises InputError where not one image can be read.
    """
    chosen = list(range(len(dataset)) if indices is None else indices)[:limit]
    skipped: list[str] = []
    for chunk in read_chunks(
        dataset, resolution, batch_size, mean=mean, std=std, strict=strict, workers=workers, indices=chosen
    ):
        skipped += chunk.broken
        if broken is not None:
            broken += chunk.broken
        if chunk.images is not None:
            yield chunk.images, chunk.labels
    if skipped and len(skipped) == len(chosen):
        raise InputError(f"{dataset.path}: none of {len(chosen)} images can be read, the first is {skipped[0]}")
    if skipped and broken is None:
        print(broken_line(dataset, skipped), file=sys.stderr)


def broken_line(dataset: ImageFolder, names: Sequence[str]) -> str:
    """A warning that names the images which could not be read."""
    shown = ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
    skipped = "1 broken image is skipped" if len(names) == 1 else f"{len(names)} broken images are skipped"
    return f"warning: {dataset.path}: {skipped}: {shown} (--strict makes this an error)"


def random_indices(dataset: ImageFolder, count: int, seed: int = 0) -> list[int]:
    """At most `count` different images, chosen at random, in random order.

    A folder's own order would make batches of one class each, and calibrating normalises by the batch.
    """
    return [int(i) for i in np.random.default_rng(seed).permutation(len(dataset))[:count]]


def normalisation(mean: str, std: str | None = None) -> tuple[Triple, Triple]:
    """Mean and std as flags give them: "imagenet", "half", one number or three, "0.485,0.456,0.406".

    std: default the std that goes with the mean's name. Raises InputError for anything else.
    """
    if std is None and mean not in NORMALISATIONS:
        raise InputError(f"--mean {mean} needs --std (it comes of itself with --mean imagenet and --mean half)")
    std = mean if std is None else std
    means = NORMALISATIONS[mean][0] if mean in NORMALISATIONS else _triple("--mean", mean)
    stds = NORMALISATIONS[std][1] if std in NORMALISATIONS else _triple("--std", std)
    if min(stds) <= 0:
        raise InputError(f"--std is {std}, expected more than 0")
    return means, stds


def _triple(flag: str, text: str) -> Triple:
    try:
        numbers = [float(number) for number in text.split(",")]
    except ValueError:
        numbers = []
    numbers = numbers * 3 if len(numbers) == 1 else numbers
    if len(numbers) != 3 or not all(math.isfinite(n) for n in numbers):
        names = ", ".join(NORMALISATIONS)
        raise InputError(f"{flag} is {text!r}, expected {names}, a number, or three such as 0.485,0.456,0.406")
    return numbers[0], numbers[1], numbers[2]
