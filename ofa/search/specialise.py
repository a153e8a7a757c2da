"""From a latency table and an accuracy predictor to the best sub-network for every limit.

The search runs on the resolutions that the predictor knows and the table holds; what rests on an
interpolated block or an interpolated accuracy says so in its result.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ofa.errors import Infeasible, InputError
from ofa.latency_table import LatencyTable
from ofa.predictors.accuracy import AccuracyPredictor
from ofa.predictors.costs import block_macs, block_params, count_macs, count_params
from ofa.search.evolution import EvolutionSettings, Problem, evolve
from ofa.search.extremes import cheapest
from ofa.space import Genes, SearchSpace, Subnet

FRONTIER_POINTS = 16


@dataclass(frozen=True)
class Specialised:
    """The best sub-network found for one device under one limit.

    limit_ms: the latency limit; on a frontier, the point of the latency axis it was sought for
    predicted_top1, predicted_top1_std: per cent; the standard deviation is NaN where the predictor has none
    latency_interpolated: some block's latency is interpolated from other sizes
    top1_interpolated: the accuracy is interpolated from other resolutions
    """

    table: str
    limit_ms: float
    latency_ms: float
    predicted_top1: float
    predicted_top1_std: float
    macs_millions: float
    params_millions: float
    latency_interpolated: bool
    top1_interpolated: bool
    subnet: Subnet

    def to_dict(self) -> dict[str, Any]:
        """The JSON form: plain types, null for what is not known."""
        std = None if math.isnan(self.predicted_top1_std) else round(self.predicted_top1_std, 4)
        return {
            "table": self.table,
            "limit_ms": self.limit_ms,
            "latency_ms": round(self.latency_ms, 6),
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
    lookup = table.lookup(space)
    if asked is not None:
        chosen = tuple(sorted(set(asked)))
        lookup.require(chosen)
        return chosen
    coverage = lookup.coverage
    for held in (coverage.complete, coverage.interpolated):
        if shared := tuple(r for r in held if r in predictor.resolutions):
            return shared
    known = [r for r in predictor.resolutions if r in space.resolutions]
    lookup.require(known)
    raise InputError(
        f"the predictor knows {known or 'no'} px of {space.name}, "
        f"the table of {table.device} holds {list(coverage.complete + coverage.interpolated)}: name --resolutions"
    )


class DeviceSearch:
    """One device's search: a table, a predictor and the part of the space that both cover.

    space: as given, with the resolutions searched
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
    ) -> None:
        """max_macs, max_params: limits, in millions."""
        self.name, self.table, self.predictor = name, table, predictor
        self.space = replace(space, resolutions=tuple(resolutions))
        self.lookup = table.lookup(self.space)
        self._resolution_genes = predictor.space.resolution_genes(self.space.resolutions)
        blocks = self.lookup.index.blocks
        self._cost_names = ["latency_ms"]
        self._fixed_limits: list[float] = []
        costs = [self.lookup.block_ms]
        for label, limit, cost in (("MACs", max_macs, block_macs), ("parameters", max_params, block_params)):
            if limit is not None:
                costs.append(np.array([cost(block) for block in blocks], dtype=np.float64))
                self._cost_names.append(label)
                self._fixed_limits.append(limit * 1e6)
        self.problem = Problem(self.lookup.index, self._score, np.stack(costs))

    @cached_property
    def fastest(self) -> Genes:
        """The fastest sub-network, (1, genes): exact, by variable elimination."""
        return cheapest(self.problem.index, self.lookup.block_ms)[0]

    @property
    def fastest_ms(self) -> float:
        """Its latency, added up as every other is, so that it meets itself as a limit."""
        return float(self.lookup.latency_ms(self.fastest)[0])

    def frontier_limits(self, points: int = FRONTIER_POINTS) -> list[float]:
        """Limits from the fastest to the slowest sub-network, in equal ratios."""
        slowest = cheapest(self.problem.index, -self.lookup.block_ms)[0]
        limits = np.geomspace(self.fastest_ms, float(self.lookup.latency_ms(slowest)[0]), points)
        # rounding must not put the first limit below the fastest
        return [float(limit) for limit in np.maximum(limits, self.fastest_ms)]

    def check_feasible(self, limits_ms: Iterable[float]) -> None:
        """Infeasible, saying what the least possible is, if one limit alone already rules out every sub-network."""
        for limit_ms in limits_ms:
            if not (math.isfinite(limit_ms) and limit_ms > 0):
                raise InputError(f"latency limit is {limit_ms}, expected a positive number of ms")
            if limit_ms < self.fastest_ms:
                fastest = self.space.decode(self.fastest)[0]
                raise Infeasible(
                    f"no sub-network of {self.space.name} runs within {limit_ms:g} ms on {self.table.device}: "
                    f"the fastest takes {self.fastest_ms:.3f} ms ({fastest.resolution} px, depths "
                    f"{'-'.join(map(str, fastest.depths))})"
                )
        for name, costs, limit in zip(self._cost_names[1:], self.problem.costs[1:], self._fixed_limits, strict=True):
            least = cheapest(self.problem.index, costs)[1]
            if limit < least:
                raise Infeasible(
                    f"no sub-network of {self.space.name} at {min(self.space.resolutions)} px or more has at most "
                    f"{limit / 1e6:g} M {name}: the least is {least / 1e6:.2f} M"
                )

    def run(
        self,
        limits_ms: Sequence[float],
        rng: np.random.Generator,
        settings: EvolutionSettings | None = None,
        progress: Callable[[float], None] | None = None,
    ) -> tuple[list[Specialised], int]:
        """The best sub-network found for each limit, in one run, and how many were evaluated.

        Raises Infeasible if a limit cannot be met, or if together with the others no network was found.
        """
        self.check_feasible(limits_ms)
        limits = np.array([[limit, *self._fixed_limits] for limit in limits_ms])
        found, evaluations = evolve(self.problem, limits, rng, settings, progress)
        results = []
        for limit_ms, best in zip(limits_ms, found, strict=True):
            if best is None:
                others = " and ".join(
                    f"{limit / 1e6:g} M {name}"
                    for name, limit in zip(self._cost_names[1:], self._fixed_limits, strict=True)
                )
                raise Infeasible(
                    f"found no sub-network within {limit_ms:g} ms and {others}: each alone is possible, "
                    f"together they may not be (fastest {self.fastest_ms:.3f} ms); relax one of them"
                )
            results.append(self._specialised(limit_ms, best.genes[None]))
        return results, evaluations

    def random_cloud(self, rng: np.random.Generator, n: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Latency in ms and predicted top-1 of n random sub-networks: what the search is compared with."""
        genes = self.space.sample(rng, n)
        return self.lookup.latency_ms(genes), self._score(genes)

    def _lifted(self, genes: Genes) -> Genes:
        """The same networks as rows of the predictor's space, which has other resolutions."""
        lifted = genes.copy()
        lifted[:, 0] = self._resolution_genes[genes[:, 0]]
        return lifted

    def _score(self, genes: Genes) -> NDArray[np.float64]:
        return self.predictor.predict(self._lifted(genes)).top1

    def _specialised(self, limit_ms: float, genes: Genes) -> Specialised:
        subnet = self.space.decode(genes)[0]
        predicted = self.predictor.predict(self._lifted(genes))
        return Specialised(
            table=self.name,
            limit_ms=float(limit_ms),
            latency_ms=float(self.lookup.latency_ms(genes)[0]),
            predicted_top1=float(predicted.top1[0]),
            predicted_top1_std=float(predicted.std[0]),
            macs_millions=count_macs(self.space, subnet) / 1e6,
            params_millions=count_params(self.space, subnet) / 1e6,
            latency_interpolated=bool(self.lookup.interpolated(genes)[0]),
            top1_interpolated=bool(predicted.interpolated[0]),
            subnet=subnet,
        )
