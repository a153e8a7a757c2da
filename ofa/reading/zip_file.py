"""Zip files without surprises: whether a file is one, and what the module raises for a damaged one."""

from __future__ import annotations

import struct
import zipfile
from pathlib import Path

# of a directory that is none: of a version to come, at a place before the file, with names that are no text
DAMAGED = (zipfile.BadZipFile, NotImplementedError, ValueError, OverflowError, struct.error, EOFError)


def is_zip(path: Path) -> bool:
    """Whether it is meant as one: a damaged one too, which whoever opens it will name."""
    try:
        return path.is_file() and zipfile.is_zipfile(path)
    except zipfile.BadZipFile:  # of several disks, says a damaged end
        return True
