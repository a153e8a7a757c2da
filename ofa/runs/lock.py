"""One run at a time writes a journal, a run folder or a result: who comes second is told who is at it.

The lock is the operating system's on a file beside what it guards, so that a dead process's is gone with it.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import re
import socket
import sys
from collections import deque
from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path

from ofa.errors import InputError
from ofa.reading.numbers import cut
from ofa.reading.structured import parse_object
from ofa.runs import system
from ofa.runs.files import make_folders, remove_empty

MOST_SWEPT = 10_000  # files and folders below one; a run writes some dozens
_TEMPORARY = re.compile(r"\..+\.[a-z0-9_]{8}\.tmp")  # of `replace_file`
_NOT_HERE = (errno.ENOLCK, errno.ENOTSUP, errno.EOPNOTSUPP)  # file systems without locks: nothing can be held there


class Lock:
    """Held from its making until `release`, or the process's end.

    A folder that it made for its file goes with it if nobody put anything there: a refused run leaves nothing.
    """

    def __init__(self, path: Path) -> None:
        """path: what is guarded, a file or a folder, there or not. InputError, naming the holder, where it is held."""
        self.path = path
        self._handle: int | None = None
        self._made: list[Path] = []
        # "." and ".." have no name of their own; with it, every way to write a folder leads to one lock
        self._guarded = path if path.name not in ("", "..") else Path(os.path.realpath(path))
        self._file = self._guarded.with_name(f".{self._guarded.name}.lock")
        try:
            self._take()
        except BaseException:
            remove_empty(self._made)
            raise
        if self._handle is not None:
            os.ftruncate(self._handle, 0)
            os.write(self._handle, this_process())
            sweep(self._guarded)

    def _take(self) -> None:
        while self._handle is None:
            self._made = make_folders(self._file.parent) or self._made
            try:
                handle = system.open_lock(self._file)
            except FileNotFoundError:
                if self._file.parent.is_dir():
                    raise
                continue  # a run that was refused took the folder away that it had made
            try:
                is_free = system.try_lock(handle)
            except OSError as error:
                os.close(handle)
                if error.errno not in _NOT_HERE:
                    raise
                return
            if not is_free:
                holder = os.read(handle, 4096)
                os.close(handle)
                raise InputError(f"{self.path} is being written by {holder_in(holder)}: wait for its end, or stop it")
            if _same(handle, self._file):
                self._handle = handle
            else:
                os.close(handle)  # its holder took it away when it was done: another is to be made

    def release(self) -> None:
        """Gives it back; a second time does nothing."""
        if self._handle is not None:
            handle, self._handle = self._handle, None
            system.give_back_lock(handle, self._file)
        made, self._made = self._made, []
        remove_empty(made)

    def __del__(self) -> None:
        self.release()

    def __enter__(self) -> Lock:
        return self

    def __exit__(self, *_: object) -> None:
        self.release()


def sweep(path: Path) -> None:
    """Takes away what a killed process left half-written of a file, or of all files below a folder.

    Of a folder that holds far more than any run writes, such as `--out ~`, only what is near is looked at.

    Whoever writes below the folder under a lock of its own, and still lives, keeps its file.
    """
    left = list(path.parent.glob(f".{glob_escaped(path.name)}.*.tmp"))
    if path.is_dir():
        left += [Path(file) for file in islice(_below(path), MOST_SWEPT) if _TEMPORARY.fullmatch(file.name)]
    for file in left:
        with contextlib.suppress(OSError):  # held by a living process, or gone meanwhile
            system.remove_if_dead(file)


def _below(folder: Path) -> Iterator[os.DirEntry[str]]:
    """Whatever is in a folder and in those below it, the nearest first; no link is followed."""
    folders: deque[str | Path] = deque([folder])
    while folders:
        with contextlib.suppress(OSError), os.scandir(folders.popleft()) as entries:  # gone, or not ours to read
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    folders.append(entry.path)
                yield entry


def glob_escaped(name: str) -> str:
    """A name that `glob` takes as it is."""
    return "".join(f"[{c}]" if c in "*?[" else c for c in name)


def this_process() -> bytes:
    """Who holds a lock, as its file says it."""
    holder = {
        "process": os.getpid(),
        "host": socket.gethostname(),
        "since": f"{datetime.now(UTC):%Y-%m-%d %H:%M:%S} UTC",
        "command": system.typed([Path(sys.argv[0]).name, *sys.argv[1:]])[:300] if sys.argv else "",
    }
    return json.dumps(holder).encode()


def holder_in(holder: bytes) -> str:
    """The holder for a message; the file is anyone's to write, so it is shown escaped."""
    with contextlib.suppress(InputError):
        facts = parse_object(holder, "lock")
        process, host, since, command = (facts.get(key, "not known") for key in ("process", "host", "since", "command"))
        text = f"process {process} on {host} since {since} ({command})"
        return cut(ascii(text)[1:-1], 300)
    return "another process"


def _same(handle: int, path: Path) -> bool:
    try:
        there = path.stat()
    except FileNotFoundError:
        return False
    own = os.fstat(handle)
    return (own.st_ino, own.st_dev) == (there.st_ino, there.st_dev)
