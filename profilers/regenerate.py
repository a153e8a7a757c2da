"""`python -m profilers.regenerate`: measures every table again whose device is at hand, and says what changed."""

from __future__ import annotations

import argparse
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from ofa.optional_packages import require
from ofa.runs.files import replace_file
from profilers import android, cpu, gpu, linux
from profilers.changes.at_hand import board_model, cpu_model_here, gpu_model, phone_model
from profilers.changes.regeneration import RegenerateOptions, Regeneration, locked, open_journal
from profilers.changes.regeneration_report import CHANGED, FAILED, NEW, TableResult, markdown
from profilers.changes.tables_config import Asked, Profilers, load_config
from profilers.profiling.arguments import command_line, options_of
from profilers.profiling.console import STOPPED, ended_by_sigterm


def _cpu(argv: Sequence[str]) -> Asked:
    return Asked(cpu.options(argv), cpu_model_here)


def _gpu(argv: Sequence[str]) -> Asked:
    asked = gpu.options(argv)
    return Asked(asked, lambda: gpu_model(asked.device))


def _android(argv: Sequence[str]) -> Asked | None:
    asked = android.table_options(argv)
    if asked is None:
        return None
    phone, profile = asked
    return Asked(profile, lambda: phone_model(phone.serial))


def _linux(argv: Sequence[str]) -> Asked:
    asked = linux.options(argv)
    return Asked(asked, lambda: board_model(asked.host, asked.ssh_config))


PROFILERS: Profilers = {"cpu": _cpu, "gpu": _gpu, "android": _android, "linux": _linux}


def parser() -> argparse.ArgumentParser:
    parsed = argparse.ArgumentParser(
        prog="python -m profilers.regenerate",
        description="Measure every table of a configuration again whose device is at hand, compare it block by block "
        "with the one beside the configuration, and write report.md. What looks changed is measured once more before "
        "it counts. Exit code 0: nothing changed, 1: blocks changed or a table is new, 2: something failed.",
        epilog="example: python -m profilers.regenerate --config tables.toml --out out/nightly",
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
    return regenerate(
        options_of(RegenerateOptions, parser().parse_args(argv)), command_line("profilers.regenerate", argv)
    )


def regenerate(options: RegenerateOptions, command: str) -> int:
    """Measures the tables again: 0 nothing changed, 1 something did, 2 something failed. command: as typed"""
    for package in ("scipy", "matplotlib"):  # asked now: they are needed at the end
        require(package, "comparing tables")
    entries = load_config(options.config, PROFILERS)
    resume = shlex.join(
        ["python", "-m", "profilers.regenerate", "--config", str(options.config), "--out", str(options.out), "--resume"]
    )
    options.out.mkdir(parents=True, exist_ok=True)
    with locked(options.out) as lock, ended_by_sigterm():
        run = Regeneration(options.config.parent, options.out, open_journal(options, entries), lock, resume)
        try:
            results = [run.table(entry) for entry in entries]
        except KeyboardInterrupt:
            print(f"stopped; what was measured is in {options.out}; go on with: {resume}", file=sys.stderr)
            return STOPPED
        finally:
            run.journal.close()
        wanted = [result for result in results if options.accept and result.status in (CHANGED, NEW)]
        accepted = [run.accept(result) for result in wanted]
    report = options.out / "report.md"
    text = markdown(results, accepted, command, f"{resume} --accept")
    replace_file(report, lambda file: file.write_text(text, encoding="utf-8"))
    _say(results, accepted, report)
    statuses = {result.status for result in results}
    if FAILED in statuses:
        return 2
    return 1 if statuses & {CHANGED, NEW} else 0


def _say(results: Sequence[TableResult], accepted: Sequence[str], report: Path) -> None:
    say = Console().out
    for result in results:
        say(f"{result.entry.file}: {result.status}{f': {result.reason}' if result.reason else ''}")
        for row in result.confirmed:
            say(f"  changed: {row.block}: {row.old_ms:.4f} to {row.new_ms:.4f} ms, {100 * row.effect:+.1f} %")
    for line in accepted:
        say(line)
    say(f"wrote {report}")


if __name__ == "__main__":
    from ofa.cli.run import run

    run(main, failed=2)
