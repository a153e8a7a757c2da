"""What a long job has finished, kept in a JSON Lines file: a killed job loses only what it was at.

The first line holds the job's settings; each other line one finished item. Several processes write a file each.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from ofa.errors import InputError
from ofa.runs.settings import first_difference, shown

if TYPE_CHECKING:
    from ofa.runs.processes import Processes


class Journal:
    """The journal beside a result file: result.journal.0.jsonl for the first process, and so on.

    done: finished items of earlier sessions, of any process; the same in each
    """

    def __init__(self, result: Path, settings: Mapping[str, Any], procs: Processes, *, resume: bool) -> None:
        """resume: whether to take up what there is. The number of processes may differ.

        Raises InputError where there is a journal with items and `resume` is False, or it is of other settings.
        """
        self._result, self._procs = result, procs
        self._path = self._file(procs.rank)
        # through JSON, so that types are those of what is read
        settings = json.loads(json.dumps(settings))
        self.done: list[dict[str, Any]] = []
        found = self._files()
        kept = [path for path in found if path.read_bytes().count(b"\n") > 1]  # more than the settings
        if kept and not resume:
            raise InputError(
                f"{kept[0]} is of a run that was not finished: continue it with --resume, delete it, "
                "or choose another --out"
            )
        for path in kept:
            self.done += _read(path, settings)
        procs.wait()  # nobody writes before all have read
        if not kept and procs.rank == 0:
            for path in found:
                path.unlink(missing_ok=True)
        procs.wait()
        result.parent.mkdir(parents=True, exist_ok=True)
        self._file_open: TextIO = self._path.open("a", encoding="utf-8")
        if self._file_open.tell() == 0:
            self._write({"settings": settings})
        elif not _ends_whole(self._path):
            self._file_open.write("\n")  # the torn last line stays, and is passed over

    def add(self, item: Mapping[str, Any]) -> None:
        """Keeps a finished item."""
        self._write(item)

    def close(self) -> None:
        """Leaves the journal for a later session."""
        self._file_open.close()

    def remove(self) -> None:
        """The job is done: deletes the files of all processes. Every process must call it."""
        self.close()
        self._procs.wait()
        if self._procs.rank == 0:
            for path in self._files():
                path.unlink(missing_ok=True)

    def _write(self, line: Mapping[str, Any]) -> None:
        self._file_open.write(json.dumps(line) + "\n")
        self._file_open.flush()

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


def _ends_whole(path: Path) -> bool:
    return path.read_bytes().endswith(b"\n")


def _read(path: Path, settings: Mapping[str, Any]) -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        try:
            item = json.loads(line)
        except json.JSONDecodeError:
            if number == 1:
                raise InputError(f"{path}: damaged: delete it and start again") from None
            continue  # cut short when the process was killed
        if number > 1:
            items.append(item)
            continue
        if different := first_difference(item.get("settings", {}), settings):
            key, was, is_ = different
            raise InputError(
                f"{path} is of a run with {key} = {shown(was)}, but this one has {shown(is_)}: "
                "give the same settings, delete it, or choose another --out"
            )
    return items
