"""Hypotheses of how far a target's weights may be from a centre, and how likely networks make each: Bayesian ridge.

The error's variance is integrated out, with an inverse gamma prior. All of it is in closed form, also what would be
predicted of each network without it.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Indices = NDArray[np.intp]
Reaches = Sequence[tuple[float, ...]]

# prior of the networks' relative error: as of so many networks with this root mean square
PRIOR_NETWORKS, PRIOR_ERROR = 4.0, 0.03
# hypotheses less likely than that are left out of the covariance
_UNLIKELY = 1e-4
# and of what is predicted of networks without themselves; no network is explained so fully that less is left
_NEGLIGIBLE = 1e-12


@dataclass(frozen=True, eq=False)
class _Ridge:
    """Ridge regression of N residuals on q features, by H hypotheses of how far the q unknowns reach.

    found: (H, q) unknowns; log_determinant, squares: (H,) of the residuals' covariance
    covariance_of: (q, q) the sum of the hypotheses' covariances of the unknowns, each times one of (H,)
    pulled_of: of some hypotheses, (N,) residuals times the inverse of their covariance, and the inverse's diagonal
    """

    found: Floats
    log_determinant: Floats
    squares: Floats
    covariance_of: Callable[[Floats], Floats]
    pulled_of: Callable[[Indices], tuple[Floats, Floats]]


@dataclass(frozen=True, eq=False)
class Hypotheses:
    """H hypotheses around one centre: weights (H, terms); prior: how likely all are beforehand; unknowns: (terms, q)"""

    weights: Floats
    prior: float
    unknowns: Floats
    networks: int
    ridge: _Ridge

    @property
    def error_variance(self) -> Floats:
        """(H,)"""
        return (self.ridge.squares + PRIOR_NETWORKS * PRIOR_ERROR**2) / (self.networks + PRIOR_NETWORKS)

    @property
    def log_evidence(self) -> Floats:
        """(H,) with what is likely beforehand."""
        return self._log_evidence(self.ridge.log_determinant, self.ridge.squares, self.networks)

    def _log_evidence(self, log_determinant: Floats, squares: Floats, networks: int) -> Floats:
        shape, scale = (networks + PRIOR_NETWORKS) / 2, (squares + PRIOR_NETWORKS * PRIOR_ERROR**2) / 2
        evidence: Floats = -0.5 * log_determinant - shape * np.log(scale) + np.log(self.prior / len(self.weights))
        return evidence

    def left_out(self, there: Indices) -> tuple[Floats, Floats]:
        """(H', N) of some hypotheses: relative errors of N networks, each predicted by the others, and the logarithm of
        the others' evidence.
        """
        pulled, diagonal = self.ridge.pulled_of(there)
        squares = self.ridge.squares[there, None] - pulled**2 / diagonal
        log_determinant = self.ridge.log_determinant[there, None] + np.log(diagonal)
        return -pulled / diagonal, self._log_evidence(log_determinant, squares, self.networks - 1)

    def covariance(self, likely: Floats, mean: Floats) -> Floats:
        """(terms, terms) about the mean of all, each as likely as (H,) says."""
        likely = np.where(likely > _UNLIKELY, likely, 0.0)
        inner = self.ridge.covariance_of(likely * self.error_variance)
        off = self.weights - mean
        found: Floats = (likely * off.T) @ off + self.unknowns @ inner @ self.unknowns.T
        return found


def likely_of(family: Sequence[Hypotheses]) -> list[Floats]:
    """How likely each hypothesis is, of those around each centre."""
    evidence = np.concatenate([h.log_evidence for h in family])
    likely = np.exp(evidence - evidence.max())
    return np.split(likely / likely.sum(), np.cumsum([len(h.weights) for h in family])[:-1])


def left_out_errors(family: Sequence[Hypotheses]) -> Floats:
    """(N,) relative errors of networks, each predicted by a family that knows the others, its likelihoods included."""
    found = [h.left_out(np.flatnonzero(p > _NEGLIGIBLE)) for h, p in zip(family, likely_of(family), strict=True)]
    errors, evidence = (np.vstack(of) for of in zip(*found, strict=True))
    share = np.exp(evidence - evidence.max(axis=0))
    off: Floats = (share * errors).sum(axis=0) / share.sum(axis=0)
    return off


def around(centre: Floats, groups: Sequence[Floats], reaches: Reaches, relative: Floats, prior: float) -> Hypotheses:
    """The hypotheses around a centre (terms,), given N networks' terms over their latency, (N, terms).

    groups: (terms, any) of unknowns; reaches: of each group
    """
    unknowns = np.hstack(groups)
    sizes = [group.shape[1] for group in groups]
    variances = np.repeat(np.array(list(itertools.product(*reaches))), sizes, axis=1)  # (H, q)
    features, residual = relative @ unknowns, 1 - relative @ centre
    if len(features) <= len(unknowns.T):
        ridge = _by_networks(features, variances, residual, sizes)
    else:
        ridge = _by_unknowns(features, variances, residual)
    return Hypotheses(centre + ridge.found @ unknowns.T, prior, unknowns, len(residual), ridge)


def _by_networks(features: Floats, variances: Floats, residual: Floats, sizes: Sequence[int]) -> _Ridge:
    """(N,) residuals on (N, q) features, in N x N matrices: for few networks."""
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

    def pulled_of(there: Indices) -> tuple[Floats, Floats]:
        return pulled[there], np.diagonal(inverse[there], axis1=1, axis2=2)

    found = variances * (pulled @ features)
    return _Ridge(found, np.linalg.slogdet(among)[1], pulled @ residual, covariance_of, pulled_of)


def _by_unknowns(features: Floats, variances: Floats, residual: Floats) -> _Ridge:
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

    def pulled_of(there: Indices) -> tuple[Floats, Floats]:
        diagonal: Floats = np.ones((len(there), len(features)))
        for row, h in zip(diagonal, there, strict=True):
            near = features * roots[h]
            row -= ((near @ inverse[h]) * near).sum(axis=1)
        return residual - found[there] @ features.T, np.maximum(diagonal, _NEGLIGIBLE)

    return _Ridge(found, np.linalg.slogdet(matrix)[1], residual @ residual - found @ along, covariance_of, pulled_of)
