"""A cost model of a device from what is known of several others, and from a few whole networks that were timed on it.

Every source is a cost model: weights in milliseconds a unit of each term. Each is scaled to the target by one factor.
The target's weights are then taken to be

    those of a centre, which is the mean of all sources or any single one,
    plus differences between sources, plus a share of the centre's own weights, plus a share of every term,

each times an unknown of mean 0. How far the unknowns reach (variances, in terms of the networks' error) is not chosen:
every combination of `REACHES` around every centre is a hypothesis, and the result is the mean over all, each weighted
by how likely it makes the networks' latencies (Bayesian model averaging; the error's variance is integrated out with
an inverse gamma prior). So few networks keep a single related source, and many outvote all of them. A choice of one
hypothesis by leave-one-out was worse in a prototype: docs/results/transfer.md.

Weights may be negative where a term takes off what another counts too much, but no block may cost less than a share of
what the centre says: `held` finds the nearest weights that keep this, in the metric of their covariance.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ofa.blocks import Block
from ofa.blocks.terms import MORE_TERMS
from ofa.errors import InputError
from ofa.optional_packages import missing_package
from ofa.tables.uncertainty import LatencyUncertainty, student_quantile
from profilers.estimating.more_terms import more_terms_of

Floats = NDArray[np.float64]

# variances of the unknowns, in terms of that of a network's relative error: of differences between sources, shares of
# the centre's weights, and shares of the networks' latency
REACHES: tuple[tuple[float, ...], ...] = (
    (0.0, 1.0, 30.0, 1e3, 1e5),
    (0.0, 1.0, 10.0, 100.0, 1e3, 1e4),
    (0.0, 0.1, 1.0, 10.0, 100.0, 1e3),
)
# the factor of all weights is free
_FREE = 1e3
# prior of the networks' relative error: as of so many networks with this root mean square
_PRIOR_NETWORKS, _PRIOR_ERROR = 4.0, 0.03
# how likely it is beforehand that one source alone is the centre
_SINGLE = 0.8
# more sources than that only repeat each other: those that fit best by one factor are kept
MOST_SOURCES = 12
# hypotheses less likely than that are left out of the covariance
_UNLIKELY = 1e-4
# no block costs less than this share of what the centre says
_LEAST_SHARE = 0.02
_ROUNDS = 60  # of adding blocks that cost too little
# directions that move no network by more than this share of its noise are left out
_LITTLE = 0.05
_MOST_DIRECTIONS = 8  # nine tenths of what networks vary, and a header of two kilobytes
_BLOCKS = 4  # so many of one block may stand in a network
_STATED = 0.95


@dataclass(frozen=True, eq=False)
class Combination:
    """weights_ms: (terms,); covariance: (terms, terms), how surely they are known, (ms a unit) squared

    noise: of a network's relative error, what weights do not explain: a standard deviation
    centre_ms: (terms,) the mean of the scaled sources
    shares: (sources,) how likely each is the centre alone; what is left is likelihood of their mean
    """

    weights_ms: Floats
    covariance: Floats
    noise: float
    centre_ms: Floats
    shares: Floats

    def latency_ms(self, terms: Floats) -> Floats:
        """(N,) of N networks, (N, terms)."""
        latency: Floats = terms @ self.weights_ms
        return latency

    def relative_sd(self, terms: Floats) -> Floats:
        """(N,) standard deviation of the relative error of N networks, (N, terms): how far they are from the timed."""
        variance = np.einsum("ij,jk,ik->i", terms, self.covariance, terms)
        sd: Floats = np.sqrt(np.maximum(variance, 0.0) / self.latency_ms(terms) ** 2 + self.noise**2)
        return sd


def combine(
    sources: Floats, terms: Floats, latency_ms: Floats, priced: Floats, directions: Sequence[Floats] = ()
) -> Combination:
    """The cost model of a target.

    sources: (D, terms) weights; terms: (N, terms) of networks that took (N,) ms
    priced: (M, terms) of blocks, each of which must cost something; none where neither that nor a covariance is
        asked for
    directions: (terms, any) further groups of ways in which weights may differ, in the size of a network's latency
    InputError where no source gives the networks a latency.
    """
    relative = terms / latency_ms[:, None]
    scaled = _scaled(sources, relative)
    mean = scaled.mean(axis=1)
    centres = [mean, *(scaled.T if scaled.shape[1] > 1 else [])]
    shares = np.array([1.0] if len(centres) == 1 else [1 - _SINGLE, *[_SINGLE / (len(centres) - 1)] * len(scaled.T)])
    usual = terms.mean(axis=0)
    of_terms = np.divide(latency_ms.mean(), usual, out=np.zeros(len(usual)), where=usual > 0)
    hypotheses = [
        _around(centre, scaled - mean[:, None], of_terms, directions, relative, single=i > 0)
        for i, centre in enumerate(centres)
    ]
    evidence = np.concatenate(
        [h.log_evidence - np.log(len(h.log_evidence)) + np.log(s) for h, s in zip(hypotheses, shares, strict=True)]
    )
    likely = np.exp(evidence - evidence.max())
    likely /= likely.sum()
    bounds = np.cumsum([len(h.log_evidence) for h in hypotheses])[:-1]
    likely_of = np.split(likely, bounds)
    weights: Floats = np.sum([p @ h.weights for p, h in zip(likely_of, hypotheses, strict=True)], axis=0)
    noise = float(np.sum([p @ h.error_variance for p, h in zip(likely_of, hypotheses, strict=True)]))
    covariance = np.zeros((len(weights), len(weights)))
    if len(priced):
        for p, h in zip(likely_of, hypotheses, strict=True):
            covariance += h.covariance(p, weights)
        weights = held(weights, covariance, priced, np.maximum(_LEAST_SHARE * (priced @ mean), 0.0))
    return Combination(weights, covariance, noise**0.5, mean, np.array([p.sum() for p in likely_of[1:]]))


def beforehand(sources: Floats, terms: Floats) -> tuple[Floats, Floats]:
    """(terms,) weights and their (terms, terms) covariance, before anything of a target was timed.

    sources: (D, terms); terms: (N, terms) of networks that the target may run. The unknowns reach as far as in the
    middle of all hypotheses, so that what is not known but a common factor is in per cent, as errors of networks are.
    """
    scaled = _scaled(sources, terms / (terms @ sources[0])[:, None])
    centre = scaled.mean(axis=1)
    latency, usual = terms @ centre, terms.mean(axis=0)
    of_terms = np.divide(latency.mean(), usual, out=np.zeros(len(usual)), where=usual > 0)
    groups = (centre[:, None], scaled - centre[:, None], np.diag(centre), np.diag(of_terms))
    reaches = (_FREE, *(of[len(of) // 2] for of in REACHES))
    covariance = sum(reach * group @ group.T for reach, group in zip(reaches, groups, strict=True))
    return centre, _PRIOR_ERROR**2 * np.asarray(covariance)


def calibration(off: Floats) -> tuple[float, float]:
    """By how many times standard deviations are too small, at least 1, and the degrees of freedom of Student's t.

    off: (N,) errors of networks that a combination had not seen, in standard deviations. As many further networks as
    the prior counts for are taken to be off as expected.
    """
    freedom = len(off) + _PRIOR_NETWORKS
    return max(1.0, float(np.sqrt((_PRIOR_NETWORKS + (off**2).sum()) / freedom))), freedom


def uncertainty(
    found: Combination, off: Floats, terms: Floats, blocks: Sequence[Block], without: Sequence[str] = ()
) -> LatencyUncertainty:
    """Of a table that a combination estimates, of these blocks. terms: (N, terms) of the networks that were timed

    off: (N,) of the timed networks, each predicted without itself: errors of the measured latency, in standard
        deviations
    without: terms that cost nothing in the table
    """
    scale, freedom = calibration(off)
    latency_ms = found.latency_ms(terms)
    moving = np.vstack([terms / latency_ms[:, None], more_terms_of(blocks) * (_BLOCKS / np.median(latency_ms))])
    there = np.array([name not in without for name in MORE_TERMS])
    covariance = found.covariance * np.outer(there, there)
    directions, rest = _directions(covariance, moving, _LITTLE * found.noise)
    noise = float(np.sqrt(found.noise**2 + (((terms / latency_ms[:, None]) @ rest) ** 2).sum(axis=1).mean()))
    kept = int((off <= scale * student_quantile(_STATED, freedom)).sum())
    words = f"of the {len(off)} timed networks, each predicted from others, {kept} keep what {100 * _STATED:g} % says"
    # turned so that half of the numbers are 0: lengths stay what they were
    return LatencyUncertainty(scale * noise, freedom, scale * np.linalg.qr(directions.T)[1], words)


def _scaled(sources: Floats, relative: Floats) -> Floats:
    """(terms, D) each source's weights times its one factor; the best MOST_SOURCES of them."""
    sums = relative @ sources.T
    usable = (sums > 0).all(axis=0)
    if not usable.any():
        raise InputError("no source gives all of the networks a latency: name others with --from")
    sums, kept = sums[:, usable], sources[usable]
    factors = sums.sum(axis=0) / (sums**2).sum(axis=0)
    errors = ((sums * factors - 1) ** 2).sum(axis=0)
    best = np.sort(np.argsort(errors, kind="stable")[:MOST_SOURCES])
    scaled: Floats = (kept[best] * factors[best, None]).T
    return scaled


