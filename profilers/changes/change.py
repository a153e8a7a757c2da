"""Which blocks changed between two tables of one device: pure functions over the medians of single visits.

The runs of one visit share its moment, its place in memory and the machine's clock: a hundred of them tell no more
of how far the next visit will be off than one. So a visit is one sample, its median, and a block has a handful. What
a few samples cannot tell of a block's own noise, the other blocks tell:

- the variance of a block is shrunk towards that of all (moderated t: Smyth 2004, Stat. Appl. Genet. Mol. Biol. 3(1):3);
- one factor common to all blocks, the median ratio, is drift: clock, a busy host; it is reported and taken out;
- what separates two runs beyond the visits' own scatter is read off the bulk of the blocks, which did not change;
- p-values are two-sided and adjusted for all blocks by Benjamini and Hochberg (1995).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ofa.errors import InputError
from profilers.changes.levels import ALPHA, EFFECT
from profilers.measuring.statistics import standard_error_of_median

Floats = NDArray[np.float64]

# with fewer blocks, what all have in common is not to be told from what one does
FEWEST_BLOCKS = 10
# freedom of the t distribution where no block tells of its own noise: wide tails, since some are noisier than others
_FREEDOM_UNTOLD = 4.0


@dataclass(frozen=True)
class Changes:
    """What N blocks did between two tables.

    drift: factor common to all blocks, new over old; drift_error: its standard error
    effect: (N,) what is left of each block's ratio, less 1: 0.15 is 15 % slower
    p: (N,) chance of at least such an effect on an unchanged block; p_adjusted: by Benjamini and Hochberg
    noise: typical standard error of an effect; between_runs: the part of it that the visits' scatter does not explain
    changed: (N,) effect above the threshold and significant
    """

    drift: float
    drift_error: float
    effect: Floats
    p: Floats
    p_adjusted: Floats
    noise: float
    between_runs: float
    changed: NDArray[np.bool_]


def find_changes(
    old: Sequence[Sequence[float]], new: Sequence[Sequence[float]], *, effect: float = EFFECT, alpha: float = ALPHA
) -> Changes:
    """Compares N blocks; each has its visits' medians, ms, or, where those are not known, its one latency.

    InputError for fewer than FEWEST_BLOCKS blocks.
    """
    from scipy.stats import false_discovery_control, t

    if len(old) < FEWEST_BLOCKS:
        raise InputError(f"{len(old)} blocks are in both tables, expected at least {FEWEST_BLOCKS}")
    before, after = [np.log(visits) for visits in old], [np.log(visits) for visits in new]
    ratio = np.array([np.median(y) - np.median(x) for x, y in zip(before, after, strict=True)])
    drift = float(np.median(ratio))
    off = ratio - drift
    variance, freedom = _moderated(before, after)
    extra = _between_runs(off, variance, freedom)
    error = np.sqrt(variance + extra)
    p = 2 * t.sf(np.abs(off) / error, freedom)
    adjusted = false_discovery_control(p, method="bh")
    size = np.expm1(off)
    return Changes(
        drift=math.exp(drift),
        drift_error=math.exp(drift) * standard_error_of_median(off),
        effect=size,
        p=p,
        p_adjusted=adjusted,
        noise=float(np.median(error)),
        between_runs=math.sqrt(extra),
        changed=(adjusted < alpha) & (np.abs(size) > effect),
    )


def _moderated(before: Sequence[Floats], after: Sequence[Floats]) -> tuple[Floats, Floats]:
    """(N,) variance of the difference of each block's two medians, as its visits and all others tell; (N,) freedom.

    Zero, and _FREEDOM_UNTOLD, where no block has two visits in one table.
    """
    pairs = list(zip(before, after, strict=True))
    own = np.array([len(x) + len(y) - 2.0 for x, y in pairs])
    has_scatter = own > 0
    if not has_scatter.any():
        return np.zeros(len(pairs)), np.full(len(pairs), _FREEDOM_UNTOLD)
    squares = np.array([sum(float(((v - v.mean()) ** 2).sum()) for v in pair) for pair in pairs])
    scatter = np.divide(squares, own, out=np.zeros(len(pairs)), where=has_scatter)
    prior, prior_freedom = _prior(scatter[has_scatter], own[has_scatter])
    if math.isinf(prior_freedom):
        shrunk, freedom = np.full(len(pairs), prior), np.full(len(pairs), np.inf)
    else:
        shrunk = (prior_freedom * prior + own * scatter) / (prior_freedom + own)
        freedom = prior_freedom + own
    # a table of single figures does not tell how many visits they rest on: taken for as many as the other's
    sizes = [(len(x), len(y)) if min(len(x), len(y)) > 1 else (max(len(x), len(y)),) * 2 for x, y in pairs]
    return shrunk * np.array([_variance_of_median(n) + _variance_of_median(m) for n, m in sizes]), freedom


def _prior(scatter: Floats, freedom: Floats) -> tuple[float, float]:
    """Typical variance, and what it is worth in degrees of freedom, by the moments of log variances (Smyth 2004)."""
    from scipy.special import digamma, polygamma

    # blocks whose visits agree to the last digit written say no more than that they are quiet
    least = max(1e-12, float(np.percentile(scatter, 5)))
    logs = np.log(np.maximum(scatter, least)) - digamma(freedom / 2) + np.log(freedom / 2)
    if len(logs) < 2 or (spread := float(np.var(logs, ddof=1) - polygamma(1, freedom / 2).mean())) <= 0:
        return float(np.exp(logs.mean())), math.inf
    half = _inverse_trigamma(spread)
    return float(np.exp(logs.mean() + digamma(half) - np.log(half))), 2 * half


def _inverse_trigamma(value: float) -> float:
    """x with trigamma(x) = value > 0: Newton's method on 1 / trigamma, which is almost straight (Smyth 2004)."""
    from scipy.special import polygamma

    x = 0.5 + 1 / value
    for _ in range(50):
        now = float(polygamma(1, x))
        step = now * (1 - now / value) / float(polygamma(2, x))
        x += step
        if -step / x < 1e-8:
            break
    return x


def _variance_of_median(count: int) -> float:
    """Of `count` normal samples of variance 1; a median of two is their mean."""
    return 1 / count if count < 3 else math.pi / (2 * count)


def _between_runs(off: Floats, variance: Floats, freedom: Floats) -> float:
    """The variance that must be added to every block's, for half of the blocks to lie as near as they should.

    At least 0. Rests on the median: up to a third of the blocks may have changed.
    """
    from scipy.stats import t

    quartile = t.ppf(0.75, freedom) ** 2

    def too_far(extra: float) -> bool:
        return float(np.median(off**2 / ((variance + extra) * quartile))) > 1

    low, high = 1e-12, max(float(off.max() - off.min()) ** 2, 1e-11)
    if not too_far(low):
        return low
    for _ in range(60):
        middle = math.sqrt(low * high)
        low, high = (middle, high) if too_far(middle) else (low, middle)
    return high
