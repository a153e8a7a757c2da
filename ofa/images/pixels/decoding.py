"""One encoded image becomes upright pixels in RGB, by Pillow alone, in under 1 GB whatever the image claims to be.

What is done, in this order: an image that would need more memory is refused before a pixel is decoded; a large JPEG is
decoded at half size or less; what is still large is made smaller band by band; 16 bits are scaled to 8, transparent
parts are laid on white; the orientation of the EXIF data is applied.
"""

from __future__ import annotations

import importlib.util
import io
import math
import os
import struct
import warnings
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np

from ofa.images.files.names import shown
from ofa.optional_packages import missing_package

MOST_MEMORY = 900 << 20  # bytes that one image may take, its file included
MOST_PIXELS = 1 << 28  # or a file of a few kilobytes could take minutes
LARGE = 32_000_000  # pixels; what has more is made smaller, by a whole factor
LEAST_SIDE = 512  # pixels; the shorter side is made no smaller than that
BAND = 1 << 22  # pixels that are converted at once
LONGEST_REASON = 200
BACKGROUND = (255, 255, 255)  # below transparent parts: white, as on a page

SUFFIXES = (
    ".avif", ".bmp", ".gif", ".heic", ".heif", ".jfif", ".jpe", ".jpeg", ".jpg", ".pbm", ".pgm", ".png", ".pnm", ".ppm",
    ".tif", ".tiff", ".webp",
)  # fmt: skip
_HEIF_BRANDS = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1")
# bytes a pixel while decoding, beyond Pillow's own image: measured with Pillow 13
_WORKING_BYTES = {"AVIF": 8, "HEIF": 6, "TIFF": 4, "WEBP": 12}
_PROGRESSIVE_BYTES = 6
_JPEG = ("JPEG", "MPO")
_EXIF_ORIENTATION = 0x0112
_DEEP = ("I;16", "I;16L", "I;16B", "I;16N")


class Unreadable(ValueError):
    """An image that is not read; the message is the reason."""


def unreadable() -> tuple[type[Exception], ...]:
    """What Pillow and zipfile raise for damaged or hostile files."""
    from PIL import Image

    damaged = (OSError, SyntaxError, ValueError, EOFError, struct.error, zlib.error, zipfile.BadZipFile)
    refused = (NotImplementedError, RuntimeError)  # oddly compressed zip members
    surprised = (ArithmeticError, AssertionError, AttributeError, LookupError, TypeError)  # Pillow, by nonsense in tags
    return (*damaged, *refused, *surprised, Image.DecompressionBombError)


def reason_of(error: Exception) -> str:
    """Why an image is broken, on one line: what was raised, one of `unreadable()`."""
    from PIL import UnidentifiedImageError

    if isinstance(error, Unreadable):
        return str(error)
    if isinstance(error, UnidentifiedImageError):
        return "UnidentifiedImageError: no image of a known kind"  # Pillow names a place in memory
    return shown(f"{type(error).__name__}: {error}")[:LONGEST_REASON]


def missing(suffix: str) -> str | None:
    """How to install what reads files of this suffix, one of SUFFIXES; None where nothing is missing."""
    if suffix in (".heic", ".heif"):
        found = importlib.util.find_spec("pillow_heif") is not None
        return None if found else "pip install pillow-heif reads them"
    if suffix == ".avif":
        from PIL import Image

        Image.init()
        return None if "AVIF" in Image.OPEN else "pip install -U pillow reads them"
    return None


