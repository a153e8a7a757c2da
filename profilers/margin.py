"""`python -m profilers.margin`: how much longer the networks that searches find take than their sums say."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ofa.cli.command import Command
from ofa.cli.console import make_console
from ofa.errors import InputError
from ofa.runs.lock import Lock
from ofa.runs.places import check_writable
from profilers.profiling.command_words import command_line
from profilers.whole_networks.margin_config import MarginConfig

if TYPE_CHECKING:
    from rich.console import Console

    from profilers.whole_networks.margin_run import MarginRun
    from profilers.whole_networks.occasions import Measured

COMMAND = Command("profilers.margin", MarginConfig, "--table my-cpu.csv")


def main(argv: Sequence[str] | None = None) -> int:
    return measure_margin(COMMAND.parse(argv), command_line("profilers.margin", argv))


def measure_margin(config: MarginConfig, command: str) -> int:
    """Makes one occasion, or one check, and says what is known by then; 1 if it does not count. command: as typed"""
    from profilers.whole_networks.margin_run import MarginRun

    console = make_console()
    run = MarginRun.of(config, command, console)
    check_writable(run.file, name="the file of occasions")
    with Lock(run.file):
        measured = _begun(config, run, console)
        if config.check is not None:
            return run.check(measured, config.check, config.confidence)
        measured.require_apart(config.apart)
        return run.occasion(measured)


def _begun(config: MarginConfig, run: MarginRun, console: Console) -> Measured:
    """The networks and earlier occasions; new networks where there are none."""
    if run.file.is_file() and not config.overwrite:
        return run.read()
    if config.check is not None:
        raise InputError(f"{run.file} is not there: nothing was measured that could be checked: leave --check out")
    console.print(f"searching within {2 * config.winners} limits", highlight=False)
    return run.begin(config.winners)


if __name__ == "__main__":
    from ofa.cli.run import run as run_command

    run_command(main)
