"""The exact cheapest and dearest sub-network."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ofa.blocks import block_index
from ofa.blocks.extremes import cheapest
from ofa.space import SearchSpace, get_space


def small_spaces() -> list[SearchSpace]:
    """Members of each family, small enough to enumerate."""
    mbv3, resnet = get_space("mbv3-w0.5"), get_space("resnet50d")
    small = replace(
        mbv3, units=(replace(mbv3.units[0], depth_choices=(1, 2)), replace(mbv3.units[1], depth_choices=(1,)))
    )
    stages = (
        replace(resnet.units[1], base_depth=1, depth_choices=(0, 1)),
        replace(resnet.units[2], base_depth=1, depth_choices=(0,)),
    )
    return [small, replace(resnet, units=(resnet.units[0], *stages))]


@pytest.mark.parametrize("space", small_spaces(), ids=lambda space: space.family)
@given(seed=st.integers(0, 2**32 - 1))
def test_no_enumerated_subnetwork_is_cheaper(space: SearchSpace, seed: int) -> None:
    index = block_index(space, [64, 96] if space.family == "mobilenet_v3" else [64])
    every = np.stack(np.meshgrid(*index.gene_values, indexing="ij"), -1)
    genes = space.as_genes(every.reshape(-1, space.num_genes))
    # costs of either sign: the dearest is the cheapest of the negated
    costs = np.random.default_rng(seed).normal(size=len(index.blocks))
    best, total = cheapest(index, costs)
    totals = index.total(genes, costs)
    assert total == pytest.approx(totals.min())
    assert index.total(best, costs)[0] == pytest.approx(total)
    assert np.array_equal(space.as_genes(best), best)


@pytest.mark.parametrize("name", ["mbv3-w1.0", "proxyless-w1.3", "resnet50d"])
def test_full_spaces_are_solved_at_once(name: str) -> None:
    space = get_space(name)
    index = block_index(space)
    costs = np.random.default_rng(0).random(len(index.blocks))
    genes, total = cheapest(index, costs)
    assert index.total(genes, costs)[0] == pytest.approx(total)
    assert total < index.total(space.sample(np.random.default_rng(1), 20_000), costs).min()
