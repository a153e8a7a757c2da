"""Blocks at sizes between measured ones: by hand, and on the published Note10 figures."""

from dataclasses import replace

import numpy as np
import pytest

from ofa.blocks import Block, all_blocks, block_index
from ofa.space import get_space
from ofa.tables import LatencyTable, find_table
from ofa.tables.interpolation import Interpolation

# 1x1, 10 -> 20 channels: 200 multiply-accumulates a pixel
POINTWISE = Block("conv", 1, 10, 0, 20, 1, 1, "relu", False, False)


def sizes(block: Block, latencies_ms: dict[int, float]) -> Interpolation:
    return Interpolation({replace(block, in_size=size): ms for size, ms in latencies_ms.items()})


def test_latency_is_linear_in_tiles_of_four_pixels() -> None:
    # 16, 25 and 36 pixels are 4, 7 and 9 tiles: (7 - 4) / (9 - 4) of the way
    assert sizes(POINTWISE, {4: 1.0, 6: 2.0}).between(replace(POINTWISE, in_size=5)) == pytest.approx(1.6)


def test_input_and_output_each_count_with_their_own_pixels() -> None:
    block = Block("mbconv", 1, 8, 16, 8, 3, 2, "relu", False, False)
    # expansion 8 * 16 a pixel in, depthwise 16 * 9 and projection 16 * 8 a pixel out
    work = {
        size: 128 * tiles_in + 272 * tiles_out for size, tiles_in, tiles_out in ((4, 16, 4), (5, 28, 12), (7, 52, 16))
    }
    known = sizes(block, {4: 1.0, 7: 3.0})
    share = (work[5] - work[4]) / (work[7] - work[4])
    assert known.between(replace(block, in_size=5)) == pytest.approx(1 + 2 * share)


def test_pooling_is_linear_in_its_pixels() -> None:
    pool = Block("global_pool", 1, 8, 0, 8, 1, 1, "none", False, False)
    assert sizes(pool, {4: 0.0, 6: 20.0}).between(replace(pool, in_size=5)) == pytest.approx(9.0)


def test_a_size_of_the_same_work_as_a_neighbour_has_its_latency() -> None:
    stem = Block("conv", 1, 3, 0, 16, 3, 2, "relu", False, False)
    # 13 and 14 pixels both give 7 x 7 outputs
    assert sizes(stem, {13: 1.0, 15: 2.0}).between(replace(stem, in_size=14)) == pytest.approx(1.0)
    # 1, 2 and 3 pixels all give one tile
    assert sizes(stem, {1: 1.0, 3: 2.0}).between(replace(stem, in_size=2)) == pytest.approx(1.5)


def test_nearest_neighbours_are_used_and_nothing_lies_beyond_them() -> None:
    known = sizes(POINTWISE, {2: 1.0, 4: 2.0, 8: 100.0, 16: 101.0})
    assert known.between(replace(POINTWISE, in_size=6)) == pytest.approx(2 + 98 * (36 - 16) / (64 - 16))
    for outside in (1, 17):
        assert known.between(replace(POINTWISE, in_size=outside)) is None
    assert known.between(replace(POINTWISE, in_size=6, out_channels=24)) is None


def test_error_is_that_of_leaving_each_size_out() -> None:
    # 100, 400 and 900 pixels: the middle one predicted from its neighbours is 1 + 300/800 * 8 = 4 ms
    assert sizes(POINTWISE, {10: 1.0, 20: 5.0, 30: 9.0}).error_pct() == pytest.approx(20.0)
    assert sizes(POINTWISE, {10: 1.0, 20: 5.0}).error_pct() is None


@pytest.mark.parametrize("kept", [(160, 176, 192, 208, 224), (160, 204, 208, 216, 224), (160, 168, 172, 176, 224)])
def test_five_of_note10s_resolutions_give_the_others(kept: tuple[int, ...]) -> None:
    table = LatencyTable.load(find_table("note10"))
    space = get_space("mbv3-w1.2")
    resolutions = table.coverage(space).complete
    wanted = set(all_blocks(space, kept))
    few = LatencyTable(table.header, [row for row in table.rows if row.block in wanted])
    index = block_index(space, resolutions)
    for resolution in set(resolutions) - set(kept):
        genes = space.sample(np.random.default_rng(resolution), 200, resolutions=[resolution])
        true = index.total(genes, table.lookup(space, resolutions).block_ms)
        error = np.abs(few.latency_ms(space, genes) / true - 1)
        assert 100 * error.mean() <= 1.2
        assert 100 * error.max() <= 1.6
