"""Whole networks and what they take: the CSV that `profilers.transfer` reads, and writes for you to fill in.

    # device: Samsung Galaxy Note8
    # source: who measured it, and how
    space,resolution,depths,kernel_sizes,expand_ratios,latency_ms
    mbv3-w1.0,140,2 2 2 2 2,7 3 0 0 3 3 0 0 ...,4 3 0 0 3 6 0 0 ...,22

`# key: value` lines first, as in a latency table; they pass into the table made from it. Lists are separated by
spaces, one number an elastic layer, 0 where it is skipped. A `name` column is optional. Several latency columns, each
ending in `_ms`, hold several devices. `# space_description: [{...}]` describes spaces that are not ours.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ofa.errors import InputError
from ofa.reading.csv_text import CsvText, Row, near_miss, read_csv_text
from ofa.reading.numbers import MILLISECONDS, PIXELS, Bounds, cut, short
from ofa.runs.files import replace_file
from ofa.space import SearchSpace, Subnet
from ofa.space.description import named_space
from ofa.space.header_lines import described_spaces, descriptions_header
from ofa.space.subnet import OF_SOME
from ofa.tables.header import READ

_LISTS = ("depths", "kernel_sizes", "expand_ratios")
_COLUMNS = ("space", "resolution", *_LISTS)
CHOICE = Bounds(0, 1000, "a choice")
FAR_OFF = 100  # the fastest and the slowest network of a space are a factor of about 20 apart


@dataclass(frozen=True)
class NetworkTimes:
    """N networks of one device.

    networks: the space's name and the sub-network of each
    latency_ms: (N,)
    step_ms: what the last digit of the figures stands for, 1 where they are whole milliseconds
    spaces: by the names in `networks`
    """

    header: dict[str, str]
    networks: tuple[tuple[str, Subnet], ...]
    latency_ms: NDArray[np.float64]
    step_ms: float
    spaces: Mapping[str, SearchSpace]


def read_networks(path: Path, column: str | None = None, known: Sequence[SearchSpace] = ()) -> NetworkTimes:
    """Reads and checks a file; InputError names file, line and field.

    column: which of several `_ms` columns; known: spaces that it may name beside ours and those that it describes
    """
    text = read_csv_text(path, "a file of networks and their latencies", ended=False)
    for key in text.header:
        if meant := near_miss(key, READ):
            raise InputError(f"{path}: header key {short(key)}: did you mean {meant}?")
    for needed in _COLUMNS:
        if needed not in text.columns:
            raise InputError(
                f"{path}:{text.columns_line}: column {needed} is missing, expected {','.join(_COLUMNS)},latency_ms"
            )
    column = _latency_column(path, text, column)
    networks: dict[tuple[str, Subnet], str] = {}
    spaces = {**{space.name: space for space in known}, **described_spaces(text.header, path)}
    latencies, decimals = [], 0
    for row in text.rows:
        network = (row.cells["space"], _subnet(row, spaces))
        if network in networks:
            raise InputError(f"{row.place}: this network is on line {networks[network]} already")
        networks[network] = row.place.rpartition(":")[2]
        latencies.append(MILLISECONDS.decimal(f"{row.where(column)}: {column}", row.cells[column]))
        decimals = max(decimals, len(row.cells[column].partition(".")[2]))
    if not networks:
        raise InputError(f"{path}: no networks")
    _check_unit(column, text.rows, latencies)
    return NetworkTimes(text.header, tuple(networks), np.array(latencies), 10.0**-decimals, spaces)


def _check_unit(column: str, rows: Sequence[Row], latencies: Sequence[float]) -> None:
    """InputError for a figure a hundred times off: seconds, or microseconds, among milliseconds."""
    for space in dict.fromkeys(row.cells["space"] for row in rows):  # in their order
        of_space = [(row, ms) for row, ms in zip(rows, latencies, strict=True) if row.cells["space"] == space]
        middle = float(np.median([ms for _, ms in of_space]))
        for row, ms in of_space:
            if not middle / FAR_OFF <= ms <= middle * FAR_OFF:
                raise InputError(
                    f"{row.where(column)}: {column} is {ms:g}, and the median of {space} here is {middle:g}: another "
                    "unit? expected milliseconds"
                )


def write_networks(
    path: Path,
    header: Mapping[str, str],
    networks: Sequence[tuple[str, Subnet]],
    latencies: Mapping[str, Sequence[str]],
    names: Sequence[str] = (),
    spaces: Iterable[SearchSpace] = (),
) -> None:
    """Writes the file. latencies: by column, as text, so that no digit is lost or invented.

    spaces: of the networks; those that are not ours are described in it
    """
    header = {**header, **descriptions_header(spaces)}

    def write(temporary: Path) -> None:
        of_some = [field for field in OF_SOME if any(getattr(subnet, field) for _, subnet in networks)]
        with temporary.open("w", encoding="utf-8", newline="") as file:
            for key, value in header.items():
                file.write(f"# {key}: {value}\n")
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow((*(("name",) if names else ()), *_COLUMNS, *of_some, *latencies))
            for i, (space, subnet) in enumerate(networks):
                lists = (" ".join(map(str, getattr(subnet, field))) for field in (*_LISTS, *of_some))
                shown = (values[i] for values in latencies.values())
                writer.writerow((*names[i : i + 1], space, subnet.resolution, *lists, *shown))

    replace_file(path, write)


def _latency_column(path: Path, text: CsvText, asked: str | None) -> str:
    there = [column for column in text.columns if column.endswith("_ms")]
    if asked is None and len(there) == 1:
        return there[0]
    if asked not in there:
        which = "no column" if asked is None and not there else f"column {short(asked)}" if asked else "several columns"
        known = cut(", ".join(there), 120) or "latency_ms"
        raise InputError(f"{path}:{text.columns_line}: {which}: choose one of {known} with --column")
    return asked


def _subnet(row: Row, spaces: dict[str, SearchSpace]) -> Subnet:
    resolution = PIXELS.integer(f"{row.where('resolution')}: resolution", row.cells["resolution"])
    lists: dict[str, Any] = {
        field: [_choice(f"{row.where(field)}: {field}", field, each) for each in row.cells[field].split()]
        for field in (*_LISTS, *OF_SOME)
        if field in row.cells
    }
    try:
        if (name := row.cells["space"]) not in spaces:
            spaces[name] = named_space(name)
        return spaces[name].subnet(**lists, resolution=resolution)
    except InputError as error:
        raise InputError(f"{row.place}: {error}") from None


def _choice(name: str, field: str, text: str) -> float:
    whole = field not in ("expand_ratios", "width_mults")
    return CHOICE.integer(name, text) if whole else CHOICE.decimal(name, text)
