"""`python -m profilers.lab.history`: drift is named with its date and size, and is told from other versions."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest

from ofa.tables import LatencyTable
from profilers.lab.history.__main__ import main
from profilers.lab.history.history import read_histories
from tests.helpers.programs import ended
from tests.profilers.lab.drawn_tables import BLOCKS, Draw


def nights(draw: Draw, levels: list[float | np.ndarray], *, first: int = 1, **header: str) -> None:
    """A table a night of November, into the folder."""
    for number, level in enumerate(levels, first):
        draw(f"n{number:02}", number, level, when=f"2026-11-{number:02}T02:00:00+00:00", **header)


def states(folder: Path) -> list[str]:
    ((history,), _) = read_histories([folder])
    return [night.state for night in history.nights]


def test_a_device_that_stays_as_it_was_has_no_events(draw: Draw, tmp_path: Path) -> None:
    nights(draw, [1, 1.01, 0.99, 1.02, 1, 0.98, 1.01, 1])
    ((history,), left_out) = read_histories([tmp_path])
    assert [night.state for night in history.nights] == ["first", *["unchanged"] * 7]
    assert (history.events, history.aside, left_out) == ((), "", ())


def test_a_drift_is_named_with_its_dates_and_its_size(
    draw: Draw, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    nights(draw, [1, 1.01, 1, 0.99, 1, 1.09, 1.12, 1.08])
    assert main([str(tmp_path), "--json", str(tmp_path / "h.json"), "--effect", "4"]) == 1
    said = capsys.readouterr().out
    assert "Phone 7, tflite: 8 tables, 2026-11-01 to 2026-11-08: the last is not like those before it" in said
    found = re.search(
        r"2026-11-06 to 2026-11-08 \(3 tables\): all blocks \+(\S+) % .*, \+(\S+) % at most, on (\S+),", said
    )
    assert found is not None, said
    assert (float(found[1]), float(found[2])) == (pytest.approx(8, abs=0.5), pytest.approx(12, abs=0.5))
    assert (found[3], "against the tables from 2026-11-01 on" in said) == ("2026-11-07", True)
    (history,) = json.loads((tmp_path / "h.json").read_text())["history"]
    assert [night["state"] for night in history["nights"]][4:] == ["unchanged", "drifted", "drifted", "drifted"]
    assert history["nights"][0]["level_pct"] is None
    assert history["effect_pct"] == 4
    assert history["aside"] == history["events"][-1] in said


def test_a_slow_drift_adds_up_and_its_end_is_seen(draw: Draw, tmp_path: Path) -> None:
    creeping = [1 + 0.008 * n for n in range(12)]
    nights(draw, [*creeping, 1.0])
    found = states(tmp_path)
    assert found[:6] == ["first", *["unchanged"] * 5]
    assert found[9:] == ["drifted"] * 3 + ["unchanged"]


def test_another_runtime_or_system_is_no_drift_and_begins_anew(draw: Draw, tmp_path: Path) -> None:
    nights(draw, [1, 1, 1, 1])
    nights(draw, [1.2, 1.2, 1.2, 1.2], first=5, runtime="tflite 2.15")
    nights(draw, [1.2, 1.3], first=9, runtime="tflite 2.15", os="Android 15")
    ((history,), _) = read_histories([tmp_path])
    assert [night.era for night in history.nights] == [0] * 4 + [1] * 4 + [2] * 2
    assert [night.state for night in history.nights][4:] == ["first", *["unchanged"] * 3, "first", "drifted"]
    assert re.match(
        r"2026-11-05: runtime is tflite 2\.15, was tflite 2\.14: what differs from then on is no drift \(all blocks "
        r"\+(19|20)\.\d %, standard error 0\.\d+ %\)",
        history.events[0],
    )
    assert history.events[1].startswith("2026-11-09: os is Android 15, was Android 14: what differs")
    assert history.events[2] == history.aside and history.aside.startswith("2026-11-10: all blocks +8")


def test_blocks_that_changed_are_named(draw: Draw, tmp_path: Path) -> None:
    slower = np.where(np.arange(len(BLOCKS)) == 17, 1.5, 1.0)
    nights(draw, [1, 1, 1, slower, slower, 1])
    ((history,), _) = read_histories([tmp_path])
    assert [night.state for night in history.nights][2:] == [
        "unchanged",
        "blocks changed",
        "blocks changed",
        "unchanged",
    ]
    assert re.fullmatch(
        rf"2026-11-04 to 2026-11-05 \(2 tables\): 1 of {len(BLOCKS)} blocks changed \({re.escape(str(BLOCKS[17]))} "
        r"\+\d\d %\), against the tables from 2026-11-01 on",
        history.events[0],
    )


def test_devices_and_settings_are_apart_and_what_is_none_is_named(draw: Draw, tmp_path: Path) -> None:
    nights(draw, [1, 1], device_id="1")
    nights(draw, [1.5, 1.5], first=3, device_id="2")
    nights(draw, [2.0], first=5, device_id="2", threads="4")
    (tmp_path / "copy.csv").write_bytes((tmp_path / "n01.csv").read_bytes())
    draw("estimate", 9, provenance="estimated", when="2026-11-01")
    draw("undated", 10)
    draw("impossible", 11, when="2026-13-01")
    few = LatencyTable.load(tmp_path / "n01.csv")
    LatencyTable(few.header, few.rows[:9]).save(tmp_path / "few.csv")
    (tmp_path / "other.csv").write_text("a,b\n1,2\n")
    histories, left_out = read_histories([tmp_path])
    assert [(h.device_id, len(h.nights), h.aside) for h in histories] == [("1", 2, ""), ("2", 2, ""), ("2", 1, "")]
    assert sorted(left.path.name for left in left_out) == [
        "estimate.csv",
        "few.csv",
        "impossible.csv",
        "n01.csv",
        "undated.csv",
    ]


def test_tables_of_before_there_were_ids_are_of_the_only_device_of_their_name(draw: Draw, tmp_path: Path) -> None:
    nights(draw, [1, 1])
    nights(draw, [1, 1], first=3, device_id="1")
    nights(draw, [1], first=5, device_id="2", device="another")
    histories, _ = read_histories([tmp_path])
    assert sorted((h.device_id, len(h.nights)) for h in histories) == [("1", 4), ("2", 1)]
    nights(draw, [1], first=6, device_id="3")
    histories, _ = read_histories([tmp_path])  # of which of two is not known
    assert sorted((h.device_id, len(h.nights)) for h in histories) == [("", 2), ("1", 2), ("2", 1), ("3", 1)]


def test_what_is_no_history_is_refused(draw: Draw, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    undated = draw("undated", 0)
    (link := tmp_path / "link.json").symlink_to(undated)
    before = undated.read_bytes()
    for words, message in (
        ([], "FOLDERS is needed"),
        ([empty], "empty: no measured table is in there"),
        ([tmp_path / "none"], "none: no such file or folder"),
        ([undated], "undated.csv: header when is '', expected a date such as 2026-11-27"),
        (["/dev/null"], "/dev/null"),
        ([empty, "--alpha", "0"], "--alpha is 0"),
        ([empty, "--json", undated], "undated.csv is there, and is not what profilers.lab.history writes"),
        ([tmp_path, "--json", undated], "undated.csv is there, and is not what profilers.lab.history writes"),
        ([undated, "--json", undated], "undated.csv, the file that FOLDERS names: name another"),
        ([undated, "--json", link], "link.json, the file that FOLDERS names: name another"),
    ):
        done = ended(main, capsys, *words, failed=2)
        assert (done.returncode, done.stderr.count("\n")) == (2, 1), done.stderr
        assert message in done.stderr
    assert undated.read_bytes() == before


def test_dates_of_two_time_zones_are_in_the_order_of_time(draw: Draw, tmp_path: Path) -> None:
    draw("first", 1, 1, when="2026-11-02T00:30:00+02:00")
    draw("second", 2, 1, when="2026-11-01T23:30:00+00:00")
    draw("third", 3, 1, when="2026-11-02")
    ((history,), _) = read_histories([tmp_path])
    assert [night.path.stem for night in history.nights] == ["first", "second", "third"]


def test_a_table_of_other_blocks_is_a_history_of_its_own(
    draw: Draw, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Neither it nor another runtime that came with it keeps the others from being followed."""
    nights(draw, [1, 1, 1, 1.2, 1.3])
    for night in range(1, 6):
        path = tmp_path / f"n{night:02}.csv"
        table = LatencyTable.load(path)
        # of both: a table's classes are one of its settings
        rows = [row for n, row in enumerate(table.rows) if n % 2 == night % 2 or row.block.op == "linear"]
        LatencyTable({**table.header, "runtime": "tflite 2.15"} if night == 2 else table.header, rows).save(path)
    assert main([str(tmp_path), "--json", str(tmp_path / "h.json")]) == 1
    first, second = json.loads((tmp_path / "h.json").read_text())["history"]
    assert [(night["when"][:10], night["state"]) for night in first["nights"]] == [
        ("2026-11-01", "first"),
        ("2026-11-03", "unchanged"),
        ("2026-11-05", "drifted"),
    ]
    assert [night["when"][:10] for night in second["nights"]] == ["2026-11-02", "2026-11-04"]
    words = "2026-11-02: a history of its own: too few of its blocks are in the tables from 2026-11-01 on"
    assert second["events"][0] == words
    assert words in capsys.readouterr().out
