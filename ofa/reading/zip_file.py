"""Whether a file is a zip, asked without surprises."""

from __future__ import annotations

import zipfile
from pathlib import Path


def is_zip(path: Path) -> bool:
    """Whether it is meant as one: a damaged one too, which whoever opens it will name."""
    try:
        return zipfile.is_zipfile(path)
    except zipfile.BadZipFile:  # of several disks, says a damaged end
        return True
