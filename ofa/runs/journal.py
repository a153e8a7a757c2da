"""What a long job has finished, in a JSON Lines file: every record on disk before the next begins.

The first line holds the job's settings; each other line is one record. Killing the process at any moment loses at most
the record in flight: a last line that was cut short is dropped, and a resumed job goes on from there. A damaged line
costs its own record.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from ofa.errors import InputError
from ofa.reading.files import refuse_endless
from ofa.reading.structured import parse_object
from ofa.runs.lock import Lock
from ofa.runs.settings import Difference

if TYPE_CHECKING:
    from ofa.runs.processes import Processes

VERSION = 3
# the last record of a run whose result is written: its journal is not needed any more
_FINISHED = json.dumps({"kind": "finished"}).encode()


class Journal:
    """One file. Open it with `create` or `resume`, which hold its lock until `close`, or `read`.

    settings: as its first line holds them, through JSON; records: those there so far, without the settings
    """

    def __init__(self, path: Path, settings: Mapping[str, Any], records: list[dict[str, Any]]) -> None:
        self.path, self.settings, self.records = path, settings, records
        self._file: IO[str] | None = None
        self._lock: Lock | None = None

    @classmethod
    def begin(cls, path: Path, settings: Mapping[str, Any], *, resume: bool, overwrite: bool) -> Journal:
        """How every command opens its journal: that of an earlier run with `resume`, where there is one, or a new one.

        What an interrupted run has made is thrown away with `overwrite` alone. InputError else, and as of `resume`.
        """
        if resume and path.is_file():
            return cls.resume(path, settings)
        lock = Lock(path)  # who is at it is said first: its journal is of no interrupted run
        try:
            if not overwrite:
                refuse_interrupted(path)
            return cls._created(path, settings, lock)
        except BaseException:
            lock.release()
            raise

    @classmethod
    def create(cls, path: Path, settings: Mapping[str, Any]) -> Journal:
        """Starts anew, over an older journal, whatever that is; InputError where another process is writing it."""
        return cls._created(path, settings, Lock(path))

    @classmethod
    def _created(cls, path: Path, settings: Mapping[str, Any], lock: Lock) -> Journal:
        path.unlink(missing_ok=True)
        journal = cls(path, _as_read(settings), [])
        journal._lock = lock
        journal._write({"kind": "settings", "journal_version": VERSION, "settings": settings})
        return journal

    @classmethod
    def resume(cls, path: Path, settings: Mapping[str, Any]) -> Journal:
        """Goes on with a journal of the same settings; InputError names the first that differs, or who writes it."""
        lock = Lock(path)
        try:
            whole, size = _read(path)
            if not whole:
                return cls._created(path, settings, lock)  # killed before the first line was whole: nothing to lose
            journal = cls(path, _settings_of(path, whole[0]), whole[1:])
            journal.check(settings)
            with path.open("r+b") as file:
                file.truncate(size)
        except BaseException:
            lock.release()
            raise
        journal._lock = lock
        return journal

    @classmethod
    def read(cls, path: Path) -> Journal:
        """The journal so far; the file stays as it is. InputError if it is none."""
        whole, _ = _read(path)
        return cls(path, _settings_of(path, whole[0] if whole else {}), whole[1:])

    def check(self, settings: Mapping[str, Any]) -> None:
        """InputError names the first setting that differs from the journal's."""
        if different := Difference.between(self.settings, _as_read(settings)):
            way_out = different.way_out("start again with --overwrite", self.path)
            raise InputError(f"{self.path} was begun {different.words()}: {way_out}")

    def append(self, record: Mapping[str, Any]) -> None:
        """Adds a record, and returns when it is on disk."""
        self._write(record)
        self.records.append(dict(record))

    def close(self) -> None:
        """Gives the file and its lock back."""
        if self._file is not None:
            with suppress(OSError):  # of a full disk: every record that is kept is there already
                self._file.close()
            self._file = None
        if self._lock is not None:
            self._lock.release()

    def _write(self, record: Mapping[str, Any]) -> None:
        try:
            if self._file is None:
                self._file = self.path.open("a", encoding="utf-8", newline="\n")
            self._file.write(json.dumps(record) + "\n")
            # flushed text alone would still wait in the page cache
            self._file.flush()
            os.fsync(self._file.fileno())
        except OSError as error:  # a full disk knows no file's name
            raise OSError(error.errno, error.strerror, str(self.path)) from None


def refuse_interrupted(*paths: Path, anew: str = "or start again with --overwrite") -> None:
    """InputError where one of them is the journal of an interrupted run, which is not thrown away unasked.

    anew: what else than --resume can be done
    """
    for path in paths:
        if path.is_file() and _is_interrupted(path):
            raise InputError(f"{path} is the journal of an interrupted run: continue it with --resume, {anew}")


