"""Which blocks changed between two tables of one device: pure functions over the medians of single visits.

The runs of one visit share its moment, its place in memory and the machine's clock: a hundred of them tell no more
of how far the next visit will be off than one. So a visit is one sample, its median, and a block has a handful. What
a few samples cannot tell of a block's own noise, the other blocks tell:

- the variance of a block is shrunk towards that of all (moderated t: Smyth 2004, Stat. Appl. Genet. Mol. Biol. 3(1):3);
- one factor common to all blocks, the median ratio, is drift: clock, a busy host; it is reported and taken out;
- what separates two runs beyond the visits' own scatter is read off the bulk of the blocks, which did not change;
- a block must differ by more than the least effect that matters, not by more than nothing: p is the chance of what was
  seen, or more, from a block that differs by just that effect (TREAT: McCarthy and Smyth 2009, Bioinformatics
  25(6):765);
- p-values are two-sided and adjusted for all blocks by Benjamini and Hochberg (1995).

The luck of one old table is in every comparison with it, night after night. Three runs and more, on different days,
tell how far runs of a block lie apart: then a run is one sample, the block's median over its visits.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ofa.errors import InputError
from profilers.changes.levels import ALPHA, DRIFT_ERRORS, EFFECT
from profilers.measuring.statistics import standard_error_of_median

Floats = NDArray[np.float64]

# with fewer blocks, what all have in common is not to be told from what one does
FEWEST_BLOCKS = 10
# so many old runs tell how far runs lie apart
FEWEST_RUNS = 3
# freedom of the t distribution where no block tells of its own noise: wide tails, since some are noisier than others
_FREEDOM_UNTOLD = 4.0


@dataclass(frozen=True)
class Changes:
    """What N blocks did between two tables.

    drift: factor common to all blocks, new over old; drift_error: its standard error
    all_changed: whether the drift is beyond the least effect, and beyond DRIFT_ERRORS standard errors
    effect: (N,) what is left of each block's ratio, less 1: 0.15 is 15 % slower
    p: (N,) chance of at least what was seen on a block that changed by the least effect; p_adjusted: by Benjamini and
        Hochberg
    noise: typical standard error of an effect; between_runs: the part of it that the visits' scatter does not explain
    changed: (N,) effect above the threshold and significant
    """

    drift: float
    drift_error: float
    all_changed: bool
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
    before, after = BlockVisits.logs_of(old), BlockVisits.logs_of(new)
    return judge_ratios(after.medians() - before.medians(), *moderated(before, after), effect, alpha)


def find_changes_from_runs(
    runs: Sequence[Sequence[Sequence[float]]],
    new: Sequence[Sequence[float]],
    *,
    effect: float = EFFECT,
    alpha: float = ALPHA,
) -> Changes:
    """Compares N blocks with FEWEST_RUNS old runs or more, each of which has their visits' medians, ms.

    A block that a run tells nothing of has no visits there; at least one run tells of every block. What a run's blocks
    have in common is taken out of each. InputError as find_changes.
    """
    levels = np.array([BlockVisits.logs_of(run).medians() for run in runs])
    middle = np.nanmedian(levels, axis=0)
    levels = levels - np.nanmedian(levels - middle, axis=1)[:, None]
    runs_of_each = (~np.isnan(levels)).sum(axis=0)
    baseline = np.nanmean(levels, axis=0)
    own = runs_of_each - 1.0
    squares = np.nansum((levels - baseline) ** 2, axis=0)
    scatter = np.divide(squares, own, out=np.zeros(len(own)), where=own > 0)
    shrunk, freedom = _shrunk(scatter, own)
    # a block that lies far apart in a few runs is mostly one of a few restless ones, whatever the others do
    shrunk = np.maximum(shrunk, scatter)
    after = BlockVisits.logs_of(new)
    # a night that is noisier than those runs were is no surer than its visits
    tonight = shrunk if after.counts.max() < 2 else np.maximum(shrunk, moderated(after)[0])
    ratio = after.medians() - baseline
    return judge_ratios(ratio, shrunk / runs_of_each + tonight, freedom, effect, alpha)


def judge_ratios(ratio: Floats, variance: Floats, freedom: Floats, effect: float, alpha: float) -> Changes:
    """What N blocks did, by their ratios; InputError for fewer than FEWEST_BLOCKS.

    ratio: (N,) log of new over old; variance, freedom: (N,) of it, as far as each block's scatter tells
    """
    from scipy.stats import false_discovery_control, t

    if len(ratio) < FEWEST_BLOCKS:
        raise InputError(f"{len(ratio)} blocks are in both tables, expected at least {FEWEST_BLOCKS}")
    drift = float(np.median(ratio))
    off = ratio - drift
    extra = _between_runs(off, variance, freedom)
    error = np.sqrt(variance + extra)
    least = math.log1p(effect)
    p = np.minimum(1.0, t.sf((np.abs(off) - least) / error, freedom) + t.sf((np.abs(off) + least) / error, freedom))
    adjusted = false_discovery_control(p, method="bh")
    drift_error = standard_error_of_median(off)
    return Changes(
        drift=math.exp(drift),
        drift_error=math.exp(drift) * drift_error,
        all_changed=abs(drift) > max(least, DRIFT_ERRORS * drift_error),
        effect=np.expm1(off),
        p=p,
        p_adjusted=adjusted,
        noise=float(np.median(error)),
        between_runs=math.sqrt(extra),
        changed=(adjusted < alpha) & (np.abs(off) > least),
    )


@dataclass(frozen=True, eq=False)
class BlockVisits:
    """Visits of N blocks, each of its own number: all blocks at once, as a loop over thousands takes a second.

    logs: (N, K) of the medians, ms, beyond a block's number NaN; counts: (N,)
    """

    logs: Floats
    counts: NDArray[np.intp]

    @classmethod
    def logs_of(cls, visits: Sequence[Sequence[float]]) -> BlockVisits:
        counts = np.array([len(of) for of in visits], dtype=np.intp)
        logs = np.full((len(visits), int(counts.max(initial=1))), np.nan)
        logs[np.arange(logs.shape[1]) < counts[:, None]] = np.log([v for of in visits for v in of])
        return cls(logs, counts)

    def medians(self) -> Floats:
        """(N,) NaN where there is no visit."""
        ordered, row = np.sort(self.logs, axis=1), np.arange(len(self.counts))  # NaN comes last
        below, above = np.maximum(self.counts - 1, 0) // 2, self.counts // 2
        middle: Floats = (ordered[row, below] + ordered[row, above]) / 2
        return middle

    def squares(self) -> Floats:
        """(N,) sum of the squared distances from a block's mean."""
        means = np.nansum(self.logs, axis=1) / np.maximum(self.counts, 1)
        found: Floats = np.nansum((self.logs - means[:, None]) ** 2, axis=1)
        return found


