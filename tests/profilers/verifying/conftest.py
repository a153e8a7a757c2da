"""A search in a table of planted latencies, and its verification."""

import json
from pathlib import Path
from typing import Any

import pytest

from ofa.search.__main__ import main as search
from profilers.verify import main
from tests.profilers.verifying.searched import LIMITS, Run, write_table
from tests.profilers.whole_networks.planted import PlantedDevice


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a table and what a search in it found."""
    folder = tmp_path_factory.mktemp("searched")
    table = write_table(folder / "d.csv")
    limits = [f"{limit:g}" for limit in LIMITS]
    assert search(["--table", str(table), "--latency", *limits, "--out", str(folder)]) == 0
    assert search(["--table", str(table), "--out", str(folder / "frontier")]) == 0
    return folder


@pytest.fixture
def run(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Verifies the result on a device; the exit code and the file."""

    def verify(device: PlantedDevice, *options: str) -> tuple[int, dict[str, Any]]:
        def shown(plan: Any, target: Any, rules: Any, seed: int, journal: Any, **_: Any) -> Any:
            return device.measure(plan, target, rules, seed, journal=journal)

        monkeypatch.setattr("profilers.devices.from_header.target_of", lambda *_: device.target())
        monkeypatch.setattr("profilers.profiling.console.measure_shown", shown)
        if "--plotted" not in options:
            monkeypatch.setattr("profilers.verifying.verification_report.draw", lambda *_: False)
        given = ["--table", str(made / "d.csv"), "--result", str(made / "result.json")]
        out = tmp_path / "verified.json"
        code = main([*given, "--out", str(out), "--quick", *(o for o in options if o != "--plotted")])
        return code, json.loads(out.read_text())

    return verify