def finish(path: Path) -> None:
    """Marks a journal as that of a run whose result is written: from now on a new run may take its place."""
    # the result is there: without the mark, the next run asks what to do
    with suppress(OSError, InputError):
        if _is_interrupted(path):
            with Lock(path), path.open("ab") as file:
                file.write(_FINISHED + b"\n")


def _is_interrupted(path: Path) -> bool:
    """Whether it has records, of which nobody has said that its run is finished."""
    refuse_endless(path)
    *whole, _cut_short = path.read_bytes().split(b"\n")
    return len(whole) > 1 and whole[-1] != _FINISHED


class SharedJournal:
    """The journals of a job's processes, a file each beside the result: result.journal.0.jsonl and so on.

    done: records of earlier sessions, of any process; the same in each
    """

    def __init__(
        self, result: Path, settings: Mapping[str, Any], procs: Processes, *, resume: bool, overwrite: bool = False
    ) -> None:
        """resume: whether to take up what there is; overwrite: whether to throw it away

        The number of processes may differ. Raises InputError where there is a journal with records and neither is said,
        it is of other settings, or another run is writing it.
        """
        self._result, self._procs = result, procs
        self._lock = Lock(result) if procs.rank == 0 else None
        self.done: list[dict[str, Any]] = []
        try:
            self._own = self._opened(settings, resume, overwrite)
        except BaseException:
            self._give_back()
            raise

    def _opened(self, settings: Mapping[str, Any], resume: bool, overwrite: bool) -> Journal:
        """Fills `done`, and opens this process's own journal."""
        procs = self._procs
        found = self._files()
        kept = [path for path in found if not overwrite and _is_interrupted(path)]
        if not resume:
            refuse_interrupted(*kept, anew="choose another --out, or start again with --overwrite")
        for path in kept:
            journal = Journal.read(path)
            journal.check(settings)
            self.done += journal.records
        procs.wait()  # nobody writes before all have read
        if not kept and procs.rank == 0:
            for path in found:
                path.unlink(missing_ok=True)
        procs.wait()
        own = self._file(procs.rank)
        return Journal.resume(own, settings) if own in kept else Journal.create(own, settings)

    def append(self, record: Mapping[str, Any]) -> None:
        """Keeps what this process has finished, and returns when it is on disk."""
        self._own.append(record)

    def close(self) -> None:
        """Leaves the journals for a later session."""
        self._own.close()
        self._give_back()

    def remove(self) -> None:
        """The job is done: deletes the files of all processes. Every process must call it."""
        self.close()
        self._procs.wait()
        if self._procs.rank == 0:
            for path in self._files():
                path.unlink(missing_ok=True)

    def _give_back(self) -> None:
        if self._lock is not None:
            self._lock.release()

    def _file(self, rank: int) -> Path:
        return self._result.with_name(f"{self._result.stem}.journal.{rank}.jsonl")

    def _files(self) -> list[Path]:
        prefix = f"{self._result.stem}.journal."
        if not self._result.parent.is_dir():
            return []
        return sorted(
            path
            for path in self._result.parent.iterdir()
            if path.name.startswith(prefix) and path.name.removeprefix(prefix).removesuffix(".jsonl").isdecimal()
        )


def _as_read(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Through JSON, so that types are those of what is read."""
    read: dict[str, Any] = json.loads(json.dumps(settings))
    return read


def _is_the_librarys_old(first: Mapping[str, Any]) -> bool:
    """Whether a first line is that of the library's journals before they and the profilers' became one."""
    return set(first) == {"settings"}


def _settings_of(path: Path, first: Mapping[str, Any]) -> dict[str, Any]:
    """The settings of a first line, of an older version too."""
    settings = first.get("settings")
    if first.get("kind") == "settings" and first.get("journal_version") == 2:
        settings = {key: value for key, value in first.items() if key not in ("kind", "journal_version")}
    elif not _is_the_librarys_old(first) and (first.get("kind"), first.get("journal_version")) != ("settings", VERSION):
        settings = None
    if not isinstance(settings, dict):
        raise InputError(f"{path}: not a journal of version {VERSION}: start again without it")
    return settings


def _read(path: Path) -> tuple[list[dict[str, Any]], int]:
    """The whole records, and how many bytes they take."""
    records: list[dict[str, Any]] = []
    size = 0
    refuse_endless(path)
    # only \n ends a line: a damaged one may hold a carriage return
    *lines, _cut_short = path.read_bytes().split(b"\n")
    for number, line in enumerate(lines, start=1):
        size += len(line) + 1
        try:
            records.append(parse_object(line, f"{path}:{number}"))
        except InputError:
            # a damaged record costs what it stood for; without the first line nobody knows what the others are
            if not records:
                raise InputError(f"{path}:{number}: not a journal line: start again without it") from None
    return records, size
