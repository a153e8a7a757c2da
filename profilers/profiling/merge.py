"""Several devices of one kind at once: one process each, and one table of them all if they agree."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ofa.errors import InputError
from ofa.tables import LatencyTable, TableRow
from ofa.tables.control_networks import CONTROL_NETWORKS
from profilers.devices.identity import DEVICE_ID
from profilers.profiling.beside import run_beside
from profilers.profiling.command_words import continued
from profilers.profiling.console import STOPPED
from profilers.profiling.next_step import next_step
from profilers.profiling.profile_options import ProfileOptions

# by how much two devices may differ, in per cent of a block's latency: median over the blocks, and 95 % of them
LARGEST_MEDIAN_PCT = 2.0
LARGEST_P95_PCT = 5.0


def profile_on_each(
    options: ProfileOptions,
    module: str,
    argv: Sequence[str] | None,
    devices: Sequence[str],
    rounds: int,
    command: str,
) -> int:
    """Runs the command once a device, at the same time, the rounds divided among them; 1 if they do not agree.

    The tables of the single devices lie next to options.out, and stay there. rounds: of all devices together.
    """
    if options.out.exists() and not (options.overwrite or options.resume):
        raise InputError(f"{options.out} exists: start again with --overwrite")
    given = sys.argv[1:] if argv is None else argv
    each = -(-rounds // len(devices))
    outs = [options.out.with_name(f"{options.out.stem}-{device.replace(':', '')}.csv") for device in devices]
    # of an option that is given twice the last counts
    commands = {
        device: [sys.executable, "-m", module, *given, "--device", device, "--out", str(out), "--rounds", str(each)]
        for device, out in zip(devices, outs, strict=True)
    }
    try:
        codes = list(run_beside(commands, lambda device, line: print(f"{device}: {line}", flush=True)).values())
    except KeyboardInterrupt:
        print(f"stopped; continue with: {continued(command)}")
        return STOPPED
    if any(codes):
        ended = ", ".join(f"{device} ended with {code}" for device, code in zip(devices, codes, strict=True))
        print(f"no table of all devices was written: {ended}")
        return 1
    return _merge(options.out, devices, outs, command)


def _merge(out: Path, devices: Sequence[str], paths: Sequence[Path], command: str) -> int:
    tables = [LatencyTable.load(path) for path in paths]
    kept = ", ".join(map(str, paths))
    for key in ("soc", "runtime"):
        found = [table.header[key] for table in tables]
        if len(set(found)) > 1:
            print(f"the devices are not alike ({' and '.join(found)}): each keeps its own table, {kept}")
            return 1
    median, p95 = disagreement_pct(tables)
    words = f"differ by {median:.2f} % (median over blocks), 95 % of the blocks by at most {p95:.2f} %"
    if median > LARGEST_MEDIAN_PCT or p95 > LARGEST_P95_PCT:
        print(
            f"the devices {words}, more than {LARGEST_MEDIAN_PCT:g} and {LARGEST_P95_PCT:g} %: "
            f"each keeps its own table, {kept}"
        )
        return 1
    header = {
        # its networks are those of one device, the rows are of all
        **{key: text for key, text in tables[0].header.items() if key not in (CONTROL_NETWORKS, DEVICE_ID)},
        "cuda_device": ", ".join(devices),
        "source": command,
        "merged": f"mean of {len(tables)} devices, which {words}; the other figures are of {devices[0]}",
    }
    LatencyTable(header, mean_rows(tables)).save(out)
    print(f"wrote {out}, the mean of {kept}, which {words}")
    print(next_step(out))
    return 0


def disagreement_pct(tables: Sequence[LatencyTable]) -> tuple[float, float]:
    """By how much the slowest device's latency of a block exceeds the fastest's: median and 95th percentile."""
    latencies = _of_same_blocks(tables)
    values = np.array([[row.latency_ms for row in rows] for rows in latencies])
    excess = 100 * (values.max(axis=1) / values.min(axis=1) - 1)
    return float(np.median(excess)), float(np.percentile(excess, 95, method="inverted_cdf"))


def mean_rows(tables: Sequence[LatencyTable]) -> list[TableRow]:
    """One row a block: the mean of every figure that all devices tell, the runs added up."""
    merged = []
    for rows in _of_same_blocks(tables):
        latency = round(float(np.mean([row.latency_ms for row in rows])), 6)
        others: dict[str, Any] = {}
        for field in ("mad_ms", "p90_ms", "energy_mj"):
            figures = [getattr(row, field) for row in rows]
            others[field] = None if None in figures else round(float(np.mean(figures)), 6)
        merged.append(TableRow(rows[0].block, latency, runs=sum(row.runs or 0 for row in rows) or None, **others))
    return merged


def _of_same_blocks(tables: Sequence[LatencyTable]) -> list[list[TableRow]]:
    by_block = [{row.block: row for row in table.rows} for table in tables]
    return [[rows[row.block] for rows in by_block] for row in tables[0].rows]
