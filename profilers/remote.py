"""What phones and boards have in common: folders of files named by their content, and which cores are the fastest."""

from __future__ import annotations

import hashlib
import io
import tarfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO

SUMS = "sha256sums"


@dataclass(frozen=True)
class Folder:
    """name: its name on the device: the kind of its content, such as "models", and a hash of all of it

    files: {name in the folder: file here}, all directly in it; sums: {name: sha256}
    """

    kind: str
    name: str
    files: Mapping[str, Path]
    sums: Mapping[str, str]


def folder(kind: str, files: Mapping[str, Path]) -> Folder:
    """Files to be on a device as one folder."""
    sums = {name: hashlib.sha256(files[name].read_bytes()).hexdigest() for name in sorted(files)}
    whole = hashlib.sha256(_sums_file(sums)).hexdigest()
    return Folder(kind, f"{kind}-{whole[:16]}", files, sums)


def write_tar(wanted: Folder, to: IO[bytes]) -> None:
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


def cpu_list(text: str) -> tuple[int, ...]:
    """The kernel's way to list CPUs, such as 0-3,6; () for what is none."""
    found: list[int] = []
    for part in filter(None, text.strip().split(",")):
        first, _, last = part.partition("-")
        if not (first.isdigit() and (last or first).isdigit()):
            return ()
        found += range(int(first), int(last or first) + 1)
    return tuple(found)


def fastest(usable: Iterable[int], max_khz: Mapping[int, int], count: int) -> list[int]:
    """The CPUs of the highest maximum clock, among equals the last, which are the big ones where no clock is told."""
    return sorted(sorted(usable, key=lambda cpu: (max_khz.get(cpu, 0), cpu))[-count:])
