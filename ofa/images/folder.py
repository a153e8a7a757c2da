"""The images of a folder or zip, by name: layouts, splits, classes. Nothing is decoded; Pillow is not needed.

A zip is read in memory, nothing of it is ever written to disk.
"""

from __future__ import annotations

import os
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from ofa.errors import InputError
from ofa.images.classes import class_index

SUFFIXES = (".bmp", ".jpeg", ".jpg", ".png", ".webp")
SPLITS = ("train", "val", "test")
LARGEST_FILE = 1 << 28  # bytes; a zip member that unpacks to more is refused


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
    faults: why images cannot be read, by name, of those that were tried so far
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
        self.faults: dict[str, str] = {}
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
        self.class_index = class_index(self.path, self.classes, classes)
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
