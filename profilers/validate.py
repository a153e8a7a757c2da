"""`python -m profilers.validate`: how well a table's sums predict whole networks, measured on the same device."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from ofa.cli.command import Command
from ofa.cli.console import make_console
from ofa.optional_packages import require
from ofa.runs.journal import Journal, finish
from ofa.runs.lock import sweep
from ofa.runs.places import check_writable
from ofa.runs.settings import identity_of
from profilers.profiling.command_words import command_line, continued
from profilers.whole_networks.validate_config import ValidateConfig

if TYPE_CHECKING:
    from ofa.published.block_network import BlockNetwork
    from ofa.tables import LatencyTable
    from profilers.whole_networks.choosing import Chosen

COMMAND = Command("profilers.validate", ValidateConfig, "--table my-cpu.csv --networks 125")


def main(argv: Sequence[str] | None = None) -> int:
    return validate(COMMAND.parse(argv), command_line("profilers.validate", argv))


def validate(config: ValidateConfig, command: str) -> int:
    """Measures whole networks against a table; 1 if some failed, or the machine is not as it was. command: as typed"""
    from ofa.tables import LatencyTable, find_table
    from profilers.devices.from_header import open_target
    from profilers.profiling.console import measure_shown
    from profilers.whole_networks.beside import beside_of, open_beside, say_beside, split
    from profilers.whole_networks.choosing import choose, space_of
    from profilers.whole_networks.measured import measure_networks, of_table, require_measured
    from profilers.whole_networks.validation import validation_of
    from profilers.whole_networks.validation_report import report, write

    for package in ("scipy", "matplotlib"):  # asked now: they are needed at the end
        require(package, "validating a table")
    path = find_table(config.table)
    table = LatencyTable.load(path)
    require_measured(table, "validated")
    for file in written(path):
        check_writable(file, name="the validation")
    space, resolutions = space_of(table, config.space, config.num_classes)
    others = open_beside(config.also)
    chosen = choose(table, space, resolutions, config.networks, config.seed)
    chosen = replace(chosen, beside=tuple(network.blocks for network in others))
    console = make_console()
    with open_target(table, config, config.timeout, console.out) as target:
        journal = open_journal(config, path, table, chosen, others)
        measure = partial(measure_shown, journal=journal, console=console, resume=continued(command))
        visits = config.visits or target.pace.whole_rounds
        measured = measure_networks(chosen, of_table(target, table), measure, visits=visits, seed=config.seed)
    of_space, of_none = split(measured, len(chosen.genes))
    validation = validation_of(table, chosen, of_space)
    beside = beside_of(others, of_none, validation.corrected)
    write(validation, table, command, beside)
    finish(journal.path)
    code = report(validation, table, console.out)
    say_beside(beside, table.batch, console.out)
    return code


def written(table: Path) -> tuple[Path, Path, Path]:
    """The files of a validation, the table itself first."""
    return table, table.with_suffix(".validation.json"), table.with_suffix(".validation.png")


def open_journal(
    config: ValidateConfig, path: Path, table: LatencyTable, chosen: Chosen, others: Sequence[BlockNetwork] = ()
) -> Journal:
    """A new journal beside the table, or the one of an interrupted run, bound to the table's rows and the choice."""
    from profilers.whole_networks.beside import journal_settings

    # what was not given is the table's, so that journals of before the space was part of them are gone on with
    given = {name: value for name, value in identity_of(config).items() if name != "table" and value is not None}
    rows = hashlib.sha256(repr(table.rows).encode()).hexdigest()
    settings = {"rows": rows, **given, "chosen": chosen.identity, **journal_settings(others)}
    journal = path.with_suffix(".validation.journal.jsonl")
    opened = Journal.begin(journal, settings, resume=config.resume, overwrite=config.overwrite)
    for file in written(path):
        sweep(file)  # what a killed run left half-written
    return opened


if __name__ == "__main__":
    from ofa.cli.run import run

    run(main)
