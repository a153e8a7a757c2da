"""Files that appear whole or not at all."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from ofa.reading.files import refuse_endless
from ofa.runs import system


def replace_file(path: Path, write: Callable[[Path], object]) -> None:
    """Calls `write` with a temporary file in the same folder, then renames it to `path`; makes the folder.

    If writing fails, an older file stays as it was and nothing is left behind; an OSError names `path`. What a killed
    process left half-written of this file goes: whoever lives holds a lock on its own. A link stays one: the file
    that it leads to is replaced.
    """
    asked = path
    if path.is_symlink():
        path = Path(os.path.realpath(path))
    refuse_endless(asked)  # root would replace /dev/null
    path.parent.mkdir(parents=True, exist_ok=True)
    _sweep_dead(path)
    handle, temporary = _temporary_of(path)
    held = contextlib.ExitStack()
    held.callback(os.close, handle)
    try:
        write(temporary)
        with temporary.open("r+b") as file:  # Windows refuses the fsync of what is open to read
            os.fsync(file.fileno())
        temporary.chmod(0o644)
        if system.WINDOWS:
            held.close()  # what is open cannot be renamed there
        system.replace(temporary, path)
    except BaseException as error:
        held.close()
        temporary.unlink(missing_ok=True)
        if isinstance(error, OSError) and error.errno is not None:
            # a full disk knows no file's name, and a temporary one says nothing to a user
            raise OSError(error.errno, error.strerror, str(asked)) from None
        raise
    finally:
        held.close()


def _temporary_of(path: Path) -> tuple[int, Path]:
    """A handle of a new file beside `path`, and the file."""
    while True:
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".tmp")
        if system.mark_as_written(handle, Path(name)):
            return handle, Path(name)
        os.close(handle)
        Path(name).unlink(missing_ok=True)


def make_folders(folder: Path) -> list[Path]:
    """Makes a folder and those above it; which of them were not there, the deepest first."""
    made = []
    for each in (folder, *folder.parents):
        if os.path.lexists(each):
            break
        made.append(each)
    folder.mkdir(parents=True, exist_ok=True)
    return made


def remove_empty(folders: Sequence[Path]) -> None:
    """Takes folders away that nobody put anything into; folders: as of `make_folders`."""
    with contextlib.suppress(OSError):  # not empty, gone, or not ours to remove: nor are those above it
        for folder in folders:
            folder.rmdir()


def _sweep_dead(path: Path) -> None:
    for left in path.parent.iterdir():
        if left.name.startswith(f".{path.name}.") and left.name.endswith(".tmp"):
            with contextlib.suppress(OSError):  # held by a living process, or gone meanwhile
                system.remove_if_dead(left)


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Indented JSON; ValueError for a number that JSON does not have."""
    text = json.dumps(content, indent=2, allow_nan=False) + "\n"
    replace_file(path, lambda temporary: temporary.write_text(text, encoding="utf-8", newline="\n"))


def sha256(path: Path) -> str:
    """The file's SHA-256, as `sha256sum` prints it; of a folder, that of its files' names and digests in order."""
    if path.is_file():
        with path.open("rb") as opened:
            return hashlib.file_digest(opened, "sha256").hexdigest()
    digest = hashlib.sha256()
    for file in sorted(p for p in path.iterdir() if p.is_file()):
        digest.update(file.name.encode("utf-8", "surrogateescape") + bytes.fromhex(sha256(file)))
    return digest.hexdigest()
