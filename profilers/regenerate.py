"""`python -m profilers.regenerate`: measures every table again whose device is at hand, and says what changed."""

from __future__ import annotations

import argparse
import fcntl
import hashlib
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from ofa.blocks import Block, all_blocks
from ofa.errors import InputError
from ofa.runs.files import replace_file, write_json
from ofa.space import RESOLUTIONS, get_space
from ofa.tables import LatencyTable
from profilers.change import ALPHA, EFFECT
from profilers.command import command_line, ended_by_sigterm
from profilers.compare import BlockChange, Comparison, compare_tables, to_json, write_plot
from profilers.journal import Journal
from profilers.regenerate_report import CHANGED, FAILED, NEW, SKIPPED, UNCHANGED, Result, markdown
from profilers.tables_config import Entry, load_config, why_not_here

JOURNAL = "regenerate.journal.jsonl"


def parser() -> argparse.ArgumentParser:
    parsed = argparse.ArgumentParser(
        prog="python -m profilers.regenerate",
        description="Measure every table of a configuration again whose device is at hand, compare it block by block "
        "with the one beside the configuration, and write report.md. What looks changed is measured once more before "
        "it counts. Exit code 0: nothing changed, 1: blocks changed or a table is new, 2: something failed.",
        epilog="example: python -m profilers.regenerate --config latency_tables/tables.toml --out out/nightly",
    )
    add = parsed.add_argument
    add("--config", type=Path, required=True, metavar="TOML", help="the tables: file, profiler, args")
    add("--out", type=Path, required=True, metavar="DIR", help="folder for the new tables, journals and the report")
    add("--accept", action="store_true",
        help="replace the tables that changed; with --resume, after a finished run, without measuring")  # fmt: skip
    again = parsed.add_mutually_exclusive_group()
    again.add_argument("--resume", action="store_true", help="go on with an interrupted run in the same folder")
    again.add_argument("--overwrite", action="store_true", help="start anew over an earlier run in the same folder")
    return parsed


def main(argv: Sequence[str] | None = None) -> int:
    args = parser().parse_args(argv)
    command = command_line("profilers.regenerate", argv)
    entries = load_config(args.config)
    resume = shlex.join(
        ["python", "-m", "profilers.regenerate", "--config", str(args.config), "--out", str(args.out), "--resume"]
    )
    args.out.mkdir(parents=True, exist_ok=True)
    with locked(args.out) as lock, ended_by_sigterm():
        run = Regeneration(args.config.parent, args.out, open_journal(args, entries), lock, resume)
        try:
            results = [run.table(entry) for entry in entries]
        except KeyboardInterrupt:
            print(f"stopped; what was measured is in {args.out}; go on with: {resume}", file=sys.stderr)
            return 130
        finally:
            run.journal.close()
        accepted = [run.accept(result) for result in results if args.accept and result.status in (CHANGED, NEW)]
    report = args.out / "report.md"
    text = markdown(results, accepted, command, f"{resume} --accept")
    replace_file(report, lambda file: file.write_text(text, encoding="utf-8"))
    say = Console().out
    for result in results:
        say(f"{result.entry.file}: {result.status}{f': {result.reason}' if result.reason else ''}")
        for row in result.confirmed:
            say(f"  changed: {row.block}: {row.old_ms:.4f} to {row.new_ms:.4f} ms, {100 * row.effect:+.1f} %")
    for line in accepted:
        say(line)
    say(f"wrote {report}")
    statuses = {result.status for result in results}
    if FAILED in statuses:
        return 2
    return 1 if statuses & {CHANGED, NEW} else 0


def open_journal(args: argparse.Namespace, entries: Sequence[Entry]) -> Journal:
    """A new or a resumed journal of the whole run, bound to the configuration and to the tables compared with."""
    path = args.out / JOURNAL
    settings = {
        entry.file: [entry.profiler, *entry.args, _digest(args.config.parent / entry.file)] for entry in entries
    }
    if args.resume and path.is_file():
        return Journal.resume(path, settings)
    if path.exists() and not args.overwrite:
        raise InputError(f"{args.out} holds an earlier run: go on with it by --resume, or start anew with --overwrite")
    for entry in entries:
        for file in (entry.file, again(entry.file)):
            (args.out / file).unlink(missing_ok=True)
            (args.out / file).with_suffix(".journal.jsonl").unlink(missing_ok=True)
    return Journal.create(path, settings)


def _digest(path: Path) -> str:
    """Of a table, which may not change between a run and its resumption."""
    return hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else "no table"


