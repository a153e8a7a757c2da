"""CIFAR-10 and CIFAR-100 as their authors publish them for C ("binary version"): no pickle is ever loaded."""

from __future__ import annotations

import io
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ofa.errors import InputError
from ofa.images.classes import class_index
from ofa.images.files.folder import SPELLINGS, ImageFolder
from ofa.images.files.names import shown
from ofa.reading.structured import content_of

SIDE = 32
_PIXELS = 3 * SIDE * SIDE
# per data set: files of each split, the file of class names, and label bytes of a row (the last is the class)
LAYOUTS = (
    ({"train": [f"data_batch_{i}.bin" for i in range(1, 6)], "val": ["test_batch.bin"]}, "batches.meta.txt", 1),
    ({"train": ["train.bin"], "val": ["test.bin"]}, "fine_label_names.txt", 2),
)


class Cifar(ImageFolder):
    """An `ImageFolder` whose images lie in CIFAR's files; "val" is what its authors call the test set."""

    def __init__(
        self,
        path: Path,
        layout: tuple[dict[str, list[str]], str, int],
        split: str,
        classes: Mapping[str, int] | None = None,
    ) -> None:
        files, names, label_bytes = layout
        split = SPELLINGS.get(split.lower(), split)
        if split not in files:
            raise InputError(f"{path} has no split {split}, only {', '.join(files)}")
        self.path, self.splits, self.split = path, tuple(files), split
        self.faults, self.left_out = {}, ()
        listed = _class_names(path / names)
        rows = np.concatenate([_rows(path / file, label_bytes) for file in files[split]])
        numbers = rows[:, label_bytes - 1].astype(int)
        count = len(listed) or int(numbers.max()) + 1
        if numbers.max() >= count:
            raise InputError(f"{path / names} names {count} classes, but there is an image of class {numbers.max()}")
        self.classes = tuple(listed or (f"class{i:02d}" for i in range(count)))
        self.class_index = class_index(path, self.classes, classes)
        self.labels = tuple(self.class_index[self.classes[i]] for i in numbers)
        self.names = tuple(f"{split}/{i}" for i in range(len(rows)))
        self._pixels = rows[:, label_bytes:].reshape(-1, 3, SIDE, SIDE)

    def read(self, i: int) -> bytes:
        """The i-th image, encoded without loss."""
        from PIL import Image

        file = io.BytesIO()
        Image.fromarray(self._pixels[i].transpose(1, 2, 0)).save(file, "BMP")
        return file.getvalue()

    def size(self, i: int) -> int:  # noqa: ARG002, all are as large
        """Bytes of the i-th image's pixels."""
        return _PIXELS

    def close(self) -> None:
        """Nothing is open."""


def _class_names(path: Path) -> list[str]:
    """The names in a file, one a class; none where it is not there."""
    try:
        listed = content_of(path).decode().split() if path.is_file() else []
    except UnicodeDecodeError:
        raise InputError(f"{path}: is not UTF-8") from None
    if len(set(listed)) < len(listed):
        raise InputError(f"{path}: {shown(next(name for name in listed if listed.count(name) > 1))} is listed twice")
    return listed


def _rows(path: Path, label_bytes: int) -> NDArray[np.uint8]:
    """(N, label_bytes + 3072) of a file."""
    if not path.is_file():
        raise InputError(f"{path}: no such file")
    content = np.fromfile(path, np.uint8)
    if not len(content) or len(content) % (label_bytes + _PIXELS):
        raise InputError(f"{path}: damaged: {len(content)} bytes are not rows of {label_bytes + _PIXELS}")
    return content.reshape(-1, label_bytes + _PIXELS)