@dataclass(frozen=True, eq=False)
class _Hypotheses:
    """H hypotheses around one centre: weights (H, terms), log_evidence (H,), error_variance (H,)."""

    weights: Floats
    log_evidence: Floats
    error_variance: Floats
    unknowns: Floats  # (terms, q)
    covariance_of: Callable[[Floats], Floats]  # (q, q) the sum of the unknowns' of all, each times (H,)

    def covariance(self, likely: Floats, mean: Floats) -> Floats:
        """(terms, terms) about the mean of all, each as likely as (H,) says."""
        likely = np.where(likely > _UNLIKELY, likely, 0.0)
        inner = self.covariance_of(likely * self.error_variance)
        off = self.weights - mean
        found: Floats = (likely * off.T) @ off + self.unknowns @ inner @ self.unknowns.T
        return found


def _around(
    centre: Floats,
    differences: Floats,
    of_terms: Floats,
    directions: Sequence[Floats],
    relative: Floats,
    *,
    single: bool,
) -> _Hypotheses:
    """The hypotheses around a centre (terms,), given N networks' terms over their latency, (N, terms)."""
    groups = [centre[:, None], differences, np.diag(centre), *(directions or [np.diag(of_terms)])]
    reaches = [(_FREE,), (0.0,) if single else REACHES[0], REACHES[1], *([REACHES[2]] * max(1, len(directions)))]
    unknowns = np.hstack(groups)
    sizes = [group.shape[1] for group in groups]
    variances = np.repeat(np.array(list(itertools.product(*reaches))), sizes, axis=1)  # (H, q)
    features, residual = relative @ unknowns, 1 - relative @ centre
    if len(features) <= len(unknowns.T):
        found, log_determinant, squares, covariance_of = _by_networks(features, variances, residual, sizes)
    else:
        found, log_determinant, squares, covariance_of = _by_unknowns(features, variances, residual)
    shape = (len(residual) + _PRIOR_NETWORKS) / 2
    scale = (squares + _PRIOR_NETWORKS * _PRIOR_ERROR**2) / 2
    evidence = -0.5 * log_determinant - shape * np.log(scale)
    return _Hypotheses(centre + found @ unknowns.T, evidence, scale / shape, unknowns, covariance_of)


