"""Tables measured again, compared with the committed ones, and taken over on demand."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from ofa.errors import InputError
from ofa.runs import system
from ofa.runs.files import make_folders, remove_empty, replace_file, sha256, write_json
from ofa.runs.journal import Journal
from ofa.runs.lock import holder_in, sweep, this_process
from ofa.tables import LatencyTable
from profilers.changes.baseline import earlier_runs, keep
from profilers.changes.comparison import Comparison, compare_tables, to_json
from profilers.changes.comparison_report import write_plot
from profilers.changes.levels import EFFECT
from profilers.changes.regenerate_config import RegenerateConfig
from profilers.changes.regeneration_report import CHANGED, FAILED, NEW, SKIPPED, UNCHANGED, TableResult
from profilers.changes.second_look import all_changed, confirm, second_arguments, timing_arguments
from profilers.changes.tables_config import TableEntry, again, before, why_not_here
from profilers.profiling.command_words import replaced
from profilers.profiling.console import STOPPED

JOURNAL = "regenerate.journal.jsonl"
NO_TABLE = "no table"


def open_journal(asked: RegenerateConfig, entries: Sequence[TableEntry]) -> Journal:
    """A new or a resumed journal of the whole run, bound to the configuration and to the tables compared with."""
    path = asked.out / JOURNAL
    resumed = asked.resume and path.is_file()
    taken_over = _taken_over(Journal.read(path)) if resumed and path.stat().st_size else {}
    settings = {
        entry.file: [
            entry.profiler,
            *entry.args,
            _digest_at_first(asked.config.parent / entry.file, taken_over.get(entry.file)),
        ]
        for entry in entries
    }
    if resumed:
        return Journal.begin(path, settings, resume=True, overwrite=False)
    if path.exists() and not asked.overwrite:
        raise InputError(
            f"{asked.out} holds an earlier run: continue it with --resume, or start again with --overwrite"
        )
    tables = [asked.out / file for entry in entries for file in (entry.file, again(entry.file), before(entry.file))]
    theirs = [file for table in tables for file in (table, _journal_of(table))]
    if not path.exists() and not asked.overwrite and (strange := next(filter(Path.exists, theirs), None)):
        raise InputError(f"{strange} is of no run that {path} tells of: name another --out, or --overwrite it")
    # the journal first: killed now, it would say of tables that they are there
    path.unlink(missing_ok=True)
    for file in theirs:
        file.unlink(missing_ok=True)
    return Journal.begin(path, settings, resume=False, overwrite=asked.overwrite)


def _digest(path: Path) -> str:
    return sha256(path) if path.is_file() else NO_TABLE


def _digest_at_first(path: Path, taken_over: Mapping[str, str] | None) -> str:
    """Of a committed table, which may not change between a run and its resumption but by the run itself."""
    digest = _digest(path)
    return taken_over["replaced"] if taken_over and taken_over["by"] == digest else digest


def _taken_over(journal: Journal) -> dict[str, Mapping[str, str]]:
    """{file: the digests of the committed table, "replaced", and of the new one, "by"}, of those that were accepted.

    A run that was killed between the record and the replacement has only said so: the table's digest tells.
    """
    keys = ("file", "replaced", "by")
    return {
        record["file"]: record
        for record in journal.records
        if record.get("kind") == "accepted" and all(isinstance(record.get(key), str) for key in keys)
    }


def _journal_of(table: Path) -> Path:
    return table.with_suffix(".journal.jsonl")


@contextmanager
def locked(folder: Path) -> Iterator[int]:
    """A lock on the folder that a profiler inherits: it holds as long as any of the run's processes lives.

    So a run that was killed cannot be resumed while its orphaned profiler still writes into the same journal.
    Makes the folder; if the run puts nothing there, it goes again.
    """
    made, lock = make_folders(folder), folder / ".lock"
    with lock.open("a+b") as file:
        if not system.try_lock(file.fileno()):
            file.seek(0)
            raise InputError(
                f"{folder} is in use by {holder_in(file.read(4096))}, or by a profiler that it left behind"
            )
        file.truncate(0)
        file.write(this_process())
        file.flush()
        try:
            yield file.fileno()
        finally:
            if made and [*folder.iterdir()] == [lock]:
                with suppress(OSError):  # on Windows what is open stays
                    lock.unlink()
                remove_empty(made)


@dataclass
class Regeneration:
    """One run. committed: folder of the tables compared with; out: of the new ones; lock: see `locked`."""

    committed: Path
    out: Path
    journal: Journal
    lock: int
    resume: str

    def table(self, entry: TableEntry) -> TableResult:
        """Measures one table and compares it; whatever goes wrong is its result, and the others go on."""
        try:
            return self._table(entry)
        except InputError as error:
            return TableResult(entry, FAILED, str(error))

    def _table(self, entry: TableEntry) -> TableResult:
        path = self.out / before(entry.file) if self.has_accepted(entry.file) else self.committed / entry.file
        old = LatencyTable.load(path) if path.is_file() else None
        estimate = old is not None and old.provenance != "measured"
        if not self._made(entry.file) and (reason := why_not_here(entry, old.header if old and not estimate else {})):
            return TableResult(entry, SKIPPED, reason)
        timing = timing_arguments(entry, old) if old and not estimate else {}
        new, failures = self._measured(entry, entry.file, timing)
        if old is None or estimate:
            what = f"a measured one replaces it: the committed one is {old.provenance}" if old else "there was none"
            return TableResult(entry, FAILED if failures else NEW, failures or what)
        first = self._compared(old, new)
        if not first.changed and not first.changes.all_changed:
            return TableResult(entry, FAILED if failures else UNCHANGED, failures, first)
        remeasured, _ = self._measured(entry, again(entry.file), {**timing, **second_arguments(entry, first.changed)})
        second = self._compared(old, remeasured)
        confirmed, doubted = confirm(first, second)
        everything = all_changed(first, second)
        status = CHANGED if confirmed or everything else UNCHANGED
        words = f"all blocks: {first.drift_pct:+.1f} %, and {second.drift_pct:+.1f} % again" if everything else ""
        return TableResult(entry, FAILED if failures else status, failures or words, first, confirmed, doubted)

    @staticmethod
    def _compared(old: LatencyTable, new: LatencyTable) -> Comparison:
        """Refuses tables of different measurements; leaves a plot and a JSON file beside the new table."""
        comparison = compare_tables(old, new, earlier=earlier_runs(old, new))
        if comparison.differences:
            raise InputError(
                f"not compared, since the new table differs in {'; '.join(comparison.differences)}: "
                "measure and validate it by hand, if that is wanted"
            )
        assert new.path is not None
        write_json(new.path.with_suffix(".comparison.json"), to_json(comparison))
        write_plot(new.path.with_suffix(".comparison.png"), comparison)
        return comparison

    def _made(self, file: str) -> bool:
        return {"kind": "measured", "file": file} in self.journal.records

    def _measured(self, entry: TableEntry, file: str, instead: Mapping[str, str]) -> tuple[LatencyTable, str]:
        """The table, measured unless it already is, and a word on blocks that failed. instead: other options' values"""
        if not self._made(file):
            code, last_error = self._profile(entry, replaced(entry.args, instead), self.out / file)
            if code not in (0, 1) or not (self.out / file).is_file():
                raise InputError(f"profilers.{entry.profiler} ended with {code}: {last_error or 'it printed nothing'}")
            self.journal.append({"kind": "measured", "file": file})
        table = LatencyTable.load(self.out / file)
        failed = table.header.get("failed_blocks")
        return table, f"{failed} blocks could not be measured; see the log" if failed else ""

    def _profile(self, entry: TableEntry, args: Sequence[str], out: Path) -> tuple[int, str]:
        """Runs a profiler to its end: exit code, and the last line of its errors. Ctrl-C ends it too."""
        command = [sys.executable, "-m", f"profilers.{entry.profiler}", *args, "--out", str(out), "--resume"]
        print(f"{entry.file}: {system.typed(['python', *command[1:]])}", flush=True)
        with tempfile.TemporaryFile() as errors:
            process = subprocess.Popen(command, stderr=errors, **system.inheriting(self.lock))
            try:
                code = process.wait()
            except KeyboardInterrupt:
                system.pass_end_on(process)
                process.wait()
                raise
            errors.seek(0)
            text = errors.read().decode("utf-8", "replace").strip()
        if text:
            print(text, file=sys.stderr, flush=True)
        if code == STOPPED:
            raise KeyboardInterrupt
        return code, text.splitlines()[-1] if text else ""

    def has_accepted(self, file: str) -> bool:
        """Whether the new table is in its place, of this session or an earlier one."""
        record = _taken_over(self.journal).get(file)
        return record is not None and record["by"] == _digest(self.committed / file)

    def keep(self, result: TableResult) -> str:
        """Keeps an unchanged run among those that later ones are compared with; what was done, in words, or ""."""
        path = self.committed / result.entry.file
        if result.status != UNCHANGED or result.first is None or result.first.changes.all_changed or not path.is_file():
            return ""
        return keep(LatencyTable.load(path), result.first.new)

    def accept(self, result: TableResult) -> str:
        """Replaces the committed table, unless that is done; what was done, in words.

        The table that is replaced is kept beside the new one: a resumed run compares with it.
        """
        file = result.entry.file
        committed, new = self.committed / file, self.out / file
        if not self.has_accepted(file):
            if result.first is not None and abs(result.first.changes.drift - 1) > EFFECT:
                return (
                    f"{file}: not accepted: all of it drifted by {result.first.drift_pct:+.1f} %; measure it again "
                    f"when the device is back to normal, or, if it stays like this, copy {new} over it"
                )
            if lacking := _lacking(committed, new):
                return (
                    f"{file}: not accepted: it lacks {lacking} blocks of the committed table: measure all of it, or, "
                    f"if it is to be smaller, copy {new} over it"
                )
            kept = self.out / before(file)
            # the journal has the single visits, which a table may lack
            for old, copy in ((committed, kept), (_journal_of(committed), _journal_of(kept))):
                if old.is_file():
                    _copy(old, copy)
            self.journal.append({"kind": "accepted", "file": file, "replaced": _digest(committed), "by": _digest(new)})
            sweep(committed)
            _copy(new, committed)
        return (
            f"{file}: accepted; for the correction and expected error of its sums: "
            f"python -m profilers.validate --table {system.typed([str(committed)])}"
        )


def _lacking(committed: Path, new: Path) -> int:
    """How many blocks of the committed table the new one does not have."""
    if not committed.is_file():
        return 0
    old, found = ({row.block for row in LatencyTable.load(path).rows} for path in (committed, new))
    return len(old - found)


def _copy(source: Path, target: Path) -> None:
    replace_file(target, lambda temporary: shutil.copyfile(source, temporary))
