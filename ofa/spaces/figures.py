"""What there is to know of a space before anything is measured: counts, and the ends of its costs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ofa.blocks import BlockIndex, block_index
from ofa.blocks.costs import block_macs, block_params
from ofa.blocks.extremes import cheapest
from ofa.space import SearchSpace

# the 461 blocks of mbv3-w1.0 at five resolutions took 93 s by onnxruntime and 178 s by TFLite, in place, on one core of
# an EPYC (docs/results/measuring.md)
SECONDS_A_BLOCK = (93 / 461, 178 / 461)


@dataclass(frozen=True)
class Figures:
    """macs, params: of the smallest and the largest sub-network in each; minutes: of a profile, from and to"""

    subnets: int
    blocks: int
    minutes: tuple[float, float]
    macs: tuple[int, int]
    params: tuple[int, int]


def figures_of(space: SearchSpace, resolutions: Sequence[int]) -> Figures:
    """At those resolutions."""
    index = block_index(space, resolutions)
    least, most = (len(index.blocks) * seconds / 60 for seconds in SECONDS_A_BLOCK)
    return Figures(
        space.count(resolutions=resolutions),
        len(index.blocks),
        (least, most),
        _ends(index, [block_macs(block) for block in index.blocks]),
        _ends(index, [block_params(block) for block in index.blocks]),
    )


def _ends(index: BlockIndex, costs: Sequence[int]) -> tuple[int, int]:
    """The least and the most of any sub-network."""
    values = np.array(costs, dtype=np.float64)  # sums of whole numbers far below 2^53 are exact
    return round(cheapest(index, values)[1]), round(-cheapest(index, -values)[1])