_Solved = tuple[Floats, Floats, Floats, Callable[[Floats], Floats]]


def _by_networks(features: Floats, variances: Floats, residual: Floats, sizes: Sequence[int]) -> _Solved:
    """Ridge regression of (N,) residuals on (N, q) features, in N x N matrices: for few networks.

    (H, q) unknowns; (H,) log determinants and squares of the residuals' covariance; a function that gives (q, q), the
    sum of the hypotheses' covariances of the unknowns, each times one of (H,).
    """
    starts = np.cumsum([0, *sizes[:-1]])
    parts = np.split(features, starts[1:], axis=1)
    kernels = np.stack([part @ part.T for part in parts])
    among = np.eye(len(features)) + np.einsum("hg,gij->hij", variances[:, starts], kernels)
    inverse = np.linalg.inv(among)
    pulled = inverse @ residual

    def covariance_of(share: Floats) -> Floats:
        there = np.flatnonzero(share)
        spread = variances[there, :, None] * features.T  # (H, q, N)
        taken = share[there, None, None] * spread @ inverse[there]
        covariance: Floats = np.diag(share @ variances) - np.tensordot(taken, spread, axes=([0, 2], [0, 2]))
        return covariance

    return variances * (pulled @ features), np.linalg.slogdet(among)[1], pulled @ residual, covariance_of


def _by_unknowns(features: Floats, variances: Floats, residual: Floats) -> _Solved:
    """The same in q x q matrices: for many networks."""
    roots = np.sqrt(variances)
    information, along = features.T @ features, features.T @ residual
    matrix = np.eye(features.shape[1]) + roots[:, :, None] * information * roots[:, None, :]
    inverse = np.linalg.inv(matrix)
    found = roots * np.einsum("hij,hj->hi", inverse, roots * along)

    def covariance_of(share: Floats) -> Floats:
        there = np.flatnonzero(share)
        covariance: Floats = np.einsum(
            "h,hi,hij,hj->ij", share[there], roots[there], inverse[there], roots[there], optimize=True
        )
        return covariance

    return found, np.linalg.slogdet(matrix)[1], residual @ residual - found @ along, covariance_of


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
        residual = equations @ _nonnegative(equations, right) - right
        if abs(residual[-1]) < 1e-12:
            break
        moved = -residual[:-1] / residual[-1]
    found: Floats = weights + ways @ moved
    return found


def _nonnegative(equations: Floats, right: Floats) -> Floats:
    try:
        from scipy.optimize import nnls
    except ImportError:
        raise missing_package("scipy", "fitting a cost model") from None
    solution: Floats = nnls(equations, right, maxiter=100 * equations.shape[1])[0]
    return solution


def _directions(covariance: Floats, moving: Floats, little: float) -> tuple[Floats, Floats]:
    """(terms, K) that move much, and the others: all, times their transpose, are the covariance, (terms, terms).

    moving: (M, terms) of networks, or of as many of a block as may be in one, as shares of a latency
    """
    size = np.sqrt(np.diag(covariance))
    size[size == 0] = 1.0
    values, vectors = np.linalg.eigh(covariance / size[:, None] / size)
    root = size[:, None] * vectors * np.sqrt(np.maximum(values, 0.0))
    _, _, turned = np.linalg.svd(moving @ root, full_matrices=False)
    directions: Floats = root @ turned.T
    most = np.abs(moving @ directions).max(axis=0)
    kept = int(np.clip((most > little).sum(), 1, _MOST_DIRECTIONS))
    return directions[:, :kept], directions[:, kept:]
