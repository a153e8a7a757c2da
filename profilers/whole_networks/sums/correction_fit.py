"""The correction of a table's sums, fitted on some whole networks; and which units' blocks seem too high."""

from __future__ import annotations

import itertools

import numpy as np
from numpy.typing import NDArray

from ofa.blocks import slots_of
from ofa.space import Genes
from ofa.tables.lookup import LatencyLookup
from ofa.tables.sum_correction import SumCorrection, block_terms

Floats = NDArray[np.float64]

# the factors of a plain sum: on units, on the head, on megabytes of weights, on blocks
_PLAIN = np.array([1.0, 1.0, 0.0, 0.0])
# and the least that is fitted, in terms of the networks' usual factor: every block costs something
_LEAST = np.array([0.1, 0.1, 0.0, 0.0])
# how far the terms may lie from a plain sum, and networks from a corrected one, as shares: the likelihood chooses
SPREADS = (0.01, 0.02, 0.04, 0.08, 0.16, 0.32)
ERRORS = (0.001, 0.002, 0.004, 0.008, 0.016, 0.03, 0.06)
_LARGE_ERROR = 0.02
# a share of a network's latency that is nothing: where a search for the best factor stops short of 0
_NOTHING = 1e-9
# how strongly the units' factors are held to zero: a share of what a unit adds, times the root of the networks
_RIDGE = 0.05


def unit_errors(lookup: LatencyLookup, genes: Genes, measured: Floats) -> dict[str, float]:
    """Per cent by which the sums of each unit's blocks seem too high: least squares over N networks of `measured` ms.

    An indication: units whose sums rise and fall together cannot be told apart, and the fit leans to zero.
    """
    names = [slot.name.split(" layer")[0] for slot in slots_of(lookup.space)]
    units = list(dict.fromkeys(names))
    per_slot = np.append(lookup.block_ms, 0.0)[lookup.index.block_numbers(genes)]
    sums = np.stack([per_slot[:, [n == unit for n in names]].sum(axis=1) for unit in units], axis=1)
    relative = sums / measured[:, None]
    residual = relative.sum(axis=1) - 1
    ridge = _RIDGE * np.sqrt(len(measured)) * relative.mean() * np.eye(len(units))
    factors, *_ = np.linalg.lstsq(np.vstack([relative, ridge]), np.append(residual, np.zeros(len(units))), rcond=None)
    return {unit: round(100 * float(f), 1) for unit, f in zip(units, factors, strict=True)}


def correction_terms(lookup: LatencyLookup, latency_ms: Floats, genes: Genes) -> Floats:
    """(N, 5) the terms of N networks (`block_terms`), given what each block of the index takes in the table, ms."""
    terms = block_terms(lookup.index.blocks, latency_ms)
    return np.stack([lookup.index.total(genes, column) for column in terms.T], axis=1)


def fit_correction(terms: Floats, measured: Floats) -> SumCorrection:
    """The correction of N networks' sums: (N, 5) terms against (N,) measured ms.

    Scale, head, weights and calls, none below 0, of least relative error, and held to those of a plain sum by a ridge:
    as strongly as the networks say, whose likelihood chooses (empirical Bayes). Errors beyond a few per cent count by
    their size, not their square: a network that a cache just holds may be far off the others.
    """
    from scipy.optimize import least_squares

    sums, weights, _, calls, head = terms.T
    scale = float(np.median(measured / sums))
    # sums further off than the ridge reaches are of another unit, or device: it holds to their factor instead
    unit = scale if abs(scale - 1) > SPREADS[-1] else 1.0
    measured, scale = measured / unit, scale / unit
    columns = np.stack([sums - head, head, weights, calls], axis=1)
    shares = columns / sums[:, None]
    usual = np.maximum(shares.mean(axis=0), _NOTHING)
    off_plain: Floats = np.subtract(measured, sums) / sums
    spread, error = _likeliest(shares / usual, off_plain)
    relative = columns / measured[:, None]

    def off(factors: Floats) -> Floats:
        return np.concatenate([relative @ factors - 1, error / spread * usual * (factors - _PLAIN)])

    found = least_squares(
        off, scale * _PLAIN, bounds=(scale * _LEAST, np.inf), loss="soft_l1", f_scale=_LARGE_ERROR, x_scale=1 / usual
    )
    of_units, of_head = found.x[:2].tolist()
    of_weights, of_calls = np.where(found.x * usual < _NOTHING, 0.0, found.x)[2:].tolist()
    return SumCorrection(
        unit * of_units, unit * of_weights, calls=unit * of_calls, head=of_head / of_units if head.any() else 1.0
    )


def _likeliest(shares: Floats, off: Floats) -> tuple[float, float]:
    """How far terms lie from a plain sum's, and networks from a corrected sum: the likeliest of SPREADS and ERRORS.

    shares: (N, terms) of every term in a network's plain sum, 1 on average; off: (N,) measured / plain - 1
    """
    common, own = shares @ shares.T, np.eye(len(off))

    def unlikely(spread: float, error: float) -> float:
        covariance = spread**2 * common + error**2 * own
        return float(np.linalg.slogdet(covariance)[1] + off @ np.linalg.solve(covariance, off))

    return min(itertools.product(SPREADS, ERRORS), key=lambda both: unlikely(*both))
