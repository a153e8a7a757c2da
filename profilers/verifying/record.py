"""What a loop says of its table: by how much its network slowed, written into the table's header for searches."""

from __future__ import annotations

import math
from pathlib import Path

from ofa.errors import InputError
from ofa.tables import LatencyTable
from ofa.tables.control_networks import ControlNetwork, header_line
from ofa.tables.margin import SustainedFactor
from profilers.looping.minutes import Sustained
from profilers.measuring.statistics import standard_error_of_few
from profilers.profiling.table_header import NOT_KNOWN
from profilers.verifying.choice import Contender
from profilers.verifying.searched import Searched


def record(searched: Searched, winner: Contender, found: Sustained, rests_on: str) -> str:
    """Writes the sustained factor into the table's header; what was written, in words.

    It is the network's latency after minutes over that of its short visits, as the table's latencies are.
    InputError where the loop is doubtful, or the table was changed meanwhile.
    """
    table = searched.search.table
    path = path_of(table)
    if found.doubts:
        raise InputError(f"nothing is recorded in {path}: {found.doubts[0]}: run the loop again on a quiet device")
    now = LatencyTable.load(path)
    if now.sums != table.sums:
        raise InputError(f"{path} was changed while its network was measured: nothing is recorded, verify again")
    times, last = winner.times, found.sustained
    assert times.even_ms is not None, "an even visit certified it"
    ratio = last.median_ms / times.even_ms
    errors = last.error_ms / last.median_ms, standard_error_of_few(times.visits_ms) / times.latency_ms
    network = header_line([ControlNetwork(winner.network.subnet, times.even_ms)], searched.search.space)
    factor = SustainedFactor(
        factor=max(1.0, round(ratio, 4)),  # that a hot device is faster is noise
        error=round(ratio * math.hypot(*errors), 4),
        network=network or NOT_KNOWN,
        rests_on=rests_on,
        sums=table.sums,
    )
    now.with_sustained(factor).save(path)
    return f"wrote its factor, {factor.factor:g}, into {path}: ofa.search --sustained takes it off limits"


def path_of(table: LatencyTable) -> Path:
    """The file of a table that was loaded."""
    assert table.path is not None
    return table.path
