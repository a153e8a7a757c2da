"""Latency tables: the CSV contract, sums over blocks, coverage, interpolation."""

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ofa.blocks import Block, all_blocks, blocks_of
from ofa.blocks.costs import block_macs
from ofa.errors import InputError
from ofa.space import get_space, resolutions_in
from ofa.tables import LatencyTable, TableRow, find_table
from ofa.tables.amounts import amount
from ofa.tables.interpolation import TILE

HEADER = {
    "device": "Test device",
    "runtime": "none",
    "provenance": "measured",
    "space": "mbv3-w1.0",
    "source": "made up by a test",
}
SPACE, RESOLUTIONS = get_space("mbv3-w1.0"), (128, 144, 160, 176, 224)


def cost(block: Block) -> float:
    """A made-up latency, in ms, of the kind that is interpolated exactly."""
    return 0.01 + 1e-7 * (block_macs(block, TILE) or block.in_size**2 * block.out_channels)


def made_up(resolutions: list[int], **header: str) -> LatencyTable:
    rows = [TableRow(block, cost(block), 0.001, 0.02, 30) for block in all_blocks(SPACE, resolutions)]
    return LatencyTable({**HEADER, **header}, rows)


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    path = tmp_path / "device.csv"
    made_up([160]).save(path)
    return path


def edit(path: Path, line: int, old: str, new: str) -> None:
    lines = path.read_text().split("\n")
    assert old in lines[line - 1]
    lines[line - 1] = lines[line - 1].replace(old, new, 1)
    path.write_text("\n".join(lines))


numbers = st.floats(min_value=1e-6, max_value=1e6)
BLOCKS = all_blocks(SPACE, RESOLUTIONS)


@given(
    values=st.lists(
        st.tuples(
            st.sampled_from(BLOCKS),
            numbers,
            st.none() | numbers,
            st.none() | st.integers(1, 10**6),
            st.none() | st.lists(numbers, min_size=1, max_size=5).map(tuple),
        ),
        min_size=1,
        max_size=20,
        unique_by=lambda row: row[0],
    )
)
def test_saving_and_loading_is_exact(tmp_path_factory: pytest.TempPathFactory, values: list) -> None:
    path = tmp_path_factory.mktemp("tables") / "t.csv"
    table = LatencyTable(
        HEADER, [TableRow(b, ms, mad, runs=runs, visits_ms=visits) for b, ms, mad, runs, visits in values]
    )
    table.save(path)
    loaded = LatencyTable.load(path)
    assert loaded.rows == table.rows
    assert loaded.header == table.header
    first = path.read_bytes()
    loaded.save(path)
    assert path.read_bytes() == first


def test_pandas_reads_it(saved: Path) -> None:
    frame = pd.read_csv(saved, comment="#")
    table = LatencyTable.load(saved)
    assert np.allclose(frame["latency_ms"], [row.latency_ms for row in table.rows], rtol=1e-12)
    assert list(frame.columns) == list(table.to_frame().columns)
    assert frame["op"].value_counts()["mbconv"] == 91


def test_latency_is_the_sum_of_the_blocks() -> None:
    table = made_up([160, 224])
    genes = SPACE.sample(np.random.default_rng(0), 50, resolutions=[160, 224])
    by_hand = [sum(cost(block) for block in blocks_of(SPACE, subnet)) for subnet in SPACE.decode(genes)]
    assert np.allclose(table.latency_ms(SPACE, genes), by_hand, rtol=1e-12)
    assert np.allclose(table.latency_ms(SPACE, SPACE.decode(genes)), by_hand, rtol=1e-12)
    assert table.latency_ms(SPACE, SPACE.decode(genes)[0]).shape == (1,)


def test_a_million_subnetworks() -> None:
    latency = made_up([160]).latency_ms(SPACE, SPACE.sample(np.random.default_rng(0), 1_000_000, resolutions=[160]))
    assert latency.shape == (1_000_000,)
    assert np.all(latency > 0)


def test_three_hundred_resolutions_are_priced_as_a_loop_prices_them() -> None:
    """More than a byte can number: what wraps would take one resolution for another."""
    resolutions, n = range(128, 428), 20_000
    table = LatencyTable(HEADER, [TableRow(block, cost(block)) for block in all_blocks(SPACE, resolutions)])
    genes = SPACE.sample(np.random.default_rng(0), n, resolutions=resolutions)
    assert resolutions_in(genes) == tuple(resolutions)
    latency = table.latency_ms(SPACE, genes)
    for rows in np.array_split(np.random.default_rng(1).permutation(n)[:600], 300):
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


