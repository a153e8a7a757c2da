"""`python -m profilers.regenerate` on made-up devices: what changed, is measured again, and is taken over."""

import json
import re
from pathlib import Path

import pytest

from ofa.blocks import Block, all_blocks
from ofa.tables import LatencyTable
from profilers.changes import regeneration
from profilers.changes.comparison import BlockChange
from profilers.changes.second_look import second_arguments
from profilers.changes.tables_config import load_config
from profilers.regenerate import PROFILERS, main
from tests.profilers.changes.regenerated import BLOCKS, ENTRY, SPACE, Device, Run, table


@pytest.mark.drawn
def test_an_unchanged_device_is_measured_once_and_exits_with_0(device: Device, run: Run, folder: Path) -> None:
    before = (folder / "t.csv").read_bytes()
    device.drift = 0.97
    code, report = run()
    assert (code, len(device.asked)) == (0, 1)
    assert "| t.csv | cpu | unchanged |" in report
    assert "ran faster or slower as a whole" not in report
    assert "-3." in report or "-2." in report
    assert "To accept" not in report
    assert (folder / "t.csv").read_bytes() == before
    assert json.loads((folder / "out" / "t.comparison.json").read_text())["changed"] == 0
    assert (folder / "out" / "t.comparison.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize("drift", [0.9, 1.3])
def test_all_blocks_slower_is_an_alarm_and_not_unchanged(device: Device, run: Run, folder: Path, drift: float) -> None:
    before = (folder / "t.csv").read_bytes()
    device.drift = drift
    code, report = run("--accept")
    assert (code, len(device.asked)) == (1, 2)
    asked = device.asked[1]
    assert (asked[asked.index("--seed") + 1], asked[asked.index("--resolutions") + 1]) == ("1", "64")
    assert "| t.csv | cpu | changed |" in report
    assert "ran faster or slower as a whole" in report
    sizes = re.search(r"all blocks: (\S+) %, and (\S+) % again", report)
    assert sizes and [float(size) for size in sizes.groups()] == pytest.approx([100 * (drift - 1)] * 2, abs=0.5)
    assert "or, if it stays like this, copy" in report
    assert (folder / "t.csv").read_bytes() == before, "what the machine does as a whole is not taken over unseen"


def test_a_drift_that_is_gone_when_measured_again_is_no_alarm(device: Device, run: Run) -> None:
    device.drift, device.second_drift = 1.3, 1.0
    code, report = run()
    assert (code, len(device.asked)) == (0, 2)
    assert "| t.csv | cpu | unchanged |" in report


def test_unchanged_runs_of_other_days_become_a_baseline(device: Device, run: Run, folder: Path) -> None:
    kept = folder / "baseline" / "t"
    old = LatencyTable.load(folder / "t.csv")
    LatencyTable({**old.header, "when": "2026-11-20T01:00:00+00:00"}, old.rows).save(folder / "t.csv")
    for day in range(21, 26):  # the fifth finds all places taken
        device.header = {"when": f"2026-11-{day}T01:00:00+00:00"}
        for _again in range(2):  # the same day a second time counts once
            assert run("--overwrite", "--accept")[0] == 0
            count = min(day - 20, 4)
            assert [path.name for path in sorted(kept.iterdir())] == [f"2026-11-{d}.csv" for d in range(21, 21 + count)]
        _, report = run("--resume", "--accept")
        runs = 1 + len([d for d in range(21, day) if d < 25])
        assert (f"the old figures are of {runs} runs on different days" in report) == (runs >= 3)
    # without --accept nothing is kept
    assert not list(folder.glob("*.tmp"))
    device.first = device.second = {BLOCKS[7]: 1.3}
    code, report = run("--overwrite", "--accept")
    assert code == 1 and "of 5 runs" in report
    # the table was replaced: runs of the old one are none of the new one's, and make way for its own
    device.first = device.second = {}
    device.header = {"when": "2026-11-29T01:00:00+00:00"}
    rows = LatencyTable.load(folder / "t.csv").rows
    device.rows = rows
    code, report = run("--overwrite", "--accept")
    assert code == 0 and "the old figures are of one run" in report
    assert [path.name for path in kept.iterdir()] == ["2026-11-29.csv"]


def test_blocks_are_timed_as_those_of_the_committed_table(device: Device, run: Run, folder: Path) -> None:
    device.first = device.second = {BLOCKS[7]: 1.3}
    run()
    assert [asked[asked.index("--timing") + 1] for asked in device.asked] == ["warm", "warm"]
    old = LatencyTable.load(folder / "t.csv")
    LatencyTable({**old.header, "timing": "in place"}, old.rows).save(folder / "t.csv")
    device.header, device.first = {"timing": "in place"}, {}
    code, report = run("--overwrite")
    assert code == 0 and device.asked[2][-2:] == ["--timing", "in-place"]
    # asked for otherwise: said before an hour is spent
    (folder / "tables.toml").write_text(ENTRY.format(file="t.csv").replace('"64,96"', '"64,96", "--timing", "warm"'))
    code, report = run("--overwrite")
    assert code == 2 and len(device.asked) == 3
    assert "was timed in place, its args ask for warm" in report and "take --timing in-place" in report


def test_a_changed_block_is_measured_again_named_and_only_taken_over_on_demand(
    device: Device, run: Run, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = (folder / "t.csv").read_bytes()
    device.first = device.second = {BLOCKS[7]: 1.3}
    code, report = run()
    assert code == 1
    assert len(device.asked) == 2
    assert "| t.csv | cpu | changed |" in report
    (row,) = [line for line in report.splitlines() if line.startswith("| `")]
    assert str(BLOCKS[7]) in row
    assert "--resume --accept` replaces t.csv by the new tables" in report
    assert "profilers.validate --table TABLE" in report
    assert f"changed: {BLOCKS[7]}" in capsys.readouterr().out
    assert (folder / "t.csv").read_bytes() == before
    code, report = run("--resume", "--accept")
    assert (code, len(device.asked)) == (1, 2), "accepting measures nothing"
    assert (folder / "t.csv").read_bytes() == (folder / "out" / "t.csv").read_bytes() != before
    assert "accepted; for the correction and expected error of its sums" in report
    assert not [path for path in folder.iterdir() if path.name.startswith(".t")]


@pytest.mark.parametrize("second", [{}, {BLOCKS[7]: 0.7}])
def test_what_the_second_measurement_does_not_confirm_is_no_alarm(device: Device, run: Run, second: dict) -> None:
    device.first, device.second = {BLOCKS[7]: 1.5}, second
    code, report = run()
    assert (code, len(device.asked)) == (0, 2)
    assert f"looked changed once, not when measured again: 1: `{BLOCKS[7]}`" in report


def test_a_drifted_table_is_not_taken_over(device: Device, run: Run, folder: Path) -> None:
    before = (folder / "t.csv").read_bytes()
    device.first = device.second = {BLOCKS[7]: 1.5}
    device.drift = 1.2
    code, report = run("--accept")
    assert code == 1
    assert "not accepted: all of it drifted by" in report
    assert (folder / "t.csv").read_bytes() == before


def test_a_table_that_lacks_blocks_of_the_committed_one_is_not_taken_over(
    device: Device, run: Run, folder: Path
) -> None:
    whole = table(100, {}, 1.0)
    LatencyTable({**whole.header, "provenance": "estimated"}, whole.rows).save(folder / "t.csv")
    before = (folder / "t.csv").read_bytes()
    device.rows = whole.rows[:12]
    code, report = run("--accept")
    assert code == 1
    assert f"not accepted: it lacks {len(whole.rows) - 12} blocks of the committed table: measure all of it" in report
    assert (folder / "t.csv").read_bytes() == before
    device.rows = whole.rows
    run("--overwrite", "--accept")
    assert LatencyTable.load(folder / "t.csv").provenance == "measured"


def test_a_table_of_another_device_is_skipped_and_not_measured(device: Device, run: Run, folder: Path) -> None:
    other = table(100, {}, 1.0)
    LatencyTable({**other.header, "soc": "Z80"}, other.rows).save(folder / "t.csv")
    code, report = run()
    assert (code, device.asked) == (0, [])
    assert "| t.csv | cpu | skipped |" in report
    assert "the table is of Z80" in report


def test_a_new_table_of_another_measurement_is_refused(device: Device, run: Run) -> None:
    device.header = {"runtime": "onnxruntime 2"}
    code, report = run("--accept")
    assert code == 2
    assert "differs in runtime: onnxruntime 1 against onnxruntime 2" in report


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        ((2, "error: the phone burns"), "ended with 2: error: the phone burns"),
        ((-9, ""), "with -9: it printed nothing"),
    ],
)
def test_a_failed_profiler_is_reported_and_the_other_tables_go_on(
    device: Device, run: Run, folder: Path, answer: tuple[int, str], message: str
) -> None:
    (folder / "tables.toml").write_text(ENTRY.format(file="t.csv") + ENTRY.format(file="u.csv"))
    device.answer = answer
    code, report = run()
    assert (code, len(device.asked)) == (2, 2)
    assert message in report
    device.answer = (0, "")
    code, report = run("--resume")
    assert code == 1
    assert "| t.csv | cpu | unchanged |" in report
    assert "| u.csv | cpu | new |" in report


