"""`python -m profilers.regenerate`: killed and resumed, by a made-up device and by the real profiler."""

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from ofa.tables import LatencyTable, TableRow
from ofa.tables.shipped import shipped_folder
from profilers.changes import regeneration
from tests.profilers.changes.regenerated import BLOCKS, ENTRY, HEADER, Device, Run, table

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture
def three(folder: Path) -> Path:
    """Three tables: one without visits, whose journal is not beside it, one that is new, and one as ever."""
    (folder / "tables.toml").write_text("".join(ENTRY.format(file=f"{name}.csv") for name in "tuv"))
    old = table(100, {}, 1.0)
    LatencyTable(HEADER, [TableRow(row.block, row.latency_ms) for row in old.rows]).save(folder / "t.csv")
    old.save(folder / "v.csv")
    return folder


class Killed(BaseException):
    pass


@pytest.mark.parametrize("moment", range(5))
def test_a_run_that_was_killed_as_it_accepted_goes_on_and_compares_with_what_was_there(
    moment: int, device: Device, run: Run, three: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    device.first = device.second = {BLOCKS[7]: 1.3}
    whole, done = regeneration._copy, []

    def copied(source: Path, target: Path) -> None:
        if len(done) == moment:
            raise Killed
        done.append(target)
        whole(source, target)

    monkeypatch.setattr(regeneration, "_copy", copied)
    monkeypatch.setattr(regeneration, "write_plot", lambda *_: None)  # dozens of them
    # t and v are kept, t, u and v replaced: five copies in all
    with pytest.raises(Killed):
        run("--accept")
    monkeypatch.setattr(regeneration, "_copy", whole)
    measured, replaced = len(device.asked), [path for path in done if path.parent == three]
    code, report = run("--resume")
    assert code == 1
    assert [f"- {path.name}: accepted" in report for path in replaced] == [True] * len(replaced)
    for path in (three / f"{name}.csv" for name in "tuv"):
        is_new = path.is_file() and path.read_bytes() == (three / "out" / path.name).read_bytes()
        assert is_new == (path in replaced)
    for table_after in ("t.csv | cpu | changed", "u.csv | cpu | new", "v.csv | cpu | changed"):
        assert table_after in report
    code, report = run("--resume", "--accept")
    assert (code, len(device.asked)) == (1, measured), "nothing is measured again"
    assert report.count(".csv: accepted;") == 3
    assert "To accept" not in report
    again = run("--resume", "--accept")
    assert (again[0], again[1].splitlines()[3:]) == (code, report.splitlines()[3:]), "the same, but for the time"
    assert not list(three.rglob("*.tmp"))


SMALL = (
    '[[table]]\nfile = "t.csv"\nprofiler = "cpu"\n'
    'args = ["--space", "mbv3-w0.35", "--resolutions", "64", "--quick", "--rounds", "1", "--limit", "40"]\n'
)


def start(folder: Path, *more: str) -> subprocess.Popen:
    """A run whose errors go to the file `errors`: a pipe would stay open in what it leaves behind."""
    command = [sys.executable, "-m", "profilers.regenerate", "--config", str(folder / "tables.toml")]
    with (folder / "errors").open("w") as errors:
        return subprocess.Popen(
            [*command, "--out", str(folder / "out"), *more], cwd=ROOT, stdout=subprocess.DEVNULL, stderr=errors
        )


def errors_of(process: subprocess.Popen, folder: Path) -> str:
    process.wait()
    return (folder / "errors").read_text()


def wait_for_visits(journal: Path) -> None:
    while not (journal.exists() and journal.read_bytes().count(b'"result"') > 10):
        time.sleep(0.02)


def test_a_killed_run_waits_for_its_orphan_and_goes_on(tmp_path: Path) -> None:
    (tmp_path / "tables.toml").write_text(SMALL)
    journal = tmp_path / "out" / "t.journal.jsonl"
    first = start(tmp_path)
    wait_for_visits(journal)
    first.kill()
    first.wait()
    # the profiler that was left behind ends by itself
    while (again := start(tmp_path, "--resume")).wait() == 2:
        said = errors_of(again, tmp_path)
        assert said.startswith(f"error: {tmp_path}/out is in use by process {first.pid} on ")
        assert said.endswith(", or by a profiler that it left behind\n")
        time.sleep(1)  # a start takes as long
    assert again.returncode == 1
    visits = [r for r in map(json.loads, journal.read_text().splitlines()) if r["kind"] == "result"]
    numbers = [(r["pass"], r["number"]) for r in visits]
    assert len(numbers) == len(set(numbers)), "a visit was made twice"
    assert len(LatencyTable.load(tmp_path / "out" / "t.csv").rows) == 40


def test_an_ended_run_ends_its_profiler_and_says_how_to_go_on(tmp_path: Path) -> None:
    (tmp_path / "tables.toml").write_text(SMALL)
    process = start(tmp_path)
    wait_for_visits(tmp_path / "out" / "t.journal.jsonl")
    process.send_signal(signal.SIGTERM)
    said = errors_of(process, tmp_path)
    assert process.returncode == 130
    assert said.rstrip().endswith("--resume")
    assert "Traceback" not in said
    assert not (tmp_path / "out" / "t.csv").exists()
    with regeneration.locked(tmp_path / "out"):
        pass


def test_exit_codes_of_wrong_input(tmp_path: Path) -> None:
    process = start(tmp_path)
    said = errors_of(process, tmp_path)
    assert process.returncode == 2
    shipped = shipped_folder() / "tables.toml"
    assert said == f"error: {tmp_path}/tables.toml: no such configuration (the project's own is {shipped})\n"
    assert shipped.is_file()