# line 8 names the columns: op,in_size,in_channels,...,latency_ms,mad_ms,p90_ms,runs; line 9 is the stem
@pytest.mark.parametrize(
    ("line", "old", "new", "message"),
    [
        (1, "# schema: 1", "# schema: 2", "device.csv: schema is 2, this version reads schema 1"),
        (1, "# schema: 1", "# scheme: 1", "device.csv: schema is not stated"),
        (2, "# device", "# denise", "device.csv: header has no '# device: ...' line"),
        (4, "measured", "guessed", "device.csv: provenance is 'guessed', expected one of measured"),
        (3, "# runtime", "# timings", "device.csv: header key 'timings': did you mean timing?"),
        (3, "runtime: none", "no colon", "device.csv:3: header line '# no colon' is not"),
        (3, "# runtime", "# device", "device.csv:3: header key 'device' appears twice"),
        (8, "latency_ms", "ms", "device.csv:8: column latency_ms is missing"),
        (8, "p90_ms", "p91_ms", "device.csv:8: column 'p91_ms' is unknown"),
        (8, "p90_ms", "mad_ms", "device.csv:8: column 'mad_ms' is twice"),
        (9, "conv,160", "conv,x160", "device.csv:9:6: in_size is 'x160', expected a whole number"),
        (9, ",16,3,2,", ",16,9,2,", "device.csv:9:17: kernel_size is 9, expected one of 1, 3, 5, 7"),
        (9, "conv", "dense", "device.csv:9:1: op is 'dense', expected one of conv"),
        (9, "h_swish,0", "h_swish,2", "device.csv:9:29: squeeze_excite is '2', expected 0 or 1"),
        (9, ",0.001,", ",-1,", "device.csv:9:.*: mad_ms is '-1', expected a number of milliseconds from 0"),
        (9, ",0.001,", ",nan,", "device.csv:9:.*: mad_ms is 'nan'"),
        (9, ",30", ",0", "device.csv:9:.*: runs is '0', expected a whole number of items from 1"),
        (9, ",30", "", "device.csv:9: 13 fields, expected 14"),
    ],
)
def test_faults_are_named_by_file_line_and_column(saved: Path, line: int, old: str, new: str, message: str) -> None:
    edit(saved, line, old, new)
    with pytest.raises(InputError, match=message):
        LatencyTable.load(saved)


@pytest.mark.parametrize(
    ("cell", "message"),
    [
        ("0.1 fast", "visits_ms is 'fast', expected a number of milliseconds"),
        ("0.1 -1.0", "visits_ms is '-1.0', expected a number of milliseconds"),
        ("0.1 nan", "visits_ms is 'nan', expected a number of milliseconds"),
        ("  ", "visits_ms is '', expected a number of milliseconds"),
    ],
)
def test_visits_are_positive_numbers(tmp_path: Path, cell: str, message: str) -> None:
    path = tmp_path / "device.csv"
    LatencyTable(HEADER, [TableRow(BLOCKS[0], 1.0, visits_ms=(1.0, 2.5))]).save(path)
    edit(path, 9, "1.0 2.5", cell)
    with pytest.raises(InputError, match=f"device.csv:9:[0-9]+: {message}"):
        LatencyTable.load(path)


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
        with pytest.raises(InputError, match=r"rows have warm_ms, .* but the header does not say '# timing: in place'"):
            LatencyTable({**HEADER, **timing}, rows)
    edit(path, 10, "1.25,1.0", "1.25,-1.0")
    with pytest.raises(InputError, match=r"device.csv:10:\d+: warm_ms is '-1.0', expected a number of milliseconds"):
        LatencyTable.load(path)


@pytest.mark.parametrize(
    "value",
    ["0.0", "-1.5", "nan", "inf", "fast", "", "1_0.5", "\uff11.5", "1e-300", "1e300", " 1", "1" * 5000, "0x1p3"],
)
def test_a_latency_is_a_positive_number(saved: Path, value: str) -> None:
    lines = saved.read_text().split("\n")
    cells = lines[8].split(",")
    cells[10] = value
    lines[8] = ",".join(cells)
    saved.write_text("\n".join(lines))
    with pytest.raises(InputError, match=r"device.csv:9:33: latency_ms is .*expected a number"):
        LatencyTable.load(saved)


def test_a_block_may_stand_once(saved: Path) -> None:
    text = saved.read_text().replace("# rows: 96", "# rows: 97")
    lines = text.split("\n")
    saved.write_text("\n".join([*lines[:-1], lines[8], ""]))
    with pytest.raises(InputError, match=r"device.csv:105: block conv 160x160x3>16 .* is already on line 9"):
        LatencyTable.load(saved)
    row = made_up([160]).rows[0]
    with pytest.raises(InputError, match="appears twice"):
        LatencyTable(HEADER, [row, row])