def test_failed_blocks_fail_the_table_though_the_rest_is_compared(device: Device, run: Run) -> None:
    device.answer, device.header = (1, ""), {"failed_blocks": "3"}
    code, report = run("--accept")
    assert code == 2
    assert "3 blocks could not be measured" in report
    assert "- drift: " in report


@pytest.mark.usefixtures("device")
def test_a_table_that_is_not_there_or_an_estimate_is_new(run: Run, folder: Path) -> None:
    other = table(100, {}, 1.0)
    LatencyTable({**other.header, "provenance": "estimated"}, other.rows).save(folder / "t.csv")
    assert run("--accept")[0] == 1
    assert LatencyTable.load(folder / "t.csv").provenance == "measured"
    (folder / "t.csv").unlink()
    code, report = run("--overwrite", "--accept")
    assert code == 1
    assert "| t.csv | cpu | new |" in report
    assert (folder / "t.csv").is_file()


def test_an_earlier_run_is_not_lost_and_one_of_other_tables_not_gone_on_with(
    device: Device, run: Run, folder: Path
) -> None:
    run()
    with pytest.raises(ValueError, match="holds an earlier run: continue it with --resume"):
        run()
    table(101, {}, 1.0).save(folder / "t.csv")
    with pytest.raises(ValueError, match=r"was begun with t\.csv\[5\] = .*, but this one has"):
        run("--resume")
    assert run("--overwrite")[0] == 0
    assert len(device.asked) == 2
    # tables that no journal tells of are not removed either
    (folder / "out" / "regenerate.journal.jsonl").unlink()
    before = (folder / "out" / "t.csv").read_bytes()
    for more in ([], ["--resume"]):
        with pytest.raises(
            ValueError, match=r"out/t\.csv is of no run that .*regenerate\.journal\.jsonl tells of: name"
        ):
            run(*more)
    assert (folder / "out" / "t.csv").read_bytes() == before


