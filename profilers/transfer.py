"""`python -m profilers.transfer`: an estimated table for a device that is not at hand, from a handful of networks.

A cost model is fitted on a table of a related device and scaled to whole networks that were timed on the target: one
factor, or with eight networks and more one factor a term, held together as cross-validation asks for. The table says
that it is estimated, what it rests on, and how well networks that a fit had not seen were predicted.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ofa.cli.command import Command
from ofa.cli.console import make_console
from ofa.errors import InputError
from profilers.estimating.transfer_config import TransferConfig
from profilers.profiling.command_words import command_line

if TYPE_CHECKING:
    from ofa.tables import LatencyTable

COMMAND = Command(
    "profilers.transfer",
    TransferConfig,
    '--networks networks.csv --from note10 --device "My phone" --out my-phone.csv',
)


def main(argv: Sequence[str] | None = None) -> int:
    return transfer(COMMAND.parse(argv), command_line("profilers.transfer", argv))


def transfer(config: TransferConfig, command: str) -> int:
    """Writes an estimated table, or networks that are worth timing. command: as typed, for the table's header."""
    from ofa.tables import LatencyTable, find_table
    from profilers.estimating.estimate import check_replaceable
    from profilers.estimating.estimate_report import write_estimate
    from profilers.estimating.sources import refuse_lists

    if config.from_ is not None and not config.sources:
        refuse_lists(config.from_)
    source = LatencyTable.load(find_table(config.from_)) if config.from_ is not None and not config.sources else None
    if config.suggest and not config.measures:
        return _suggest(config, source)
    check_replaceable(config.out, config.overwrite, config.device)
    code = 0
    if config.measures:
        config, code = _measure(config, source, command)
    write_estimate(config, source, command, print)
    return code


def _measure(config: TransferConfig, source: LatencyTable | None, command: str) -> tuple[TransferConfig, int]:
    """Measures the suggested networks; the config that estimates a table from them, and 1 if some failed."""
    from profilers.estimating.cost_model import LEAST_FOR_TERMS
    from profilers.estimating.estimate_report import say_measured
    from profilers.estimating.measured import measure_suggested, networks_file
    from profilers.estimating.suggestion import check_new, suggestion

    if source is None and not config.sources and (config.suggest or 0) < LEAST_FOR_TERMS:
        raise InputError(
            f"--suggest is {config.suggest}: name a table of a related device with --from, or measure at least "
            f"{LEAST_FOR_TERMS}"
        )
    file = networks_file(config.out)
    if not config.resume:
        check_new(file, config.overwrite)
    space, networks = suggestion(config, source)
    measured = measure_suggested(config, space, networks, command, make_console())
    return config.estimating(file), say_measured(measured, len(networks), space.name, print)


def _suggest(config: TransferConfig, source: LatencyTable | None) -> int:
    from profilers.estimating.suggestion import check_new, suggestion, write_suggested_models, write_suggestion

    check_new(config.out, config.overwrite)
    space, networks = suggestion(config, source)
    write_suggestion(config, space, networks)
    count = len(networks)
    print(f"wrote {config.out}: {count} networks of {space.name}, whose latency_ms is for you to fill in")
    if config.runtime:
        folder = write_suggested_models(config, space, networks)
        print(f"wrote {folder}: the same networks as models for {config.runtime}, with random weights")
    return 0


if __name__ == "__main__":
    from ofa.cli.run import run

    run(main)
