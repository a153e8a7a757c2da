"""Networks and what they take, of a space or of none, as blocks.

A file has the columns of `ofa.tables.network_times`, or in their place one column `network`, each cell as
`ofa.published.opening` reads it: a name, a JSON file beside this one, or a code as of `ofa.published.coded`. A column
`resolution` is optional then.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

import numpy as np
from numpy.typing import NDArray

from ofa.blocks import Block, blocks_of_all
from ofa.blocks.costs import block_macs
from ofa.errors import InputError
from ofa.published.opening import open_network
from ofa.reading.csv_text import Row, read_csv_text
from ofa.reading.numbers import MILLISECONDS, PIXELS, cut, short
from ofa.space import SearchSpace
from ofa.tables.header import BATCH
from ofa.tables.network_times import read_networks

Floats = NDArray[np.float64]
# of a column, where several are of several devices: "# of pixel4_gpu_float_ms: Google Pixel 4 | TFLite ..."
_OF = "of "
_FACTS = ("device", "runtime", "threads", "dtype", "assumed")
# milliseconds in one of each
UNITS = {"s": 1e3, "ms": 1.0, "us": 1e-3}
_IN_WORDS = {"s": "seconds", "ms": "milliseconds", "us": "microseconds"}
# by a unit, and whether latencies seem far too long in it
_LIKELY = {("ms", True): "us", ("ms", False): "s", ("s", True): "ms", ("us", False): "ms"}


@dataclass(frozen=True, eq=False)
class TimedNetworks:
    """N networks of one device: blocks (N lists); latency_ms (N,); of: the spaces, or the kinds, that they are of.

    step_ms: what the last digit of the figures stands for; names: "" where a network has none
    """

    header: dict[str, str]
    names: tuple[str, ...]
    blocks: tuple[tuple[Block, ...], ...]
    of: tuple[str, ...]
    latency_ms: Floats
    step_ms: float


def read_timed(
    path: Path, column: str | None = None, unit: str = "ms", known: Sequence[SearchSpace] = ()
) -> TimedNetworks:
    """Reads and checks a file; InputError names file, line and field.

    unit: of its figures, of `UNITS`; known: spaces that it may name beside ours
    """
    text = read_csv_text(path, "a file of networks and their latencies", ended=False)
    per_ms = UNITS[unit]
    if "network" not in text.columns:
        times = read_networks(path, column, known)
        spaces = sorted({name for name, _ in times.networks})
        of_each = {
            name: iter(blocks_of_all(times.spaces[name], [subnet for other, subnet in times.networks if other == name]))
            for name in spaces
        }
        blocks = tuple(next(of_each[name]) for name, _ in times.networks)
        names = tuple(str(i) for i in range(1, len(blocks) + 1))
        return TimedNetworks(
            times.header, names, blocks, tuple(spaces), per_ms * times.latency_ms, per_ms * times.step_ms
        )
    column = _column(path, text.columns, text.columns_line, column)
    networks: dict[tuple[Block, ...], str] = {}
    names_of, latencies, kinds, decimals = [], [], [], 0
    for row in text.rows:
        cell = row.cells[column]
        if not cell:
            continue  # this device did not run it
        try:
            opened = open_network(row.cells["network"], _resolution(row), folder=path.parent)
        except InputError as error:
            raise InputError(f"{row.where('network')}: {error}") from None
        found, coded = opened.blocks, ":" in row.cells["network"]
        name = row.cells.get("name", "") or ("" if coded else opened.name)
        if found in networks:
            raise InputError(f"{row.place}: this network is {networks[found]} already")
        networks[found] = f"on line {row.place.rpartition(':')[2]}"
        names_of.append(name)
        kinds.append(row.cells["network"].partition(":")[0] if coded else "networks in no space")
        latencies.append(MILLISECONDS.decimal(f"{row.where(column)}: {column}", cell))
        decimals = max(decimals, len(cell.partition(".")[2]))
    if not networks:
        raise InputError(f"{path}: no networks in column {short(column)}")
    header = {key: value for key, value in text.header.items() if not key.startswith(_OF)}
    facts = [fact.strip() for fact in text.header.get(f"{_OF}{column}", "").split("|")]
    header |= {key: facts[i] for i, key in enumerate(_FACTS) if facts[i : i + 1] not in ([], [""])}
    of = text.header.get("of") or ", ".join(sorted(set(kinds)))
    return TimedNetworks(
        header, tuple(names_of), tuple(networks), (of,), per_ms * np.array(latencies), per_ms * 10.0**-decimals
    )


def _resolution(row: Row) -> int | None:
    text = row.cells.get("resolution", "")
    return PIXELS.integer("resolution", text) if text else None


def _column(path: Path, columns: tuple[str, ...], line: int, asked: str | None) -> str:
    there = [column for column in columns if column.endswith("_ms")]
    if asked is None and len(there) == 1:
        return there[0]
    if asked not in there:
        which = f"column {short(asked)}" if asked else "several columns" if there else "no column"
        known = cut(", ".join(there), 120) or "latency_ms"
        raise InputError(f"{path}:{line}: {which}: choose one of {known} with --column")
    return asked


# million multiply-accumulates in a millisecond: from a slow core of a phone to a server's GPU, whose runtime has been
# told of the whole network beforehand; of a batch of images as many times more
SLOWEST, FASTEST = 0.8, 1000.0
_BEYOND = 3.0  # times as slow or fast as any of those
UNRELATED = 30.0  # times as slow or fast as a device that is said to be related


def check_related(path: Path, batch: int, related: str, factor: float, unit: str | None = None) -> None:
    """InputError, which asks for the unit, where networks take far longer, or shorter, than on a related device.

    factor: how many times as long as there, for an image; unit: as of `check_unit`
    """
    if unit == "ms" or 1 / UNRELATED <= factor <= UNRELATED:
        return
    slow = factor > 1
    images = "" if batch == 1 else f" for {batch} images"
    _ask(path, unit, slow, factor if slow else 1 / factor, f"those of {related}, the related device", images)


def batch_of(timed: TimedNetworks, path: Path, asked: int | None) -> int:
    """Images of an inference: asked for, or as the file states; InputError where that is no number."""
    stated = BATCH.integer(f"{path}: header batch", timed.header.get("batch", "1"))
    return asked or stated


def read_in_unit(
    path: Path,
    column: str | None,
    unit: str | None,
    batch: int | None,
    known: Sequence[SearchSpace],
    *,
    related: bool = False,
) -> TimedNetworks:
    """As `read_timed`, in milliseconds where no unit is named: InputError where they may well be in another one.

    batch: as of `batch_of`; related: whether `check_related` compares them with a device that is like theirs
    """
    timed = read_timed(path, column, unit or "ms", known)
    images = batch_of(timed, path, batch)
    check_unit(timed, path, images, unit, related=related)
    return timed


def check_unit(timed: TimedNetworks, path: Path, batch: int, unit: str | None = None, *, related: bool = False) -> None:
    """InputError, which asks for the unit, where the networks run slower or faster than on every known device.

    So it does for single images that run as on the fastest device in milliseconds and as on a slow one in seconds,
    unless a related device tells.

    unit: that was named, if one was; milliseconds that are named so are believed, however slow or fast the device is
    """
    if unit == "ms":
        return
    macs = np.array([sum(map(block_macs, blocks)) for blocks in timed.blocks]) * batch / 1e6
    speed = float(np.median(macs / timed.latency_ms))
    most = FASTEST * batch
    if SLOWEST / _BEYOND <= speed <= most * _BEYOND:
        if unit is None and batch == 1 and not related and speed >= UNITS["s"] * SLOWEST / _BEYOND:
            raise InputError(
                f"{path}: in milliseconds these latencies are those of a server's GPU, in seconds those of a slow core "
                "of a phone: say which by --unit ms or --unit s"
            )
        return
    slow = speed < SLOWEST
    times, edge = (SLOWEST / speed, SLOWEST) if slow else (speed / most, most)
    device = f"on the {'slowest' if slow else 'fastest'} known device"
    known = f"{device} ({float(np.median(macs)) / edge:.3g} ms for a middle one)"
    _ask(path, unit, slow, times, known)


def _ask(path: Path, unit: str | None, slow: bool, times: float, known: str, images: str = "") -> NoReturn:
    """InputError. unit: that was named; slow: whether they are too long; known: what they are compared with"""
    likely = _LIKELY.get((unit or "ms", slow))
    way = f"are they in {likely}? Say so by --unit {likely}, or " if likely else "if that is so, "
    way += "by --unit ms if they are milliseconds" if unit is None else "write them in ms, with --unit ms"
    raise InputError(
        f"{path}: in {_IN_WORDS[unit or 'ms']} these latencies are {times:.0f} times {'longer' if slow else 'shorter'} "
        f"than {known}: {way}{images}"
    )
