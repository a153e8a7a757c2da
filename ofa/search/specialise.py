"""From a latency table and an accuracy predictor to the best sub-network for every limit.

The search runs on the resolutions that the predictor knows and the table holds; what rests on an
interpolated block or an interpolated accuracy says so in its result.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ofa.blocks.costs import block_macs, block_params, count_macs, count_params
from ofa.blocks.extremes import cheapest
from ofa.errors import Infeasible, InputError
from ofa.predictors.accuracy import AccuracyPredictor
from ofa.search.evolution import EvolutionSettings, Problem, evolve
from ofa.space import Genes, SearchSpace, Subnet
from ofa.tables import LatencyTable
from ofa.tables.amounts import amount, of_batch

FRONTIER_POINTS = 16
Axis = Literal["latency", "energy"]


@dataclass(frozen=True)
class Specialised:
    """The best sub-network found for one device under one limit.

    limit_ms, limit_mj: the limit of latency or energy; on a frontier, the point of its axis it was sought for
    energy_mj: None where the table does not tell
    predicted_top1, predicted_top1_std: per cent; the standard deviation is NaN where the predictor has none
    latency_interpolated: some block's latency is interpolated from other sizes
    top1_interpolated: the accuracy is interpolated from other resolutions
    """

    table: str
    limit_ms: float | None
    limit_mj: float | None
    latency_ms: float
    energy_mj: float | None
    predicted_top1: float
    predicted_top1_std: float
    macs_millions: float
    params_millions: float
    latency_interpolated: bool
    top1_interpolated: bool
    subnet: Subnet

    def cost(self, axis: Axis) -> float:
        """Milliseconds for the axis "latency"; millijoules for "energy", NaN if not known."""
        if axis == "latency":
            return self.latency_ms
        return math.nan if self.energy_mj is None else self.energy_mj

    def to_dict(self) -> dict[str, Any]:
        """The JSON form: plain types, null for what is not known."""
        std = None if math.isnan(self.predicted_top1_std) else round(self.predicted_top1_std, 4)
        return {
            "table": self.table,
            "limit_ms": self.limit_ms,
            "limit_mj": self.limit_mj,
            "latency_ms": round(self.latency_ms, 6),
            "energy_mj": None if self.energy_mj is None else round(self.energy_mj, 6),
            "predicted_top1": round(self.predicted_top1, 4),
            "predicted_top1_std": std,
            "macs_millions": self.macs_millions,
            "params_millions": self.params_millions,
            "latency_interpolated": self.latency_interpolated,
            "top1_interpolated": self.top1_interpolated,
            "subnet": self.subnet.to_dict(),
        }


def shared_resolutions(
    table: LatencyTable, predictor: AccuracyPredictor, space: SearchSpace, asked: Iterable[int] | None = None
) -> tuple[int, ...]:
    """The resolutions to search: those asked for, else those the predictor knows and the table holds.

    Where the table holds none of them without interpolating, those that it can interpolate. InputError where
    nothing is shared, or where the table lacks blocks at a resolution that was asked for.
    """
    if asked is not None:
        lookup = table.lookup(space, asked)
        lookup.require(lookup.index.resolutions)
        return lookup.index.resolutions
    lookup = table.lookup(space, predictor.resolutions)
    shared = lookup.coverage.complete or lookup.coverage.interpolated
    if not shared:
        lookup.require(lookup.index.resolutions)
    return shared


class _Limit(NamedTuple):
    """A limit beside the axis, on the sum of block_costs, (U,). words, unit: how a message says it."""

    words: str
    unit: float
    limit: float
    block_costs: NDArray[np.float64]

    def __str__(self) -> str:
        return f"{self.limit / self.unit:g} {self.words}"


class DeviceSearch:
    """One device's search: a table, a predictor and the part of the space that both cover.

    resolutions: those searched, pixels, ascending
    axis: what accuracy is traded for, "latency" (ms) or "energy" (mJ); limits and frontiers are of it
    """

    def __init__(
        self,
        name: str,
        table: LatencyTable,
        predictor: AccuracyPredictor,
        space: SearchSpace,
        resolutions: Sequence[int],
        *,
        max_macs: float | None = None,
        max_params: float | None = None,
        max_energy_mj: float | None = None,
        axis: Axis = "latency",
    ) -> None:
        """max_macs, max_params: limits, in millions. InputError if energies are asked for that the table lacks."""
        self.name, self.table, self.predictor = name, table, predictor
        self.space, self.lookup = space, table.lookup(space, resolutions)
        self.resolutions = self.lookup.index.resolutions
        self.axis, self.unit = axis, "ms" if axis == "latency" else "mJ"
        if axis == "energy" or max_energy_mj is not None:
            self.lookup.require_energy()
        self._axis_costs = self.lookup.block_ms if axis == "latency" else self.lookup.block_energy_mj
        blocks = self.lookup.index.blocks
        self._others: list[_Limit] = []
        for words, limit, cost in (("M MACs", max_macs, block_macs), ("M parameters", max_params, block_params)):
            if limit is not None:
                of_blocks = np.array([cost(block) for block in blocks], dtype=np.float64)
                self._others.append(_Limit(words, 1e6, limit * 1e6, of_blocks))
        if max_energy_mj is not None:
            self._others.append(_Limit(f"mJ{of_batch(table.batch)}", 1.0, max_energy_mj, self.lookup.block_energy_mj))
        costs = [self._axis_costs, *(other.block_costs for other in self._others)]
        self.problem = Problem(self.lookup.index, self._score, np.stack(costs))

    @cached_property
    def fastest(self) -> Genes:
        """The sub-network with the least of the axis, (1, genes): exact, by variable elimination."""
        return cheapest(self.problem.index, self._axis_costs)[0]

    @property
    def least(self) -> float:
        """Its latency or energy, added up as every other is, so that it meets itself as a limit."""
        return float(self._on_axis(self.fastest)[0])

    def frontier_limits(self, points: int = FRONTIER_POINTS) -> list[float]:
        """Limits from the sub-network with the least of the axis to the one with the most, in equal ratios."""
        slowest = cheapest(self.problem.index, -self._axis_costs)[0]
        limits = np.geomspace(self.least, float(self._on_axis(slowest)[0]), points)
        # rounding must not put the first limit below the least
        return [float(limit) for limit in np.maximum(limits, self.least)]

    def check_feasible(self, limits: Iterable[float]) -> None:
        """Infeasible, saying what the least possible is, if one limit alone already rules out every sub-network."""
        for limit in limits:
            if not (math.isfinite(limit) and limit > 0):
                raise InputError(f"{self.axis} limit is {limit}, expected a positive number of {self.unit}")
            if limit < self.least:
                fastest = self.space.decode(self.fastest)[0]
                raise Infeasible(
                    f"no sub-network of {self.space.name} runs within {self._amount(limit)} on {self.table.device}: "
                    f"the {'fastest' if self.axis == 'latency' else 'thriftiest'} takes "
                    f"{self._amount(self.least, '.3f')} "
                    f"({fastest.resolution} px, depths {'-'.join(map(str, fastest.depths))})"
                )
        for other in self._others:
            if not other.limit > 0:
                raise InputError(f"the limit of {other} is not a positive number")
            least = cheapest(self.problem.index, other.block_costs)[1]
            if other.limit < least:
                raise Infeasible(
                    f"no sub-network of {self.space.name} at {self.resolutions[0]} px or more has at most "
                    f"{other}: the least is {least / other.unit:.4g} {other.words}"
                )

    def run(
        self,
        limits: Sequence[float],
        rng: np.random.Generator,
        settings: EvolutionSettings | None = None,
        progress: Callable[[float], None] | None = None,
    ) -> tuple[list[Specialised], int]:
        """The best sub-network found for each limit of the axis, in one run, and how many were evaluated.

        Raises Infeasible if a limit cannot be met, or if together with the others no network was found.
        """
        self.check_feasible(limits)
        bounds = np.array([[limit, *(other.limit for other in self._others)] for limit in limits])
        found, evaluations = evolve(self.problem, bounds, rng, settings, progress)
        results = []
        for limit, best in zip(limits, found, strict=True):
            if best is None:
                raise Infeasible(
                    f"found no sub-network within {self._amount(limit)} and {' and '.join(map(str, self._others))}: "
                    "each alone is possible, together they may not be "
                    f"(least possible {self._amount(self.least, '.3f')}); relax one of them"
                )
            results.append(self._specialised(limit, best.genes[None]))
        return results, evaluations

    def random_cloud(self, rng: np.random.Generator, n: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Latency or energy and predicted top-1 of n random sub-networks: what the search is compared with."""
        genes = self.space.sample(rng, n, resolutions=self.resolutions)
        return self._on_axis(genes), self._score(genes)

    def _amount(self, value: float, form: str = "g") -> str:
        """A value of the axis in words."""
        return amount(value, self.unit, self.table.batch, form)

    def _on_axis(self, genes: Genes) -> NDArray[np.float64]:
        """(N,) ms or mJ."""
        return self.lookup.latency_ms(genes) if self.axis == "latency" else self._energy_mj(genes)

    def _energy_mj(self, genes: Genes) -> NDArray[np.float64]:
        """(N,) millijoules; NaN if not known."""
        return self.lookup.index.total(genes, self.lookup.block_energy_mj)

    def _score(self, genes: Genes) -> NDArray[np.float64]:
        return self.predictor.predict(genes).top1

    def _specialised(self, limit: float, genes: Genes) -> Specialised:
        energy = float(self._energy_mj(genes)[0])
        subnet = self.space.decode(genes)[0]
        predicted = self.predictor.predict(genes)
        return Specialised(
            table=self.name,
            limit_ms=float(limit) if self.axis == "latency" else None,
            limit_mj=float(limit) if self.axis == "energy" else None,
            latency_ms=float(self.lookup.latency_ms(genes)[0]),
            energy_mj=None if math.isnan(energy) else energy,
            predicted_top1=float(predicted.top1[0]),
            predicted_top1_std=float(predicted.std[0]),
            macs_millions=count_macs(self.space, subnet) / 1e6,
            params_millions=count_params(self.space, subnet) / 1e6,
            latency_interpolated=bool(self.lookup.interpolated(genes)[0]),
            top1_interpolated=bool(predicted.interpolated[0]),
            subnet=subnet,
        )
