"""The last steps of an evolution: near a network a predictor is almost a sum over units, which is searched exactly.

Every configuration of every unit is tried in the network, the other units as they are. What each gains is a table of
unit scores; the networks with the highest sums within the limits are asked about, and the best of them is the next
network, until none is better.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from ofa.blocks import BlockIndex
from ofa.search.exact.chain import Chain, Ints, UnitCosts, genes_of, make_chains
from ofa.search.exact.limits import Networks, TooMany, all_within, best_within
from ofa.space import Genes, SearchSpace
from ofa.space.unit_choices import unit_choices

ROUNDS = 3
ASKED = 1000
_BEHIND = 0.1  # per cent
_PER_CENT = 1_000_000
Score = Callable[[Genes], NDArray[np.float64]]


def polish(index: BlockIndex, score: Score, costs: Ints, limits: Ints, starts: Genes) -> tuple[Genes, float, int]:
    """The best network that polishing each of the starts gives, (1, genes), its score, and how many were asked about.

    costs: (C, U) whole numbers; limits: (C,); starts: (N, genes), within the limits
    """
    nothing = [(0, [np.zeros(len(part.rows), dtype=np.int64) for part in unit_choices(index.space)])]
    wanted = set(starts[:, 0].tolist())
    chains = make_chains(UnitCosts(index), costs, nothing * len(index.resolutions))
    by_resolution = {chain.resolution: chain for chain in chains if chain.resolution in wanted}
    found = [polished(index.space, by_resolution[int(start[0])], score, limits, start[None]) for start in starts]
    best, value, _ = max(found, key=lambda f: f[1])
    return best, value, sum(asked for _, _, asked in found)


def polished(space: SearchSpace, chain: Chain, score: Score, limits: Ints, start: Genes) -> tuple[Genes, float, int]:
    """A network at least as good as the start, (1, genes), its score, and how many were asked about.

    chain: of the start's resolution, with (C,) costs that are limited; its scores are not looked at
    """
    best, value, asked = start, float(score(start)[0]), 1
    for _ in range(ROUNDS):
        gains, count = _expanded(space, chain, score, best, value)
        found = _highest(gains, limits)
        genes = genes_of(space, found.resolution, found.numbers)
        values = score(genes) if len(genes) else np.empty(0)
        asked += count + len(genes)
        if not len(genes) or values.max() <= value + 1e-9:
            break
        at = int(values.argmax())
        best, value = genes[at : at + 1], float(values[at])
    return best, value, asked


def _expanded(space: SearchSpace, chain: Chain, score: Score, around: Genes, value: float) -> tuple[Chain, int]:
    """The chain with what each configuration gains in the network, the others as they are."""
    units, count = [], 0
    for part, items in zip(unit_choices(space), chain.units, strict=True):
        changed = np.repeat(around, len(items.number), axis=0)
        changed[:, list(part.columns)] = part.rows[items.number]
        gain = np.rint((score(changed) - value) * _PER_CENT).astype(np.int64)
        units.append(replace(items, score=gain))
        count += len(changed)
    return replace(chain, score=0, units=tuple(units)), count


def _highest(chain: Chain, limits: Ints) -> Networks:
    """The networks within the limits with the highest sums: at most `ASKED`."""
    best = best_within([chain], limits)
    behind = int(_BEHIND * _PER_CENT)
    while len(best):
        try:
            return all_within(chain, limits, int(best.score[0]) - behind).ranked(ASKED)
        except TooMany:
            behind //= 2
    return best