@given(data=st.data())
def test_a_file_cut_anywhere_is_refused(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    path = tmp_path_factory.mktemp("cut") / "t.csv"
    made_up([160]).save(path)
    whole = path.read_bytes()
    path.write_bytes(whole[: data.draw(st.integers(0, len(whole) - 1))])
    with pytest.raises(InputError, match=re.escape(str(path))[:20]):
        LatencyTable.load(path)


def test_what_is_not_a_table_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    with pytest.raises(InputError, match=r"no such latency table .*note10"):
        LatencyTable.load(path)
    path.write_bytes(b"\xff\xfe\x00binary\n")
    with pytest.raises(InputError, match="byte 0 is not UTF-8"):
        LatencyTable.load(path)


def test_windows_line_ends_are_read(saved: Path) -> None:
    rows = LatencyTable.load(saved).rows
    saved.write_bytes(saved.read_bytes().replace(b"\n", b"\r\n"))
    assert LatencyTable.load(saved).rows == rows


def test_a_failed_save_leaves_the_old_table_and_nothing_else(saved: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = saved.read_bytes()

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="No space left"):
        made_up([224]).save(saved)
    assert saved.read_bytes() == before
    assert [path.name for path in saved.parent.iterdir()] == ["device.csv"]


def test_header_lines_cannot_be_forged() -> None:
    with pytest.raises(InputError, match="cannot be written on one"):
        LatencyTable({**HEADER, "note": "x\n# provenance: measured"}, made_up([160]).rows)


def test_shipped_tables_are_found_by_name() -> None:
    assert LatencyTable.load(find_table("note10")).device == "Samsung Galaxy Note10"
    with pytest.raises(InputError, match=r"nokia3310: no such latency table .*i7-8700k.*note10"):
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


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("sum-correction", "scale=1.1", "header key 'sum-correction': did you mean sum_correction"),
        ("Batch", "64", "header key 'Batch': did you mean batch"),
        ("Emulated", "yes", "header key 'Emulated': did you mean emulated"),
        ("sum_corection", "scale=1.1", "did you mean sum_correction"),
        ("expected error", "none", "did you mean expected_error"),
        ("emulated", "Yes", "header emulated is 'Yes', expected yes or no"),
        ("expected_error", "MAPE 2 %, bias 0.1 %", "there is no sum_correction: put that line back"),
    ],
)
def test_a_header_line_that_would_be_passed_over_is_refused(key: str, value: str, message: str) -> None:
    with pytest.raises(InputError, match=re.escape(message)):
        LatencyTable({**HEADER, key: value}, made_up([160]).rows)


@pytest.mark.parametrize("key", ["remark", "bought", "room", "tested by", "governor", "mode", "when"])
def test_remarks_of_ones_own_are_kept(key: str) -> None:
    assert LatencyTable({**HEADER, key: "x"}, made_up([160]).rows).header[key] == "x"


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
    assert not [key for key in again.uncorrected.header if key.startswith("expected")]


def test_a_near_miss_of_rows_is_refused_and_a_missing_one_is_known(saved: Path) -> None:
    assert LatencyTable.load(saved).states_rows
    text = saved.read_text()
    saved.write_text(text.replace("# rows: 96", "# Rows: 7"))
    with pytest.raises(InputError, match="header key 'Rows': did you mean rows"):
        LatencyTable.load(saved)
    saved.write_text(text.replace("# rows: 96\n", ""))
    assert not LatencyTable.load(saved).states_rows


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"# schema: 1\r# device: D\r", "device.csv:1: not a latency table: a carriage return alone"),
        (b"# schema: 1\n# device: \0\n", "device.csv:2: not a latency table: a zero byte"),
        (b"", "it is empty"),
        (b"\xef\xbb\xbf# schema: 2\nop\n", "schema is 2"),
        (b'# schema: 1\nop\n"' + b"a" * 200_000 + b'"\n', "device.csv:3: not CSV: field larger than"),
        (b'# schema: 1\nop,in_size\n"unclosed\n', "not CSV: unexpected end of data"),
    ],
)
def test_what_is_no_csv_is_refused_in_one_line(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "device.csv"
    path.write_bytes(content)
    with pytest.raises(InputError, match=re.escape(message)) as refused:
        LatencyTable.load(path)
    assert "\n" not in str(refused.value)
    assert len(str(refused.value)) < 400
