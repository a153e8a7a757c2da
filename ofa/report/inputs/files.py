"""Which files a report is made of: each is known by what is in it, whatever it is called."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from ofa.errors import InputError
from ofa.reading.files import refuse_endless
from ofa.reading.kinds import TABLE, TIMES, kind_of
from ofa.reading.structured import content_of, parse_object, read_json
from ofa.report.inputs.values import plain
from ofa.tables.shipped import shipped_tables

RunKind = Literal["search", "verify", "evaluate", "curves", "validate", "baselines", "table", "frontier", "history"]
METRICS, SEARCHED = "metrics.jsonl", ".frontier.csv"
NEWS = (
    "expected what ofa.search, ofa.train, ofa.finetune, ofa.evaluate or a command of the profilers writes, or a table"
)
DEEPEST = 4  # folders in folders that are looked into
MOST_FILES = 5_000  # of a folder and what is below it
MOST_LISTED = 40  # that are named as left out
# what lies beside a table and belongs to it
CHECKS: dict[str, RunKind] = {".validation.json": "validate", ".baselines.json": "baselines"}
ENDINGS = (".json", ".jsonl", ".csv")


@dataclass(frozen=True)
class RunFile:
    """content: of JSON, the object; of anything else {}; named: by the user, rather than found in a folder"""

    path: Path
    kind: RunKind
    content: dict[str, Any] = field(default_factory=dict, repr=False)
    named: bool = False


@dataclass(frozen=True)
class Unread:
    """A file of a folder that the report does not show, and why."""

    path: Path
    why: str

    def __str__(self) -> str:
        return self.why if self.why.startswith(str(self.path)) else f"{self.path}: {self.why}"


@dataclass(frozen=True)
class RunFiles:
    """read: each file once, in the order that they were named in; left_out: of folders, those that seemed to be ours"""

    read: tuple[RunFile, ...]
    left_out: tuple[Unread, ...]

    def without(self, damaged: Mapping[Path, str]) -> RunFiles:
        """Those that could be read. damaged: why others could not, by their paths"""
        read = tuple(file for file in self.read if file.path not in damaged)
        left_out = (*self.left_out, *(Unread(path, why) for path, why in damaged.items()))
        return RunFiles(read, left_out[:MOST_LISTED])


def find_files(runs: Sequence[str]) -> RunFiles:
    """The files that runs consist of. InputError names a file that is no run's, and a folder without any."""
    found: dict[str, RunFile] = {}
    left_out: list[Unread] = []
    for run in runs:
        path = _path_of(run)
        if path.is_dir():
            files, others = _of_folder(path)
            left_out += others
        else:
            files = [_named_file(path)]
        for file in files:
            key = os.path.realpath(file.path)
            found[key] = replace(found.get(key, file), named=file.named or (key in found and found[key].named))
    return RunFiles(tuple(found.values()), tuple(left_out[:MOST_LISTED]))


def with_checks(files: RunFiles, tables: Iterable[Path]) -> RunFiles:
    """The files, and what profilers.validate and profilers.baselines left beside tables; a damaged one is left out."""
    found = {os.path.realpath(file.path): file for file in files.read}
    left_out = list(files.left_out)
    for table in tables:
        for ending, kind in CHECKS.items():
            path = table.with_suffix(ending)
            if os.path.realpath(path) not in found and path.is_file():
                try:
                    file = _recognised(path)
                except InputError as error:
                    left_out.append(Unread(path, plain(error)))
                    continue
                if file is not None and file.kind == kind:
                    found[os.path.realpath(path)] = file
    return RunFiles(tuple(found.values()), tuple(left_out[:MOST_LISTED]))


def _path_of(run: str) -> Path:
    if not run:
        raise InputError("a run is named by an empty text, expected a file or folder")
    path = Path(run)
    try:
        there = path.exists()
    except (OSError, ValueError) as error:  # a name that is too long, or has a zero byte
        raise InputError(f"{run}: no file can be called that ({error})") from None
    if there:
        return path
    tables = shipped_tables()
    if run in tables:
        return tables[run]
    raise InputError(f"{run}: no such file or folder, nor a table that is shipped")


def _named_file(path: Path) -> RunFile:
    """A file that was named; InputError where it is nothing that a report shows."""
    refuse_endless(path)
    found = _recognised(path)
    if found is None:
        kind = kind_of(path)
        raise InputError(f"{path}: {f'is {kind}' if kind else 'is of no kind that is known'}; {NEWS}")
    return replace(found, named=True)