def decode(source: str | os.PathLike[str] | bytes) -> Any:
    """A PIL image in RGB, upright, of a file or encoded bytes: the first frame or page; see `unreadable`.

    Of more than LARGE pixels only a smaller version is given, or the middle of a long strip.
    """
    with _opened(source) as image:
        file_bytes = len(source) if isinstance(source, bytes) else Path(source).stat().st_size
        stored, factor = image.size, _factor(image.size)
        if image.format in _JPEG and factor > 1:
            image.draft(None, (image.width // factor, image.height // factor))
        _check_memory(image, stored, file_bytes)
        try:
            image.load()
        except MemoryError:
            raise Unreadable(f"{image.width} x {image.height} pixels do not fit into memory") from None
        small = _reduced(image, _factor(image.size))
        orientation = _orientation(image)  # a TIFF is upright by now, and says so
    return _upright(small, orientation)


def image_size(source: str | os.PathLike[str] | bytes) -> tuple[int, int]:
    """Width and height, pixels, of an image as it is stored, upright, without decoding it; see `unreadable`."""
    with _opened(source) as image:
        width, height = image.size
        # a TIFF's size is already the upright one
        sideways = image.format != "TIFF" and _orientation(image) > 4
    return (height, width) if sideways else (width, height)


@contextmanager
def _opened(source: str | os.PathLike[str] | bytes) -> Iterator[Any]:
    try:
        from PIL import Image
    except ImportError:
        raise missing_package("PIL", "reading images") from None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # remarks on odd EXIF data and palettes
        if _is_heif(source):
            _register_heif()
        file = io.BytesIO(source) if isinstance(source, bytes) else source
        with _PILLOWS_LIMIT.lifted(Image), Image.open(file) as image:
            yield image


class _Limit:
    """Pillow's limit is a number of pixels, whatever they cost; ours takes its place, in all threads at once.

    Pillow reads it twice in a check: put back by one thread while another opens an image, it made a good one fail.
    """

    def __init__(self) -> None:
        self._lock, self._open, self._kept = Lock(), 0, None

    @contextmanager
    def lifted(self, pillow: Any) -> Iterator[None]:
        with self._lock:
            if self._open == 0:
                self._kept, pillow.MAX_IMAGE_PIXELS = pillow.MAX_IMAGE_PIXELS, None
            self._open += 1
        try:
            yield
        finally:
            with self._lock:
                self._open -= 1
                if self._open == 0:
                    pillow.MAX_IMAGE_PIXELS = self._kept


_PILLOWS_LIMIT = _Limit()


def _is_heif(source: str | os.PathLike[str] | bytes) -> bool:
    if isinstance(source, bytes):
        head = source[:12]
    else:
        with Path(source).open("rb") as file:
            head = file.read(12)
    return head[4:8] == b"ftyp" and head[8:] in _HEIF_BRANDS


@cache
def _register_heif() -> None:
    if importlib.util.find_spec("pillow_heif") is None:
        raise Unreadable("this is a HEIC image: pip install pillow-heif reads it")
    importlib.import_module("pillow_heif").register_heif_opener()


def _check_memory(image: Any, stored: tuple[int, int], file_bytes: int) -> None:
    """Unreadable where decoding would take more than MOST_MEMORY, or very long; `stored`: its size in the file."""
    shown, pixels = f"{stored[0]} x {stored[1]} pixels", stored[0] * stored[1]
    if pixels > MOST_PIXELS:
        raise Unreadable(f"{shown} are more than {MOST_PIXELS:,}")
    own = 2 if image.mode in _DEEP else 1 if image.mode in ("1", "L", "P") else 4
    working = _WORKING_BYTES.get(image.format, 0)
    if image.format in _JPEG and image.info.get("progressive"):
        working = _PROGRESSIVE_BYTES
    if image.format == "TIFF" and _orientation(image) != 1:
        working += own  # Pillow turns it by itself
    needed = file_bytes + image.width * image.height * own + pixels * working
    if needed > MOST_MEMORY:
        raise Unreadable(f"{shown} would take {needed / 1e9:.1f} GB to decode")


def _factor(size: tuple[int, int]) -> int:
    """By how much an image of this size is made smaller; 1 for ordinary ones."""
    wanted = math.ceil(math.sqrt(size[0] * size[1] / LARGE))
    return max(1, min(wanted, min(size) // LEAST_SIDE))


def _reduced(image: Any, factor: int) -> Any:
    """An RGB image whose pixels are means of factor x factor; at most LARGE of them, from the middle of a strip."""
    from PIL import Image

    width, height = image.size
    if width * height <= LARGE:
        return _rgb(image, image.format)
    most = LARGE * factor * factor
    if width >= height:
        width = min(width, most // height)
    else:
        height = min(height, most // width)
    left, top = (image.width - width) // 2, (image.height - height) // 2
    small = Image.new("RGB", (math.ceil(width / factor), math.ceil(height / factor)))
    rows = factor * max(1, BAND // (factor * width))
    for start in range(0, height, rows):
        band = image.crop((left, top + start, left + width, top + min(start + rows, height)))
        small.paste(_rgb(band, image.format).reduce(factor), (0, start // factor))
    return small


def _rgb(image: Any, file_format: str | None) -> Any:
    """A PIL image, or a band of one, as 8-bit RGB."""
    from PIL import Image

    if image.mode in _DEEP or (image.mode == "I" and file_format in ("PNG", "PPM")):
        return Image.fromarray((np.asarray(image) >> 8).clip(0, 255).astype(np.uint8)).convert("RGB")
    if image.mode == "I":
        raise Unreadable("its pixels are 32-bit whole numbers: which of them is white is not known")
    if image.mode == "F":
        values = np.asarray(image)
        if not (values.min() >= 0 and values.max() <= 1):
            raise Unreadable(f"its pixels are numbers from {values.min():g} to {values.max():g}, expected 0 to 1")
        return Image.fromarray((values * 255).round().astype(np.uint8)).convert("RGB")
    if image.mode in ("LA", "La", "PA", "RGBA", "RGBa") or "transparency" in image.info:
        colours = image.convert("RGBA")
        laid = Image.new("RGB", image.size, BACKGROUND)
        laid.paste(colours.convert("RGB"), mask=colours.getchannel("A"))
        return laid
    return image.convert("RGB")


def _orientation(image: Any) -> int:
    """1 to 8, as EXIF data give it; 1, upright, where nothing is known."""
    try:
        orientation = image.getexif().get(_EXIF_ORIENTATION, 1)
    except unreadable():
        return 1  # damaged EXIF data are no damaged image
    return orientation if orientation in range(1, 9) else 1


def _upright(image: Any, orientation: int) -> Any:
    from PIL.Image import Transpose

    turns = (
        Transpose.FLIP_LEFT_RIGHT,
        Transpose.ROTATE_180,
        Transpose.FLIP_TOP_BOTTOM,
        Transpose.TRANSPOSE,
        Transpose.ROTATE_270,
        Transpose.TRANSVERSE,
        Transpose.ROTATE_90,
    )
    return image if orientation == 1 else image.transpose(turns[orientation - 2])
