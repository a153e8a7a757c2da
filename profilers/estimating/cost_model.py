"""A parametric cost model: what a block takes, as a sum of a few terms that any space's blocks have.

`ofa.blocks.terms` counts what a block makes a device do; a model is one weight a term, in milliseconds a unit, none
negative. Weights are fitted on a measured table (`fit_blocks`) and then scaled to another device by whole networks
(`fit_networks`). All fits minimise squared relative errors. docs/results/transfer.md tells what was tried.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ofa.blocks import Block, index_of
from ofa.blocks.terms import MORE_TERMS, TERMS, cost_terms, more_terms
from ofa.errors import InputError
from ofa.optional_packages import missing_package
from ofa.space import Genes, SearchSpace, Subnet, get_space
from ofa.tables import LatencyTable

Floats = NDArray[np.float64]
_OURS: Mapping[str, SearchSpace] = {}  # need not be given

# from this many networks on, the weights may change by different factors; fewer fit one factor for all
LEAST_FOR_TERMS = 8
# how strongly the factors are held together, relative to the networks' squared relative errors; inf: one factor
STRENGTHS = (math.inf, 0.1, 0.01, 0.001, 0.0001)
# a looser fit must lower the error in cross-validation by this share
_LEAST_GAIN = 0.02
_ROUNDS = 60  # of adding blocks that cost too little
# up to this many networks each is left out once, more are left out in ten groups
_MOST_LEFT_OUT_SINGLY = 20


def table_terms(blocks: Iterable[Block]) -> Floats:
    """(N, terms) of N blocks."""
    return np.array([cost_terms(block) for block in blocks])


def more_terms_of(blocks: Iterable[Block]) -> Floats:
    """(N, terms) of N blocks."""
    return np.array([more_terms(block) for block in blocks]).reshape(-1, len(MORE_TERMS))


def terms_of_networks(networks: Sequence[Sequence[Block]]) -> Floats:
    """(N, terms) of N whole networks, each a list of blocks."""
    numbers: dict[Block, int] = {}
    rows = [np.array([numbers.setdefault(block, len(numbers)) for block in blocks], np.intp) for blocks in networks]
    of_blocks = more_terms_of(numbers)
    result = np.array([of_blocks[row].sum(axis=0) for row in rows]).reshape(-1, len(MORE_TERMS))
    result[:, -1] = 1.0
    return result


def eleven(terms: Floats) -> Floats:
    """(N, 11) as `ofa.blocks.terms.TERMS` count, of (N, terms) as `MORE_TERMS` do."""
    found = terms[:, : len(TERMS)].copy()
    found[:, TERMS.index("dense")] += terms[:, MORE_TERMS.index("dense_thin")]
    return found


def network_terms(networks: Sequence[tuple[str, Subnet]], spaces: Mapping[str, SearchSpace] = _OURS) -> Floats:
    """(N, terms) of N whole networks, each given by its space's name and the sub-network.

    spaces: by name, those that are not ours
    """
    result = np.zeros((len(networks), len(TERMS)))
    for name in sorted({name for name, _ in networks}):
        rows = [i for i, (of, _) in enumerate(networks) if of == name]
        subnets = [networks[i][1] for i in rows]
        result[rows] = space_terms(spaces[name] if name in spaces else get_space(name), subnets)
    return result


def space_terms(space: SearchSpace, subnets: Sequence[Subnet] | Genes) -> Floats:
    """(N, terms) of N sub-networks of one space."""
    genes = space.as_genes(subnets)
    index = index_of(space, genes)
    columns = np.ascontiguousarray(table_terms(index.blocks).T)
    return np.stack([index.total(genes, column) for column in columns], axis=1)


def fit_blocks(terms: Floats, latency_ms: Floats) -> Floats:
    """(terms,) weights of least squared relative error over N blocks, or networks: (N, terms), (N,) ms."""
    relative = terms / latency_ms[:, None]
    size = np.maximum(relative.max(axis=0), 1e-300)  # columns of like size: the solver's tolerance is absolute
    weights: Floats = _nonnegative(relative / size, np.ones(len(latency_ms))) / size
    return weights


def fit_table(table: LatencyTable) -> Floats:
    """(terms,) weights of a table's blocks."""
    return fit_blocks(table_terms(row.block for row in table.rows), np.array([row.latency_ms for row in table.rows]))


def even_prior(terms: Floats) -> Floats:
    """(terms,) weights by which every term that N networks have is the same share of their sum: no knowledge."""
    total = terms.sum(axis=0)
    prior: Floats = np.divide(1.0, total, out=np.zeros(len(total)), where=total > 0)
    return prior


def rescale(prior: Floats, terms: Floats, latency_ms: Floats, strength: float) -> Floats:
    """(terms,) weights: each of the prior's times a factor, all held to a common one.

    Minimises the sum of squared relative errors plus strength times the squared differences of the factors from the
    common one, which is free; factors are relative to the best single one, and none is negative.
    """
    shares = terms * prior / latency_ms[:, None]
    summed = shares.sum(axis=1)
    common = float(summed.sum() / (summed**2).sum())
    if math.isinf(strength):
        return prior * common
    n, k = shares.shape
    equations = np.zeros((n + k, k + 1))  # the last unknown is the common factor
    equations[:n, :k] = common * shares
    equations[n:] = math.sqrt(strength) * np.hstack([np.eye(k), -np.ones((k, 1))])
    factors = _nonnegative(equations, np.append(np.ones(n), np.zeros(k)))
    return prior * common * factors[:k]


