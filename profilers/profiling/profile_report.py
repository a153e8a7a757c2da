"""What came of a profile: its table, and what the user is told."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime

from rich.console import Console

from ofa import __version__
from ofa.errors import InputError, one_line
from ofa.space.header_lines import spaces_header
from ofa.tables import LatencyTable, TableRow
from ofa.tables.control_networks import CONTROL_NETWORKS, ControlNetwork, header_line
from profilers.in_place.blocks import InPlace, blocks_in_place
from profilers.in_place.failures import failure_lines, failures_header
from profilers.measuring.judge import Outcome
from profilers.measuring.statistics import Summary, summarise
from profilers.measuring.target import Target
from profilers.profiling.next_step import next_step
from profilers.profiling.profile_options import ProfileOptions
from profilers.profiling.table_header import (
    device_header,
    device_model,
    device_name,
    in_place_header,
    known,
    quality_header,
)
from profilers.profiling.work import Work

MOST_NAMED = 3  # blocks that failed for one reason


def table_of(options: ProfileOptions, work: Work, outcome: Outcome, target: Target, command: str) -> LatencyTable:
    """The table of an outcome; InputError if no block could be measured. command: as typed, for the header."""
    summaries = {name: summarise(outcome.results[name]) for name in work.block_ids if name in outcome.results}
    if not summaries:
        raise InputError(f"no block could be measured, and no table was written: {_reasons(outcome.failed)}")
    found = blocks_in_place(outcome, summaries, work.network_ids) if work.carriers else None
    device = outcome.greeted.device
    header = {
        "device": options.name or device_name(device),
        "soc": device_model(device),
        "runtime": outcome.greeted.runtime,
        **target.header,
        "batch": str(options.batch_size),
        "when": datetime.now(UTC).isoformat(timespec="seconds"),
        "tool": f"ofa-latency {__version__}",
        "provenance": "measured",
        "source": command,
        **spaces_header([work.space]),
        "resolutions": known(list(options.resolutions)),
        "timing": "in place" if found else "warm",
        **quality_header(work.plan, outcome, summaries),
        **(in_place_header(found, summaries) | failures_header(outcome) if found else {}),
    }
    if networks := _networks_line(work, outcome):
        header[CONTROL_NETWORKS] = networks
    # an agent tells facts of its device, and nothing else of the table
    header |= {key: text for key, text in device_header(device).items() if key not in header}
    if work.measured < work.blocks:
        header["limit"] = f"the first {work.measured} of {work.blocks} blocks"
    blocks = set(work.block_ids)
    if failed := sum(name in blocks for name in outcome.failed):
        header["failed_blocks"] = str(failed)
    if failed := sum(name not in blocks for name in outcome.failed):
        header["failed_networks"] = str(failed)
    return LatencyTable(header, _rows(work, outcome, summaries, found))


def _networks_line(work: Work, outcome: Outcome) -> str:
    """What the header says of whole networks: of those that could be measured."""
    pairs = zip(work.network_ids, work.networks, strict=True)
    networks = [
        ControlNetwork(network, summarise(outcome.results[name]).latency_ms)
        for name, network in pairs
        if name in outcome.results
    ]
    return header_line(networks, work.space) if networks else ""


def _reasons(failed: Mapping[str, str]) -> str:
    """The reason that all have in common, or how many there are."""
    there = [*dict.fromkeys(failed.values())]
    if len(there) > 1:
        return f"for the {len(there)} reasons above"
    return one_line(there[0]) if there else "no reason is known"


def _rows(work: Work, outcome: Outcome, summaries: Mapping[str, Summary], found: InPlace | None) -> list[TableRow]:
    return [
        TableRow(
            work.plan.models[name][0],
            found.latency_ms[name] if found else s.latency_ms,
            s.mad_ms,
            s.p90_ms,
            s.runs,
            s.energy_mj,
            # doubtful visits are no samples of anything
            visits_ms=None if name in outcome.without_good else found.visits_ms[name] if found else s.visits_ms,
            warm_ms=s.latency_ms if found else None,
        )
        for name, s in sorted(summaries.items())
    ]


def say_failures(console: Console, work: Work, outcome: Outcome) -> None:
    """Names every block that failed, and why, many of one reason on one line; then what ran alone, not in networks."""
    alike: dict[str, list[str]] = {}
    for name, message in outcome.failed.items():
        piece = outcome.plan.pieces.get(name)
        alike.setdefault(message, []).append(f"a piece of {work.called(piece.of)}" if piece else work.called(name))
    for message, called in alike.items():
        if len(called) <= MOST_NAMED:
            for each in called:
                say(console, f"failed: {each}: {message}")
        else:
            say(console, f"failed: {', '.join(called[:MOST_NAMED])} and {len(called) - MOST_NAMED} more: {message}")
    for line in failure_lines(outcome):
        say(console, line)
    if work.carriers and not any(name in outcome.results for name in outcome.plan.cuts):
        why = f": {outcome.no_parts}" if outcome.no_parts else ""
        say(
            console,
            f"no network ran in parts{why}: every block was timed alone, and the table's timing is warm; --timing warm "
            "--overwrite gives blocks alone their full time, and another --runtime may run networks in parts",
        )


def failures(table: LatencyTable) -> str:
    """How much of what a table was to rest on failed, in words."""
    blocks, networks = table.header.get("failed_blocks"), table.header.get("failed_networks")
    return " and ".join([*([f"{blocks} blocks"] if blocks else []), *([f"{networks} networks"] if networks else [])])


def say(console: Console, text: str) -> None:
    """One line as it is."""
    console.print(text, highlight=False, markup=False, soft_wrap=True)


def report(
    console: Console,
    options: ProfileOptions,
    outcome: Outcome,
    table: LatencyTable,
    resume: str,
    wall_s: float,
) -> int:
    """Says what came of a profile whose table was written; 1 if blocks failed."""
    count = len(table.rows)
    if options.energy and table.header.get("energy_blocks") != str(count):
        known_of = table.header.get("energy_blocks", "none")
        say(
            console, f"energy: known for {known_of} of {count} blocks; energy counter: {table.header['energy_counter']}"
        )
    journal = options.out.with_suffix(".journal.jsonl")
    say(console, f"wrote {options.out}: {count} blocks, {wall_s:.0f} s; raw samples are in {journal}")
    if outcome.doubtful:
        say(
            console,
            f"the machine drifted or was busy in all visits of some blocks ({outcome.doubtful} visits), whose figures "
            f"are doubtful; on a quieter machine, try again with: {resume}",
        )
    if outcome.failed:
        say(console, f"{failures(table)} failed; try them again with: {resume}")
        return 1
    if not table.emulated:
        say(console, next_step(options.out))
    return 0
