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
from ofa.images.files.labels import Labels, find_labels
from ofa.images.files.listing import File, LeftOut, Listing, Parts, list_folder, list_zip, summary
from ofa.images.files.names import composed, shown
from ofa.images.pixels.decoding import SUFFIXES, Unreadable, missing
from ofa.reading.zip_file import DAMAGED, is_zip

SPLITS = ("train", "val", "test")
SPELLINGS = {
    "train": "train", "training": "train",
    "val": "val", "valid": "val", "validation": "val", "dev": "val",
    "test": "test", "testing": "test",
}  # fmt: skip
LARGEST_FILE = 1 << 29  # bytes; a larger file is not read


class ImageFolder:
    """The images of a folder or zip, by name: their encoded bytes and labels. Nothing is decoded.

    Layouts: split folders (train, val, test, however they are spelled) over class folders, class folders alone, or
    images alone, with labels from a CSV (`files.labels`) or without. A single folder around all of that is
    looked through. What begins with a dot or __MACOSX is not looked at.

    path: as given
    splits: those of train, val and test that there are, none if the layout has none
    split: the one chosen, "" if the layout has none
    classes: names of the class folders, sorted; empty ones too, so that labels do not depend on what they hold
    class_index: the label of every class folder: its position, or what `classes` says
    names: paths of the images inside the folder or zip, sorted; what cannot be shown in them is escaped
    labels: one an image; -1 where the layout has no classes
    left_out: what lies there and is not used
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
        if self._zipped and not (self.path.is_file() and is_zip(self.path)):
            raise InputError(f"{self.path}: expected a folder of images, or a zip of one")
        listing = self._listed()
        images, left_out = sorted_out(listing)
        if not images:
            raise InputError(no_images(self.path, left_out))
        top = _wrapping([file.parts for file in images], listing.folders)
        spelled = _split_folders(self.path, top, listing.folders, images)
        self.splits = tuple(name for name in SPLITS if name in spelled)
        self.split = ""
        if self.splits:
            self.split = SPELLINGS.get(split.lower(), split)
            if self.split not in self.splits:
                raise InputError(f"{self.path} has no folder {split}, only {', '.join(sorted(spelled.values()))}")
            left_out += [
                LeftOut(file.parts, f"images outside {', '.join(sorted(spelled.values()))}")
                for file in images
                if len(file.parts) <= len(top) + 1 or file.parts[len(top)] not in spelled.values()
            ]
            top = (*top, spelled[self.split])
        self._choose(top, listing, images, left_out, classes)

    def _choose(
        self,
        top: Parts,
        listing: Listing,
        images: Sequence[File],
        left_out: list[LeftOut],
        given: Mapping[str, int] | None,
    ) -> None:
        """Takes the images below `top`, and their labels."""
        below = [file for file in images if file.parts[: len(top)] == top]
        if not below:
            raise InputError(f"{self.path}: {'/'.join(top)} holds no images ({', '.join(SUFFIXES)})")
        folders = {f[len(top)] for f in listing.folders if len(f) > len(top) and f[: len(top)] == top}
        table: Labels | None = None
        if len(folders) <= 1:
            loose = any(len(file.parts) == len(top) + 1 for file in below)
            near = top if loose else (*top, *folders)
            table = find_labels(near, listing.files, [file.parts for file in images], self._content, self.path)
        if table is not None:
            kind = f"images that {table.where.rpartition('/')[2]} does not list"
            left_out += [*table.remarks, *(LeftOut(file.parts, kind) for file in below if file.parts not in table.of)]
            below = [file for file in below if file.parts in table.of]
            if not below:
                raise InputError(f"{table.where} lists no image of {'/'.join(top) or self.path}")
            self.classes = table.classes()
            class_of = [table.of[file.parts] for file in below]
        else:
            self.classes = tuple(sorted({composed(name) for name in folders}))
            if self.classes:
                stray = next((file for file in below if len(file.parts) == len(top) + 1), None)
                if stray is not None:
                    raise InputError(
                        f"{self.path}: {'/'.join(stray.parts)} lies beside the class folders, in none of them"
                    )
            class_of = [composed(file.parts[len(top)]) for file in below] if self.classes else []
        self.class_index = class_index(self.path, self.classes, given)
        self.names = tuple("/".join(file.parts) for file in below)
        self._places = tuple(file.place for file in below)
        self.labels = tuple(self.class_index[name] for name in class_of) if self.classes else (-1,) * len(below)
        used = None if table is None else table.where
        self.left_out = tuple(
            item
            for item in sorted(left_out, key=lambda item: item.parts)
            if f"{self.path}/{'/'.join(item.parts)}" != used and not _of_another_split(item, top, self.splits)
        )

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

    @property
    def called(self) -> str:
        """Its path, on one line whatever is in it."""
        return shown(str(self.path))

    def left_out_line(self) -> str | None:
        """A line that says what is left out, by kind; None where nothing is."""
        return f"{self.called}: {summary(self.left_out)}" if self.left_out else None

    def read(self, i: int) -> bytes:
        """The i-th image, encoded. OSError, ValueError or zipfile's errors where it cannot be read."""
        return self._content(File((), self._places[i]))

    def size(self, i: int) -> int:
        """Bytes of the i-th image, encoded; 0 where that cannot be told."""
        try:
            if self._zipped:
                return self._opened().getinfo(self._places[i]).file_size
            return (self.path / self._places[i]).stat().st_size
        except (OSError, KeyError):
            return 0

    def _content(self, file: File) -> bytes:
        if not self._zipped:
            path = self.path / file.place
            check_size(path.stat().st_size)
            return path.read_bytes()
        archive = self._opened()
        member = archive.getinfo(file.place)
        check_size(member.file_size)
        if member.flag_bits & 1:
            raise Unreadable("it is encrypted, and zips with a password are not read")
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

    def _listed(self) -> Listing:
        if not self._zipped:
            return list_folder(self.path)
        try:
            archive = self._opened()
        except DAMAGED as error:
            raise InputError(f"{self.path}: damaged zip: {error}") from None
        return list_zip(archive)


