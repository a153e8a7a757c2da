"""Tables of devices of one model, read one after the other: what is kept of each is a few arrays."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ofa.blocks import Block
from ofa.errors import InputError
from ofa.reading.numbers import cut
from ofa.tables import LatencyTable
from profilers.changes.change import FEWEST_BLOCKS
from profilers.changes.visit_medians import visit_medians
from profilers.devices.identity import DEVICE_ID
from profilers.lab.siblings.same import check_measured, check_same, settings_of

Floats = NDArray[np.float64]
# a row's figures beside its visits
FIGURES = ("latency_ms", "warm_ms", "mad_ms", "std_ms", "p90_ms", "runs", "energy_mj")


@dataclass(frozen=True)
class DeviceFacts:
    """name: what messages call it; when, device_id, os: as its header has them, "" where it has not

    constant_ms: what an inference takes beside its blocks
    """

    name: str
    path: Path
    when: str
    device_id: str
    os: str
    constant_ms: float


@dataclass(frozen=True, eq=False)
class DeviceTables:
    """Tables of D devices, of N blocks that any of them measured, with up to K visits.

    header: the facts that all of them state alike
    visits_ms: (D, N, K), NaN where there is no visit; where a table has no visits, its one figure
    figures: (D, N) of each of FIGURES that some table has, NaN where one has it not
    """

    devices: tuple[DeviceFacts, ...]
    header: Mapping[str, str]
    blocks: tuple[Block, ...]
    visits_ms: Floats
    figures: Mapping[str, Floats]


def read_device_tables(
    paths: Sequence[Path], progress: Callable[[int, int], None] | None = None, names: Sequence[str] | None = None
) -> DeviceTables:
    """Reads two tables and more, in the order given; InputError names what cannot be compared, and by which fact.

    progress: how many of how many are read; names: of the devices, by default those of the files
    """
    if len(paths) < 2:
        raise InputError(f"{len(paths)} table is given: devices are compared with each other, name two and more")
    parts: list[_Part] = []
    columns: dict[Block, int] = {}
    common: dict[str, str] = {}
    wanted: dict[str, str] = {}
    for number, path in enumerate(paths):
        table = LatencyTable.load(path)
        check_measured(table)
        settings = settings_of(table)
        if parts:
            check_same(str(paths[0]), wanted, str(path), settings)
            common = {key: text for key, text in common.items() if table.header.get(key) == text}
        else:
            wanted, common = settings, dict(table.header)
        parts.append(_Part.of(table, path, columns))
        if progress is not None:
            progress(number + 1, len(paths))
    _check_different(parts)
    devices = tuple(replace(part.facts, name=name) for name, part in zip(names or _names(paths), parts, strict=True))
    return DeviceTables(devices, common, tuple(columns), *_arrays(parts, len(columns)))


@dataclass(frozen=True, eq=False)
class _Part:
    """What is kept of one table of M rows: where each row's block stands, (M, K) visits, (M,) of each figure."""

    facts: DeviceFacts
    places: NDArray[np.intp]
    visits_ms: Floats
    figures: dict[str, Floats]

    @classmethod
    def of(cls, table: LatencyTable, path: Path, columns: dict[Block, int]) -> _Part:
        """columns: {block: its place}, which grows. InputError where too few blocks have visits that count."""
        visits, _ = visit_medians(table)
        counts = [len(visits[row.block]) for row in table.rows]
        if (judged := sum(map(bool, counts))) < FEWEST_BLOCKS:
            raise InputError(
                f"{path}: {judged} blocks have visits that count, expected at least {FEWEST_BLOCKS} to compare a "
                "device by"
            )
        filled = np.full((len(counts), max(counts)), np.nan)
        for place, row in enumerate(table.rows):
            filled[place, : counts[place]] = visits[row.block]
        figures = {}
        for name in FIGURES:
            values = [getattr(row, name) for row in table.rows]
            if any(value is not None for value in values):
                figures[name] = np.array([np.nan if value is None else value for value in values], dtype=np.float64)
        header, constant_ms = table.header, table.sum_correction.constant
        return cls(
            DeviceFacts("", path, header.get("when", ""), header.get(DEVICE_ID, ""), header.get("os", ""), constant_ms),
            np.array([columns.setdefault(row.block, len(columns)) for row in table.rows], dtype=np.intp),
            filled,
            figures,
        )

    @property
    def content(self) -> tuple[bytes, bytes]:
        """Equal only for tables of the same rows."""
        order = np.argsort(self.places)
        return self.places[order].tobytes(), self.visits_ms[order].tobytes() + self.figures["latency_ms"][
            order
        ].tobytes()


def _check_different(parts: Sequence[_Part]) -> None:
    """InputError where one device, or one table, is there twice: it would count for two that agree."""
    tables: dict[int, int] = {}
    ids: dict[str, int] = {}
    for number, part in enumerate(parts):
        path, device_id = part.facts.path, part.facts.device_id
        if (first := tables.setdefault(hash(part.content), number)) != number:
            raise InputError(f"{path} and {parts[first].facts.path} are the same table: name each device's once")
        if device_id and (first := ids.setdefault(device_id, number)) != number:
            raise InputError(
                f"{path} and {parts[first].facts.path} are of one device ({cut(device_id)}): siblings are compared by "
                "one table each; python -m profilers.lab.history tells how a device changed"
            )


def _names(paths: Sequence[Path]) -> list[str]:
    """What to call each: its file's name without the ending; of equal ones with the folder, or the whole path."""
    stems = [path.stem for path in paths]
    twice = {stem for stem in stems if stems.count(stem) > 1} if len(set(stems)) < len(stems) else set()
    names = [f"{path.parent.name}/{path.stem}" if path.stem in twice else path.stem for path in paths]
    counts = Counter(names)
    return [str(path) if counts[name] > 1 else name for path, name in zip(paths, names, strict=True)]


def _arrays(parts: list[_Part], blocks: int) -> tuple[Floats, dict[str, Floats]]:
    """The parts as arrays over all devices; each is let go as soon as it is taken over."""
    names = [name for name in FIGURES if any(name in part.figures for part in parts)]
    visits = np.full((len(parts), blocks, max(part.visits_ms.shape[1] for part in parts)), np.nan)
    figures = {name: np.full((len(parts), blocks), np.nan) for name in names}
    for number in reversed(range(len(parts))):
        part = parts.pop()
        visits[number, part.places, : part.visits_ms.shape[1]] = part.visits_ms
        for name, values in part.figures.items():
            figures[name][number, part.places] = values
    return visits, figures