@contextmanager
def locked(folder: Path) -> Iterator[int]:
    """A lock on the folder that a profiler inherits: it holds as long as any of the run's processes lives.

    So a run that was killed cannot be resumed while its orphaned profiler still writes into the same journal.
    """
    with (folder / ".lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise InputError(f"{folder} is in use by another run, or by a profiler that one left behind") from None
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

    def table(self, entry: Entry) -> Result:
        """Measures one table and compares it; whatever goes wrong is its result, and the others go on."""
        try:
            return self._table(entry)
        except InputError as error:
            return Result(entry, FAILED, str(error))

    def _table(self, entry: Entry) -> Result:
        path = self.committed / entry.file
        old = LatencyTable.load(path) if path.is_file() else None
        estimate = old is not None and old.provenance != "measured"
        if not self._made(entry.file) and (reason := why_not_here(entry, old.header if old and not estimate else {})):
            return Result(entry, SKIPPED, reason)
        new, failures = self._measured(entry, entry.file, [])
        if old is None or estimate:
            what = f"a measured one replaces it: the committed one is {old.provenance}" if old else "there was none"
            return Result(entry, FAILED if failures else NEW, failures or what)
        first = self._compared(old, new)
        if not first.changed:
            return Result(entry, FAILED if failures else UNCHANGED, failures, first)
        remeasured, _ = self._measured(entry, again(entry.file), second_arguments(entry, first.changed))
        second = self._compared(old, remeasured)
        confirmed, doubted = confirm(first, second)
        status = CHANGED if confirmed else UNCHANGED
        return Result(entry, FAILED if failures else status, failures, first, confirmed, doubted)

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

    def _measured(self, entry: Entry, file: str, more: Sequence[str]) -> tuple[LatencyTable, str]:
        """The table, measured unless it already is, and what was said of blocks that failed."""
        if not self._made(file):
            code, said = self._profile(entry, [*entry.args, *more], self.out / file)
            if code not in (0, 1) or not (self.out / file).is_file():
                raise InputError(f"profilers.{entry.profiler} ended with {code}: {said or 'it said nothing'}")
            self.journal.append({"kind": "measured", "file": file})
        table = LatencyTable.load(self.out / file)
        failed = table.header.get("failed_blocks")
        return table, f"{failed} blocks could not be measured; see the log" if failed else ""

    def _profile(self, entry: Entry, args: Sequence[str], out: Path) -> tuple[int, str]:
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
            said = errors.read().decode("utf-8", "replace").strip()
        if said:
            print(said, file=sys.stderr, flush=True)
        if code == 130:
            raise KeyboardInterrupt
        return code, said.splitlines()[-1] if said else ""

    def accept(self, result: Result) -> str:
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


def second_arguments(entry: Entry, suspects: Sequence[BlockChange]) -> list[str]:
    """Arguments that measure the suspects once more: another order, and no more resolutions than they need."""
    options = entry.options
    arguments = ["--seed", str(options.seed + 1)]
    if options.limit is not None:
        return arguments
    space = get_space(options.space, options.num_classes, {*RESOLUTIONS, *options.resolutions})
    blocks = {resolution: set(all_blocks(space, [resolution])) for resolution in options.resolutions}
    left, chosen = {suspect.block for suspect in suspects}, []
    while left:
        most = max(options.resolutions, key=lambda resolution: len(blocks[resolution] & left))
        if not blocks[most] & left:
            return arguments
        chosen.append(most)
        left -= blocks[most]
    return [*arguments, "--resolutions", ",".join(map(str, sorted(chosen)))]


def confirm(first: Comparison, second: Comparison) -> tuple[tuple[BlockChange, ...], tuple[Block, ...]]:
    """The changes of the first that the second shows too, the same way; and the blocks that it does not.

    The second asks only about the suspects: it is adjusted for those alone.
    """
    from scipy.stats import false_discovery_control

    now = {row.block: row for row in second.blocks}
    asked = [row.block for row in first.changed if row.block in now]
    p = false_discovery_control([now[block].p for block in asked]) if asked else []
    adjusted = dict(zip(asked, p, strict=True))
    confirmed = tuple(
        row
        for row in first.changed
        if row.block in adjusted
        and adjusted[row.block] < ALPHA
        and abs(now[row.block].effect) > EFFECT
        and (now[row.block].effect > 0) == (row.effect > 0)
    )
    return confirmed, tuple(row.block for row in first.changed if row not in confirmed)


if __name__ == "__main__":
    from ofa.cli.run import run

    run(main, failed=2)
