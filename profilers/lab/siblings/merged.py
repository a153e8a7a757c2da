"""One table of the devices that agree."""

from __future__ import annotations

from datetime import UTC, datetime

import numpy as np
from numpy.typing import NDArray

from ofa.errors import InputError, one_line
from ofa.reading.numbers import cut
from ofa.tables import LatencyTable, TableRow
from ofa.tables.control_networks import CONTROL_NETWORKS
from ofa.tables.header import OF_SUMS
from ofa.tables.margin import MARGIN, SUSTAINED
from ofa.tables.sum_correction import SumCorrection
from profilers.changes.baseline import BASELINE_OF
from profilers.lab.siblings.compared import Siblings
from profilers.lab.siblings.findings import finding
from profilers.lab.siblings.same import MERGED
from profilers.measuring.statistics import standard_error_of_few
from profilers.profiling.table_header import errors_in_words

Floats = NDArray[np.float64]
# devices whose figure of a block is kept; of more, as many evenly spread by rank
MOST_SAMPLES = 63
# devices that are named in the header
_NAMED = 40
# longest command in a header: a thousand tables' names are no help to anyone
_COMMAND = 2000
# what whole networks said of one device's own sums, and what failed there
_OF_ONE_DEVICE = (
    CONTROL_NETWORKS,
    *OF_SUMS,
    BASELINE_OF,
    "failed_blocks",
    "failed_networks",
)
_STATISTIC = (
    "latency_ms is the median over the devices of each device's latency_ms, and so are warm_ms, mad_ms, std_ms, p90_ms "
    "and energy_mj; runs are added up; visits_ms are the devices' latencies"
)


def merged_table(found: Siblings, name: str, command: str) -> LatencyTable:
    """The table of the devices that agree; InputError where none do.

    name: what to call the device; command: what made it, for the header
    A block is in it if more than half of those devices measured it.
    """
    if not found.agreeing:
        raise InputError("no two devices agree: there is nothing to merge")
    chosen = list(found.agreeing)
    figures = {key: values[chosen] for key, values in found.tables.figures.items()}
    counts = (~np.isnan(figures["latency_ms"])).sum(axis=0)
    kept = np.flatnonzero(2 * counts > len(chosen))
    rows = [_row(found, figures, int(place)) for place in kept]
    return LatencyTable(_header(found, name, command, figures["latency_ms"][:, kept], len(counts) - len(kept)), rows)


def _row(found: Siblings, figures: dict[str, Floats], place: int) -> TableRow:
    of_block = {key: values[:, place] for key, values in figures.items()}
    latencies = _given(of_block["latency_ms"])
    medians = {
        key: round(float(np.median(_given(values))), 6)
        for key, values in of_block.items()
        # a figure of a few devices alone would stand beside a latency of all
        if key not in ("latency_ms", "runs") and 2 * len(_given(values)) > len(latencies)
    }
    runs = int(_given(of_block["runs"]).sum()) if "runs" in of_block else 0
    return TableRow(
        found.tables.blocks[place],
        round(float(np.median(latencies)), 6),
        runs=runs or None,
        visits_ms=tuple(round(float(value), 6) for value in _samples(latencies)),
        **medians,
    )


def _given(values: Floats) -> Floats:
    return values[~np.isnan(values)]


def _samples(latencies: Floats) -> Floats:
    """The devices' latencies, in the order of the header; of many, some by rank, the middle one of them."""
    if len(latencies) <= MOST_SAMPLES:
        return latencies
    places = np.round(np.linspace(0, len(latencies) - 1, MOST_SAMPLES)).astype(int)
    chosen: Floats = np.sort(latencies)[places]
    return chosen


def _header(found: Siblings, name: str, command: str, latencies: Floats, dropped: int) -> dict[str, str]:
    """latencies: (devices, rows) of the merged table, NaN where a device lacks a block; dropped: blocks left out"""
    devices = [found.tables.devices[number] for number in found.agreeing]
    header = {
        key: text
        for key, text in found.tables.header.items()
        if key not in _OF_ONE_DEVICE and not key.startswith((MARGIN, SUSTAINED))
    }
    header |= {
        "device": name,
        "when": max(device.when for device in devices) or datetime.now(UTC).isoformat(timespec="seconds"),
        "provenance": "measured",
        "source": cut(command, _COMMAND),
        "statistic": _STATISTIC,
        MERGED: f"the median of {len(devices)} devices that agree within {100 * found.effect:g} %: {_listed(found)}",
    }
    if found.apart:
        apart = [
            f"{one_line(found.tables.devices[number].name)} {finding(found, number)}" for number in found.apart[:_NAMED]
        ]
        more = [f"and {len(found.apart) - _NAMED} more"] if len(found.apart) > _NAMED else []
        header["set_aside"] = f"{len(found.apart)} of {len(found.verdicts)} devices: {' | '.join([*apart, *more])}"
    header["standard_error_pct"] = _errors(latencies)
    if dropped:
        header["failed_blocks"] = str(dropped)
    if constants := [device.constant_ms for device in devices if device.constant_ms]:
        header["sum_correction"] = str(SumCorrection(constant=float(np.median(constants))))
    return header


def _listed(found: Siblings) -> str:
    """The devices by name, with what tells each from others where its table has it."""
    devices = [found.tables.devices[number] for number in found.agreeing]
    named = [
        one_line(device.name)
        + (f" (id {one_line(device.device_id)})" if device.device_id not in ("", device.name) else "")
        for device in devices[:_NAMED]
    ]
    return ", ".join(named) + (f" and {len(devices) - _NAMED} more" if len(devices) > _NAMED else "")


def _errors(latencies: Floats) -> str:
    """What the scatter of the devices leaves of a block's error: the standard error of their median."""
    errors = []
    for column in latencies.T:
        values = _given(column)
        if len(values) > 1:
            errors.append(100 * standard_error_of_few(values) / float(np.median(values)))
    return errors_in_words(errors).replace("visit", "device")
