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

A device may also be like no source. So there are hypotheses without any: a share of every term, from nothing. What is
known beforehand is always likelier than nothing, even where it misleads, so that likelihood cannot weigh the two.
Leave-one-out does (`_share_of_own`): stacking, of two models.

Weights may be negative where a term takes off what another counts too much, but no block may cost less than a share of
what the centre says: `held` finds the nearest weights that keep this, in the metric of their covariance.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ofa.blocks import Block
from ofa.blocks.terms import MORE_TERMS
from ofa.errors import InputError
from ofa.tables.uncertainty import LatencyUncertainty, student_quantile
from profilers.estimating.cost_model import LEAST_FOR_TERMS, held, more_terms_of
from profilers.estimating.hypotheses import PRIOR_ERROR, PRIOR_NETWORKS, Hypotheses, around, left_out_errors, likely_of

Floats = NDArray[np.float64]

# variances of the unknowns, in terms of that of a network's relative error: of differences between sources, shares of
# the centre's weights, and shares of the networks' latency
REACHES: tuple[tuple[float, ...], ...] = (
    (0.0, 1.0, 30.0, 1e3, 1e5),
    (0.0, 1.0, 10.0, 100.0, 1e3, 1e4),
    (0.0, 0.1, 1.0, 10.0, 100.0, 1e3),
)
# the same, of shares of the networks' latency where no source is believed
_OWN_REACHES = (10.0, 100.0, 1e3, 1e4, 1e5)
# the factor of all weights is free
_FREE = 1e3
# so many networks may count alone: without one, as many are left as a factor for each term needs
FEWEST_ALONE = LEAST_FOR_TERMS + 1
# how likely it is beforehand that one source alone is the centre
_SINGLE = 0.8
# of the left-out errors: a smaller gain is none
_LEAST_GAIN = 0.05
# more sources than that only repeat each other: those that fit best by one factor are kept
MOST_SOURCES = 12
# no block costs less than this share of what the centre says
_LEAST_SHARE = 0.02
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
    own: how much of the weights is of the networks alone, and of no source: 0 to 1
    """

    weights_ms: Floats
    covariance: Floats
    noise: float
    centre_ms: Floats
    shares: Floats
    own: float = 0.0

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
    sources: Floats,
    terms: Floats,
    latency_ms: Floats,
    priced: Floats,
    directions: Sequence[Floats] = (),
    *,
    related: bool = False,
    timed: int | None = None,
) -> Combination:
    """The cost model of a target.

    sources: (D, terms) weights; terms: (N, terms) of networks that took (N,) ms
    priced: (M, terms) of blocks, each of which must cost something; none where neither that nor a covariance is
        asked for
    directions: (terms, any) further groups of ways in which weights may differ, in the size of a network's latency
    related: some source is taken to be like the target, whatever the networks say
    timed: of how many networks these are what is left, where some are left out to be predicted (default: of N). So
        what is said of a table's error is of the same model as the table: both may have a share of the networks alone
    InputError where no source gives the networks a latency.
    """
    relative = terms / latency_ms[:, None]
    scaled = _scaled(sources, relative)
    mean, many = scaled.mean(axis=1), scaled.shape[1]
    usual = terms.mean(axis=0)
    ways = list(directions) or [np.diag(np.divide(latency_ms.mean(), usual, out=0 * usual, where=usual > 0))]
    centres = [(mean, 1 - _SINGLE), *((one, _SINGLE / many) for one in scaled.T)] if many > 1 else [(mean, 1.0)]
    family = []
    for i, (centre, prior) in enumerate(centres):
        groups = [centre[:, None], scaled - mean[:, None], np.diag(centre), *ways]
        reaches = [(_FREE,), (0.0,) if i else REACHES[0], REACHES[1], *[REACHES[2]] * len(ways)]
        family.append(around(centre, groups, reaches, relative, prior))
    found = _averaged(family, likely_of(family), covariance=len(priced) > 0)
    own = 0.0
    if (len(terms) if timed is None else timed) >= FEWEST_ALONE and not related:
        alone = [around(0 * mean, ways, [_OWN_REACHES] * len(ways), relative, 1.0)]
        own = _share_of_own(left_out_errors(family), left_out_errors(alone))
        if own:
            seen = np.hstack(ways).any(axis=1)
            found = _mixed(found, _averaged(alone, likely_of(alone), covariance=len(priced) > 0), own, seen)
    weights, covariance, variance = found
    if len(priced):
        weights = held(weights, covariance, priced, np.maximum(_LEAST_SHARE * (priced @ mean), 0.0))
    shares = np.array([p.sum() for p in likely_of(family)[1:]])
    return Combination(weights, covariance, variance**0.5, mean, shares, own)


_Found = tuple[Floats, Floats, float]  # (terms,) weights, their (terms, terms) covariance, variance of the noise


def _averaged(family: Sequence[Hypotheses], likely: Sequence[Floats], *, covariance: bool) -> _Found:
    """The mean of all hypotheses, and their covariance about it, if it is asked for."""
    weights: Floats = np.sum([p @ h.weights for p, h in zip(likely, family, strict=True)], axis=0)
    noise = float(np.sum([p @ h.error_variance for p, h in zip(likely, family, strict=True)]))
    spread = np.zeros((len(weights), len(weights)))
    if covariance:
        for p, h in zip(likely, family, strict=True):
            spread += h.covariance(p, weights)
    return weights, spread, noise


def _mixed(found: _Found, alone: _Found, own: float, seen: NDArray[np.bool_]) -> _Found:
    """What sources and networks say, and a share of what the networks say alone, of terms that they have: `seen`.

    Of other terms, (terms,), only the sources say anything. Errors of both partly take each other off: so the weights
    vary as those of two that are independent, and by what lies between them.
    """
    off = np.where(seen, alone[0] - found[0], 0.0)
    kept, taken = np.where(seen, 1 - own, 1.0), own * seen
    covariance = np.outer(kept, kept) * found[1] + np.outer(taken, taken) * alone[1]
    covariance += own * (1 - own) * np.outer(off, off)
    return found[0] + own * off, covariance, (1 - own) * found[2] + own * alone[2]


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
    return centre, PRIOR_ERROR**2 * np.asarray(covariance)


def calibration(off: Floats) -> tuple[float, float]:
    """By how many times standard deviations are too small, at least 1, and the degrees of freedom of Student's t.

    off: (N,) errors of networks that a combination had not seen, in standard deviations. As many further networks as
    the prior counts for are taken to be off as expected.
    """
    freedom = len(off) + PRIOR_NETWORKS
    return max(1.0, float(np.sqrt((PRIOR_NETWORKS + (off**2).sum()) / freedom))), freedom


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


def _share_of_own(related: Floats, own: Floats) -> float:
    """How much of a prediction is to be the second's, by (N,) errors of both of networks that they had not seen.

    The share whose mixture has the least squared errors (stacking: Wolpert 1992, Breiman 1996). Each network is left
    out of that too, and the least of the N shares is taken: no single network decides against the sources. Nor does a
    gain that is small.
    """
    taken = related - own
    along, squares = related * taken, taken**2
    shares = (along.sum() - along) / np.maximum(squares.sum() - squares, 1e-300)
    share = float(np.clip(shares.min(), 0.0, 1.0))
    mixed = related - share * taken
    return share if np.sqrt(mixed @ mixed) <= (1 - _LEAST_GAIN) * np.sqrt(related @ related) else 0.0


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
