"""The independent samples behind a table: the median of every single visit of every block."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping
from pathlib import Path

from ofa.blocks import Block, all_blocks
from ofa.errors import InputError
from ofa.runs.journal import Journal
from ofa.space.description import NAME, recorded_space
from ofa.tables import LatencyTable
from profilers.measuring.judge import judge
from profilers.measuring.ledger import Ledger
from profilers.measuring.plan import make_plan
from profilers.measuring.statistics import summarise

# of 3,000 blocks timed in place, on four runtimes, none lay farther beside its single rounds, which err more, than 1.7
_IN_PLACE = 2.0
VisitMedians = Mapping[Block, tuple[float, ...]]


def visit_medians(table: LatencyTable) -> tuple[VisitMedians, str]:
    """Milliseconds of every visit of every block, or a block's one latency; and where they come from, in words.

    Taken from the table's column visits_ms; in a table without it from the journal beside it, if that is its own.
    A block whose visits were all disturbed has none. One whose latency is not that of its visits was edited, and has
    that latency.
    """
    if any(row.visits_ms for row in table.rows):
        edited = [row for row in table.rows if row.visits_ms and not _is_of(row.latency_ms, row.visits_ms, table)]
        found = {row.block: row.visits_ms or () for row in table.rows}
        but = f"; latency_ms of {len(edited)} blocks, which is not that of their visits" if edited else ""
        return found | {row.block: (row.latency_ms,) for row in edited}, f"visits in the table{but}"
    single = {row.block: (row.latency_ms,) for row in table.rows}
    journal = table.path.with_suffix(".journal.jsonl") if table.path else None
    if journal and journal.is_file():
        try:
            found = journal_visit_medians(journal)
        except InputError as reason:
            return single, f"one figure a block ({reason})"
        tells = any(found.get(row.block) for row in table.rows)  # a machine that was busy all along leaves no visits
        if tells and all(row.block in found and _agrees(row.latency_ms, found[row.block]) for row in table.rows):
            return {row.block: found[row.block] for row in table.rows}, f"visits in {journal.name}"
        return single, f"one figure a block ({journal.name} is of another table, or of disturbed visits alone)"
    return single, "one figure a block"


def _is_of(latency_ms: float, visits_ms: tuple[float, ...], table: LatencyTable) -> bool:
    """Whether a latency rests on these visits: on their median, or, in place, on parts that all blocks share."""
    if table.timing == "in place":
        return min(visits_ms) / _IN_PLACE <= latency_ms <= max(visits_ms) * _IN_PLACE
    return math.isclose(latency_ms, statistics.median(visits_ms), rel_tol=0.01, abs_tol=2e-6)


def _agrees(latency_ms: float, visits_ms: tuple[float, ...]) -> bool:
    """Whether the latency is the visits' median, but for rounding; a block without good visits tells nothing."""
    return not visits_ms or math.isclose(latency_ms, statistics.median(visits_ms), abs_tol=2e-6)


def journal_visit_medians(path: Path) -> dict[Block, tuple[float, ...]]:
    """Milliseconds of the visits that a profile used, by its journal; InputError if it is no profile's."""
    journal = Journal.read(path)
    settings = journal.settings
    if "carriers" in settings:
        raise InputError(f"{path}: of a table measured in place, whose visits stand in the table alone")
    if "networks" in settings:
        raise InputError(f"{path}: of a table whose visits stand in the table")
    try:
        space = recorded_space({NAME: settings[NAME], **settings}, path, settings["num_classes"])
        blocks = all_blocks(space, settings["resolutions"])[: settings["blocks"]]
        plan = make_plan([(block,) for block in blocks], settings["rounds"], settings["seed"])
    except KeyError as missing:
        raise InputError(f"{path}: not the journal of a profile: its settings name no {missing}") from None
    except TypeError:
        raise InputError(f"{path}: not the journal of a profile: its settings are not of a profile's kinds") from None
    outcome = judge(Ledger(plan, journal))
    return {
        chain[0]: summarise(outcome.results[name]).visits_ms
        if name in outcome.results and name not in outcome.without_good
        else ()
        for name, chain in plan.models.items()
    }
