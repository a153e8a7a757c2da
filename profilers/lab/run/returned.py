"""The files of a job as they come back from its host, piece by piece, into a folder of the run."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from ofa.errors import InputError
from ofa.runs.files import sha256
from profilers.lab.orders import GROWING, FilePiece, Look, files_in, safe_name, write_whole


class Returned:
    """What a run holds of one job. What it has is on disk before the next piece is asked for."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.marks: dict[str, str] = {}

    def content(self) -> dict[str, bytes]:
        """{name: content} of all that there is, for the host that goes on with the job. Marks are set accordingly."""
        if not self.folder.is_dir():
            self.marks = {}
            return {}
        found = {name: path.read_bytes() for name, path in files_in(self.folder).items()}
        # a host keeps a journal that goes on from ours, and takes ours otherwise
        self.marks = {name: str(len(data)) for name, data in found.items() if name.endswith(GROWING)}
        return found

    def take(self, look: Look) -> None:
        """Writes what has come. InputError for a name that leads elsewhere; OSError where it cannot be written."""
        for piece in look.pieces:
            if not safe_name(piece.name):
                raise InputError(f"a host sent a file called {piece.name!r}, which is no name in a job's folder")
            path = self.folder / piece.name
            path.parent.mkdir(parents=True, exist_ok=True)
            if piece.whole:
                write_whole(path, piece.data)
            else:
                _add(path, piece)
            self.marks[piece.name] = piece.mark

    def differing(self, sums: Mapping[str, str]) -> list[str]:
        """The files that are not as the host has them; they are fetched anew."""
        there = files_in(self.folder) if self.folder.is_dir() else {}
        wrong = [name for name, digest in sums.items() if name not in there or sha256(there[name]) != digest]
        for name in wrong:
            self.marks.pop(name, None)
        return wrong


def _add(path: Path, piece: FilePiece) -> None:
    try:
        with path.open("r+b" if path.is_file() else "w+b") as file:
            file.seek(piece.start)
            file.write(piece.data)
            file.truncate()
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:  # a full disk knows no file's name
        raise OSError(error.errno, error.strerror, str(path)) from None
