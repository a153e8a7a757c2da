"""The journal of a long measurement: every record on disk before the next begins.

JSON Lines; the first record holds the settings. Killing the process at any moment loses at most the record
in flight: a cut last line is dropped, and the same command goes on from there.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any

from ofa.errors import InputError

VERSION = 2


class MeasurementJournal:
    """Open one with `create`, `resume` or `read`. records: those there so far, without the settings."""

    def __init__(self, path: Path, records: list[dict[str, Any]]) -> None:
        self.path, self.records = path, records
        self._file: IO[str] | None = None

    @classmethod
    def create(cls, path: Path, settings: Mapping[str, Any]) -> MeasurementJournal:
        """Starts anew, over an older journal."""
        path.parent.mkdir(parents=True, exist_ok=True)
        path.unlink(missing_ok=True)
        journal = cls(path, [])
        journal._write({"kind": "settings", "journal_version": VERSION, **settings})
        return journal

    @classmethod
    def resume(cls, path: Path, settings: Mapping[str, Any]) -> MeasurementJournal:
        """Goes on with a journal of the same settings; InputError names the first that differs."""
        whole, size = _read(path)
        if not whole or whole[0].get("kind") != "settings":
            return cls.create(path, settings)  # killed before the first line was whole: nothing to lose
        before = {key: value for key, value in whole[0].items() if key != "kind"}
        now = json.loads(json.dumps({"journal_version": VERSION, **settings}))
        for key in sorted({*before, *now}):
            if before.get(key) != now.get(key):
                raise InputError(
                    f"{path} was begun with {key} = {before.get(key)!r}, now it is {now.get(key)!r}: "
                    "use the same settings to --resume, or start anew with --overwrite"
                )
        with path.open("r+b") as file:
            file.truncate(size)
        return cls(path, whole[1:])

    @classmethod
    def read(cls, path: Path) -> tuple[dict[str, Any], MeasurementJournal]:
        """The settings, and the journal so far; the file stays as it is. InputError if it is none of this version."""
        whole, _ = _read(path)
        if not whole or whole[0].get("kind") != "settings" or whole[0].get("journal_version") != VERSION:
            raise InputError(f"{path}: not a journal of version {VERSION}")
        return whole[0], cls(path, whole[1:])

    def append(self, record: Mapping[str, Any]) -> None:
        """Adds a record, and returns when it is on disk."""
        self._write(record)
        self.records.append(dict(record))

    def close(self) -> None:
        if self._file is not None:
            self._file.close()

    def _write(self, record: Mapping[str, Any]) -> None:
        if self._file is None:
            self._file = self.path.open("a", encoding="utf-8")
        self._file.write(json.dumps(record, allow_nan=False) + "\n")
        # flushed text alone would still wait in the page cache
        self._file.flush()
        os.fsync(self._file.fileno())


def _read(path: Path) -> tuple[list[dict[str, Any]], int]:
    """The whole records, and how many bytes they take."""
    records: list[dict[str, Any]] = []
    size = 0
    for number, line in enumerate(path.read_bytes().splitlines(keepends=True), start=1):
        if not line.endswith(b"\n"):
            break
        try:
            record = json.loads(line)
        except ValueError:
            raise InputError(f"{path}:{number}: not a journal line: start anew with --overwrite") from None
        if not isinstance(record, dict):
            raise InputError(f"{path}:{number}: not a journal line: start anew with --overwrite")
        records.append(record)
        size += len(line)
    return records, size
