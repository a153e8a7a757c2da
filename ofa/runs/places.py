"""Where a run writes: looked at before the work, and temporary folders that a killed run does not leave for ever."""

from __future__ import annotations

import errno
import os
import re
import shutil
import tempfile
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from ofa.errors import InputError
from ofa.reading.files import refuse_endless
from ofa.reading.numbers import cut, short
from ofa.reading.structured import read_json
from ofa.runs import system

LEAST_FREE_MIB = 64
_FULL_BYTES = 1 << 20  # what is left free by a write that did not fit
# control characters, the separators of lines and paragraphs, and what turns the direction of writing
_NEVER_SHOWN = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")


def check_writable(path: Path, *, folder: bool = False, name: str = "--out") -> None:
    """InputError, before any work is done, where a file, or a folder of files, cannot be written there.

    name: what the user calls it
    """
    if "\0" in str(path):
        raise InputError(f"{name} is {short(str(path))}, which no file can be called")
    if _NEVER_SHOWN.search(str(path)):  # every command says what it wrote, on a terminal
        raise InputError(f"{name} {str(path)!a} has a character that ends a line or steers a terminal: name another")
    try:
        path.exists()
    except OSError as error:  # a name that is too long
        raise InputError(f"{name} {cut(path)}: {error.strerror}") from None
    if folder and path.exists() and not path.is_dir():
        raise InputError(f"{name} {path} is a file: name a folder")
    if folder and not Path(os.path.realpath(path)).name:
        raise InputError(f"{name} {path} is the root of the file system: name a folder in it")
    if not folder and path.is_dir():
        raise InputError(f"{name} {path} is a folder: name a file")
    for part in (path, *path.parents):
        if part.is_symlink() and not part.exists():
            raise InputError(f"{name} {path}: {part} is a link to what is not there")
    refuse_endless(path, name)
    there = path if folder else Path(os.path.realpath(path)).parent  # what a link leads to is written
    while not there.exists():
        there = there.parent
    if not there.is_dir() or not os.access(there, os.W_OK | os.X_OK):
        raise InputError(f"{name} {path} cannot be written: {there} is not a folder that you may write to")
    free_mib = shutil.disk_usage(there).free / 2**20
    if free_mib < LEAST_FREE_MIB:
        raise InputError(f"{name} {path}: {free_mib:.0f} MiB are free on its disk, {LEAST_FREE_MIB} are needed")


def check_replaced(path: Path, keys: Collection[str], what: str, *, name: str = "--out") -> None:
    """InputError where a file is there that is not a JSON object with these keys: it is the user's own.

    what: what the command writes there, such as "a result of profilers.baselines"
    """
    if not path.is_file() or path.stat().st_size == 0:
        return
    with suppress(InputError):
        if set(keys) <= set(read_json(path)):
            return
    raise InputError(f"{name} {path} is there, and is not {what}: name another file, or move that one away")


@contextmanager
def temporary_folder(kind: str) -> Iterator[Path]:
    """A folder of one's own, gone at the end; those of killed runs of the same kind are gone at the beginning.

    Every run holds a lock on its folder, so that one that nobody holds is a dead run's. InputError, with the way out,
    where its disk is full.
    """
    base = Path(tempfile.gettempdir())
    for left in base.glob(f"ofa.{kind}.*"):
        if not left.is_symlink() and left.is_dir() and system.is_mine(left):
            system.remove_folder_if_dead(left)
    while True:
        folder = tempfile.TemporaryDirectory(prefix=f"ofa.{kind}.", ignore_cleanup_errors=system.WINDOWS)
        if (handle := system.hold_folder(Path(folder.name))) is not None:
            break
        folder.cleanup()
    with folder as name:
        try:
            yield Path(name)
        except OSError as error:
            if error.errno != errno.ENOSPC or shutil.disk_usage(name).free >= _FULL_BYTES:
                raise
            raise InputError(
                f"{base}: its disk is full, and files that are only needed during a run lie there: make room, or name "
                "another folder by TMPDIR"
            ) from None
        finally:
            os.close(handle)
