"""Made-up devices: what their blocks take, as weights of a cost model, and networks that run on them."""

import numpy as np

from ofa.blocks import all_blocks, blocks_of_all
from ofa.space import get_space
from profilers.estimating.cost_model import terms_of_networks

SPACE = get_space("mbv3-w1.0")
BLOCKS = all_blocks(SPACE, [128, 160, 192, 224])
WEIGHTS = np.array(
    [5e-8, 7e-8, 3e-7, 2.5e-7, 2e-7, 1e-7, 3e-7, 1e-6, 4e-7, 2e-7, 3e-3, 7e-8, 1e-7, 1e-4, 1e-9, 1e-3, *[0] * 7]
)


def other_weights(seed: int) -> np.ndarray:
    """Of another device: every term up to twice or half as dear."""
    return WEIGHTS * np.exp2(np.random.default_rng(seed).uniform(-1, 1, len(WEIGHTS)))


def networks_of(count: int, seed: int = 5) -> np.ndarray:
    """(N, terms) of random networks."""
    return terms_of_networks(blocks_of_all(SPACE, SPACE.sample(np.random.default_rng(seed), count)))
