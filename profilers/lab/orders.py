"""What a run and a host tell each other of a job: plain values, which any process can send."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from ofa.runs.files import replace_file

LOG = "log.txt"
# what only ever grows at its end comes back piece by piece
GROWING = (".jsonl", ".txt")
PIECE_BYTES = 4 << 20


@dataclass(frozen=True)
class Order:
    """A job for a host.

    job: its name in the run, such as tables/phone-1a2b3c4d5e6f; device: the id of the device that it is for
    words: module and arguments of the command, run in the job's own folder
    run: tells this run from all others; by: who asked, in words
    threads, cpus: of the host's own CPU, where those are timed
    """

    job: str
    device: str
    words: tuple[str, ...]
    run: str
    by: str
    threads: int = 0
    cpus: tuple[int, ...] = ()

    @property
    def key(self) -> str:
        """The same for every attempt at the job."""
        return hashlib.sha256(f"{self.run}\0{self.job}".encode()).hexdigest()[:24]


@dataclass(frozen=True)
class Begun:
    """What became of an order: it runs (both empty), waits for something, or is refused.

    by_run: of an order that waits for another job, whose run that is
    """

    waits: str = ""
    refused: str = ""
    by_run: str = ""


@dataclass(frozen=True)
class FilePiece:
    """A part of a file: data, from a byte on. mark: what to say next time to get only what is new; whole: all of it"""

    name: str
    start: int
    data: bytes
    mark: str
    whole: bool = False


@dataclass(frozen=True)
class Look:
    """How a job is. state: runs, ended, or unknown to this host

    code: of the command, once it has ended; more: whether there is more to fetch
    sums: {file: SHA-256}, once it has ended
    """

    state: str
    pieces: tuple[FilePiece, ...] = ()
    code: int | None = None
    more: bool = False
    sums: Mapping[str, str] = field(default_factory=dict)


def safe_name(name: str) -> bool:
    """Whether a name leads to a file in the folder that it is for."""
    path = PurePosixPath(name)
    return (
        bool(path.parts) and not path.is_absolute() and ".." not in path.parts and "\\" not in name and "\0" not in name
    )


def files_in(folder: Path) -> dict[str, Path]:
    """{name: file} of a job's folder; not the hidden ones: locks, and what is half-written."""
    found = {path.relative_to(folder).as_posix(): path for path in sorted(folder.rglob("*")) if path.is_file()}
    return {name: path for name, path in found.items() if not any(part[:1] == "." for part in name.split("/"))}


def write_whole(path: Path, content: bytes) -> None:
    """A file in place of an older one, whole or not at all."""
    replace_file(path, lambda temporary: temporary.write_bytes(content))
