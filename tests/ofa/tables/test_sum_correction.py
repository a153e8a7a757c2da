"""Sums of blocks, corrected by what a network's blocks have in common."""

from dataclasses import astuple
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ofa.blocks import all_blocks, blocks_of, slots_of
from ofa.blocks.costs import block_params
from ofa.errors import InputError
from ofa.space import get_space
from ofa.tables import LatencyTable, TableRow
from ofa.tables.sum_correction import SumCorrection

SPACE = get_space("mbv3-w1.0")
BLOCKS = all_blocks(SPACE, [160])
HEADER = {"device": "made up", "runtime": "none", "provenance": "measured", "space": SPACE.name, "source": "test"}


def made_up(**header: str) -> LatencyTable:
    return LatencyTable({**HEADER, **header}, [TableRow(block, 0.5) for block in BLOCKS])


def test_a_network_s_latency_is_scale_weights_borders_and_calls_by_hand() -> None:
    corrected = made_up(sum_correction="scale=1.1 weights=0.05 borders=-0.2 calls=-0.003 (fitted on 25 whole networks)")
    genes = SPACE.sample(np.random.default_rng(0), 20, resolutions=[160])
    for subnet, latency in zip(SPACE.decode(genes), corrected.latency_ms(SPACE, genes), strict=True):
        blocks = blocks_of(SPACE, subnet)
        weights = sum(map(block_params, blocks)) * 4 / 1e6
        passed_on = sum(block.out_size**2 * block.out_channels for block in blocks) * 4 / 1e6
        own = (1.1 * 0.5 - 0.003) * len(blocks)
        assert latency == pytest.approx(own + 0.05 * weights - 0.2 * passed_on, rel=1e-12)


@pytest.mark.parametrize("name", ["mbv3-w1.0", "proxyless-w1.3", "resnet50d"])
def test_the_head_s_factor_is_on_what_follows_the_last_unit(name: str) -> None:
    space = get_space(name)
    rows = [TableRow(block, 0.5) for block in all_blocks(space, [160])]
    halved = LatencyTable({**HEADER, "space": name, "sum_correction": "scale=1.2 head=0.5"}, rows)
    slots = slots_of(space)
    behind = len(slots) - 1 - max(i for i, slot in enumerate(slots) if "unit" in slot.name)
    for subnet in space.decode(space.sample(np.random.default_rng(0), 20, resolutions=[160])):
        expected = 1.2 * 0.5 * (len(blocks_of(space, subnet)) - behind / 2)
        assert halved.latency_ms(space, subnet) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("name", ["mbv3-w1.0", "proxyless-w1.3", "resnet50d"])
def test_the_constant_is_in_every_network_once(name: str) -> None:
    space = get_space(name)
    rows = [TableRow(block, 0.5) for block in all_blocks(space, [128, 160])]
    table = LatencyTable({**HEADER, "space": name, "sum_correction": "scale=1 constant=3.25 (of a GPU)"}, rows)
    plain = LatencyTable({**HEADER, "space": name}, rows)
    genes = space.sample(np.random.default_rng(0), 300, resolutions=[128, 160])
    assert np.allclose(table.latency_ms(space, genes), plain.latency_ms(space, genes) + 3.25, rtol=1e-12)
    ns = table.lookup(space, [128, 160])
    assert np.allclose(ns.index.total(genes, ns.block_ns) / 1e6, table.latency_ms(space, genes), atol=1e-3)
    # it is the device's: sums that are not corrected have it too, and are others than those without
    assert np.array_equal(table.uncorrected.latency_ms(space, genes), table.latency_ms(space, genes))
    assert table.sums != plain.sums == LatencyTable({**HEADER, "sum_correction": "scale=1"}, rows).sums


def test_a_block_that_the_table_omits_stays_at_nothing() -> None:
    rows = [TableRow(block, 0.5) for block in BLOCKS if block.op != "global_pool"]
    table = LatencyTable({**HEADER, "omits": "global_pool", "sum_correction": "scale=2 borders=1"}, rows)
    lookup = table.lookup(SPACE, [160])
    pooled = [i for i, block in enumerate(lookup.index.blocks) if block.op == "global_pool"]
    assert pooled
    assert all(lookup.block_ms[i] == 0 for i in pooled)


@given(
    st.tuples(
        *(st.floats(0.1, 10), st.floats(-1, 1), st.floats(-1, 1), st.floats(-1, 1), st.floats(0.1, 10)),
        st.floats(0, 100),
    )
)
def test_what_a_header_says_is_read_back(terms: tuple[float, float, float, float, float, float]) -> None:
    back = SumCorrection.parse(f"{SumCorrection(*terms)} (ms per MB)")
    assert astuple(back) == pytest.approx(terms, rel=1e-4)


@pytest.mark.parametrize(
    "wrong",
    [
        "fast",
        "0.96",
        "scale=0",
        "scale=-1",
        "scale=inf",
        "scale=1 size=2",
        "weights=x",
        "scale=1_000",
        "scale=1 scale=2",
        "scale=1e300",
        "head=0",
        "head=-0.5",
        "weights=-1e9",
        "constant=-1",
        "scale",
    ],
)
def test_what_is_no_correction_is_refused(wrong: str) -> None:
    with pytest.raises(InputError, match="sum_correction is"):
        made_up(sum_correction=wrong)


def test_without_one_the_sum_is_plain() -> None:
    assert made_up().sum_correction == SumCorrection(1, 0, 0)


def test_a_correction_that_leaves_nothing_of_a_network_is_refused() -> None:
    """Exactly: a calls term a little above minus a block's time still leaves something of every network."""
    smallest = min(len(blocks_of(SPACE, subnet)) for subnet in SPACE.decode(SPACE.sample(np.random.default_rng(0), 50)))
    assert smallest >= 15
    made_up(sum_correction="scale=1 calls=-0.499").lookup(SPACE, [160])
    for wrong in ("scale=1 calls=-0.5", "scale=1 calls=-1", "scale=0.5 weights=-1"):
        with pytest.raises(
            InputError, match=r"the table of made up: its sum_correction makes a network of mbv3-w1\.0 at 160 px"
        ):
            made_up(sum_correction=wrong).lookup(SPACE, [160])


def test_published_sums_below_nothing_are_refused(reference: Path) -> None:
    table = LatencyTable.load(reference.parent / "cases" / "negative_sums.csv")
    with pytest.raises(InputError, match=r"its sum_correction makes a network of mbv3-w1\.0"):
        table.lookup(get_space("mbv3-w1.0"), table.resolutions)
