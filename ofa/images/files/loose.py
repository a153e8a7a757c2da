"""Photographs as they are named: files, folders and zips, whatever their folders mean; still encoded."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path

from ofa.errors import InputError
from ofa.images.files.folder import ImageFolder, check_size, no_images, sorted_out
from ofa.images.files.names import shown
from ofa.images.pixels.decoding import SUFFIXES, Unreadable
from ofa.optional_packages import require
from ofa.reading.zip_file import is_zip

# its name as it can be shown, and what reads its encoded bytes
Photograph = tuple[str, Callable[[], bytes]]


class LooseImages(ImageFolder):
    """Every image below a folder or in a zip: no splits, no classes, no labels.

    Raises InputError where there is none, or the zip is damaged.
    """

    def __init__(self, path: Path) -> None:
        self.path, self.faults = path, {}
        self._archive, self._zipped = None, not path.is_dir()
        images, left_out = sorted_out(self._listed())
        if not images:
            raise InputError(no_images(path, left_out))
        self.splits, self.split, self.classes, self.class_index = (), "", (), {}
        self.names = tuple("/".join(file.parts) for file in images)
        self._places = tuple(file.place for file in images)
        self.labels = (-1,) * len(images)
        self.left_out = tuple(sorted(left_out, key=lambda item: item.parts))


class NamedImages:
    """Images by the paths that a user gives, in that order: a folder's and a zip's sorted by name.

    A file is taken for an image whatever it is called: whoever decodes it will see. Files in folders and zips count by
    their endings, and the others are left out. Needs Pillow.

    left_out: a line for each folder or zip that holds something else
    """

    def __init__(self, paths: Sequence[Path]) -> None:
        """InputError where a path leads nowhere, or to a folder or zip without an image."""
        require("PIL", "reading images")
        for path in paths:
            if not path.exists():
                raise InputError(f"{path}: no such file, folder or zip")
        self._given = [(path, _container(path)) for path in paths]
        lines = [None if inside is None else inside.left_out_line() for _, inside in self._given]
        self.left_out = tuple(line for line in lines if line is not None)

    def __len__(self) -> int:
        return sum(1 if inside is None else len(inside) for _, inside in self._given)

    def __iter__(self) -> Iterator[Photograph]:
        for path, inside in self._given:
            if inside is None:
                yield shown(str(path)), partial(_read, path)
            else:
                for i, name in enumerate(inside.names):
                    yield f"{shown(str(path))}/{name}", partial(inside.read, i)
                inside.close()


def _container(path: Path) -> LooseImages | None:
    """The images in a folder or zip; None for a file."""
    # an image may end in a zip, as what some programs hide in it
    zipped = path.is_file() and path.suffix.lower() not in SUFFIXES and is_zip(path)
    return LooseImages(path) if zipped or path.is_dir() else None


def _read(path: Path) -> bytes:
    if not path.is_file():  # a device has no end
        raise Unreadable("it is a device or a pipe")
    check_size(path.stat().st_size)
    return path.read_bytes()
