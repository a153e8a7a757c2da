"""All configurations of one unit, as rows: what a table of a unit's scores or costs is indexed by.

A network is a chain of units. A unit's configuration is its depth with the choices of its layers, a few thousand of
them in our spaces; where widths are elastic (ResNet50D), also the widths at its two borders,
which it shares with its neighbours. The resolution stands apart: everything is taken at one resolution at a time.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ofa.space.space import OF_LAYERS, SearchSpace

SKIPPED = 255  # the choice of a layer beyond the depth, in `UnitChoices.marked`


@dataclass(frozen=True, eq=False)
class UnitChoices:
    """The N configurations of one unit, each once, in ascending order of their genes (depth first).

    columns: gene columns: depth, kernel sizes, expand ratios, own width, then the widths at the left and right border
    rows: (N, columns) choice indices, those of skipped layers 0
    marked: (N, columns) the same, those of skipped layers SKIPPED
    left, right: (N,) choice index of the width shared with the unit before and after; 0 where nothing is shared
    """

    columns: tuple[int, ...]
    rows: NDArray[np.uint8]
    marked: NDArray[np.uint8]
    left: NDArray[np.uint8]
    right: NDArray[np.uint8]
    _weights: NDArray[np.int64]
    _numbers: NDArray[np.int32]

    def numbers(self, genes: NDArray[Any]) -> NDArray[np.intp]:
        """(M,) which configuration each of M canonical gene rows has."""
        code = genes[:, list(self.columns)].astype(np.int64) @ self._weights
        numbers: NDArray[np.intp] = self._numbers[code].astype(np.intp)
        return numbers


@lru_cache(maxsize=32)
def unit_choices(space: SearchSpace) -> tuple[UnitChoices, ...]:
    """Of every unit of the space, in network order. A gene row is the resolution and one configuration of each."""
    return tuple(_unit(space, u) for u in range(len(space.units)))


def _unit(space: SearchSpace, u: int) -> UnitChoices:
    layers = [i for i, (owner, _) in enumerate(space.layers) if owner == u]
    depths, widths = space.columns("depths"), space.columns("width_mults")
    per_layer = [space.columns(field).start for field in OF_LAYERS if space.has(field)]
    columns = [depths.start + u, *(start + i for start in per_layer for i in layers)]
    alive_columns = len(columns) - 1
    left = right = None
    if space.has("width_mults"):
        # the stem, unit 0, has an inner width of its own; the border behind unit u is width u + 1
        columns += [widths.start + u, widths.start + u + 1]
        left, right = (None if u == 0 else len(columns) - 2), len(columns) - 1
    blocks = []
    for d, depth in enumerate(space.units[u].depth_choices):
        live = min(space.units[u].base_depth + depth, len(layers))
        sizes = [len(space.choices[c]) for c in columns[1:]]
        for i in range(alive_columns):
            sizes[i] = sizes[i] if i % len(layers) < live else 1
        combos = np.indices(sizes, dtype=np.uint8).reshape(len(sizes), int(np.prod(sizes))).T
        marked = combos.copy()
        for i in range(alive_columns):
            if i % len(layers) >= live:
                marked[:, i] = SKIPPED
        blocks.append(np.insert(np.stack([combos, marked]), 0, d, axis=2))
    rows, marked = np.concatenate(blocks, axis=1)
    radices = [len(space.choices[c]) for c in columns]
    weights = np.array([int(np.prod(radices[i + 1 :])) for i in range(len(radices))], dtype=np.int64)
    numbers = np.full(int(np.prod(radices)), -1, dtype=np.int32)
    numbers[rows.astype(np.int64) @ weights] = np.arange(len(rows))
    nothing = np.zeros(len(rows), dtype=np.uint8)
    return UnitChoices(
        tuple(columns),
        rows,
        marked,
        nothing if left is None else rows[:, left].copy(),
        nothing if right is None else rows[:, right].copy(),
        weights,
        numbers,
    )
