"""An estimated table written, and what the user is told of it and of the networks that it rests on."""

from __future__ import annotations

from collections.abc import Callable

from ofa.tables import LatencyTable
from profilers.estimating.combined import combined_table
from profilers.estimating.estimate import check_replaceable, estimate
from profilers.estimating.measured import MeasuredSuggestion, networks_file
from profilers.estimating.transfer_config import TransferConfig


def say_measured(measured: MeasuredSuggestion, asked: int, space: str, say: Callable[[str], object]) -> int:
    """Says what came of networks that were measured; 1 if some failed. asked: how many there were"""
    say(f"wrote {measured.file}: {asked - len(measured.failed)} networks of {space}, measured")
    for name, why in measured.failed.items():
        say(f"failed: {name}: {why}")
    if measured.doubtful:
        say(f"the device drifted or was busy in {measured.doubtful} visits: what rests on them is doubtful")
    return int(bool(measured.failed))


def write_estimate(
    config: TransferConfig, source: LatencyTable | None, command: str, say: Callable[[str], object]
) -> None:
    """Estimates a table from networks that are timed, and writes it. source: of a related device, or none

    command: as typed, for the header
    """
    from profilers.profiling.next_step import next_step

    table = combined_table(config, command) if config.sources else estimate(config, source, command)
    measured_here = config.networks == networks_file(config.out)
    check_replaceable(config.out, config.overwrite, table.device, config.networks if measured_here else None)
    table.save(config.out)
    say(f"wrote {config.out}: {len(table.rows)} blocks of {table.device}, estimated: {table.header['source']}")
    if config.unit is None and (there := table.header.get("networks")):
        say(f"latencies were read as milliseconds: {there}; if they are none, say --unit s or --unit us")
    say(f"expected error: {table.expected_error}")
    if table.uncertainty is not None:
        say(f"of each network the table knows its own error, for ofa.search --confidence: {table.uncertainty.rests_on}")
    if not table.emulated:
        say(next_step(config.out))
