"""`python -m profilers.margin`: how much longer the networks that searches find take than their sums say."""

from __future__ import annotations

from collections.abc import Sequence

from ofa.cli.command import Command
from ofa.cli.console import make_console
from ofa.runs.lock import Lock
from ofa.runs.places import check_writable
from profilers.profiling.command_words import command_line
from profilers.whole_networks.margin_config import MarginConfig

COMMAND = Command("profilers.margin", MarginConfig, "--table my-cpu.csv")


def main(argv: Sequence[str] | None = None) -> int:
    return measure_margin(COMMAND.parse(argv), command_line("profilers.margin", argv))


def measure_margin(config: MarginConfig, command: str) -> int:
    """Makes one occasion, or one check, and says what is known by then; 1 if it does not count. command: as typed"""
    from profilers.devices.from_header import open_target
    from profilers.whole_networks.margin_run import MarginRun
    from profilers.whole_networks.measured import of_table

    console = make_console()
    run = MarginRun.of(config, command, console)
    check_writable(run.file, name="the file of occasions")
    with Lock(run.file):
        known = run.known()
        with open_target(run.table, config, config.timeout, console.out) as target:
            measured = known or run.begin(config.winners)
            return run.measure(measured, of_table(target, run.table))


if __name__ == "__main__":
    from ofa.cli.run import run as run_command

    run_command(main)
