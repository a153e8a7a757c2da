"""A space at one resolution as a chain of units, each with its configurations' score and costs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from ofa.blocks import BlockIndex
from ofa.errors import InputError
from ofa.space import Genes, SearchSpace
from ofa.space.unit_choices import UnitChoices, unit_choices

Ints = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Items:
    """N configurations of one unit.

    number: (N,) which of the unit's choices each is, ascending
    left, right: (N,) the border widths; chains join where they are equal
    score: (N,); costs: (C, N); both whole numbers
    """

    number: NDArray[np.intp]
    left: NDArray[np.uint8]
    right: NDArray[np.uint8]
    score: Ints
    costs: Ints

    def only(self, kept: NDArray[np.bool_] | NDArray[np.intp]) -> Items:
        """Those of a mask or of positions."""
        return Items(self.number[kept], self.left[kept], self.right[kept], self.score[kept], self.costs[:, kept])

    @cached_property
    def float_costs(self) -> NDArray[np.float64]:
        """The costs to multiply by prices, which many are tried of."""
        return self.costs.astype(np.float64)

    @cached_property
    def by_left(self) -> list[tuple[int, NDArray[np.intp]]]:
        """Each width on the left, and the positions of its items."""
        return [(width, np.flatnonzero(self.left == width)) for width in np.unique(self.left).tolist()]


@dataclass(frozen=True, eq=False)
class Chain:
    """All networks of one resolution: one item of each unit, equal widths at every border.

    score, costs: (C,) what every network has beside its units
    """

    resolution: int
    score: int
    costs: Ints
    units: tuple[Items, ...]

    def with_costs(self, costs: Sequence[tuple[int, Sequence[Ints]]]) -> Chain:
        """With further costs behind the others: of each what every network has, and (N,) of every unit's items."""
        units = tuple(
            replace(items, costs=np.concatenate([items.costs, [of_units[u] for _, of_units in costs]]))
            for u, items in enumerate(self.units)
        )
        return replace(self, costs=np.concatenate([self.costs, [fixed for fixed, _ in costs]]), units=units)


class UnitCosts:
    """Costs of blocks, added up over each configuration of each unit, at every resolution of an index."""

    def __init__(self, index: BlockIndex) -> None:
        self.index = index
        self.choices = unit_choices(index.space)
        taken: list[tuple[int | None, NDArray[np.intp]]] = []
        for columns in index.columns:
            own = [c for c in columns if c != 0]
            unit = next((u for u, part in enumerate(self.choices) if own and set(own) <= set(part.columns)), None)
            if own and unit is None:
                raise InputError(f"{index.space.name}: a block depends on more than one unit: it has no exact search")
            taken.append((unit, self._rows(unit, own)))
        self._slots = taken

    def _rows(self, unit: int | None, own: Sequence[int]) -> NDArray[np.intp]:
        """For every configuration of the unit, which of the slot's combinations it has."""
        if unit is None:
            return np.zeros(1, dtype=np.intp)
        part = self.choices[unit]
        row = np.zeros(len(part.rows), dtype=np.intp)
        for column in own:
            size = len(self.index.space.choices[column])
            row = row * size + part.rows[:, part.columns.index(column)]
        return row

    def of(self, block_costs: Ints) -> tuple[Ints, list[Ints]]:
        """(R,) what all networks of a resolution have, and of each unit (R, N), given (U,) one per distinct block."""
        resolutions = len(self.index.resolutions)
        fixed = np.zeros(resolutions, dtype=np.int64)
        units = [np.zeros((resolutions, len(part.rows)), dtype=np.int64) for part in self.choices]
        for (unit, rows), columns, table in zip(
            self._slots, self.index.columns, self.index.per_slot(block_costs), strict=True
        ):
            by_resolution = table.reshape(resolutions if 0 in columns else 1, -1)
            if unit is None:
                fixed += by_resolution[:, 0]
            else:
                units[unit] += by_resolution[:, rows]
        return fixed, units


def make_chains(
    sums: UnitCosts,
    block_costs: Ints,
    scores: Sequence[tuple[int, Sequence[Ints]]],
    allowed: Sequence[NDArray[np.bool_]] | None = None,
) -> list[Chain]:
    """A chain for every resolution of the index.

    block_costs: (C, U); scores: for each resolution what all networks have, and (N,) of each unit's configurations
    allowed: for each unit (N,) which configurations may be chosen (default: all)
    """
    added = [sums.of(row) for row in block_costs]
    chains = []
    for r, resolution in enumerate(sums.index.resolutions):
        level, of_units = scores[r]
        items = []
        for u, part in enumerate(sums.choices):
            costs = np.stack([units[u][r] for _, units in added])
            all_of = Items(np.arange(len(part.rows)), part.left, part.right, of_units[u], costs)
            items.append(all_of if allowed is None else all_of.only(allowed[u]))
        chains.append(Chain(resolution, int(level), np.array([fixed[r] for fixed, _ in added]), tuple(items)))
    return chains


def genes_of(space: SearchSpace, resolutions: Sequence[int] | Ints, numbers: NDArray[np.intp]) -> Genes:
    """(M, genes) of M networks: their resolutions, and numbers (M, units) of their units' configurations."""
    genes: Genes = np.zeros((len(numbers), space.num_genes), dtype=np.uint16)
    genes[:, 0] = resolutions
    for u, part in enumerate(unit_choices(space)):
        genes[:, list(part.columns)] = part.rows[numbers[:, u]]
    return genes


def allowed_choices(
    space: SearchSpace, kernel_sizes: Sequence[int], expand_ratios: Sequence[float], depths: Sequence[int]
) -> list[NDArray[np.bool_]] | None:
    """For each unit (N,) which configurations keep to the given choices; an empty list allows all. None: all are.

    Raises InputError for a choice that the space does not have, and where nothing is left of a unit.
    """
    masks = [np.ones(len(part.rows), dtype=bool) for part in unit_choices(space)]
    given = (("kernel_sizes", kernel_sizes), ("expand_ratios", expand_ratios), ("depths", depths))
    for field, values in given:
        span = space.columns(field)
        if not values:
            continue
        there = {choice for c in range(span.start, span.stop) for choice in space.choices[c]}
        if unknown := [value for value in values if value not in there]:
            raise InputError(
                f"{space.name} has no {unknown[0]:g} among its {field.replace('_', ' ')}: {_listed(there)}"
            )
        for mask, part in zip(masks, unit_choices(space), strict=True):
            mask &= _keeps(space, part, span, set(values))
    for u, mask in enumerate(masks):
        if not mask.any():
            wanted = "; ".join(f"{field.replace('_', ' ')} {_listed(values)}" for field, values in given if values)
            raise InputError(f"unit {u + 1} of {space.name} has no configuration with {wanted}: allow more")
    return masks if any(values for _, values in given) else None


def _keeps(space: SearchSpace, part: UnitChoices, span: slice, values: set[float]) -> NDArray[np.bool_]:
    keeps = np.ones(len(part.rows), dtype=bool)
    for i, column in enumerate(part.columns):
        if span.start <= column < span.stop:
            good = np.array([choice in values for choice in space.choices[column]] + [False] * 256)[:256]
            good[255] = True  # a layer that is not there
            keeps &= good[part.marked[:, i]]
    return keeps


def _listed(values: Sequence[float] | set[float]) -> str:
    return ", ".join(f"{value:g}" for value in sorted(values))
