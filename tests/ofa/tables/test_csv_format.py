"""The CSV contract: files that are read exactly, and those that are refused by line and column."""

import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ofa.errors import InputError
from ofa.tables import LatencyTable, TableRow
from tests.ofa.tables.made_up import BLOCKS, HEADER, edit, made_up

numbers = st.floats(min_value=1e-6, max_value=1e6)


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


def test_columns_are_known_by_their_names_in_any_order(saved: Path, tmp_path: Path) -> None:
    table = LatencyTable.load(saved)
    lines = saved.read_text().split("\n")
    first = next(i for i, line in enumerate(lines) if not line.startswith("#"))
    order = np.random.default_rng(0).permutation(len(lines[first].split(",")))
    moved = [",".join(np.array(line.split(","))[order]) for line in lines[first:-1]]
    (tmp_path / "moved.csv").write_text("\n".join([*lines[:first], *moved, ""]))
    assert moved[0] != lines[first]
    assert LatencyTable.load(tmp_path / "moved.csv").rows == table.rows


def test_of_several_faults_the_first_is_named(saved: Path) -> None:
    edit(saved, 9, "conv,160", "conv,x160")
    edit(saved, 9, "h_swish,0", "h_swish,2")
    edit(saved, 10, ",30", ",0")
    with pytest.raises(InputError, match=r"device.csv:9:6: in_size is 'x160'"):
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


@pytest.mark.parametrize("column", ["latency_ms", "warm_ms", "mad_ms", "std_ms", "p90_ms", "energy_mj"])
@pytest.mark.parametrize("value", ["-1", "0", "1e-7", "1e-6", "1e7", "1e8", "1e9", "1e10"])
def test_a_column_s_figures_are_read_within_the_bounds_of_a_row(tmp_path: Path, column: str, value: str) -> None:
    path, figures = tmp_path / "device.csv", {"latency_ms": 1.0, column: 0.4375}
    header = HEADER | ({"timing": "in place"} if column == "warm_ms" else {})
    LatencyTable(header, [TableRow(BLOCKS[0], **figures)]).save(path)
    edit(path, 9 + ("timing" in header), "0.4375", value)
    try:
        expected = TableRow(BLOCKS[0], **{**figures, column: float(value)})
    except InputError:
        with pytest.raises(InputError, match=rf"device.csv:[0-9]+:[0-9]+: {column} is '{value}', expected a number"):
            LatencyTable.load(path)
    else:
        assert LatencyTable.load(path).rows == (expected,)


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
    with pytest.raises(InputError, match=r"no such latency table \(a file's path, or one of the \d+ in "):
        LatencyTable.load(path)
    path.write_bytes(b"\xff\xfd\x00binary\n")
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


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("sum-correction", "scale=1.1", "header key 'sum-correction': did you mean sum_correction"),
        ("Batch", "64", "header key 'Batch': did you mean batch"),
        ("Emulated", "yes", "header key 'Emulated': did you mean emulated"),
        ("sum_corection", "scale=1.1", "did you mean sum_correction"),
        ("expected error", "none", "did you mean expected_error"),
        ("emulated", "Yes", "header emulated is 'Yes', expected yes or no"),
        ("dtype", "INT8", "header dtype is 'INT8': did you mean int8?"),
        ("dtype", "Float32", "header dtype is 'Float32': did you mean float32?"),
        ("expected_error_ms", "1.3", "header expected_error_ms is '1.3', expected such as 1.3 to 14.6"),
        ("expected_error_ms", "2 to 1", "header expected_error_ms is '2 to 1', expected such as 1.3 to 14.6"),
        ("expected_error_ms", "0 to 1", "header expected_error_ms is '0', expected a number of milliseconds from"),
        ("expected_error", "MAPE 2 %, bias 0.1 %", "there is no sum_correction: put that line back"),
    ],
)
def test_a_header_line_that_would_be_passed_over_is_refused(key: str, value: str, message: str) -> None:
    with pytest.raises(InputError, match=re.escape(message)):
        LatencyTable({**HEADER, key: value}, made_up([160]).rows)


@pytest.mark.parametrize("key", ["remark", "bought", "room", "tested by", "governor", "mode", "when"])
def test_remarks_of_ones_own_are_kept(key: str) -> None:
    assert LatencyTable({**HEADER, key: "x"}, made_up([160]).rows).header[key] == "x"


def test_a_near_miss_of_rows_is_refused_and_a_missing_one_is_not(saved: Path) -> None:
    table = LatencyTable.load(saved)
    text = saved.read_text()
    saved.write_text(text.replace("# rows: 96", "# Rows: 7"))
    with pytest.raises(InputError, match="header key 'Rows': did you mean rows"):
        LatencyTable.load(saved)
    saved.write_text(text.replace("# rows: 96\n", ""))
    assert LatencyTable.load(saved).rows == table.rows


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


@pytest.mark.parametrize(
    ("edited", "message"),
    [
        (lambda text: text.replace(",", ";"), r"x.csv:\d+: semicolons separate its columns, .*expected commas"),
        (lambda text: text.replace(",", "\t"), r"x.csv:\d+: tabs separate its columns, .*expected commas"),
        (lambda text: text.replace("# device: D", '"# device: D"'), r"x.csv:\d+: a header line is in quotes"),
        (lambda text: re.sub(r"1\.(\d+)", r'"1,\1"', text), r"x.csv:\d+:\d+: latency_ms is '1,.*, with a point"),
    ],
)
def test_what_a_spreadsheet_made_of_a_table_is_said(tmp_path: Path, edited: Callable[[str], str], message: str) -> None:
    LatencyTable({**HEADER, "device": "D"}, made_up([160]).rows).save(path := tmp_path / "x.csv")
    header, columns, rows = path.read_text().partition("op,")
    path.write_text((edited(header) if "quotes" in message else header) + edited(columns + rows))
    with pytest.raises(InputError, match=message):
        LatencyTable.load(path)


def test_a_table_that_a_spreadsheet_filled_up_is_read(tmp_path: Path) -> None:
    """With a byte order mark, the line ends of Windows, and header lines of as many columns as the others."""
    LatencyTable({**HEADER, "device": "D"}, made_up([160]).rows).save(path := tmp_path / "x.csv")
    table = LatencyTable.load(path)
    text = re.sub(r"(?m)^(#.*)$", r"\1,,,,", path.read_text())
    path.write_bytes(("\ufeff" + text).replace("\n", "\r\n").encode())
    assert LatencyTable.load(path).header == table.header
    assert LatencyTable.load(path).rows == table.rows
    path.write_bytes(text.encode("utf-16"))
    with pytest.raises(InputError, match="it is UTF-16 text: save it as UTF-8"):
        LatencyTable.load(path)
