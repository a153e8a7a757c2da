"""Whole networks that are timed among a table's blocks.

In place, the sums of blocks are anchored by them. Whoever measures networks on the device later times some again.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ofa.blocks import block_index
from ofa.blocks.costs import block_macs
from ofa.space import SearchSpace, Subnet

# so many networks, from small to large, of so many random ones of all sizes: shares of them by MACs
SHARES = (0.04, 0.12, 0.2, 0.28, 0.36, 0.44, 0.52, 0.6, 0.68, 0.76, 0.84, 0.92)
_CANDIDATES = 200


def chosen_networks(space: SearchSpace, resolutions: Sequence[int], seed: int) -> tuple[Subnet, ...]:
    """One network for each of SHARES."""
    rng = np.random.default_rng(seed)
    pixels = rng.choice(np.array(resolutions, dtype=np.uint16), size=_CANDIDATES)
    genes = space.sample_leaning(rng, rng.random(_CANDIDATES), pixels)
    index = block_index(space, sorted(set(resolutions)))
    macs = index.total(genes, np.array([block_macs(block) for block in index.blocks], dtype=np.float64))
    order = np.argsort(macs, kind="stable")
    return tuple(space.decode(genes[order[[round(share * (_CANDIDATES - 1)) for share in SHARES]]]))
