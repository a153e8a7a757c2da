"""Random spaces small enough to list every network of, with random scores and costs: for the exact search to match."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np

from ofa.blocks import BlockIndex, block_index
from ofa.blocks.costs import block_macs, block_params
from ofa.search.exact.chain import Chain, UnitCosts, genes_of, make_chains
from ofa.search.exact.limits import Networks
from ofa.search.exact.search import ExactSearch
from ofa.space import SearchSpace, Unit, get_space
from ofa.space.unit_choices import unit_choices
from ofa.tables.sum_correction import SumCorrection


def small_space(rng: np.random.Generator) -> SearchSpace:
    """Of any of the three families, with at most a few thousand networks."""
    family = rng.choice(["mbv3-w1.0", "proxyless-w1.3", "resnet50d"])
    space = get_space(str(family))
    if family == "resnet50d":
        units = space.units[: int(rng.integers(2, 4))]
        short = [replace(unit, depth_choices=(0, 1), base_depth=1, expand_ratios=(0.2, 0.25)) for unit in units[1:]]
        space = replace(space, units=(replace(units[0], depth_choices=(0, 2)), *short))
        widths = int(rng.integers(1, 3))
        narrow = tuple(replace(unit, out_channels=unit.out_channels[:widths]) for unit in space.units)
        stem = replace(space.stem, channels=space.stem.channels[:widths])
        return replace(space, units=narrow, width_choices=space.width_choices[:widths], stem=stem)
    count = int(rng.integers(2, 4))
    depths = [(1, 2), (2,), (1,), (0, 1)]
    chosen = [depths[rng.integers(4)] for _ in range(count)]
    ratios = (3, 6)[: int(rng.integers(1, 3))]
    units = tuple(
        replace(unit, depth_choices=of, kernel_sizes=(3, 7), expand_ratios=ratios)
        for unit, of in zip(space.units[:count], chosen, strict=True)
    )
    return replace(space, units=units)


@dataclass
class Case:
    """A space at two resolutions: chains, and every network with its score and costs, (N,) and (N, C)."""

    index: BlockIndex
    chains: list[Chain]
    networks: Networks
    scores: list
    costs: np.ndarray

    def search(self, allowed: list | None = None) -> ExactSearch:
        return ExactSearch(self.index, self.scores, self.costs, allowed)

    @property
    def space(self) -> SearchSpace:
        return self.index.space


@lru_cache(maxsize=200)  # listing every network takes longer than what is asked of it
def random_case(seed: int, corrected: bool, extra: int = 0) -> Case:
    """Not to be changed: others get the same.

    corrected: latencies are corrected sums, so that blocks may cost less than nothing; extra: further costs
    """
    rng = np.random.default_rng(seed)
    space = small_space(rng)
    index = block_index(space, (64, 96))
    costs = block_costs(index, rng, corrected, extra)
    coarse = rng.random() < 0.5  # many ties
    scores = [
        (int(r * 3), [rng.integers(0, 6 if coarse else 100_000, len(part.rows)) for part in unit_choices(space)])
        for r in range(2)
    ]
    chains = make_chains(UnitCosts(index), costs, scores)
    return Case(index, chains, every_network(index, costs, scores), scores, costs)


def block_costs(index: BlockIndex, rng: np.random.Generator, corrected: bool, extra: int) -> np.ndarray:
    macs = np.array([block_macs(block) for block in index.blocks], dtype=np.float64)
    latency_ms = np.round(macs / 1e8 * rng.lognormal(0, 1, len(macs)) + 0.001, 3 if rng.random() < 0.3 else 6)
    if corrected:
        correction = SumCorrection(*map(float, (rng.uniform(0.8, 1.2), *rng.normal(0, 0.05, 3), rng.uniform(0.3, 1.2))))
        latency_ms = correction.apply(index.blocks, latency_ms)
    rows = [np.rint(latency_ms * 1e6).astype(np.int64)]
    others = [macs, np.array([block_params(b) for b in index.blocks]), macs * rng.lognormal(0, 1, len(macs))]
    return np.stack(rows + [np.rint(other).astype(np.int64) for other in others[:extra]])


def every_network(index: BlockIndex, costs: np.ndarray, scores: list) -> Networks:
    """By enumeration, its costs by the block index: the other way to the same sums."""
    units = unit_choices(index.space)
    numbers = np.array(list(itertools.product(*(range(len(part.rows)) for part in units))))
    fits = np.ones(len(numbers), dtype=bool)
    for u in range(len(units) - 1):
        fits &= units[u].right[numbers[:, u]] == units[u + 1].left[numbers[:, u + 1]]
    numbers = numbers[fits]
    found = []
    for r, resolution in enumerate(index.resolutions):
        genes = genes_of(index.space, [resolution] * len(numbers), numbers)
        assert np.array_equal(genes, index.space.canonical(genes))
        level, of_units = scores[r]
        score = level + sum(of_units[u][numbers[:, u]] for u in range(len(units)))
        total = np.stack([index.total(genes, row) for row in costs], axis=1)
        found.append(Networks(score, total, np.full(len(numbers), resolution), numbers))
    parts = [[getattr(f, name) for f in found] for name in ("score", "costs", "resolution", "numbers")]
    return Networks(*(np.concatenate(p) for p in parts))


def within(networks: Networks, limits: np.ndarray) -> Networks:
    """Those that keep every limit."""
    keeps = (networks.costs <= limits).all(axis=1)
    return networks.only(np.flatnonzero(keeps))


__all__ = ["Case", "Unit", "random_case", "small_space", "within"]
