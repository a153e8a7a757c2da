"""From a latency table and an accuracy predictor to the best sub-network for every limit.

The search runs on the resolutions that the predictor knows and the table holds; what rests on an
interpolated block or an interpolated accuracy says so in its result. Where the predictor adds up over units, the
search is exact (`ofa.search.exact`); where it does not, it evolves.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from copy import copy
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from ofa.blocks.costs import count_macs, count_params
from ofa.errors import Infeasible, InputError
from ofa.predictors.prediction import Predictor
from ofa.predictors.separable.predictor import SeparablePredictor
from ofa.search.costs import Allowed, Cost, Limit, energy_cost, exclusion, latency_cost, least, macs_cost, params_cost
from ofa.search.evolution import EvolutionSettings, Found, Problem, evolve, islands
from ofa.search.exact.search import Answer, ExactSearch
from ofa.search.polish import AskedScore, polish
from ofa.search.specialised import Axis, Specialised
from ofa.search.student import good_starts
from ofa.space import Genes, SearchSpace
from ofa.tables import LatencyTable
from ofa.tables.uncertainty import UncertainLatencies

FRONTIER_POINTS = 16
POLISHED = 4  # limits: with more of them, a frontier's, an evolution does without
Method = Literal["exact", "evolution"]


def shared_resolutions(
    table: LatencyTable, predictor: Predictor, space: SearchSpace, asked: Iterable[int] | None = None
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


@dataclass(frozen=True)
class Wanted:
    """What is asked of the networks beside a limit of the axis.

    method: None: exact where the predictor allows it
    max_macs, max_params: in millions
    allowed: which configurations of each unit may be chosen (`ofa.search.exact.chain.allowed_choices`); None: all
    best, differ: so many networks a limit, that differ from each other in at least so many choices
    """

    axis: Axis = "latency"
    method: Method | None = None
    max_macs: float | None = None
    max_params: float | None = None
    max_energy_mj: float | None = None
    allowed: Allowed = None
    best: int = 1
    differ: int = 1


@dataclass(frozen=True, eq=False)
class Frontier:
    """All networks that no other beats, ascending: genes (P, genes), cost (P,) ms or mJ, top1 (P,) as promised."""

    genes: Genes
    cost: NDArray[np.float64]
    top1: NDArray[np.float64]


class DeviceSearch:
    """One device's search: a table, a predictor and the part of the space that both cover.

    resolutions: those searched, pixels, ascending
    axis: what accuracy is traded for, "latency" (ms) or "energy" (mJ); limits and frontiers are of it
    method: "exact" or "evolution"
    """

    def __init__(
        self,
        name: str,
        table: LatencyTable,
        predictor: Predictor,
        space: SearchSpace,
        resolutions: Sequence[int],
        wanted: Wanted | None = None,
    ) -> None:
        """InputError if energies are asked for that the table lacks, or a method that the predictor does not allow."""
        self.wanted = wanted = wanted or Wanted()
        self.name, self.table, self.predictor = name, table, predictor
        self.space, self.lookup = space, table.lookup(space, resolutions)
        self.index = self.lookup.index
        self.resolutions = self.index.resolutions
        self.axis = wanted.axis
        self.method = method_of(predictor, wanted)
        if self.axis == "energy" or wanted.max_energy_mj is not None:
            self.lookup.require_energy()
        energy = self.axis == "energy"
        self._axis_cost = energy_cost(self.lookup, table.batch) if energy else latency_cost(self.lookup, table.batch)
        self._others = [
            Limit(cost(self.index), value)
            for cost, value in ((macs_cost, wanted.max_macs), (params_cost, wanted.max_params))
            if value is not None
        ]
        if wanted.max_energy_mj is not None:
            self._others.append(Limit(energy_cost(self.lookup, table.batch), wanted.max_energy_mj))
        self._costs = np.stack([self._axis_cost.per_block, *(other.cost.per_block for other in self._others)])

    @cached_property
    def exact(self) -> ExactSearch:
        """The exact search of a separable predictor; costs are the axis, then the further limits' in order."""
        assert isinstance(self.predictor, SeparablePredictor)
        scores = [self.predictor.unit_scores(r) for r in self.resolutions]
        return ExactSearch(self.index, scores, self._costs, self.wanted.allowed)

    @cached_property
    def uncertain(self) -> UncertainLatencies | None:
        """How surely the table knows each network; None where it does not tell, or was changed since."""
        known = self.table.uncertainty
        return None if known is None or self.table.deviations_changed else known.latencies(self.lookup)

    def within(self, costs: Sequence[Cost], limit: float) -> DeviceSearch:
        """The same search where not the axis but each of these, at least one, is to keep the limit."""
        narrower = copy(self)
        for held in ("exact", "fastest"):
            narrower.__dict__.pop(held, None)
        narrower._axis_cost = costs[0]
        narrower._others = [*self._others, *(Limit(cost, limit) for cost in costs[1:])]
        narrower._costs = np.stack([costs[0].per_block, *(other.cost.per_block for other in narrower._others)])
        return narrower

    @cached_property
    def fastest(self) -> Genes:
        """The sub-network with the least of the axis, (1, genes)."""
        return least(self.index, self._axis_cost, self.wanted.allowed)[0]

    @property
    def least(self) -> float:
        """Its latency or energy, added up as every other is, so that it meets itself as a limit."""
        return float(self._on_axis(self.fastest)[0])

    def frontier_limits(self, points: int = FRONTIER_POINTS) -> list[float]:
        """Limits from the sub-network with the least of the axis to the one with the most, in equal ratios."""
        minus = Cost(-self._axis_cost.per_block, "")
        slowest = least(self.index, minus, self.wanted.allowed)[0]
        limits = np.geomspace(self.least, float(self._on_axis(slowest)[0]), points)
        # rounding must not put the first limit below the least
        return [float(limit) for limit in np.maximum(limits, self.least)]

    def frontier(self) -> Frontier | None:
        """The whole exact frontier of the axis.

        None where the method is not exact, or another cost is limited too.
        """
        if self.method != "exact" or self._others:
            return None
        found = self.exact.frontier()
        genes = self.exact.genes(found)
        return Frontier(genes, found.costs[:, 0] / self._axis_cost.wholes, self.predictor.promised(genes).top1)

    def check_feasible(self, limits: Iterable[float]) -> None:
        """Infeasible, saying what the least possible is, if one limit alone already rules out every sub-network."""
        for limit in limits:
            if not (math.isfinite(limit) and limit > 0):
                raise InputError(f"{self.axis} limit is {limit}, expected a positive number of {self._axis_cost.unit}")
            if self._axis_cost.whole(limit) < self._axis_cost.whole(self.least):
                fastest = self.space.decode(self.fastest)[0]
                raise Infeasible(
                    f"no sub-network of {self.space.name} runs within {self._axis_cost.words(limit)} on "
                    f"{self.table.device}: the {'fastest' if self.axis == 'latency' else 'thriftiest'} takes "
                    f"{self._axis_cost.words(self.least, '.3f')} "
                    f"({fastest.resolution} px, depths {'-'.join(map(str, fastest.depths))})"
                )
        for other in self._others:
            if not other.value > 0:
                raise InputError(f"the limit of {other} is not a positive number")
            fewest = least(self.index, other.cost, self.wanted.allowed)[1]
            if other.cost.whole(other.value) < fewest:
                raise Infeasible(
                    f"no sub-network of {self.space.name} at {self.resolutions[0]} px or more has at most "
                    f"{other}: the least is {other.cost.words(fewest / other.cost.wholes, '.4g')}"
                )

    def run(
        self,
        limits: Sequence[float],
        rng: np.random.Generator,
        settings: EvolutionSettings | None = None,
        progress: Callable[[float], None] | None = None,
    ) -> tuple[list[Specialised], int]:
        """The best sub-networks found for each limit of the axis, in one run, and how many were evaluated.

        An exact search evaluates configurations of units, draws nothing at random, and needs no settings.
        Raises Infeasible if a limit cannot be met, or if together with the others no network was found.
        """
        self.check_feasible(limits)
        if self.method == "exact":
            return self._run_exact(limits, progress), sum(len(i.number) for c in self.exact.chains for i in c.units)
        others = [other.cost.whole(other.value) for other in self._others]
        bounds = np.array([[self._axis_cost.whole(limit), *others] for limit in limits], dtype=np.float64)
        asked = AskedScore(self.index, self.predictor.top1, self._costs, bounds)
        problem = Problem(self.index, asked.counted, self._costs.astype(np.float64))
        # `--method evolution` is the paper's, which starts from random networks
        own = self.wanted.method is None
        starts: Genes | None = good_starts(self.index, asked, self._costs, rng) if own else None
        ends: list[list[Found]] = [[] for _ in limits]
        if own and len(limits) <= POLISHED:
            ends = islands(problem, bounds, rng, starts)
            starts = np.stack([end.genes for of in ends for end in of]) if any(ends) else None
        found, _ = evolve(problem, bounds, rng, settings, progress, starts)
        for bound, best in zip(bounds, found, strict=True):
            if best is not None:
                asked(best.genes[None])
                if own and len(limits) <= POLISHED:
                    polish(self.index, asked, self._costs, bound.astype(np.int64), best.genes[None])
        results = []
        for limit, genes, value, of in zip(limits, asked.best, asked.values, ends, strict=True):
            if genes is None:
                raise self._nothing_within(limit)
            below = tuple(float(value - end.score) for end in of)
            results.append(specialised(self, limit, genes, self._regret(limit, genes), 1, below))
        return results, asked.count

    def _run_exact(self, limits: Sequence[float], progress: Callable[[float], None] | None) -> list[Specialised]:
        others = [other.cost.whole(other.value) for other in self._others]
        results: list[Specialised] = []
        for n, limit in enumerate(limits):
            whole = np.array([self._axis_cost.whole(limit), *others], dtype=np.int64)
            if self.wanted.best > 1:
                answers = self.exact.different(whole, self.wanted.best, self.wanted.differ)
            else:
                best = self.exact.best_under(whole)
                answers = [] if best is None else [best]
            if not answers:
                raise self._nothing_within(limit)
            results += [self._answered(limit, answer, rank) for rank, answer in enumerate(answers, 1)]
            if progress:
                progress((n + 1) / len(limits))
        return results

    def _regret(self, limit: float, genes: Genes) -> float | None:
        """What a network that was evolved loses against the best, per cent; None where the best is not known."""
        if not isinstance(self.predictor, SeparablePredictor):
            return None
        others = [other.cost.whole(other.value) for other in self._others]
        best = self.exact.best_under(np.array([self._axis_cost.whole(limit), *others], dtype=np.int64))
        assert best is not None  # the network itself is within the limits
        return float(self.predictor.of_sums(np.array([best.bound]))[0] - self.predictor.top1(genes)[0])

    def _answered(self, limit: float, answer: Answer, rank: int) -> Specialised:
        assert isinstance(self.predictor, SeparablePredictor)
        score, bound = self.predictor.of_sums(np.array([answer.score, answer.bound]))
        return specialised(self, limit, answer.genes, float(bound - score), rank)

    def _nothing_within(self, limit: float) -> Infeasible:
        words = exclusion(self.index, [Limit(self._axis_cost, limit), *self._others], self.wanted.allowed)
        rest = f" and {' and '.join(map(str, self._others))}" if self._others else ""
        return Infeasible(
            f"found no sub-network within {self._axis_cost.words(limit)}{rest}: each alone is possible, together they "
            f"may not be (least possible {self._axis_cost.words(self.least, '.3f')}); "
            f"{words + ': ' if words else ''}relax one of them"
        )

    def random_cloud(self, rng: np.random.Generator, n: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Latency or energy and predicted top-1 of n random sub-networks: what the search is compared with."""
        genes = self.space.sample(rng, n, resolutions=self.resolutions)
        offset = 0.0 if self.predictor.scale is None else self.predictor.scale.offset
        return self._on_axis(genes), self.predictor.top1(genes) + offset

    def _on_axis(self, genes: Genes) -> NDArray[np.float64]:
        """(N,) ms or mJ."""
        return self._latency_ms(genes) if self.axis == "latency" else self._energy_mj(genes)

    def _latency_ms(self, genes: Genes) -> NDArray[np.float64]:
        """(N,) milliseconds, whole nanoseconds: so that what keeps a limit is shown to."""
        return self.index.total(genes, self.lookup.block_ns) / 1e6

    def _energy_mj(self, genes: Genes) -> NDArray[np.float64]:
        """(N,) millijoules, whole nanojoules; NaN if not known."""
        return self.index.total(genes, np.rint(self.lookup.block_energy_mj * 1e6)) / 1e6


def specialised(
    search: DeviceSearch,
    limit: float,
    genes: Genes,
    regret: float | None = None,
    rank: int = 1,
    ends_below: tuple[float, ...] = (),
) -> Specialised:
    """What is said of one network, (1, genes), that was found on a device within a limit of its axis."""
    energy = float(search._energy_mj(genes)[0])
    subnet = search.space.decode(genes)[0]
    promised = search.predictor.promised(genes)
    latency_ms, known = float(search._latency_ms(genes)[0]), search.table.known_range
    return Specialised(
        table=search.name,
        limit_ms=float(limit) if search.axis == "latency" else None,
        limit_mj=float(limit) if search.axis == "energy" else None,
        latency_ms=latency_ms,
        energy_mj=None if math.isnan(energy) else energy,
        predicted_top1=float(promised.top1[0]),
        predicted_top1_std=float(promised.std[0]),
        predictor_top1=float(search.predictor.top1(genes)[0]),
        macs_millions=count_macs(search.space, subnet) / 1e6,
        params_millions=count_params(search.space, subnet) / 1e6,
        latency_interpolated=bool(search.lookup.interpolated(genes)[0]),
        top1_interpolated=bool(promised.interpolated[0]),
        subnet=subnet,
        regret=regret,
        rank=rank,
        ends_below=ends_below,
        latency_checked=None if known is None else known.holds(latency_ms, subnet.resolution),
        latency_sd_pct=None if search.uncertain is None else 100 * float(search.uncertain.relative_sd(genes)[0]),
    )


def method_of(predictor: Predictor, wanted: Wanted) -> Method:
    """How to search with a predictor; InputError where that cannot be as it is wanted."""
    separable = isinstance(predictor, SeparablePredictor)
    # a predictor of ours states its space, those of the original do not
    named = "" if predictor.space.family == "own" else f" --space {predictor.space.name}"
    if wanted.method == "exact" and not separable:
        raise InputError(
            f"--method exact needs a predictor that adds up over units, which this one does not "
            f"({predictor.description}): leave --method out, or imitate it by one that does: "
            f"python -m ofa.predictors.fit --teacher PREDICTOR{named}"
        )
    method: Method = wanted.method or ("exact" if separable else "evolution")
    if method == "evolution" and (wanted.allowed is not None or wanted.best > 1):
        option = "--best" if wanted.best > 1 else "--kernel-sizes, --expand-ratios and --depths"
        raise InputError(f"{option} need the exact search: no --method evolution, and a separable predictor")
    return method
