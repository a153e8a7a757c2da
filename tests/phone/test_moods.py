"""Phones that behave as real ones do: each run ends with a table whose header tells the truth of that phone."""

from pathlib import Path

import pytest

from device_agents.android.testphone.moods import MOODS
from ofa.tables import LatencyTable
from profilers.android import main

# the first test may have to build the phone
pytestmark = [pytest.mark.phone, pytest.mark.timeout(900)]
SMALL = ["--space", "mbv3-w0.35", "--resolutions", "32", "--limit", "6", "--quick", "--rounds", "1"]


def test_a_noisy_sensor_ends_no_run(boot, results, tmp_path: Path) -> None:
    phone, out = boot(mood=MOODS["noisy"]), tmp_path / "t.csv"
    assert main(["--serial", phone.serial, *SMALL, "--max-temperature", "70", "--out", str(out)]) == 0
    assert len(LatencyTable.load(out).rows) == 6
    assert LatencyTable.load(out).header["heat_gate"] == "visits wait while the processor is above 70 C"
    assert all(result["temperature_c_before"] <= 70 for result in results(out))
