"""Latency tables: sums over blocks, coverage, interpolation, and what is known of them."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from ofa.blocks import Block, all_blocks, blocks_of
from ofa.errors import InputError
from ofa.reading.amounts import amount
from ofa.space import get_space, resolutions_in
from ofa.tables import LatencyTable, TableRow, find_table
from tests.ofa.tables.made_up import BLOCKS, HEADER, RESOLUTIONS, SPACE, cost, edit, made_up


def test_latency_is_the_sum_of_the_blocks() -> None:
    table = made_up([160, 224])
    genes = SPACE.sample(np.random.default_rng(0), 50, resolutions=[160, 224])
    by_hand = [sum(cost(block) for block in blocks_of(SPACE, subnet)) for subnet in SPACE.decode(genes)]
    assert np.allclose(table.latency_ms(SPACE, genes), by_hand, rtol=1e-12)
    assert np.allclose(table.latency_ms(SPACE, SPACE.decode(genes)), by_hand, rtol=1e-12)
    assert table.latency_ms(SPACE, SPACE.decode(genes)[0]).shape == (1,)


def test_a_million_subnetworks() -> None:
    genes = SPACE.sample(np.random.default_rng(0), 50_000, resolutions=[160])
    table = made_up([160])
    latency = table.latency_ms(SPACE, np.tile(genes, (20, 1)))
    assert latency.shape == (1_000_000,)
    assert np.all(latency > 0)
    # wherever one stands among the million
    assert np.array_equal(latency.reshape(20, -1), np.broadcast_to(table.latency_ms(SPACE, genes), (20, 50_000)))


def test_three_hundred_resolutions_are_priced_as_a_loop_prices_them() -> None:
    """More than a byte can number: what wraps would take one resolution for another."""
    resolutions, n = range(128, 428), 20_000
    table = LatencyTable(HEADER, [TableRow(block, cost(block)) for block in all_blocks(SPACE, resolutions)])
    genes = SPACE.sample(np.random.default_rng(0), n, resolutions=resolutions)
    assert resolutions_in(genes) == tuple(resolutions)
    latency = table.latency_ms(SPACE, genes)
    # the first, and those that a signed or an unsigned byte would take for others: a loop works each out anew
    for first in (128, 256, 384):
        rows = np.flatnonzero((genes[:, 0] >= first) & (genes[:, 0] < first + 20))[:200]
        assert len(set(genes[rows, 0])) == 20
        by_hand = [sum(cost(block) for block in blocks_of(SPACE, subnet)) for subnet in SPACE.decode(genes[rows])]
        assert latency[rows] == pytest.approx(by_hand, rel=1e-12)
    assert table.coverage(SPACE, resolutions).complete == tuple(resolutions)
    at_500 = SPACE.subnet([3] * 20, [3] * 20, [2] * 5, 500)
    with pytest.raises(InputError, match=r"conv 500x500x3>16.*; measure them .*--resolutions 500"):
        table.latency_ms(SPACE, at_500)
    with pytest.raises(InputError, match=r"resolution is 500 px, but only 128, 160 px of mbv3-w1\.0 were asked for"):
        table.lookup(SPACE, [128, 160]).latency_ms(SPACE.as_genes(at_500))


def test_the_latest_of_many_lookups_are_kept() -> None:
    table = made_up([160])
    first = table.lookup(SPACE, [160])
    assert table.lookup(SPACE, (160, 160)) is first
    for resolution in range(200, 280):
        table.lookup(SPACE, [resolution])
    assert table.lookup(SPACE, [279]) is table.lookup(SPACE, [279])
    assert table.lookup(SPACE, [160]) is not first


def test_coverage_tells_measured_interpolated_and_missing() -> None:
    coverage = made_up([144, 224]).coverage(SPACE, RESOLUTIONS)
    assert coverage.complete == (144, 224)
    assert coverage.interpolated == (160, 176)
    assert set(coverage.missing) == {128}
    assert coverage.missing[128][0] == Block("conv", 128, 3, 0, 16, 3, 2, "h_swish", False, False)


def test_what_rests_on_interpolation_says_so() -> None:
    table = made_up([144, 224])
    genes = SPACE.sample(np.random.default_rng(0), 20, resolutions=[144, 160, 176, 224])
    by_hand = [sum(cost(block) for block in blocks_of(SPACE, subnet)) for subnet in SPACE.decode(genes)]
    assert np.allclose(table.latency_ms(SPACE, genes), by_hand, rtol=1e-12)
    resolutions = [subnet.resolution for subnet in SPACE.decode(genes)]
    assert table.lookup(SPACE, RESOLUTIONS).interpolated(genes).tolist() == [r in (160, 176) for r in resolutions]
    assert made_up([128, 160, 224]).interpolation_error_pct == pytest.approx(0, abs=1e-9)


def test_missing_blocks_are_named_with_the_command_that_measures_them() -> None:
    table = made_up([160])
    subnet = SPACE.decode(SPACE.sample(np.random.default_rng(0), 1, resolutions=[224]))
    with pytest.raises(
        InputError, match=r"conv 224x224x3>16.*; measure them .*profilers\.cpu --space mbv3-w1\.0 --resolutions 224"
    ):
        table.latency_ms(SPACE, subnet)
    with pytest.raises(InputError, match=r"lacks \d+ of the blocks of mbv3-w1\.0 at 224 px"):
        table.lookup(SPACE, RESOLUTIONS).require([160, 224])
    with pytest.raises(
        InputError, match=r"linear 1x1x1280>10 .*; measure them .*--space mbv3-w1\.0 --num-classes 10 --resolutions 160"
    ):
        table.lookup(get_space(SPACE.name, 10), [160]).require([160])


@pytest.mark.parametrize(("dtype", "option"), [("int8", "--dtype int8 "), ("float32", ""), ("$(reboot)", "")])
def test_the_command_that_measures_missing_blocks_measures_the_tables_type(dtype: str, option: str) -> None:
    table = made_up([128], dtype=dtype)
    with pytest.raises(InputError, match=f"--space mbv3-w1.0 {option}--resolutions 160 --out"):
        table.lookup(SPACE, [160]).require([160])


def test_omitted_ops_count_nothing_and_only_if_the_header_says_so() -> None:
    rows = [row for row in made_up([160]).rows if row.block.op != "global_pool"]
    genes = SPACE.sample(np.random.default_rng(0), 5, resolutions=[160])
    pool = cost(Block("global_pool", 5, 960, 0, 960, 1, 1, "none", False, False))
    with pytest.raises(InputError, match="global_pool 5x5x960"):
        LatencyTable(HEADER, rows).latency_ms(SPACE, genes)
    omitting = LatencyTable({**HEADER, "omits": "global_pool"}, rows)
    assert np.allclose(omitting.latency_ms(SPACE, genes) + pool, made_up([160]).latency_ms(SPACE, genes))
    with pytest.raises(InputError, match="omits 'pooling'"):
        LatencyTable({**HEADER, "omits": "pooling"}, rows)


def test_a_table_says_how_its_blocks_were_timed(tmp_path: Path) -> None:
    path = tmp_path / "device.csv"
    rows = [TableRow(BLOCKS[0], 1.25, warm_ms=1.0)]
    LatencyTable({**HEADER, "timing": "in place"}, rows).save(path)
    loaded = LatencyTable.load(path)
    assert (loaded.timing, loaded.rows) == ("in place", tuple(rows))
    with pytest.raises(InputError, match="header timing is 'cold', expected one of in place, warm"):
        LatencyTable({**HEADER, "timing": "cold"}, rows)
    # a table that does not say was made before there was a choice
    assert LatencyTable(HEADER, [TableRow(BLOCKS[0], 1.25)]).timing == "warm"
    for timing in ({}, {"timing": "warm"}):
        with pytest.raises(InputError, match=r"rows have warm_ms, .* but the header has no line '# timing: in place'"):
            LatencyTable({**HEADER, **timing}, rows)
    edit(path, 10, "1.25,1.0", "1.25,-1.0")
    with pytest.raises(InputError, match=r"device.csv:10:\d+: warm_ms is '-1.0', expected a number of milliseconds"):
        LatencyTable.load(path)


def test_shipped_tables_are_found_by_name() -> None:
    assert LatencyTable.load(find_table("note10")).device == "Samsung Galaxy Note10"
    with pytest.raises(InputError, match=r"nokia3310: no such latency table .*such as note10"):
        find_table("nokia3310")


@pytest.mark.parametrize(
    "path", sorted((Path(__file__).parents[3] / "latency_tables").glob("*.csv")), ids=lambda p: p.stem
)
def test_every_shipped_table_says_where_it_comes_from(path: Path) -> None:
    assert find_table(path.stem) == path
    table = LatencyTable.load(path)
    assert table.header["source"]
    assert table.header["rows" if "rows" in table.header else "device"]
    for name in table.spaces:
        coverage = table.coverage(get_space(name))
        assert table.provenance == "imported" or coverage.complete
        assert coverage.complete or coverage.interpolated, f"it cannot price {name}"
    resaved = path.read_text()
    assert resaved.startswith("# schema: 1\n")
    assert not table.changed
    assert ("expected_error_sums" in table.header) == ("expected_error" in table.header)


@pytest.mark.parametrize("batch", ["0", "-64", "64 images", "6_4", "1e2", "\u0666\u0664", "1" * 5000, " 64"])
def test_a_batch_that_is_no_number_of_images_is_refused(batch: str) -> None:
    with pytest.raises(InputError, match=r"header batch is .{2,70}, expected a whole number of images"):
        LatencyTable({**HEADER, "batch": batch}, made_up([160]).rows)


def test_amounts_of_several_images_say_so() -> None:
    assert LatencyTable(HEADER, made_up([160]).rows).batch == 1
    assert LatencyTable({**HEADER, "batch": "64"}, made_up([160]).rows).batch == 64
    assert amount(30, "ms", 1) == "30 ms"
    assert amount(30, "ms", 64, ".2f") == "30.00 ms for 64 images (0.469 an image)"


def test_note10_has_the_published_figures() -> None:
    table = LatencyTable.load(find_table("note10"))
    space = get_space("mbv3-w1.2")
    assert table.coverage(space).complete == (160, 168, 172, 176, 184, 188, 192, 200, 204, 208, 216, 220, 224)
    published = {row.block: row.latency_ms for row in table.rows}
    # 224_lookup_table.yaml: Conv-input:224x224x3-output:112x112x24, mean 0.994418
    assert published[Block("conv", 224, 3, 0, 24, 3, 2, "h_swish", False, False)] == 0.994418


def test_what_is_known_of_sums_holds_for_these_sums_alone(saved: Path) -> None:
    table = LatencyTable.load(saved).with_error("mean 2 %")
    table.save(saved)
    again = LatencyTable.load(saved)
    assert (again.expected_error, again.changed, again.sums) == ("mean 2 %", False, table.sums)
    first, *rest = again.rows
    for rows, more in (
        ((replace(first, latency_ms=first.latency_ms + 1e-9), *rest), {}),
        (rest, {}),
        (again.rows, {"sum_correction": "scale=1 calls=0.00001"}),
    ):
        other = LatencyTable({**again.header, **more}, rows)
        assert (other.expected_error, other.changed) == (None, True)
    # neither their order nor what no sum rests on
    same = LatencyTable({**again.header, "device": "E"}, (*rest, replace(first, mad_ms=9.0, energy_mj=3.0)))
    assert (same.expected_error, same.sums) == ("mean 2 %", again.sums)
    assert again.uncorrected.expected_error is None
    assert again.known_range is None
    checked = again.with_error("mean 3 %", (1.23456, 20))
    assert (str(checked.known_range), checked.with_error("mean 2 %").known_range) == ("1.235 to 20 ms", None)
    assert checked.uncorrected.known_range is None
    assert not [key for key in again.uncorrected.header if key.startswith("expected")]
