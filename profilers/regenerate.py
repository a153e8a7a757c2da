"""`python -m profilers.regenerate`: measures every table again whose device is at hand, and says what changed."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ofa.cli.command import Command
from ofa.cli.console import make_console
from ofa.errors import InputError
from ofa.optional_packages import require
from ofa.reading.numbers import short
from ofa.runs.files import replace_file
from ofa.runs.places import check_writable
from ofa.runs.system import typed
from profilers import android, cpu, gpu, linux
from profilers.changes.at_hand import board_model, cpu_model_here, gpu_model, phone_model
from profilers.changes.regenerate_config import RegenerateConfig
from profilers.changes.tables_config import Asked, Profilers, TableEntry, load_config
from profilers.profiling.command_words import command_line

if TYPE_CHECKING:
    from profilers.changes.regeneration_report import TableResult


def _cpu(argv: Sequence[str]) -> Asked:
    return Asked(cpu.COMMAND.parse(argv), cpu_model_here)


def _gpu(argv: Sequence[str]) -> Asked:
    config = gpu.COMMAND.parse(argv)
    return Asked(config, lambda: gpu_model(config.device, config.runtime))


def _android(argv: Sequence[str]) -> Asked | None:
    config = android.COMMAND.parse(argv)
    return Asked(config, lambda: phone_model(config.only_serial)) if config.is_for_one_table else None


def _linux(argv: Sequence[str]) -> Asked:
    config = linux.COMMAND.parse(argv)
    return Asked(config, lambda: board_model(config.host, config.ssh_config))


PROFILERS: Profilers = {"cpu": _cpu, "gpu": _gpu, "android": _android, "linux": _linux}
COMMAND = Command("profilers.regenerate", RegenerateConfig, "--config tables.toml --out out/nightly")


def main(argv: Sequence[str] | None = None) -> int:
    return regenerate(COMMAND.parse(argv), command_line("profilers.regenerate", argv))


def regenerate(asked: RegenerateConfig, command: str) -> int:
    """Measures the tables again: 0 nothing changed, 1 something did, 2 something failed. command: as typed"""
    from profilers.changes.regeneration import Regeneration, locked, open_journal
    from profilers.changes.regeneration_report import CHANGED, FAILED, NEW, markdown
    from profilers.profiling.console import STOPPED, ended_by_sigterm

    for package in ("scipy", "matplotlib"):  # asked now: they are needed at the end
        require(package, "comparing tables")
    entries = only(load_config(asked.config, PROFILERS), asked)
    resume = _resumed(asked)
    if asked.out.resolve() == asked.config.parent.resolve():
        raise InputError(f"--out {asked.out} is the folder of the tables that are compared with: name another")
    if asked.accept:
        check_writable(asked.config.parent, folder=True, name="the tables' folder")
    with locked(asked.out) as lock, ended_by_sigterm():
        run = Regeneration(asked.config.parent, asked.out, open_journal(asked, entries), lock, resume)
        try:
            results = [run.table(entry) for entry in entries]
            wanted = [result for result in results if result.status in (CHANGED, NEW)]
            accepted = {
                result.entry.file: run.accept(result)
                for result in wanted
                if asked.accept or run.has_accepted(result.entry.file)
            }
            if asked.accept:
                accepted |= {result.entry.file: words for result in results if (words := run.keep(result))}
        except KeyboardInterrupt:
            print(f"stopped; what was measured is in {asked.out}; continue with: {resume}", file=sys.stderr)
            return STOPPED
        finally:
            run.journal.close()
    report = asked.out / "report.md"
    text = markdown(results, accepted, command, f"{resume} --accept")
    replace_file(report, lambda file: file.write_text(text, encoding="utf-8", newline="\n"))
    _say(results, [*accepted.values()], report)
    statuses = {result.status for result in results}
    if FAILED in statuses:
        return 2
    return 1 if statuses & {CHANGED, NEW} else 0


def _resumed(asked: RegenerateConfig) -> str:
    """The command that goes on with a run."""
    options = ["--config", str(asked.config), "--out", str(asked.out)]
    chosen = [word for file in asked.only for word in ("--only", file)]
    return typed(["python", "-m", "profilers.regenerate", *options, *chosen, "--resume"])


def only(entries: Sequence[TableEntry], asked: RegenerateConfig) -> list[TableEntry]:
    """The tables that are asked for; InputError for one that the list does not have."""
    files = [entry.file for entry in entries]
    if (strange := next((file for file in asked.only if file not in files), None)) is not None:  # "" too
        raise InputError(f"--only is {short(strange)}, expected one of {', '.join(files)}")
    return [entry for entry in entries if not asked.only or entry.file in asked.only]


def _say(results: Sequence[TableResult], accepted: Sequence[str], report: Path) -> None:
    say = make_console().out
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
