"""The one way to a data set, whatever it is: a folder, a zip, or CIFAR."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from ofa.errors import InputError
from ofa.images.files.cifar import LAYOUTS, Cifar
from ofa.images.files.folder import ImageFolder
from ofa.optional_packages import require

_TARS = (".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz", ".tar.zst")


def open_images(
    path: str | os.PathLike[str], *, split: str = "val", classes: Mapping[str, int] | None = None
) -> ImageFolder:
    """The images of a folder, a zip, or one of the CIFAR data sets: see `ImageFolder`. Needs Pillow."""
    require("PIL", "reading images")
    folder = Path(path)
    for layout in LAYOUTS:
        for inner in (folder, folder / "cifar-10-batches-bin", folder / "cifar-100-binary"):
            if (inner / layout[0]["train"][0]).is_file():
                return Cifar(inner, layout, split, classes)
    if (folder / "data_batch_1").is_file() or (folder / "cifar-10-batches-py").is_dir():
        raise InputError(
            f"{path}: this is CIFAR's version for Python, pickles, which are not loaded: take the binary version "
            "(cifar-10-binary.tar.gz or cifar-100-binary.tar.gz) from the same page"
        )
    if folder.is_file() and folder.name.lower().endswith(_TARS):
        raise InputError(f"{path}: unpack it first: folders and zips are read, tars are not")
    return ImageFolder(path, split=split, classes=classes)
