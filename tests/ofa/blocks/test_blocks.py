"""Blocks: the typed keys, and which of them make up a sub-network."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ofa.blocks import Block, all_blocks, block_index, blocks_of, blocks_of_all, slots_of
from ofa.errors import InputError
from ofa.space import get_space

SPACES = ("mbv3-w1.0", "proxyless-w1.3", "resnet50d")


def test_smallest_mobilenet_v3_block_by_block() -> None:
    space = get_space("mbv3-w1.0")
    blocks = blocks_of(space, space.subnet([3] * 20, [3] * 20, [2] * 5, 128))
    assert [str(block) for block in blocks] == [
        "conv 128x128x3>16 k3 s2 h_swish",
        "mbconv 64x64x16>16>16 k3 s1 relu skip",
        "mbconv 64x64x16>48>24 k3 s2 relu",
        "mbconv 32x32x24>72>24 k3 s1 relu skip",
        "mbconv 32x32x24>72>40 k3 s2 relu se",
        "mbconv 16x16x40>120>40 k3 s1 relu se skip",
        "mbconv 16x16x40>120>80 k3 s2 h_swish",
        "mbconv 8x8x80>240>80 k3 s1 h_swish skip",
        "mbconv 8x8x80>240>112 k3 s1 h_swish se",
        "mbconv 8x8x112>336>112 k3 s1 h_swish se skip",
        "mbconv 8x8x112>336>160 k3 s2 h_swish se",
        "mbconv 4x4x160>480>160 k3 s1 h_swish se skip",
        "conv 4x4x160>960 k1 s1 h_swish",
        "global_pool 4x4x960>960 k1 s1 none",
        "feature_mix 1x1x960>1280 k1 s1 h_swish",
        "linear 1x1x1280>1000 k1 s1 none",
    ]


def test_one_resolution_of_mobilenet_v3_has_96_blocks() -> None:
    # as many as the published Note10 table has rows for a resolution
    assert len(all_blocks(get_space("mbv3-w1.2"), [224])) == 96


@pytest.mark.parametrize("name", SPACES)
@given(seed=st.integers(0, 2**32 - 1))
def test_neighbouring_blocks_fit_and_all_are_listed(name: str, seed: int) -> None:
    space, resolutions = get_space(name), [128, 140, 224]
    listed = set(all_blocks(space, resolutions))
    for subnet in space.decode(space.sample(np.random.default_rng(seed), 4, resolutions=resolutions)):
        blocks = blocks_of(space, subnet)
        assert listed.issuperset(blocks)
        assert set(all_blocks(space, [subnet.resolution])).issuperset(blocks)
        assert blocks[0].in_size == subnet.resolution
        for before, after in itertools.pairwise(blocks):
            assert (before.out_channels, before.out_size) == (after.in_channels, after.in_size)


@pytest.mark.parametrize("name", SPACES)
def test_every_listed_block_stands_in_some_slot_and_no_other(name: str) -> None:
    space = get_space(name)
    in_slots = {block for slot in slots_of(space) for r in (160, 224) for block in slot.at(r) if block is not None}
    assert in_slots == set(all_blocks(space, [160, 224])) == set(block_index(space, [160, 224]).blocks)
    assert set(all_blocks(space, [160])) | set(all_blocks(space, [224])) == in_slots


def test_all_993_sizes_have_15317_blocks_each_where_it_stands() -> None:
    space, every = get_space("mbv3-w1.0"), range(32, 1025)
    blocks = all_blocks(space, every)
    assert len(blocks) == len(set(blocks)) == 15_317
    # a byte for the resolution made 4,023 of them
    stems = [block.in_size for block in blocks if block.in_channels == 3]
    assert stems == list(every)
    for resolution in (32, 33, 287, 288, 500, 1023, 1024):
        at = set(all_blocks(space, [resolution]))
        assert at <= set(blocks)
        index = block_index(space, every)
        assert {index.blocks[n] for n in index.numbers_at(resolution)} == at
        assert space.num_genes == 46 and len(at) == 96


def test_resnet_depth_adds_blocks_and_stem_depth_one_convolution() -> None:
    space = get_space("resnet50d")

    def count(depths: list[int]) -> int:
        return len(blocks_of(space, space.subnet(None, [0.2] * 18, depths, 224, [1.0] * 6)))

    assert count([0] * 5) == 2 + 1 + 10 + 2
    assert count([2, 0, 0, 0, 0]) == 16
    assert count([2] * 5) == 3 + 1 + 18 + 2


@pytest.mark.parametrize("name", ["mbv3-w1.0", "resnet50d"])
def test_blocks_of_many_are_those_of_each(name: str) -> None:
    space = get_space(name)
    genes = space.sample(np.random.default_rng(0), 400, resolutions=[128, 160, 224])
    subnets = space.decode(genes)
    expected = [blocks_of(space, subnet) for subnet in subnets]  # each by the blocks of its own resolution
    assert blocks_of_all(space, genes) == blocks_of_all(space, subnets) == expected
    assert len(set(map(len, expected))) > 3
    assert blocks_of_all(space, []) == blocks_of_all(space, genes[:0]) == []


def test_totals_follow_the_genes() -> None:
    space = get_space("mbv3-w1.0")
    index = block_index(space)
    costs = np.random.default_rng(0).random(len(index.blocks))
    genes = space.sample(np.random.default_rng(1), 50)
    by_hand = [sum(costs[index.blocks.index(b)] for b in blocks_of(space, s)) for s in space.decode(genes)]
    assert np.allclose(index.total(genes, costs), by_hand, rtol=1e-12)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"op": "dense"}, "op is 'dense'"),
        ({"kernel_size": 9}, "kernel_size is 9, expected one of 1, 3, 5, 7"),
        ({"stride": 3}, "stride is 3"),
        ({"activation": "gelu"}, "activation is 'gelu'"),
        ({"in_size": 0}, "in_size is 0"),
        ({"mid_channels": 0}, "mid_channels is 0"),
        ({"stride": 2}, "skip is 1"),
        ({"out_channels": 24}, "skip is 1"),
    ],
)
def test_impossible_blocks_are_refused(change: dict, message: str) -> None:
    fields = {
        "op": "mbconv", "in_size": 14, "in_channels": 80, "mid_channels": 240, "out_channels": 80, "kernel_size": 3,
        "stride": 1, "activation": "h_swish", "squeeze_excite": False, "skip": True,
    }  # fmt: skip
    Block(**fields)
    with pytest.raises(InputError, match=message):
        Block(**{**fields, **change})
