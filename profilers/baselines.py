"""`python -m profilers.baselines`: published networks and those that a search finds, measured on a table's device."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING

from ofa.cli.command import Command
from ofa.cli.console import make_console
from ofa.errors import InputError
from ofa.runs.journal import Journal, finish
from ofa.runs.lock import Lock
from ofa.runs.settings import identity_of
from profilers.profiling.command_words import command_line, continued
from profilers.published.config import BaselinesConfig

if TYPE_CHECKING:
    from profilers.published.entrants import Contest

COMMAND = Command("profilers.baselines", BaselinesConfig, "--table my-cpu.csv")


def main(argv: Sequence[str] | None = None) -> int:
    return measure_baselines(COMMAND.parse(argv), command_line("profilers.baselines", argv))


def measure_baselines(config: BaselinesConfig, command: str) -> int:
    """Searches, measures, compares, says and writes it; 1 if a network failed or the machine changed. command: typed"""
    from ofa.runs.files import write_json
    from ofa.runs.places import check_replaced, check_writable
    from ofa.tables import LatencyTable, find_table
    from profilers.devices.from_header import open_target
    from profilers.profiling.console import measure_shown
    from profilers.published.entrants import contest_of
    from profilers.published.ranking import ranking_of, to_json
    from profilers.published.ranking_report import ending, print_ranking
    from profilers.whole_networks.measured import measure_networks, of_table, require_measured

    table = LatencyTable.load(find_table(config.table))
    require_measured(table, "compared")
    if table.emulated:
        raise InputError(f"{table.path} was measured on an emulated device: what is measured there means nothing")
    check_writable(config.file)
    check_replaced(config.file, {"baselines", "found"}, "what profilers.baselines writes")
    console = make_console()
    contest = contest_of(config, table)
    with Lock(config.file), open_target(table, config, config.timeout, console.out) as target:
        journal = open_journal(config, contest)
        measure = partial(measure_shown, journal=journal, console=console, resume=continued(command))
        visits = config.visits or target.pace.whole_rounds
        measured = measure_networks(contest.plan, of_table(target, table), measure, visits=visits, seed=config.seed)
    ranking = ranking_of(contest, measured)
    write_json(config.file, to_json(ranking, config, command, datetime.now(UTC)))
    finish(journal.path)
    print_ranking(console, ranking)
    return ending(ranking, config.file, console)


def open_journal(config: BaselinesConfig, contest: Contest) -> Journal:
    """A new journal beside the output, or that of an interrupted run; bound to what is measured."""
    path = config.file.with_suffix(".journal.jsonl")
    networks = [*contest.plan.genes.tolist(), *(one.label for one in contest.published)]
    # a file may change between two runs, what is published does not
    given = [list(map(str, one.blocks())) for one in contest.published if not one.published]
    settings = {**identity_of(config), "measured": networks, **({"given": given} if given else {})}
    return Journal.begin(path, settings, resume=config.resume, overwrite=config.overwrite)


if __name__ == "__main__":
    from ofa.cli.run import run

    run(main)
