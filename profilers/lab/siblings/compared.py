"""Tables of several devices of one model, compared: which agree, and what sets the others apart."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ofa.errors import InputError
from profilers.changes.change import FEWEST_BLOCKS
from profilers.changes.levels import ALPHA, EFFECT
from profilers.lab.siblings.agreement import Levels, SiblingVerdict, agreeing, compare_all, compare_pair, levels_of
from profilers.lab.siblings.device_tables import DeviceTables, read_device_tables

# of more devices than these, the pairs are too many to read: each is compared with the others together
MOST_PAIRED = 12


@dataclass(frozen=True, eq=False)
class Siblings:
    """Tables of D devices, compared.

    verdicts: each device against the others that do not differ
    pairs: {(first, second): the second against the first}; {} where there are more than MOST_PAIRED devices
    agreeing: the devices to be merged; () where there is no majority, or no two agree
    """

    tables: DeviceTables
    levels: Levels
    verdicts: tuple[SiblingVerdict, ...]
    pairs: dict[tuple[int, int], SiblingVerdict]
    agreeing: tuple[int, ...]
    effect: float
    alpha: float

    @property
    def apart(self) -> tuple[int, ...]:
        """The devices that are not merged."""
        return tuple(number for number in range(len(self.verdicts)) if number not in set(self.agreeing))


def compare_devices(
    paths: Sequence[Path],
    effect: float = EFFECT,
    alpha: float = ALPHA,
    progress: Callable[[int, int], None] | None = None,
    names: Sequence[str] | None = None,
) -> Siblings:
    """Compares the tables of several devices of one model, one table each.

    paths: finished tables, two and more; they are read one after the other
    effect: a difference, as a share, that does not matter
    alpha: chance that any device is called different wrongly, and that one is called alike wrongly
    progress: how many of how many tables are read; names: of the devices, by default those of the files
    InputError, with files, where tables were not measured alike, or tell too little, or are of one device.
    """
    tables = read_device_tables(paths, progress, names)
    levels = levels_of(tables.visits_ms)
    there = ~np.isnan(levels.logs)
    shared = (there & (there.sum(axis=0) > 1)).sum(axis=1)
    if shared.min() < FEWEST_BLOCKS:
        few = tables.devices[int(shared.argmin())]
        raise InputError(
            f"{few.path}: {shared.min()} of its blocks have visits that count in another table too, expected at least "
            f"{FEWEST_BLOCKS} to compare its device by"
        )
    verdicts = compare_all(levels, effect, alpha)
    count = len(verdicts)
    pairs = itertools.combinations(range(count), 2) if count <= MOST_PAIRED else ()
    return Siblings(
        tables,
        levels,
        verdicts,
        {(a, b): compare_pair(levels, a, b, effect, alpha) for a, b in pairs if _common(there, a, b)},
        agreeing(verdicts),
        effect,
        alpha,
    )


def _common(there: NDArray[np.bool_], first: int, second: int) -> bool:
    return int((there[first] & there[second]).sum()) >= FEWEST_BLOCKS
