"""A separable imitation of a predictor that does not separate, fitted on the fly, to start an evolution from.

Any predictor is asked about some thousand networks; tables of unit scores are fitted to what it says by least squares,
and their exact frontier is where the evolution starts. In rounds: the networks of that frontier are asked about too,
so that the imitation is right where it matters. In numpy alone, well under a second a round.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from ofa.blocks import BlockIndex
from ofa.search.exact.chain import Ints
from ofa.search.exact.search import ExactSearch
from ofa.space import Genes, SearchSpace
from ofa.space.unit_choices import UnitChoices, unit_choices

Floats = NDArray[np.float64]
Score = Callable[[Genes], Floats]
QUESTIONS = 2000
ROUNDS = 2
POINTS = 100  # of each resolution's frontier, a round
_PER_CENT = 1_000_000
_RIDGE = 1.0
_NEAR_FRONT = 8.0  # how much more a network of the frontier weighs than a random one


def good_starts(index: BlockIndex, score: Score, costs: Ints, rng: np.random.Generator) -> Genes:
    """(N, genes): networks on and near the frontier of the first cost.

    costs: (C, U) whole numbers
    """
    space, resolutions = index.space, index.resolutions
    genes = _leaning(space, rng, QUESTIONS, resolutions)
    values, weights = score(genes), np.ones(len(genes))
    for _ in range(ROUNDS):
        tables = _fitted(index, genes, values, weights)
        search = ExactSearch(index, tables, costs)
        fresh = search.genes(search.points(POINTS))
        known = {row.tobytes() for row in genes}
        fresh = fresh[[row.tobytes() not in known for row in fresh]]
        genes, values = np.concatenate([genes, fresh]), np.concatenate([values, score(fresh)])
        weights = np.concatenate([weights, np.full(len(fresh), _NEAR_FRONT)])
    return genes[QUESTIONS:]


def _leaning(space: SearchSpace, rng: np.random.Generator, n: int, resolutions: tuple[int, ...]) -> Genes:
    """Random networks whose choices lean together, from all smallest to all largest."""
    genes = space.sample(rng, n, resolutions=resolutions)
    lean = rng.beta(1, 1, size=(n, 1))
    genes[:, 1:] = rng.binomial(space.cardinalities[1:] - 1, lean)
    return space.canonical(genes)


def _fitted(index: BlockIndex, genes: Genes, values: Floats, weights: Floats) -> list[tuple[int, list[Ints]]]:
    """For each resolution of the index a level, and scores of each unit's configurations: weighted ridge."""
    units = unit_choices(index.space)
    features = [_features(index.space, u) for u in range(len(units))]
    place = np.array([-1.0] * 1025)
    place[list(index.resolutions)] = np.linspace(-1, 1, len(index.resolutions)) if len(index.resolutions) > 1 else 0.0
    at = np.stack([genes[:, 0] == r for r in index.resolutions], axis=1).astype(np.float64)
    columns: list[Floats] = [at]
    for part, table in zip(units, features, strict=True):
        read = table[part.numbers(genes)]
        narrow = read[:, : _singles(index.space, part)]
        columns += [read, narrow * place[genes[:, 0], None]]
    design = np.concatenate(columns, axis=1)
    root = np.sqrt(weights)[:, None]
    scaled = design * root
    gram = scaled.T @ scaled
    penalty = np.full(len(gram), _RIDGE)
    penalty[: at.shape[1]] = 1e-6
    gram[np.diag_indices_from(gram)] += penalty
    level = float(np.average(values, weights=weights))
    solved = np.linalg.solve(gram, scaled.T @ ((values - level) * root[:, 0]))
    tables = []
    for r, resolution in enumerate(index.resolutions):
        begin: int = len(index.resolutions)
        scores = []
        for part, table in zip(units, features, strict=True):
            size, single = int(table.shape[1]), _singles(index.space, part)
            plain, tilted = solved[begin : begin + size], np.zeros(size)
            tilted[:single] = solved[begin + size : begin + size + single]
            begin += size + single
            scores.append(np.rint(table @ (plain + place[resolution] * tilted) * _PER_CENT).astype(np.int64))
        tables.append((round((solved[r] + level) * _PER_CENT), scores))
    return tables


def _values(space: SearchSpace, part: UnitChoices) -> int:
    """Features of a column of a unit: as many as any of its genes has choices, and four at least."""
    return max(4, *(len(space.choices[c]) for c in part.columns))


def _singles(space: SearchSpace, part: UnitChoices) -> int:
    """How many features of a unit are of one column."""
    return len(part.columns) * _values(space, part)


@lru_cache(maxsize=64)
def _features(space: SearchSpace, u: int) -> Floats:
    """(N, F): one-hot choices of every column of the unit, then of pairs of columns: neighbours, and the kernel size
    and expand ratio of a layer."""
    part: UnitChoices = unit_choices(space)[u]
    values = range(_values(space, part))
    hot = [[(part.marked[:, i] == value).astype(np.float64) for value in values] for i in range(len(part.columns))]
    columns = [column for of in hot for column in of]
    layers = space.units[u].num_layers
    pairs = [(i, i + 1) for i in range(len(hot) - 1)]
    if space.kernel_choices:
        pairs += [(1 + i, 1 + layers + i) for i in range(layers)]
    for i, j in pairs:
        columns += [a * b for a in hot[i] for b in hot[j] if a.any() and b.any()]
    return np.stack(columns, axis=1)
