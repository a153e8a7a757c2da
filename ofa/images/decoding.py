"""One encoded image becomes pixels in RGB, by Pillow alone."""

from __future__ import annotations

import io
import os
import struct
import warnings
import zipfile
import zlib
from typing import Any

from ofa.errors import InputError


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