def check_size(size: int) -> None:
    """Unreadable where a file has too many bytes to be read as an image."""
    if size > LARGEST_FILE:
        raise Unreadable(f"it has {size:,} bytes, more than {LARGEST_FILE:,}")


def sorted_out(listing: Listing) -> tuple[list[File], list[LeftOut]]:
    """The images that can be read, by their endings, and what else there is."""
    images: list[File] = []
    left_out = list(listing.left_out)
    remedies: dict[str, str | None] = {}
    for file in listing.files:
        suffix = PurePosixPath(file.parts[-1]).suffix.lower()
        if suffix in SUFFIXES and suffix not in remedies:
            remedies[suffix] = missing(suffix)
        remedy = remedies.get(suffix)
        if suffix in SUFFIXES and remedy is None:
            images.append(file)
        else:
            remedy = "unpack it: zips within are not opened" if suffix == ".zip" else remedy or ""
            left_out.append(LeftOut(file.parts, suffix or "without an ending", remedy))
    return images, left_out


def no_images(path: Path, left_out: Sequence[LeftOut]) -> str:
    """What is wrong with a folder or zip without images: what it holds instead."""
    because = f"; {summary(left_out)}" if left_out else ""
    return f"{path} holds no images ({', '.join(SUFFIXES)}){because}"


def _of_another_split(item: LeftOut, top: Parts, splits: Sequence[str]) -> bool:
    """Whether it lies in a split folder that is not the chosen one, `top`."""
    beside = item.parts[: len(top)]
    return bool(splits) and len(item.parts) > len(top) and beside != top and SPELLINGS.get(beside[-1].lower()) in splits


def _wrapping(names: Sequence[Parts], folders: set[Parts]) -> Parts:
    """The folders around everything: each holds one folder, with folders in it, and no image."""
    top: Parts = ()
    while True:
        inside = {f for f in folders if len(f) == len(top) + 1 and f[: len(top)] == top}
        only = next(iter(inside)) if len(inside) == 1 else None
        if only is None or only[-1].lower() in SPELLINGS or any(len(name) == len(top) + 1 for name in names):
            return top
        if not any(len(f) == len(only) + 1 and f[: len(only)] == only for f in folders):
            return top
        top = only


def _split_folders(path: Path, top: Parts, folders: set[Parts], images: Sequence[File]) -> dict[str, str]:
    """The folders of train, val and test, however they are spelled; none where there are none.

    Raises InputError for two spellings of one split, and where it cannot be told whether they are classes.
    """
    inside = sorted(f[-1] for f in folders if len(f) == len(top) + 1 and f[: len(top)] == top)
    spelled: dict[str, str] = {}
    for name in inside:
        split = SPELLINGS.get(name.lower())
        if split is not None and spelled.setdefault(split, name) != name:
            raise InputError(f"{path}: {spelled[split]} and {name} are both the split {split}: rename or remove one")
    below = [file.parts[len(top) :] for file in images]
    deep = any(len(parts) > 2 and parts[0] in spelled.values() for parts in below)
    beside = sorted({parts[0] for parts in below if len(parts) > 1 and parts[0] not in spelled.values()})
    if spelled and beside and not deep:
        raise InputError(
            f"{path}: {next(iter(spelled.values()))} is the name of a split, but {beside[0]} lies beside it: rename "
            "the folder if it is a class, or put class folders into it"
        )
    return spelled
