"""`python -m profilers.lab.siblings`: what it writes, says, refuses and exits with."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest

from ofa.errors import InputError
from ofa.tables import LatencyTable
from profilers.changes.visit_medians import visit_medians
from profilers.lab.siblings import merged as merged_module
from profilers.lab.siblings.__main__ import main
from profilers.lab.siblings.compared import compare_devices
from profilers.lab.siblings.device_tables import _names
from profilers.lab.siblings.findings import findings
from profilers.lab.siblings.merged import merged_table
from tests.helpers.programs import ended
from tests.profilers.lab.drawn_tables import BASE_MS, BLOCKS, Draw


def test_three_devices_that_agree_make_one_table(
    draw: Draw, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    paths = [draw(name, n, 1 + 0.01 * n, device_id=f"{n:016x}") for n, name in enumerate("abc")]
    out, found = tmp_path / "m.csv", tmp_path / "m.json"
    assert main([*map(str, paths), "--out", str(out), "--json", str(found), "--name", "Phone 7 of the lab"]) == 0
    table, own = LatencyTable.load(out), [LatencyTable.load(path) for path in paths]
    assert (table.device, table.provenance, table.header["soc"]) == ("Phone 7 of the lab", "measured", "S7")
    assert table.header["merged"] == (
        "the median of 3 devices that agree within 5 %: a (id 0000000000000000), b (id 0000000000000001), "
        "c (id 0000000000000002)"
    )
    assert table.header["source"].startswith("python -m profilers.lab.siblings ")
    assert "device_id" not in table.header and "set_aside" not in table.header
    by_block = [{row.block: row for row in each.rows} for each in own]
    for row in table.rows:
        of_each = [rows[row.block] for rows in by_block]
        assert row.visits_ms == tuple(each.latency_ms for each in of_each)
        assert row.latency_ms == sorted(row.visits_ms)[1]
        assert (row.runs, row.mad_ms, row.p90_ms) == (300, 0.001, 0.02)
    assert len(table.rows) == len(BLOCKS)
    # what reads a table reads this one, and takes each device for one visit
    assert visit_medians(table)[1] == "visits in the table"
    content = json.loads(found.read_text())
    assert [device["merged"] for device in content["devices"]] == [True] * 3
    assert [(pair["first"], pair["second"]) for pair in content["pairs"]] == [("a", "b"), ("a", "c"), ("b", "c")]
    assert content["pairs"][1]["level_pct"] == pytest.approx(2, abs=0.3)
    assert "3 of 3 devices agree" in capsys.readouterr().out


def swapped(first: int, second: int) -> np.ndarray:
    factors = np.ones(len(BLOCKS))
    factors[first], factors[second] = BASE_MS[second] / BASE_MS[first], BASE_MS[first] / BASE_MS[second]
    return factors


@pytest.mark.parametrize(
    ("factor", "words"),
    [
        (1.08, r"is apart: \+[78]\.\d % \(standard error 0\.\d+ %\) on all blocks"),
        (1000.0, r"is apart: its figures are \d+ times the others': they may be microseconds"),
        (swapped(10, 60), r"is apart: 2 of \d+ blocks .*: their rows look exchanged"),
        (
            np.where(np.quantile(BASE_MS, 0.7) < BASE_MS, 1.2, 1.0),
            r"is apart: \d\d of \d+ blocks slower by 1\d to 2\d %, 100 % of which take longer than the middle one",
        ),
    ],
    ids=["slow", "microseconds", "swapped", "throttled"],
)
def test_one_that_is_apart_is_named_and_not_merged(
    factor: float, words: str, draw: Draw, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    paths = [*(draw(f"good{n}", n) for n in range(3)), draw("bad", 9, factor)]
    out = tmp_path / "m.csv"
    assert main([*map(str, paths), "--out", str(out)]) == 1
    said = capsys.readouterr().out
    assert "3 of 4 devices agree" in said
    assert len([line for line in said.splitlines() if line.startswith("bad is apart")]) == 1
    header = LatencyTable.load(out).header
    assert header["set_aside"].startswith("1 of 4 devices: bad is apart")
    for text in (said, header["set_aside"]):
        assert re.search(words, text), text
    plain = compare_devices(paths[:3])
    assert LatencyTable.load(out).rows == merged_table(plain, "n", "c").rows


def test_of_two_that_differ_nobody_is_right(draw: Draw, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "m.csv"
    assert main([str(draw("a", 0)), str(draw("b", 1, 1.1)), "--out", str(out)]) == 1
    said = capsys.readouterr().out
    assert "a and b differ, and nobody can say which of them is right" in said
    assert "m.csv is not written: each device keeps its own table" in said
    assert not out.exists()


def test_noise_is_no_agreement(draw: Draw) -> None:
    found = compare_devices([draw("a", 0, scatter=0.2), draw("b", 1, scatter=0.2)])
    assert found.agreeing == ()
    assert findings(found)[0].startswith("no two devices are shown to agree, and none to differ: too little is known")
    with pytest.raises(InputError, match="nothing to merge"):
        merged_table(found, "n", "c")


@pytest.mark.parametrize(
    ("header", "message"),
    [
        ({"runtime": "tflite 2.15"}, "b.csv: runtime is 'tflite 2.15', in .*a.csv it is 'tflite 2.14'"),
        ({"soc": "S8"}, "b.csv: soc is 'S8', in .*a.csv it is 'S7'"),
        ({"resolutions": "64, 96"}, "b.csv: resolutions is '64, 96'"),
        ({"dtype": "int8"}, "b.csv: dtype is 'int8'"),
        ({"timing": "in place"}, "b.csv: timing is 'in place', in .*a.csv it is 'warm'"),
        ({"tool": "ofa-latency 0.2.0"}, "b.csv: tool is 'ofa-latency 0.2.0'"),
        ({"cores": "big"}, "b.csv: cores is 'big', in .*a.csv it is 'not stated'"),
        ({"provenance": "estimated"}, "b.csv: is estimated, only measured tables"),
        ({"merged": "of 2"}, "b.csv: is of several devices already"),
        ({"device_id": "1"}, "b.csv and .*a.csv are of one device .*profilers.lab.history"),
    ],
)
def test_tables_that_were_not_measured_alike_are_refused(header: dict[str, str], message: str, draw: Draw) -> None:
    with pytest.raises(InputError, match=message):
        compare_devices([draw("a", 0, device_id="1"), draw("b", 1, **{"device_id": "2", **header})])


def test_what_is_no_second_device_is_refused(draw: Draw, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    a = draw("a", 0)
    copy, few, text = tmp_path / "copy.csv", tmp_path / "few.csv", tmp_path / "text.csv"
    copy.write_bytes(a.read_bytes())
    table = LatencyTable.load(a)
    LatencyTable(table.header, table.rows[:9]).save(few)
    text.write_text("hello\n")
    for words, message in (
        ([a], "1 table is named: devices are compared with each other"),
        ([a, copy], "copy.csv and .*a.csv are the same table"),
        ([a, few], "few.csv: 9 blocks have visits that count, expected at least 10"),
        ([a, text], "text.csv"),
        ([a, tmp_path], "is a folder|no such latency table"),
        ([a, tmp_path / "none.csv"], "none.csv: no such latency table"),
        ([a, draw("b", 1), "--out", a], "--out is .*a.csv, the file that TABLES names"),
        ([a, draw("b", 1), "--out", few], "few.csv exists: replace it with --overwrite"),
        ([a, draw("b", 1), "--json", few], "few.csv is there, and is not what profilers.lab.siblings writes"),
        ([a, draw("b", 1), "--alpha", "0.7"], "--alpha is 0.7"),
    ):
        done = ended(main, capsys, *words, failed=2)
        assert (done.returncode, done.stderr.count("\n")) == (2, 1), done.stderr
        assert re.search(message, done.stderr), done.stderr


def test_blocks_that_half_of_the_devices_lack_are_left_out(draw: Draw) -> None:
    paths = [draw(name, n) for n, name in enumerate("abcd")]
    for number, lacking in ((0, (3, 5)), (1, (3,))):
        table = LatencyTable.load(paths[number])
        LatencyTable(table.header, [row for i, row in enumerate(table.rows) if i not in lacking]).save(paths[number])
    merged = merged_table(compare_devices(paths), "n", "c")
    assert {row.block for row in merged.rows} == {*BLOCKS} - {BLOCKS[3]}
    assert merged.header["failed_blocks"] == "1"
    assert [len(row.visits_ms or ()) for row in merged.rows if row.block in (BLOCKS[5], BLOCKS[6])].count(3) == 1


def test_of_many_devices_a_row_keeps_some_and_their_middle(draw: Draw, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(merged_module, "MOST_SAMPLES", 7)
    monkeypatch.setattr(merged_module, "_NAMED", 5)
    paths = [draw(f"d{n}", n, visits=3) for n in range(11)]
    merged = merged_table(compare_devices(paths), "n", "c")
    figures = np.array([[row.latency_ms for row in LatencyTable.load(path).rows] for path in paths])
    for place, row in enumerate(merged.rows):
        assert row.visits_ms is not None and len(row.visits_ms) == 7
        assert row.latency_ms == pytest.approx(np.median(figures[:, place]), abs=1e-6)
        assert np.median(row.visits_ms) == row.latency_ms
        assert (row.visits_ms[0], row.visits_ms[-1]) == (figures[:, place].min(), figures[:, place].max())
    assert merged.header["merged"].endswith("d0, d1, d2, d3, d4 and 6 more")


def test_a_device_with_another_system_is_mentioned_and_names_are_escaped(draw: Draw, tmp_path: Path) -> None:
    paths = [draw("a", 0), draw("b", 1, os="Android 15")]
    nasty = tmp_path / "c\x1b[31m.csv"
    draw("c", 2).rename(nasty)
    lines = findings(compare_devices([*paths, nasty]))
    assert "the devices run 2 systems: Android 14 (2), Android 15 (1): a difference may be the system's" in lines
    draw("d", 3, 1.2)
    lines = findings(compare_devices([*paths, nasty, tmp_path / "d.csv"]))
    assert all(line.isprintable() for line in lines)
    merged = merged_table(compare_devices([*paths, nasty]), "n", "c")
    assert "c\\x1b[31m" in merged.header["merged"]


def test_tables_of_one_name_are_called_by_their_whole_path() -> None:
    paths = [Path("x/night/a.csv"), Path("y/night/a.csv"), Path("z/b.csv"), Path("day/a.csv")]
    assert _names(paths) == ["x/night/a.csv", "y/night/a.csv", "b", "day/a"]