def moderated(*tables: BlockVisits) -> tuple[Floats, Floats]:
    """(N,) variance of the difference of each block's two medians, as its visits and all others tell; (N,) freedom.

    Zero, and _FREEDOM_UNTOLD, where no block has two visits in one table. Of one table alone: of its medians.
    """
    counts = np.array([table.counts for table in tables])
    own = np.maximum(counts - 1.0, 0).sum(axis=0)
    if not (own > 0).any():
        return np.zeros(len(own)), np.full(len(own), _FREEDOM_UNTOLD)
    squares = np.sum([table.squares() for table in tables], axis=0)
    shrunk, freedom = _shrunk(np.divide(squares, own, out=np.zeros(len(own)), where=own > 0), own)
    # a table of single figures does not tell how many visits they rest on: taken for as many as the other's
    sizes = np.where(counts == 1, counts.max(axis=0), counts)
    variances = np.array([_variance_of_median(n) if n else 0.0 for n in range(int(counts.max()) + 1)])
    return shrunk * variances[sizes].sum(axis=0), freedom


def _shrunk(scatter: Floats, own: Floats) -> tuple[Floats, Floats]:
    """(N,) variances shrunk towards that of all, and their freedom; own: (N,) freedom of each, some above 0."""
    has_scatter = own > 0
    prior, prior_freedom = _prior(scatter[has_scatter], own[has_scatter])
    if math.isinf(prior_freedom):
        return np.full(len(own), prior), np.full(len(own), np.inf)
    return (prior_freedom * prior + own * scatter) / (prior_freedom + own), prior_freedom + own


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