def test_a_table_that_another_changed_after_it_was_accepted_is_not_taken_for_the_runs_own(
    device: Device, run: Run, folder: Path
) -> None:
    device.first = device.second = {BLOCKS[7]: 1.3}
    run("--accept")
    table(101, {}, 1.0).save(folder / "t.csv")
    with pytest.raises(ValueError, match=r"was begun with t\.csv\[5\] = .*, but this one has"):
        run("--resume")
    assert run("--overwrite", "--accept")[0] == 1
    assert run("--resume")[0] == 1


def test_the_folder_of_the_committed_tables_is_no_place_for_the_new_ones(folder: Path) -> None:
    before = (folder / "t.csv").read_bytes()
    with pytest.raises(ValueError, match="is the folder of the tables that are compared with: name another"):
        main(["--config", str(folder / "tables.toml"), "--out", str(folder / "x" / "..")])
    assert (folder / "t.csv").read_bytes() == before


def test_the_second_measurement_takes_the_resolutions_that_it_needs(folder: Path) -> None:
    (entry,) = load_config(folder / "tables.toml", PROFILERS)

    def asked(blocks: list[Block]) -> dict[str, str]:
        return second_arguments(entry, [BlockChange(b, 1, 1, 0, 1, 1, True) for b in blocks])

    small, large = (set(all_blocks(SPACE, [r])) for r in (64, 96))
    only_small, only_large = (sorted(x - y, key=str)[0] for x, y in ((small, large), (large, small)))
    assert asked([only_small]) == {"--seed": "1", "--resolutions": "64"}
    assert asked([only_large]) == {"--seed": "1", "--resolutions": "96"}
    assert asked([only_small, only_large]) == {"--seed": "1", "--resolutions": "64,96"}
    (folder / "tables.toml").write_text(ENTRY.format(file="t.csv").replace('"64,96"', '"64,96", "--limit", "5"'))
    (entry,) = load_config(folder / "tables.toml", PROFILERS)
    assert asked([only_small]) == {"--seed": "1"}


def test_a_configuration_is_read_from_wherever_one_stands(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is called as a table in the present folder is nothing to it."""
    (tmp_path / "here" / "t.csv").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "here")
    assert [entry.file for entry in load_config(folder / "tables.toml", PROFILERS)] == ["t.csv"]


def test_a_run_that_was_refused_leaves_no_folder(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def unreadable(path: Path) -> str:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(regeneration, "sha256", unreadable)
    with pytest.raises(PermissionError):
        main(["--config", str(folder / "tables.toml"), "--out", str(folder / "runs" / "today")])
    assert sorted(path.name for path in folder.iterdir()) == ["t.csv", "tables.toml"]
