"""A predictor's predictions as training data: which sub-networks to ask it about.

A predictor that a search will use must be right where the search ends, not only on random sub-networks. Searches
end differently on every device: here on made-up ones, whose every block costs its MACs times its own random
factor.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from ofa.blocks import block_index
from ofa.blocks.costs import block_macs
from ofa.space import Genes, SearchSpace

Score = Callable[[Genes], NDArray[np.float64]]  # (N, genes) -> (N,) per cent


def near_optimal(
    space: SearchSpace,
    score: Score,
    n: int,
    rng: np.random.Generator,
    progress: Callable[[float], None] = lambda _: None,
) -> Genes:
    """(n, genes): different sub-networks near the best by `score` under limits of made-up devices.

    Every device has a random limit and keeps the 20 best of 40 generations of mutation and crossover; several
    of them are taken, best first, so that n sub-networks come from about n / 4 devices.
    """
    found: dict[bytes, Genes] = {}
    while len(found) < n:
        best = search_devices(space, score, min(256, (n - len(found)) // 4 + 16), rng)
        for row in best[:, :4].reshape(-1, space.num_genes):
            found.setdefault(row.tobytes(), row)
        progress(min(1.0, len(found) / n))
    return np.stack(list(found.values())[:n])


def search_devices(space: SearchSpace, score: Score, devices: int, rng: np.random.Generator) -> Genes:
    """(devices, 20, genes): the best found for each device, best first; all devices evolve side by side.

    The same state of rng makes the same devices, whatever the score.
    """
    index = block_index(space)
    macs = np.array([block_macs(block) for block in index.blocks], dtype=np.float64)
    costs = macs * rng.lognormal(0.0, 0.5, size=(devices, len(macs)))  # (devices, U)
    keep, children = 20, 40
    seeds = space.sample(rng, 400)
    seed_scores = score(seeds)
    limits, pools, pool_scores = [], [], []
    for device in range(devices):
        seed_costs = index.total(seeds, costs[device])
        limit = np.exp(rng.uniform(np.log(np.quantile(seed_costs, 0.05)), np.log(seed_costs.max())))
        fits = np.flatnonzero(seed_costs <= limit)
        best = fits[np.argsort(-seed_scores[fits], kind="stable")][:keep]
        best = np.resize(best, keep)  # repeats where few fit
        limits.append(limit)
        pools.append(seeds[best])
        pool_scores.append(seed_scores[best])
    pool: Genes = np.stack(pools)  # (devices, keep, genes)
    scores = np.stack(pool_scores)  # (devices, keep)
    for _ in range(40):
        parents = pool[:, rng.integers(0, keep, size=2 * children)].reshape(-1, space.num_genes)
        parents = parents.reshape(devices, 2 * children, -1)
        half = children // 2
        mutated = space.mutate(parents[:, :half].reshape(-1, space.num_genes), rng)
        crossed = space.crossover(
            parents[:, half:children].reshape(-1, space.num_genes),
            parents[:, children : children + half].reshape(-1, space.num_genes),
            rng,
        )
        fresh = np.concatenate(
            [mutated.reshape(devices, half, -1), crossed.reshape(devices, half, -1)], axis=1
        )  # (devices, children, genes)
        fresh_scores = score(fresh.reshape(-1, space.num_genes)).reshape(devices, children)
        for device in range(devices):
            over = index.total(fresh[device], costs[device]) > limits[device]
            fresh_scores[device, over] = -np.inf
            everyone = np.concatenate([pool[device], fresh[device]])
            _, first = np.unique(everyone, axis=0, return_index=True)
            value = np.full(len(everyone), -np.inf)
            value[first] = np.concatenate([scores[device], fresh_scores[device]])[first]
            best = np.argsort(-value, kind="stable")[:keep]
            best = np.where(np.isfinite(value[best]), best, best[0])
            pool[device], scores[device] = everyone[best], value[best]
    return pool