@dataclass(frozen=True)
class Fit:
    """A model scaled to a device.

    weights_ms: (terms,)
    strength: of `STRENGTHS`, chosen by cross-validation
    errors_pct: (N,) signed relative error of each network, predicted by a fit, strength included, that never saw it;
        empty where there is only one network
    """

    weights_ms: Floats
    strength: float
    errors_pct: Floats


def fit_networks(prior: Floats, terms: Floats, latency_ms: Floats) -> Fit:
    """Scales the prior's (terms,) weights to N whole networks: (N, terms), (N,) ms."""
    if not (terms @ prior > 0).all():
        raise InputError("the cost model gives some of the networks no latency at all: fit it on another table")
    strength = choose_strength(prior, terms, latency_ms)
    errors = np.full(len(latency_ms), np.nan)
    for left_out in folds(len(latency_ms)):
        kept = ~left_out
        # of so many as were timed: so that all errors are of the same model
        own = choose_strength(prior, terms[kept], latency_ms[kept], timed=len(latency_ms))
        weights = rescale(prior, terms[kept], latency_ms[kept], own)
        errors[left_out] = 100 * (terms[left_out] @ weights / latency_ms[left_out] - 1)
    return Fit(rescale(prior, terms, latency_ms, strength), strength, errors[~np.isnan(errors)])


def suggest(prior: Floats, terms: Floats, count: int) -> list[int]:
    """Which `count` of N candidates, (N, terms), tell most of the weights, in order of choice.

    Greedily, each adds most to the determinant of the information (D-optimal design), given the prior as in `rescale`.
    """
    shares = terms * prior
    shares /= shares.sum(axis=1, keepdims=True)
    covariance = np.eye(shares.shape[1]) / STRENGTHS[-2]
    chosen: list[int] = []
    for _ in range(min(count, len(shares))):
        gain = np.einsum("ij,jk,ik->i", shares, covariance, shares)
        gain[chosen] = -1.0
        best = int(np.argmax(gain))
        chosen.append(best)
        along = covariance @ shares[best]
        covariance -= np.outer(along, along) / (1 + shares[best] @ along)
    return chosen


def choose_strength(prior: Floats, terms: Floats, latency_ms: Floats, *, timed: int | None = None) -> float:
    """The strongest of `STRENGTHS` than which none does clearly better in cross-validation.

    timed: of how many networks these N are what is left, where some are left out to be predicted (default: of N)
    """
    if (len(latency_ms) if timed is None else timed) < LEAST_FOR_TERMS:
        return math.inf
    best, least = math.inf, math.inf
    for strength in STRENGTHS:
        squares = 0.0
        for left_out in folds(len(latency_ms)):
            weights = rescale(prior, terms[~left_out], latency_ms[~left_out], strength)
            squares += float(((terms[left_out] @ weights / latency_ms[left_out] - 1) ** 2).sum())
        if math.sqrt(squares) < least * (1 - _LEAST_GAIN):
            best, least = strength, math.sqrt(squares)
    return best


def held(weights: Floats, covariance: Floats, priced: Floats, least: Floats) -> Floats:
    """The weights nearest to (terms,) ones, in the metric of their covariance, by which M blocks cost at least (M,).

    A least distance problem (Lawson and Hanson 1974, chapter 23), of the blocks that cost too little so far.
    """
    size = np.sqrt(np.diag(covariance))
    size[size == 0] = 1.0
    values, vectors = np.linalg.eigh(covariance / size[:, None] / size)
    ways = size[:, None] * vectors * np.sqrt(np.maximum(values, 1e-9 * values.max()))
    lacking = least - priced @ weights
    slack = np.maximum(np.abs(priced) @ np.abs(weights), 1e-300) * 1e-7
    active = np.zeros(len(priced), dtype=bool)
    moved = np.zeros(ways.shape[1])
    for _ in range(_ROUNDS):
        short = (lacking - priced @ (ways @ moved)) / slack
        worst = np.argsort(-short)[:20]
        worst = worst[(short[worst] > 1) & ~active[worst]]
        if not len(worst):
            break
        active[worst] = True
        rows = priced[active] @ ways
        norms = np.maximum(np.linalg.norm(rows, axis=1), 1e-300)
        equations = np.vstack([(rows / norms[:, None]).T, lacking[active] / norms])
        right = np.zeros(len(equations))
        right[-1] = 1.0
        residual = equations @ _nonnegative(equations, right, 100 * equations.shape[1]) - right
        if abs(residual[-1]) < 1e-12:
            break
        moved = -residual[:-1] / residual[-1]
    found: Floats = weights + ways @ moved
    return found


def folds(count: int) -> list[NDArray[np.bool_]]:
    """Masks of what is left out in turn; none where there is only one."""
    number = count if count <= _MOST_LEFT_OUT_SINGLY else 10
    return [np.arange(count) % number == fold for fold in range(number)] if count > 1 else []


def _nonnegative(equations: Floats, right: Floats, rounds: int | None = None) -> Floats:
    """Least squares with no unknown below 0. rounds: at most; None: three for each unknown"""
    try:
        from scipy.optimize import nnls
    except ImportError:
        raise missing_package("scipy", "fitting a cost model") from None
    solution: Floats = nnls(equations, right, maxiter=rounds)[0]
    return solution
