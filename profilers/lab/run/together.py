"""Devices of one model that a run profiled: compared, and merged where they agree."""

from __future__ import annotations

import itertools
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ofa.errors import InputError
from profilers.lab.run.driver import GOOD, Task

_OTHER = re.compile(r"[^A-Za-z0-9]+")


@dataclass(frozen=True)
class Together:
    """What was found of one model's devices. lines: in words; table: the merged one

    to_be_seen: whether devices are set aside, or could not be compared
    """

    model: str
    lines: tuple[str, ...]
    table: Path | None = None
    to_be_seen: bool = False


def table_of(task: Task) -> Path:
    """The table that a profile leaves."""
    return task.folder / f"{task.job.subject}.csv"


def compare_models(out: Path, tasks: Sequence[Task], command: str) -> list[Together]:
    """Compares the tables of every profile's devices, model by model; writes OUT/JOB/MODEL.csv of those that agree.

    command: as typed, for the header
    """
    groups: dict[tuple[str, str, str], list[Task]] = {}
    for task in tasks:
        # estimates tell nothing of how alike devices are
        is_measured = task.entry.command == "profile" and "--quickest" not in task.job.words
        if is_measured and task.code in GOOD and task.state == "done" and table_of(task).is_file():
            kind = task.job.device.split("-")[0]
            groups.setdefault((task.job.entry, kind, task.job.model), []).append(task)
    taken: set[Path] = set()
    return [
        _compared(merged_file(out / entry, kind, model, taken), model, group, command)
        for (entry, kind, model), group in groups.items()
        if len(group) > 1
    ]


def merged_file(folder: Path, kind: str, model: str, taken: set[Path]) -> Path:
    """Where a model's table is written. A board and a CPU of one name have two files. taken: grows"""
    name = _OTHER.sub("-", model).strip("-").lower() or "devices"
    more = (f"{name}-{kind}-{number}" for number in itertools.count(2))
    names = itertools.chain((name, f"{name}-{kind}"), more)
    path = next(path for each in names if (path := folder / f"{each}.csv") not in taken)
    taken.add(path)
    return path


def _compared(table: Path, model: str, tasks: Sequence[Task], command: str) -> Together:
    from profilers.lab.siblings.compared import compare_devices
    from profilers.lab.siblings.findings import findings
    from profilers.lab.siblings.merged import merged_table

    names = [task.job.subject for task in tasks]
    try:
        found = compare_devices([table_of(task) for task in tasks], names=names)
        lines = tuple(findings(found))
        if not found.agreeing:
            return Together(model, lines, None, to_be_seen=True)
        merged_table(found, model or "several devices", command).save(table)
    except InputError as reason:
        return Together(model, (f"{', '.join(names)} are not compared: {reason}",), None, to_be_seen=True)
    return Together(model, lines, table, to_be_seen=bool(found.apart))
