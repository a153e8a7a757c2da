"""What an ELF file demands of the device that loads it."""

from __future__ import annotations

import struct
from collections.abc import Iterable
from pathlib import Path

LOAD = 1  # type of a segment that is mapped into memory


def least_alignment(file: Path) -> int | None:
    """The smallest alignment of a program's segments: pages may not be larger. None: it is no 64-bit ELF file."""
    with file.open("rb") as content:
        header = content.read(64)
        if len(header) < 64 or header[:6] != b"\x7fELF\x02\x01":  # 64 bits, little-endian
            return None
        (start,), (size, count) = struct.unpack_from("<Q", header, 32), struct.unpack_from("<HH", header, 54)
        content.seek(start)
        table = content.read(size * count)
    if size < 56 or len(table) < size * count:
        return None
    entries = [struct.unpack_from("<IIQQQQQQ", table, number * size) for number in range(count)]
    return min((max(1, alignment) for kind, *_, alignment in entries if kind == LOAD), default=None)


def too_small_for(pages: int, files: Iterable[Path]) -> list[Path]:
    """The files that a device with pages of so many bytes cannot load."""
    return [file for file in files if (alignment := least_alignment(file)) is not None and alignment % pages]
