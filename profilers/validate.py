"""`python -m profilers.validate`: how well a table's sums predict whole networks, measured on the same device."""

from __future__ import annotations

import argparse
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console

from ofa.errors import InputError
from ofa.optional_packages import require
from ofa.runs.journal import Journal
from ofa.tables import LatencyTable, find_table
from profilers.devices.from_header import target_of
from profilers.measuring.plan import make_plan
from profilers.profiling.arguments import command_line, options_of
from profilers.profiling.console import measure_shown
from profilers.whole_networks.choosing import choose, space_of
from profilers.whole_networks.validation import FEWEST, validation_of
from profilers.whole_networks.validation_report import report, write


@dataclass(frozen=True, kw_only=True)
class ValidateOptions:
    """Whole networks that are measured and compared with a table."""

    table: str
    """measured on this machine; a path, or the name of a shipped one"""

    networks: int = 125
    """how many whole networks to measure, at least FEWEST"""

    space: str | None = None
    """whose networks (default: the table's, if it names just one)"""

    num_classes: int | None = None
    """classes of the classifier (default: the table's)"""

    seed: int = 0
    """of the choice of networks, and of the order of visits"""

    timeout: float = 60.0
    """seconds before a silent network is given up"""

    resume: bool = False
    """go on with the journal of an interrupted run"""


def parser() -> argparse.ArgumentParser:
    parsed = argparse.ArgumentParser(
        prog="python -m profilers.validate",
        description="Measure whole networks and compare them with the sums of a table made on this machine; a fifth "
        "of them fit a correction of the sums, the others are scored. Writes TABLE.validation.json and .png, and puts "
        "correction and expected error into the table's header, where the search uses and shows them.",
        epilog="example: python -m profilers.validate --table my-cpu.csv --networks 125",
    )
    add = parsed.add_argument
    add("--table", required=True, metavar="T", help="a table measured on this machine")
    add("--networks", type=int, default=125, metavar="N", help="how many whole networks to measure (default 125)")
    add("--space", metavar="S", help="search space, if the table does not name just one")
    add("--num-classes", type=int, metavar="N", help="classes of the classifier (default: the table's)")
    add("--seed", type=int, default=0, metavar="N", help="of the choice of networks (default 0)")
    add("--timeout", type=float, default=60.0, metavar="S",
        help="seconds before a silent network is given up (default 60)")  # fmt: skip
    add("--resume", action="store_true", help="go on with the journal of an interrupted run")
    return parsed


def main(argv: Sequence[str] | None = None) -> int:
    return validate(options_of(ValidateOptions, parser().parse_args(argv)), command_line("profilers.validate", argv))


def validate(options: ValidateOptions, command: str) -> int:
    """Measures whole networks against a table; 1 if some failed, or the machine is not as it was. command: as typed"""
    if options.networks < FEWEST:
        raise InputError(f"--networks is {options.networks}, expected at least {FEWEST}")
    for package in ("scipy", "matplotlib"):  # asked now: they are needed at the end
        require(package, "validating a table")
    path = find_table(options.table)
    table = LatencyTable.load(path)
    if table.provenance != "measured":
        raise InputError(f"{path} is {table.provenance}: only a table measured on this machine can be validated on it")
    target = target_of(table, options.timeout)
    space, resolutions = space_of(table, options.space, options.num_classes)
    chosen = choose(table, space, resolutions, options.networks, options.seed)
    plan = make_plan(chosen.chains(), target.pace.whole_rounds, options.seed)
    journal = open_journal(options, path, table)
    console = Console()
    resume = f"{command.replace(' --resume', '')} --resume"
    outcome = measure_shown(plan, target, target.pace.whole, options.seed, journal, console, resume)
    if outcome.greeted.runtime != table.header["runtime"]:
        raise InputError(f"{path} was made with {table.header['runtime']}, installed is {outcome.greeted.runtime}")
    validation = validation_of(table, chosen, plan, outcome)
    write(validation, table, command)
    return report(validation, table, console.out)


def open_journal(options: ValidateOptions, path: Path, table: LatencyTable) -> Journal:
    """A new journal beside the table, or the one of an interrupted run, bound to the table's rows and the choice."""
    settings: dict[str, Any] = {
        "rows": hashlib.sha256(repr(table.rows).encode()).hexdigest(),
        "networks": options.networks,
        "seed": options.seed,
    }
    journal = path.with_suffix(".validation.journal.jsonl")
    if options.resume and journal.is_file():
        return Journal.resume(journal, settings)
    return Journal.create(journal, settings)


if __name__ == "__main__":
    from ofa.cli.run import run

    run(main)
