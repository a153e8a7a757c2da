"""Whole networks and what they take: the CSV that `profilers.transfer` reads, and writes for you to fill in.

    # device: Samsung Galaxy Note8
    # source: who measured it, and how
    space,resolution,depths,kernel_sizes,expand_ratios,latency_ms
    mbv3-w1.0,140,2 2 2 2 2,7 3 0 0 3 3 0 0 ...,4 3 0 0 3 6 0 0 ...,22

`# key: value` lines first, as in a latency table; they pass into the table made from it. Lists are separated by
spaces, one number an elastic layer, 0 where it is skipped. A `name` column is optional. Several latency columns, each
ending in `_ms`, hold several devices.
"""

from __future__ import annotations

import csv
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ofa.errors import InputError
from ofa.runs.files import replace_file
from ofa.space import RESOLUTIONS, Subnet, get_space

_LISTS = ("depths", "kernel_sizes", "expand_ratios")
_COLUMNS = ("space", "resolution", *_LISTS)


@dataclass(frozen=True)
class NetworkTimes:
    """N networks of one device.

    networks: the space's name and the sub-network of each
    latency_ms: (N,)
    step_ms: what the last digit of the figures stands for, 1 where they are whole milliseconds
    """

    header: dict[str, str]
    networks: tuple[tuple[str, Subnet], ...]
    latency_ms: NDArray[np.float64]
    step_ms: float


def read_networks(path: Path, column: str | None = None) -> NetworkTimes:
    """Reads and checks a file; InputError names file, line and field. column: which of several `_ms` columns."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: byte {error.start} is not UTF-8 text") from None
    start = next((i for i, line in enumerate(lines) if not line.startswith("#")), len(lines))
    header = {key.strip(): value.strip() for key, _, value in (line[1:].partition(":") for line in lines[:start])}
    rows = csv.DictReader(lines[start:])
    columns = rows.fieldnames or []
    for needed in _COLUMNS:
        if needed not in columns:
            raise InputError(
                f"{path}:{start + 1}: column {needed} is missing, expected {','.join(_COLUMNS)},latency_ms"
            )
    column = _latency_column(path, start + 1, columns, column)
    networks, latencies, decimals = [], [], 0
    for row in rows:
        place = f"{path}:{start + rows.line_num}"  # the reader leaves out blank lines
        if None in row or None in row.values():
            raise InputError(f"{place}: {len(columns)} fields are expected ({','.join(columns)})")
        networks.append((row["space"], _subnet(place, row)))
        latencies.append(_latency(place, column, row[column]))
        decimals = max(decimals, len(row[column].partition(".")[2]))
    if not networks:
        raise InputError(f"{path}: no networks")
    return NetworkTimes(header, tuple(networks), np.array(latencies), 10.0**-decimals)


def write_networks(
    path: Path,
    header: Mapping[str, str],
    networks: Sequence[tuple[str, Subnet]],
    latencies: Mapping[str, Sequence[str]],
    names: Sequence[str] = (),
) -> None:
    """Writes the file. latencies: by column, as text, so that no digit is lost or invented."""

    def write(temporary: Path) -> None:
        with temporary.open("w", encoding="utf-8", newline="") as file:
            for key, value in header.items():
                file.write(f"# {key}: {value}\n")
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow((*(("name",) if names else ()), *_COLUMNS, *latencies))
            for i, (space, subnet) in enumerate(networks):
                lists = (" ".join(map(str, getattr(subnet, field))) for field in _LISTS)
                shown = (values[i] for values in latencies.values())
                writer.writerow((*names[i : i + 1], space, subnet.resolution, *lists, *shown))

    replace_file(path, write)


def _latency_column(path: Path, line: int, columns: Sequence[str], asked: str | None) -> str:
    there = [column for column in columns if column.endswith("_ms")]
    if asked is None and len(there) == 1:
        return there[0]
    if asked not in there:
        which = "no column" if asked is None and not there else f"column {asked!r}" if asked else "several columns"
        raise InputError(f"{path}:{line}: {which}: choose one of {', '.join(there) or 'latency_ms'} with --column")
    return asked


def _subnet(place: str, row: Mapping[str, str]) -> Subnet:
    try:
        lists = {field: [int(number) for number in row[field].split()] for field in _LISTS}
        resolution = int(row["resolution"])
    except ValueError as error:
        raise InputError(f"{place}: {error}: lists are whole numbers separated by spaces") from None
    try:
        return get_space(row["space"], resolutions={*RESOLUTIONS, resolution}).subnet(**lists, resolution=resolution)
    except InputError as error:
        raise InputError(f"{place}: {error}") from None


def _latency(place: str, column: str, text: str) -> float:
    try:
        latency_ms = float(text)
    except ValueError:
        latency_ms = math.nan
    if not (math.isfinite(latency_ms) and latency_ms > 0):
        raise InputError(f"{place}: {column} is {text!r}, expected the network's latency, a positive number of ms")
    return latency_ms