def _of_folder(folder: Path) -> tuple[list[RunFile], list[Unread]]:
    """What a folder and the folders in it hold, by name; a damaged file is left out, and named."""
    found: list[RunFile] = []
    left_out: list[Unread] = []
    for number, path in enumerate(_files_below(folder, DEEPEST, left_out)):
        if number == MOST_FILES:
            raise InputError(f"{folder} has more than {MOST_FILES:,} files: name the folders of its runs")
        if path.suffix not in ENDINGS or ".journal" in path.name or not path.is_file():
            continue
        try:
            file = _recognised(path)
        except InputError as error:
            left_out.append(Unread(path, plain(error)))
            continue
        if file is not None:
            found.append(file)
    found = _without_stages(found)
    if not found:
        why = f" ({left_out[0].why})" if left_out else ""
        raise InputError(f"{folder}: no run is in this folder{why}; {NEWS}")
    return found, left_out


def _files_below(folder: Path, deepest: int, left_out: list[Unread]) -> Iterator[Path]:
    """By name, a folder's own before those of folders in it; no hidden ones, and no links to folders.

    left_out: gets the folders in it that cannot be read
    """
    try:
        entries = sorted(os.scandir(folder), key=lambda entry: (_is_folder(entry), entry.name))
    except OSError as error:
        raise InputError(f"{folder} cannot be read: {error.strerror}") from None
    for entry in entries:
        if entry.name.startswith("."):
            continue
        if not _is_folder(entry):
            yield Path(entry.path)
        elif deepest and not entry.is_symlink():
            try:
                yield from _files_below(Path(entry.path), deepest - 1, left_out)
            except InputError as error:
                left_out.append(Unread(Path(entry.path), plain(error)))


def _is_folder(entry: os.DirEntry[str]) -> bool:
    """Whether it is a folder, or leads to one; a link that leads to itself does not."""
    try:
        return entry.is_dir()
    except OSError:
        return False


def _without_stages(found: Sequence[RunFile]) -> list[RunFile]:
    """A training's folder has the metrics of all its stages: those of one stage are no run of their own."""
    runs = {file.path.parent for file in found if file.kind == "curves"}
    return [file for file in found if file.kind != "curves" or not runs & set(file.path.parent.parents)]


def _recognised(path: Path) -> RunFile | None:
    """What a file is; None for what is none of ours. InputError where it seems to be, and is damaged."""
    if path.suffix == ".jsonl":
        return RunFile(path, "curves") if _begins_as_metrics(path) else None
    kind = kind_of(path)
    if kind == TABLE:
        return RunFile(path, "table")
    if kind == TIMES:
        return RunFile(path, "frontier") if path.name.endswith(SEARCHED) else None
    if path.suffix != ".json" and kind is not None:
        return None
    data = content_of(path)
    if not data.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"{"):
        return None
    return _of_object(path, parse_object(data, path))


def _of_object(path: Path, content: dict[str, Any]) -> RunFile | None:
    """By the keys that only one command writes."""
    beside = path.with_name(METRICS)
    if "results" in content and "verification" in content:
        return RunFile(path, "verify", content)
    if "results" in content and "tables" in content:
        return RunFile(path, "search", content)
    if "results" in content and "checkpoint" in content:
        return RunFile(path, "evaluate", content)
    if "scores" in content and "networks" in content and "table" in content:
        return RunFile(path, "validate", content)
    if isinstance(content.get("history"), list):
        return RunFile(path, "history", content)
    if "baselines" in content:
        return RunFile(path, "baselines", content)
    if ("stages" in content or "calibration_images" in content) and beside.is_file():
        return RunFile(beside, "curves")  # the settings, or the end, of the training that the metrics are of
    return None


def _begins_as_metrics(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            line = json.loads(file.readline(1 << 16))
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from None
    except (ValueError, RecursionError):  # lists deep in each other are no metrics either
        return False
    return isinstance(line, dict) and {"epoch", "train_loss"} <= set(line)


def beside(path: Path, name: str) -> dict[str, Any]:
    """A JSON object in the same folder, {} where there is none."""
    file = path.with_name(name)
    return read_json(file) if file.is_file() else {}
