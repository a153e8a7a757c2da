"""Tables measured again, compared with the committed ones, and taken over on demand."""

from __future__ import annotations

import fcntl
import hashlib
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from ofa.errors import InputError
from ofa.runs.files import replace_file, write_json
from ofa.runs.journal import Journal
from ofa.runs.lock import holder_in, this_process
from ofa.tables import LatencyTable
from profilers.changes.comparison import Comparison, compare_tables, to_json
from profilers.changes.comparison_report import write_plot
from profilers.changes.levels import EFFECT
from profilers.changes.regenerate_config import RegenerateConfig
from profilers.changes.regeneration_report import CHANGED, FAILED, NEW, SKIPPED, UNCHANGED, TableResult
from profilers.changes.second_look import confirm, second_arguments
from profilers.changes.tables_config import TableEntry, why_not_here
from profilers.profiling.command_words import replaced
from profilers.profiling.console import STOPPED

JOURNAL = "regenerate.journal.jsonl"


def open_journal(asked: RegenerateConfig, entries: Sequence[TableEntry]) -> Journal:
    """A new or a resumed journal of the whole run, bound to the configuration and to the tables compared with."""
    path = asked.out / JOURNAL
    settings = {
        entry.file: [entry.profiler, *entry.args, _digest(asked.config.parent / entry.file)] for entry in entries
    }
    if asked.resume and path.is_file():
        return Journal.resume(path, settings)
    if path.exists() and not asked.overwrite:
        raise InputError(f"{asked.out} holds an earlier run: go on with it by --resume, or start anew with --overwrite")
    journal = Journal.create(path, settings)
    for entry in entries:
        for file in (entry.file, again(entry.file)):
            (asked.out / file).unlink(missing_ok=True)
            (asked.out / file).with_suffix(".journal.jsonl").unlink(missing_ok=True)
    return journal


def _digest(path: Path) -> str:
    """Of a table, which may not change between a run and its resumption."""
    return hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else "no table"


@contextmanager
def locked(folder: Path) -> Iterator[int]:
    """A lock on the folder that a profiler inherits: it holds as long as any of the run's processes lives.

    So a run that was killed cannot be resumed while its orphaned profiler still writes into the same journal.
    """
    with (folder / ".lock").open("a+b") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            raise InputError(
                f"{folder} is in use by {holder_in(file.read(4096))}, or by a profiler that it left behind"
            ) from None
        file.truncate(0)
        file.write(this_process())
        file.flush()
        yield file.fileno()


def again(file: str) -> str:
    """Name of the table of the second measurement, which an alarm needs."""
    return f"{Path(file).stem}.again.csv"


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
        path = self.committed / entry.file
        old = LatencyTable.load(path) if path.is_file() else None
        estimate = old is not None and old.provenance != "measured"
        if not self._made(entry.file) and (reason := why_not_here(entry, old.header if old and not estimate else {})):
            return TableResult(entry, SKIPPED, reason)
        new, failures = self._measured(entry, entry.file, {})
        if old is None or estimate:
            what = f"a measured one replaces it: the committed one is {old.provenance}" if old else "there was none"
            return TableResult(entry, FAILED if failures else NEW, failures or what)
        first = self._compared(old, new)
        if not first.changed:
            return TableResult(entry, FAILED if failures else UNCHANGED, failures, first)
        remeasured, _ = self._measured(entry, again(entry.file), second_arguments(entry, first.changed))
        second = self._compared(old, remeasured)
        confirmed, doubted = confirm(first, second)
        status = CHANGED if confirmed else UNCHANGED
        return TableResult(entry, FAILED if failures else status, failures, first, confirmed, doubted)

    @staticmethod
    def _compared(old: LatencyTable, new: LatencyTable) -> Comparison:
        """Refuses tables of different measurements; leaves a plot and a JSON file beside the new table."""
        comparison = compare_tables(old, new)
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
        return any(record["file"] == file for record in self.journal.records)

    def _measured(self, entry: TableEntry, file: str, instead: Mapping[str, str]) -> tuple[LatencyTable, str]:
        """The table, measured unless it already is, and a word on blocks that failed. instead: other options' values"""
        if not self._made(file):
            code, last_error = self._profile(entry, replaced(entry.args, instead), self.out / file)
            if code not in (0, 1) or not (self.out / file).is_file():
                raise InputError(f"profilers.{entry.profiler} ended with {code}: {last_error or 'it said nothing'}")
            self.journal.append({"kind": "measured", "file": file})
        table = LatencyTable.load(self.out / file)
        failed = table.header.get("failed_blocks")
        return table, f"{failed} blocks could not be measured; see the log" if failed else ""

    def _profile(self, entry: TableEntry, args: Sequence[str], out: Path) -> tuple[int, str]:
        """Runs a profiler to its end: exit code, and the last line of its errors. Ctrl-C ends it too."""
        command = [sys.executable, "-m", f"profilers.{entry.profiler}", *args, "--out", str(out), "--resume"]
        print(f"{entry.file}: {shlex.join(['python', *command[1:]])}", flush=True)
        with tempfile.TemporaryFile() as errors:
            process = subprocess.Popen(command, stderr=errors, pass_fds=[self.lock])
            try:
                code = process.wait()
            except KeyboardInterrupt:
                process.terminate()
                process.wait()
                raise
            errors.seek(0)
            text = errors.read().decode("utf-8", "replace").strip()
        if text:
            print(text, file=sys.stderr, flush=True)
        if code == STOPPED:
            raise KeyboardInterrupt
        return code, text.splitlines()[-1] if text else ""

    def accept(self, result: TableResult) -> str:
        """Replaces the committed table; what was done, in words."""
        file = result.entry.file
        if result.first is not None and abs(result.first.changes.drift - 1) > EFFECT:
            return f"{file}: not accepted: all of it drifted by {result.first.drift_pct:+.1f} %; measure it again"
        content = (self.out / file).read_bytes()
        replace_file(self.committed / file, lambda temporary: temporary.write_bytes(content))
        return (
            f"{file}: accepted; for the correction and expected error of its sums: "
            f"python -m profilers.validate --table {shlex.quote(str(self.committed / file))}"
        )
