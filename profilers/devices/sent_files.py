"""Folders of files that are sent to a device, named by their content."""

from __future__ import annotations

import hashlib
import io
import tarfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO

SUMS = "sha256sums"


@dataclass(frozen=True)
class SentFolder:
    """name: its name on the device: the kind of its content, such as "models", and a hash of all of it

    files: {name in the folder: file here}, all directly in it; sums: {name: sha256}
    """

    kind: str
    name: str
    files: Mapping[str, Path]
    sums: Mapping[str, str]


def sent_folder(kind: str, files: Mapping[str, Path]) -> SentFolder:
    """Files to be on a device as one folder."""
    sums = {name: hashlib.sha256(files[name].read_bytes()).hexdigest() for name in sorted(files)}
    whole = hashlib.sha256(_sums_file(sums)).hexdigest()
    return SentFolder(kind, f"{kind}-{whole[:16]}", files, sums)


def write_tar(wanted: SentFolder, to: IO[bytes]) -> None:
    """Writes the folder, and its hashes as SUMS, as an archive whose bytes depend on nothing but names and contents."""
    with tarfile.open(fileobj=to, mode="w", format=tarfile.USTAR_FORMAT) as archive:

        def add(name: str, content: bytes) -> None:
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode = len(content), 0o755
            archive.addfile(entry, io.BytesIO(content))

        for name in wanted.sums:
            add(name, wanted.files[name].read_bytes())
        add(SUMS, _sums_file(wanted.sums))


def _sums_file(sums: Mapping[str, str]) -> bytes:
    """As sha256sum reads it."""
    return "".join(f"{digest}  {name}\n" for name, digest in sums.items()).encode()
