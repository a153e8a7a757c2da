"""A format: a small sound file of it, and its reader; what a refusal must be."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ofa.errors import InputError

Files = Mapping[str, bytes]


@dataclass(frozen=True)
class Format:
    """name: of the file that is given; make: it and those beside it, sound; read: raises InputError, or believes."""

    name: str
    make: Callable[[Path], object]
    read: Callable[[Path], object]

    def files(self, folder: Path) -> dict[str, bytes]:
        """{name: content} of a sound input, made in an empty folder."""
        self.make(folder)
        return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def write(folder: Path, files: Files) -> None:
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)


def refusal(path: Path, read: Callable[[Path], object]) -> str | None:
    """What a reader says of a file that it refuses, None of one that it takes; whatever else it raises goes on."""
    try:
        read(path)
    except InputError as error:
        return str(error)
    return None


def fault_of(message: str, path: Path) -> str | None:
    """Why a message is not one that a user can act upon; None if it is."""
    if not message.isprintable():
        return "it is not one printable line"
    if len(message) - message.count(str(path.parent)) * len(str(path.parent)) >= 400:
        return f"it has {len(message)} characters"
    named = (path.name, path.with_suffix(".json").name)
    return None if any(name in message for name in named) else f"it does not name {path.name}"


def safetensors(header: Any, data: bytes = b"") -> bytes:
    """A file with any header, as its format lays it out."""
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data


def with_metadata(content: bytes, **changes: Any) -> bytes:
    """A safetensors file with other metadata; None takes a key out."""
    length = struct.unpack("<Q", content[:8])[0]
    header = json.loads(content[8 : 8 + length])
    metadata = {**header.get("__metadata__", {}), **changes}
    header["__metadata__"] = {key: value for key, value in metadata.items() if value is not None}
    return safetensors(header, content[8 + length :])


def metadata_of(content: bytes) -> dict[str, str]:
    length = struct.unpack("<Q", content[:8])[0]
    found: dict[str, str] = json.loads(content[8 : 8 + length])["__metadata__"]
    return found
