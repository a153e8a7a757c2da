"""Evolutionary search under limits: many limits in one run, no sub-network evaluated twice.

The evolution of Cai et al. 2020 (section 3.3), changed where it stagnates. The reference's parents end as
copies of one network, and most of its evaluations are duplicates; here a population holds *different*
networks, and a child that was seen before is dropped before the predictor is asked. Costs are far cheaper
than accuracies, so children are first fitted to the limit: trimmed where they break it, filled up where they
leave room. Every network evaluated is offered to every limit's population. The best are finished by an
exchange search, which pairs a change that gains accuracy with the change that pays for it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ofa.blocks import BlockIndex
from ofa.blocks.extremes import cheapest
from ofa.space import Genes

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class EvolutionSettings:
    """How long and how widely to search. The defaults take under a second a limit on one core.

    population: networks kept per limit
    children: networks bred per limit and generation
    generations: rounds of breeding
    mutation: probability that a gene of a mutated child is redrawn
    mutants: share of children made by mutation, the others by crossover
    filled: share of children that are filled up where they leave room
    fitting_steps: attempts to trim or fill a child to its limit
    finalists: networks per limit that the exchange search starts from
    exchanges: pairs of changes tried per finalist and round
    exchange_rounds: the most rounds of it (it ends by itself when no exchange gains)
    """

    population: int = 1000
    children: int = 2000
    generations: int = 25
    mutation: float = 0.06
    mutants: float = 0.6
    filled: float = 0.85
    fitting_steps: int = 4
    finalists: int = 24
    exchanges: int = 100
    exchange_rounds: int = 12

    def __post_init__(self) -> None:
        for name in ("population", "children", "finalists"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}, expected at least 1")
        for name in ("mutation", "mutants", "filled"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name} is {getattr(self, name)}, expected a share from 0 to 1")


SMALL = EvolutionSettings(population=400, children=800, exchange_rounds=4)
ISLANDS = 7


@dataclass(frozen=True)
class Problem:
    """What to maximise, and what is limited.

    index: the space's blocks, at the resolutions that are searched
    score: (N, genes) -> (N,), higher is better
    costs: (C, U) per-block costs that add up, each row limited
    """

    index: BlockIndex
    score: Callable[[Genes], Floats]
    costs: Floats

    def totals(self, genes: Genes) -> Floats:
        """(N, C) costs of a batch."""
        return np.stack([self.index.total(genes, row) for row in self.costs], axis=1)


class Population:
    """The best different networks found under one limit, best first.

    limit: (C,); genes: (P, genes); scores: (P,); costs: (P, C)
    """

    def __init__(self, limit: Floats, num_genes: int) -> None:
        self.limit = limit
        self.genes: Genes = np.empty((0, num_genes), dtype=np.uint16)
        self.scores: Floats = np.empty(0)
        self.costs: Floats = np.empty((0, len(limit)))
        self.exchanged: set[bytes] = set()

    def offer(self, genes: Genes, scores: Floats, costs: Floats, size: int) -> None:
        """Keeps the best `size` of its own and of those offered within the limit; none was offered before."""
        fits = np.all(costs <= self.limit, axis=1)
        if len(self.scores) == size:
            fits &= scores > self.scores[-1]
        scores = np.concatenate([self.scores, scores[fits]])
        # stable: of equals the older stays, so that one seed gives one answer
        order = np.argsort(-scores, kind="stable")[:size]
        self.scores = scores[order]
        self.genes = np.concatenate([self.genes, genes[fits]])[order]
        self.costs = np.concatenate([self.costs, costs[fits]])[order]

    def parents(self, rng: np.random.Generator, n: int) -> Genes:
        """n parents, with repetition: the chance falls geometrically with rank, by half within a third."""
        size = len(self.scores)
        chosen: Genes = self.genes[(rng.geometric(2 / (1 + size), n) - 1) % size]
        return chosen


class Evaluator:
    """Asks the score of every network once, and offers it to the populations. `count` is how many were asked."""

    def __init__(self, problem: Problem, populations: Sequence[Population], size: int) -> None:
        self.problem, self.populations, self.size = problem, populations, size
        self.count = 0
        self._asked: set[int] = set()
        # a fixed random odd number a gene: equal rows have equal keys, others all but surely do not
        rng = np.random.default_rng(2020)
        self._odd = rng.integers(1, 2**63, problem.index.space.num_genes, dtype=np.uint64) | np.uint64(1)

    def ask_new(self, genes: Genes, costs: Floats, limits: Floats) -> None:
        """Asks those, each once, that were never asked and meet their limit: (N, C), or (C,) for all."""
        fits = np.flatnonzero(np.all(costs <= limits, axis=1))
        rows: dict[int, int] = {}
        for row, key in zip(fits.tolist(), self._keys(genes[fits]), strict=True):
            if key not in self._asked:
                rows.setdefault(key, row)
        new = list(rows.values())
        self.ask(genes[new], costs[new])

    def ask(self, genes: Genes, costs: Floats) -> Floats:
        """(N,) scores of different networks; those never asked before are offered to every population."""
        if not len(genes):
            return np.empty(0)
        scores = np.asarray(self.problem.score(genes), dtype=np.float64)
        self.count += len(genes)
        keys = self._keys(genes)
        new = np.array([key not in self._asked for key in keys])
        self._asked.update(keys)
        for population in self.populations:
            population.offer(genes[new], scores[new], costs[new], self.size)
        return scores

    def _keys(self, genes: Genes) -> list[int]:
        """One number a network."""
        keys: list[int] = (genes.astype(np.uint64) @ self._odd).tolist()
        return keys


@dataclass(frozen=True)
class Found:
    """The best network under one limit: (genes,) row, its score, its costs (C,)."""

    genes: Genes
    score: float
    costs: Floats


def evolve(
    problem: Problem,
    limits: Floats,
    rng: np.random.Generator,
    settings: EvolutionSettings | None = None,
    progress: Callable[[float], None] | None = None,
    starts: Genes | None = None,
) -> tuple[list[Found | None], int]:
    """The best network found under each of L limits, (L, C), and how many were evaluated.

    None where no network was found within the limit. `progress` is told the share of the work done.
    starts: (N, genes) networks to begin with, beside random ones
    """
    settings = settings or EvolutionSettings()
    populations = [Population(limit, problem.index.space.num_genes) for limit in limits]
    evaluator = Evaluator(problem, populations, settings.population)
    if starts is not None:
        evaluator.ask_new(starts, problem.totals(starts), limits.max(axis=0))
    steps = settings.generations + settings.exchange_rounds
    for population in populations:
        _settle(problem, evaluator, population, rng, settings)
    for generation in range(settings.generations):
        _breed(problem, evaluator, rng, settings)
        if progress:
            progress((generation + 1) / steps)
    bests: list[float] = []
    for done in range(settings.exchange_rounds):
        before, bests = bests, [float(p.scores[0]) for p in populations if len(p.scores)]
        if bests == before:
            break
        for population in populations:
            _exchange(problem, evaluator, population, settings)
        if progress:
            progress((settings.generations + done + 1) / steps)
    if progress:
        progress(1.0)
    found = [Found(p.genes[0], float(p.scores[0]), p.costs[0]) if len(p.scores) else None for p in populations]
    return found, evaluator.count


def islands(problem: Problem, limits: Floats, rng: np.random.Generator, starts: Genes | None) -> list[list[Found]]:
    """For each limit what several small evolutions end with, each from random networks of its own.

    A population settles near one optimum, and which one is chance. The first begins with the starts too.
    """
    each = [evolve(problem, limits, rng, SMALL, starts=None if i else starts)[0] for i in range(ISLANDS)]
    return [[found for found in ends if found is not None] for ends in zip(*each, strict=True)]


def _settle(
    problem: Problem,
    evaluator: Evaluator,
    population: Population,
    rng: np.random.Generator,
    settings: EvolutionSettings,
) -> None:
    """The first inhabitants: random networks, each with a random share of genes from the cheapest or the dearest.

    Plain random networks are all of middling cost: they would miss tight and generous limits alike.
    """
    space, limit = problem.index.space, population.limit
    weighted = (problem.costs / limit[:, None]).sum(axis=0)
    extremes = np.concatenate([cheapest(problem.index, cost)[0] for cost in (weighted, -weighted)])
    genes = space.sample(rng, 2 * settings.children, resolutions=problem.index.resolutions)
    pull = rng.random(genes.shape) < rng.random((len(genes), 1))
    genes = space.canonical(np.where(pull, extremes[rng.integers(0, 2, len(genes))], genes))
    fitted, costs = _fit(problem, genes, np.broadcast_to(limit, (len(genes), len(limit))), rng, settings)
    # the cheapest itself, so that a limit that can just be met is met
    cheap = extremes[:1]
    evaluator.ask_new(np.concatenate([cheap, fitted]), np.concatenate([problem.totals(cheap), costs]), limit)


def _breed(problem: Problem, evaluator: Evaluator, rng: np.random.Generator, settings: EvolutionSettings) -> None:
    """One generation of every population, evaluated in one batch."""
    space, n = problem.index.space, settings.children
    mutants = round(settings.mutants * n)
    batches, limits = [], []
    for population in evaluator.populations:
        if len(population.scores):
            mothers, fathers = (population.parents(rng, n - mutants) for _ in range(2))
            mutated = population.parents(rng, mutants)
            batches.append(space.mutate(mutated, rng, settings.mutation, resolutions=problem.index.resolutions))
            batches.append(space.crossover(mothers, fathers, rng))
            limits.append(np.broadcast_to(population.limit, (n, len(population.limit))))
    if batches:
        bounds = np.concatenate(limits)
        children, costs = _fit(problem, np.concatenate(batches), bounds, rng, settings)
        evaluator.ask_new(children, costs, bounds)


def _fit(
    problem: Problem, genes: Genes, limits: Floats, rng: np.random.Generator, settings: EvolutionSettings
) -> tuple[Genes, Floats]:
    """Networks brought nearer to their limits, (N, C), and their costs.

    Choices are in ascending order, and a larger one mostly costs more: where a limit is broken, random genes
    step down; where there is room, random genes step up, if that does not break the limit. The resolution,
    to which all else is tuned, stays. A share of the networks is never filled: larger need not be better.
    """
    space = problem.index.space
    top = np.array([values[-1] for values in problem.index.gene_values])
    fill = rng.random(len(genes)) < settings.filled
    costs = problem.totals(genes)
    for _ in range(settings.fitting_steps):
        over = np.any(costs > limits, axis=1)
        touched = rng.random(genes.shape) < 0.1 * rng.random((len(genes), 1))
        touched[:, 0] = False
        step = np.where(over[:, None], -1, 1) * touched
        stepped = space.canonical(np.clip(genes + step, 0, top).astype(np.uint16))
        stepped_costs = problem.totals(stepped)
        accept = over | (fill & np.all(stepped_costs <= limits, axis=1))
        genes = np.where(accept[:, None], stepped, genes)
        costs = np.where(accept[:, None], stepped_costs, costs)
    return genes, costs


def _exchange(problem: Problem, evaluator: Evaluator, population: Population, settings: EvolutionSettings) -> None:
    """One round of exchange search from the population's best that it has not started from yet.

    All single-gene neighbours are scored, within the limit or not; then the pairs of changes that promise the
    most, if their gains add up, and whose costs together stay within the limit.
    """
    space = problem.index.space
    finalists = list(zip(population.genes, population.scores, population.costs, strict=True))
    for base, base_score, base_cost in finalists[: settings.finalists]:
        if base.tobytes() in population.exchanged:
            continue
        population.exchanged.add(base.tobytes())
        others = [values[values != base[c]] for c, values in enumerate(problem.index.gene_values)]
        columns, values = np.repeat(np.arange(space.num_genes), [len(o) for o in others]), np.concatenate(others)
        neighbours = np.repeat(base[None], len(columns), axis=0)
        neighbours[np.arange(len(columns)), columns] = values
        neighbours = space.canonical(neighbours)
        differ = np.flatnonzero((neighbours != base).any(axis=1))
        columns, values, neighbours = columns[differ], values[differ], neighbours[differ]
        costs = problem.totals(neighbours)
        gains = evaluator.ask(neighbours, costs) - base_score
        first, second = np.triu_indices(len(columns), 1)
        promise = gains[first] + gains[second]
        together = costs[first] + costs[second] - base_cost
        worth = np.all(together <= population.limit, axis=1) & (columns[first] != columns[second]) & (promise > 0)
        chosen = np.flatnonzero(worth)
        chosen = chosen[np.argsort(-promise[chosen], kind="stable")[: settings.exchanges]]
        pairs = np.repeat(base[None], len(chosen), axis=0)
        rows = np.arange(len(chosen))
        pairs[rows, columns[first[chosen]]] = values[first[chosen]]
        pairs[rows, columns[second[chosen]]] = values[second[chosen]]
        pairs = space.canonical(pairs)
        evaluator.ask_new(pairs, problem.totals(pairs), population.limit)
