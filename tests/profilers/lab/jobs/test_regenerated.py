"""Two nights of a lab: tables measured again, a failure that is tried again, what changed taken over."""

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from ofa.tables import LatencyTable
from profilers import regenerate
from profilers.lab.config import RunLabConfig
from profilers.lab.devices import Device
from profilers.lab.run import runs
from profilers.lab.status import run_lines
from profilers.lab.words import WORKS
from tests.helpers.labs import LocalHosts
from tests.helpers.programs import Ended, ended
from tests.profilers.changes.regenerated import ENTRY, HEADER, table
from tests.profilers.lab.jobs import lab_regenerate

LAB = "[[job]]\nname = 'nightly'\ncommand = 'regenerate'\ntables = 'tables.toml'\nretries = 0\n"


@pytest.fixture
def shelf(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> LocalHosts:
    """A host with a CPU, whose profilers are made up, and the tables of a team."""
    made_up = replace(WORKS["regenerate"], modules={"cpu": "tests.profilers.lab.jobs.lab_regenerate"})
    monkeypatch.setitem(WORKS, "regenerate", made_up)  # type: ignore[arg-type]
    for name in ("slow", "broken"):
        made = table(len(name), {}, 1.0)
        LatencyTable({**made.header, "when": "2026-11-01T03:00:00+00:00"}, made.rows).save(tmp_path / f"{name}.csv")
    entries = [ENTRY.format(file=f"{name}.csv") for name in ("slow", "broken")]
    (tmp_path / "tables.toml").write_text("".join(entries))
    (tmp_path / "lab.toml").write_text(LAB)
    return LocalHosts(tmp_path / "hosts", {"a": [Device("cpu-1", "cpu", "", HEADER["soc"], HEADER["soc"])]})


def latency(path: Path) -> float:
    """Of the block that became slower."""
    (found,) = (row.latency_ms for row in LatencyTable.load(path).rows if row.block in lab_regenerate.SLOWER)
    return found


def test_two_nights(
    shelf: LocalHosts, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def taken_over(command: list[str], **_: object) -> Ended:
        """profilers.regenerate itself, in this process."""
        assert command[1:3] == ["-m", "profilers.regenerate"]
        return ended(regenerate.main, capsys, *command[3:], failed=2)

    monkeypatch.setattr(runs, "subprocess", SimpleNamespace(run=taken_over, DEVNULL=None))
    out, committed = tmp_path / "out", tmp_path / "slow.csv"
    before = committed.read_bytes()

    def night(**how: bool) -> tuple[int, list[str]]:
        said: list[str] = []
        config = RunLabConfig(config=tmp_path / "lab.toml", out=out, **how)  # type: ignore[arg-type]
        return runs.run_lab(config, shelf, said.append, len), said

    try:
        monkeypatch.setenv("LAB_BROKEN", "1")
        code, said = night()
        why = "nightly/broken failed: on a: broken.csv: failed: profilers.cpu ended with 2: error: the sensor is gone"
        assert (code, why in said) == (2, True), said
        assert committed.read_bytes() == before
        # in the morning the sensor is put back; what was measured is not measured again
        monkeypatch.delenv("LAB_BROKEN")
        code, said = night(resume=True, accept=True)
        assert code == 1, said
        assert any(line.startswith("slow.csv: accepted; for the correction") for line in said)
        assert any(line.startswith("broken.csv: unchanged, and kept as one of 2 runs") for line in said)
        kept = out / "nightly" / "slow" / "new" / "slow.before.csv"
        assert kept.read_bytes() == before
        assert latency(committed) > 1.4 * latency(kept)
        assert (tmp_path / "baseline" / "broken" / "2026-11-27.csv").is_file()
        report = (out / "report.md").read_text()
        assert "## Taken over" in report
        assert run_lines(out)[0][0].endswith("new/slow.csv")
        # the night after: what was taken over is what is compared with
        (tmp_path / "tables.toml").write_text(ENTRY.format(file="slow.csv"))
        code, said = night(overwrite=True, accept=True)
        assert (code, "slow.csv: unchanged" in said) == (0, True), said
        assert committed.read_bytes() == (out / "nightly" / "slow" / "given" / "slow.csv").read_bytes()
        # a table that cannot be taken over is a failure
        full = SimpleNamespace(run=lambda *_, **__: Ended(2, "", "error: the disk is full\n"), DEVNULL=None)
        monkeypatch.setattr(runs, "subprocess", full)
        code, said = night(resume=True, accept=True)
        assert (code, "error: the disk is full" in said) == (2, True), said
    finally:
        shelf.close()
