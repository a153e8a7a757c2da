"""Which sub-networks are drawn, in which order they run, and who runs them."""

import itertools

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ofa.blocks.costs import count_macs
from ofa.errors import InputError
from ofa.images.pixels.store import PixelBatch
from ofa.networks.supernet import blocks_at
from ofa.predictors.collect.measuring import PreparedImages, draw, groups, scored, share, tree_order
from ofa.space import get_space

SPACE, PIXELS = get_space("mbv3-w0.35", 10), (48, 64, 80, 96)
SUBNETS = draw(SPACE, PIXELS, 0, range(120))


@given(st.integers(0, 60), st.integers(1, 30), st.sampled_from([0.0, 0.5, 1.0]))
@settings(max_examples=20, deadline=None)
def test_a_number_is_the_same_network_whatever_else_is_drawn(first: int, count: int, tilted: float) -> None:
    many = draw(SPACE, PIXELS, 3, range(90), tilted)
    assert draw(SPACE, PIXELS, 3, range(first, first + count), tilted) == many[first : first + count]
    assert draw(SPACE, PIXELS, 4, range(first, first + count), tilted) != many[first : first + count]


def test_tilted_networks_reach_both_ends_and_every_resolution() -> None:
    def macs(tilted: float) -> np.ndarray:
        subnets = [s for s in draw(SPACE, PIXELS, 0, range(400), tilted) if s.resolution == 64]
        assert 70 < len(subnets) < 130
        return np.atleast_1d(count_macs(SPACE, SPACE.as_genes(subnets)))

    uniform, tilted = macs(0.0), macs(0.5)
    ends = SPACE.as_genes(np.array([[64, *end] for end in (0 * SPACE.cardinalities[1:], SPACE.cardinalities[1:] - 1)]))
    smallest, largest = np.asarray(count_macs(SPACE, ends)).tolist()
    span = largest - smallest
    assert uniform.min() - smallest > 0.1 * span < largest - uniform.max()
    assert tilted.min() - smallest < 0.01 * span
    assert largest - tilted.max() < 0.1 * span


def test_neighbours_in_order_begin_alike() -> None:
    order = tree_order(SPACE, SUBNETS)
    assert sorted(order) == list(range(120))
    assert [SUBNETS[i].resolution for i in order] == sorted(s.resolution for s in SUBNETS)
    # among those that share a resolution, each first layer is met in one stretch
    firsts = [blocks_at(SPACE, SUBNETS[i])[:3] for i in order]
    assert sum(a != b for a, b in itertools.pairwise(firsts)) == len(set(firsts)) - 1


@given(st.integers(1, 7))
@settings(max_examples=7, deadline=None)
def test_shares_are_the_whole_and_about_equal(parts: int) -> None:
    order = tree_order(SPACE, SUBNETS)
    stretches = [share(SPACE, SUBNETS, order, part, parts) for part in range(1, parts + 1)]
    assert [i for stretch in stretches for i in stretch] == order
    macs = [np.sum(count_macs(SPACE, SPACE.as_genes([SUBNETS[i] for i in stretch]))) for stretch in stretches]
    assert max(macs) - min(macs) < 3 * count_macs(SPACE, SPACE.as_genes(SUBNETS)).max()
    assert share(SPACE, SUBNETS, [], 1, parts) == []


def test_groups_are_of_one_resolution_and_size() -> None:
    order = tree_order(SPACE, SUBNETS)
    found = list(groups(SUBNETS, order, 16))
    assert [i for group in found for i in group] == order
    assert all(len({SUBNETS[i].resolution for i in group}) == 1 and len(group) <= 16 for group in found)
    assert len(found) <= 120 / 16 + 4
    assert list(groups(SUBNETS, [], 16)) == []


def batches(*sizes: int) -> list[PixelBatch]:
    return [PixelBatch(torch.zeros(n, 4, 4, 3, dtype=torch.uint8), torch.zeros(n, dtype=torch.int64)) for n in sizes]


@pytest.mark.parametrize("wrong", [float("nan"), float("-inf"), float("inf")])
def test_outputs_that_are_not_finite_are_no_accuracy(wrong: float) -> None:
    images = PreparedImages([], batches(3, 2), (0.5,) * 3, (0.5,) * 3)
    subnets = draw(SPACE, PIXELS, 0, range(2))
    device = torch.device("cpu")

    def logits(value: float) -> list[torch.Tensor]:
        """Of the class that is right in the last batch, by the second network."""
        return [torch.ones(2, 6), torch.ones(2, 6).index_fill(1, torch.tensor(0), value)]

    def outputs(floats: torch.Tensor, value: float) -> list[torch.Tensor]:
        return logits(value) if len(floats) == 2 else [torch.ones(3, 6)] * 2

    found = scored(images, subnets, device, lambda x: outputs(x, 1.0), lambda _: None)
    assert [s.images for s in found] == [5, 5]
    with pytest.raises(InputError) as caught:
        scored(images, subnets, device, lambda x: outputs(x, wrong), lambda _: None)
    assert str(caught.value) == f"the network's outputs are not finite: {subnets[1]}"


def test_images_and_labels_go_to_a_device_together() -> None:
    moved = PreparedImages(batches(3), batches(2, 1), (0.5,) * 3, (0.5,) * 3).to(torch.device("meta"))
    kinds = {t.device.type for b in (*moved.calibration, *moved.evaluation) for t in (b.pixels, b.labels)}
    assert (kinds, len(moved.calibration), len(moved.evaluation)) == ({"meta"}, 1, 2)
