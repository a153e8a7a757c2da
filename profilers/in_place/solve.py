"""Blocks from the parts that were timed in place: each part's time is the sum of its blocks', and of what cutting cost.

    part = sum of blocks + calls + borders * (megabytes passed over its cuts)
    whole network = sum of blocks + alone
    block = scale * warm - alone - conversions * (megabytes given and handed on) - aliased * (megabytes of such inputs)
            + weights * (megabytes of weights) + warm * (what is its own)

A few networks that ran whole beside the parts say what cutting cost. Parts alone, which all have about as many blocks,
cannot tell calls from what blocks have in common. In parts the factor of warm times may also be another than in whole
networks: a random effect that all parts share.
`warm` is what the block takes alone, again and again, and `alone` what it pays for being called alone. A runtime that
computes in a layout of its own also converts a lone block's input and output, which it does in a network at the ends
only. Where the planes of the input are whole pages apart, all of them meet in the same few lines of the first cache,
and converting takes several times as long (`aliased`).
What is a block's own is held to zero by a ridge, as strongly as the parts say: their likelihood chooses how far blocks
differ and how far parts are off (a mixed model; Henderson 1975, Biometrics 31(2):423). No factor is negative: nobody is
paid for weights, borders, conversions or calls.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

# how far a block's own share may lie from 0, and how far a part's time is off: the likelihood chooses among these
BLOCK_SPREADS = (0.005, 0.01, 0.02, 0.03, 0.05, 0.08, 0.12, 0.2, 0.3)
PART_ERRORS = (0.002, 0.004, 0.006, 0.01, 0.015, 0.025, 0.04, 0.07, 0.1, 0.15, 0.25)
# how far a whole network is off the sum of its blocks: by noise of its visits, and of the blocks' own shares
NETWORK_ERROR = 0.02
# how far the factor of warm times may be another in parts than in networks: whole networks tell
CUTTING_SPREAD = 0.03
# bytes after which addresses compete for the same few lines of a first cache: in x86 CPUs, one of which was measured
# (docs/results/runtimes.md). Caches of others are cut otherwise: there `aliased` may explain nothing, and is 0 then
PAGE_BYTES = 4096
# no block takes less than this share of what the factors say
LEAST_SHARE = 0.2


@dataclass(frozen=True)
class Parts:
    """P parts of networks over U blocks.

    holds: (P, U) how often a block stands in a part; took_ms: (P,)
    cut_mb: (P,) megabytes that it is given and hands on at its cuts
    whole: (P,) 1 for what is a whole network, uncut, else 0
    """

    holds: Floats
    cut_mb: Floats
    took_ms: Floats
    whole: Floats


@dataclass(frozen=True)
class Alone:
    """U blocks, each by itself. warm_ms, weights_mb: (U,)

    passed_mb: (U,) megabytes that it is given and gives, but for what a network is given and gives
    aliased_mb: (U,) those it is given of which `aliased` is true
    """

    warm_ms: Floats
    weights_mb: Floats
    passed_mb: Floats
    aliased_mb: Floats


@dataclass(frozen=True)
class Factors:
    """What all blocks have in common. weights, conversions, aliased, borders: ms per megabyte; alone: ms a block;
    calls: ms a part

    block_spread: standard deviation of what is a block's own, as a share of its warm time; part_error: of a part
    """

    scale: float
    weights: float
    alone: float
    conversions: float
    aliased: float
    borders: float
    calls: float
    block_spread: float
    part_error: float


def aliased(in_size: int) -> bool:
    """Whether planes of so many pixels squared, in float32, are a whole number of pages apart."""
    return in_size**2 * 4 % PAGE_BYTES == 0


def solve(parts: Parts, blocks: Alone) -> tuple[Floats, Factors]:
    """(U,) ms of every block in place, and the factors. ValueError without parts."""
    if not len(parts.took_ms):
        raise ValueError("no part of a network was timed")
    candidates = (_at(parts, blocks, spread, error) for spread, error in itertools.product(BLOCK_SPREADS, PART_ERRORS))
    _, factors = max(candidates, key=lambda found: found[0])
    return blocks_ms(parts, blocks, factors), factors


def refit(parts: Parts, blocks: Alone, factors: Factors) -> Factors:
    """The factors by other parts, where blocks and parts differ as much as is known."""
    return _at(parts, blocks, factors.block_spread, factors.part_error)[1]


def blocks_ms(parts: Parts, blocks: Alone, factors: Factors) -> Floats:
    """(U,) ms of every block in place, given what they have in common."""
    warm_ms = blocks.warm_ms
    common = factors.scale * warm_ms + factors.weights * blocks.weights_mb - factors.alone
    common -= factors.conversions * blocks.passed_mb + factors.aliased * blocks.aliased_mb
    common = np.maximum(common, LEAST_SHARE * factors.scale * warm_ms)
    explained = parts.holds @ common + factors.borders * parts.cut_mb
    explained += factors.calls * (1 - parts.whole) + factors.alone * parts.whole
    relative, covariance = _covariance(parts, warm_ms, factors.block_spread, factors.part_error)
    left = np.linalg.solve(covariance, 1 - explained / parts.took_ms)
    own = factors.block_spread**2 * relative.T @ left
    whole: Floats = np.maximum(common + warm_ms * own, LEAST_SHARE * common)
    return whole


def _covariance(parts: Parts, warm_ms: Floats, spread: float, error: float) -> tuple[Floats, Floats]:
    """(P, U) what a block's own share changes of a part, relative to it; (P, P) the parts' covariance."""
    relative = parts.holds * warm_ms / parts.took_ms[:, None]
    errors = np.where(parts.whole == 1, NETWORK_ERROR, error)
    cutting = CUTTING_SPREAD * (1 - parts.whole) * relative.sum(axis=1)
    return relative, np.diag(errors**2) + spread**2 * relative @ relative.T + np.outer(cutting, cutting)


def _at(parts: Parts, blocks: Alone, spread: float, error: float) -> tuple[float, Factors]:
    """The most likely factors that are not negative, and their log likelihood, but for a constant."""
    _, covariance = _covariance(parts, blocks.warm_ms, spread, error)
    root = np.linalg.cholesky(covariance)
    alone = parts.whole - parts.holds.sum(axis=1)
    of_blocks = [blocks.warm_ms, blocks.weights_mb, -blocks.passed_mb, -blocks.aliased_mb]
    columns = [*(parts.holds @ of for of in of_blocks), alone, parts.cut_mb, 1 - parts.whole]
    whitened = np.linalg.solve(root, np.stack([*columns, parts.took_ms], axis=1) / parts.took_ms[:, None])
    values = _not_negative(whitened[:, :-1], whitened[:, -1])
    left = whitened[:, -1] - whitened[:, :-1] @ values
    likelihood = -0.5 * float(left @ left) - float(np.log(np.diag(root)).sum())
    scale, weights, conversions, aliased_, alone_, borders, calls = values.tolist()
    return likelihood, Factors(scale, weights, alone_, conversions, aliased_, borders, calls, spread, error)


def _not_negative(columns: Floats, wanted: Floats) -> Floats:
    """Least squares with factors of at least 0, the first of them always used: the best of all sets of columns."""
    lengths = np.linalg.norm(columns, axis=0)
    scaled = columns / np.where(lengths > 0, lengths, 1)
    products, with_wanted = scaled.T @ scaled, scaled.T @ wanted
    best, most = np.zeros(columns.shape[1]), -np.inf
    others = np.flatnonzero(lengths[1:] > 0) + 1
    for n in range(len(others) + 1):
        chosen = np.array([(0, *used) for used in itertools.combinations(others, n)])
        right = with_wanted[chosen]
        inverses = np.linalg.pinv(products[chosen[:, :, None], chosen[:, None, :]], rcond=1e-14, hermitian=True)
        fits = np.einsum("sij,sj->si", inverses, right)
        # of the sum of squares
        explained = np.where((fits >= 0).all(axis=1), (fits * right).sum(axis=1), -np.inf)
        at = int(explained.argmax())
        if explained[at] > most:
            most, best = float(explained[at]), np.zeros(columns.shape[1])
            best[chosen[at]] = fits[at] / lengths[chosen[at]]
    return best
