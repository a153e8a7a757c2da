"""`python -m profilers.compare`: what it prints, writes and exits with."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from ofa.blocks import all_blocks
from ofa.blocks.costs import block_macs
from ofa.errors import InputError, UsageError
from ofa.space import get_space
from ofa.tables import LatencyTable, TableRow
from profilers.changes.comparison import compare_tables, differences
from profilers.compare import main
from tests.helpers.programs import ended

BLOCKS = all_blocks(get_space("mbv3-w0.35"), [64])
HEADER = {
    "device": "D",
    "soc": "S",
    "runtime": "onnxruntime 1",
    "threads": "1",
    "batch": "1",
    "dtype": "float32",
    "provenance": "measured",
    "space": "mbv3-w0.35",
    "source": "test",
}


def write(path: Path, seed: int, slower: dict[int, float] | None = None, drift: float = 1.0, **header: str) -> Path:
    """A table with visits; some blocks slower by a factor."""
    rng = np.random.default_rng(seed)
    rows = []
    for i, block in enumerate(BLOCKS):
        latency = (0.01 + block_macs(block) / 1e7) * drift * (slower or {}).get(i, 1.0)
        visits = np.round(latency * np.exp(0.01 * rng.standard_normal(5)), 6)
        rows.append(TableRow(block, float(np.median(visits)), visits_ms=tuple(visits.tolist())))
    LatencyTable({**HEADER, **header}, rows).save(path)
    return path


@pytest.mark.drawn
def test_a_changed_block_is_named_and_drift_told_apart(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    old, new = write(tmp_path / "old.csv", 0), write(tmp_path / "new.csv", 1, {7: 1.3}, drift=1.2)
    code = main([str(old), str(new), "--json", str(tmp_path / "c.json"), "--plot", str(tmp_path / "c.png")])
    said = capsys.readouterr().out
    assert code == 1
    assert f"1 of {len(BLOCKS)} blocks changed" in said
    assert "drift: +2" in said or "drift: +19" in said
    assert "warning" not in said
    found = json.loads((tmp_path / "c.json").read_text())
    assert found["drift"] == pytest.approx(1.2, rel=0.02)
    assert [b["block"] for b in found["blocks"] if b["changed"]] == [str(BLOCKS[7])] == [found["blocks"][0]["block"]]
    assert found["blocks"][0]["effect"] == pytest.approx(0.3, abs=0.04)
    assert len(found["blocks"]) == len(BLOCKS)
    assert (tmp_path / "c.png").read_bytes().startswith(b"\x89PNG")


def test_an_unchanged_table_exits_with_0(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(write(tmp_path / "old.csv", 0)), str(write(tmp_path / "new.csv", 1, drift=0.96))]) == 0
    assert f"0 of {len(BLOCKS)} blocks changed" in capsys.readouterr().out


def test_all_blocks_faster_together_are_told_though_none_changed(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    assert main([str(write(tmp_path / "old.csv", 0)), str(write(tmp_path / "new.csv", 1, drift=0.8))]) == 1
    said = capsys.readouterr().out
    assert f"0 of {len(BLOCKS)} blocks changed" in said
    assert "all blocks together changed by -" in said and "beyond 5 % and 5 standard errors" in said


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["none.csv", "note10"], "none.csv: no such latency table"),
        (["xeon-vm-tflite", "note10"], "0 blocks are in both tables, expected at least 10"),
        (["note10", "note10", "--alpha", "2"], "--alpha is 2.0, expected a number between 0 and 1"),
        (["note10", "note10", "--effect", "-1"], "--effect is -1.0"),
        (["note10", "note10", "--plot", "/dev/null/c.png"], "/dev/null"),
        (["note10"], "NEW"),
    ],
)
def test_what_cannot_be_compared_exits_with_2(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    done = ended(main, capsys, *arguments, failed=2)  # 1 is an answer
    assert done.returncode == 2
    assert message in done.stderr
    assert "Traceback" not in done.stderr


def test_tables_of_different_measurements_are_compared_with_a_warning(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    old = write(tmp_path / "old.csv", 0)
    assert main([str(old), str(write(tmp_path / "new.csv", 1, threads="2", runtime="onnxruntime 2"))]) == 0
    said = capsys.readouterr().out
    assert "warning: the tables differ in runtime: onnxruntime 1 against onnxruntime 2" in said
    assert "warning: the tables differ in threads: 1 against 2" in said


def test_blocks_timed_in_place_are_not_compared_with_blocks_timed_alone(tmp_path: Path) -> None:
    old, new = write(tmp_path / "old.csv", 0), write(tmp_path / "new.csv", 1, timing="in place")
    message = r"old.csv was timed warm, .*new.csv in place: their blocks cannot be compared"
    with pytest.raises(InputError, match=message):
        main([str(old), str(new)])
    with pytest.raises(InputError, match="cannot be compared"):
        main([str(new), str(old)])
    # a table of before tables said it was timed alone
    assert compare_tables(*(LatencyTable.load(p) for p in (old, write(tmp_path / "w.csv", 1, timing="warm")))).blocks


def test_the_devices_name_counts_only_where_no_soc_is_stated() -> None:
    assert differences(HEADER, {**HEADER, "device": "E"}) == []
    without = {key: value for key, value in HEADER.items() if key != "soc"}
    assert differences(without, {**without, "device": "E"}) == ["device: D against E"]
    assert differences(HEADER, {**HEADER, "delegate": "gpu"}) == ["delegate: not stated against gpu"]


def test_blocks_of_one_table_and_blocks_without_a_good_visit_are_listed(tmp_path: Path) -> None:
    old, new = (LatencyTable.load(write(tmp_path / f"{i}.csv", i)) for i in range(2))
    # every visit of block 3 was disturbed: ten times as slow, and no visits
    rows = [replace(row, latency_ms=10 * row.latency_ms, visits_ms=None) if i == 3 else row
            for i, row in enumerate(new.rows)]  # fmt: skip
    fewer = LatencyTable(old.header, old.rows[1:])
    found = compare_tables(fewer, LatencyTable(new.header, rows[:-1]))
    assert found.only_new == (BLOCKS[0],)
    assert found.only_old == (BLOCKS[-1],)
    assert found.not_judged == (BLOCKS[3],)
    assert len(found.blocks) == len(BLOCKS) - 3
    assert found.changed == ()


def test_a_table_with_too_few_common_blocks_names_both(tmp_path: Path) -> None:
    table = LatencyTable.load(write(tmp_path / "old.csv", 0))
    few = LatencyTable(table.header, table.rows[:9], tmp_path / "few.csv")
    with pytest.raises(InputError, match=r"few\.csv cannot be compared: 9 blocks are in both tables"):
        compare_tables(table, few)


def test_neither_a_table_nor_the_other_output_is_written_over(tmp_path: Path) -> None:
    old, new = (str(write(tmp_path / name, 0)) for name in ("old.csv", "new.csv"))
    before = [Path(path).read_bytes() for path in (old, new)]
    for option in ("--json", "--plot"):
        for path, names in ((old, "OLD"), (new, "NEW")):
            with pytest.raises(UsageError, match=rf"{option} is .*, the file that {names} names: name another"):
                main([old, new, option, path])
    both = ["--plot", str(tmp_path / "c"), "--json", str(tmp_path / "." / "c")]
    with pytest.raises(UsageError, match=r"--json is .*, the file that --plot names: name another"):
        main([old, new, *both])
    assert [Path(path).read_bytes() for path in (old, new)] == before
    assert {path.name for path in tmp_path.iterdir()} == {"old.csv", "new.csv"}
