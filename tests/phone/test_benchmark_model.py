"""The stock benchmark_model as the runner, on the test phone; the tool itself is a stand-in that prints as it does."""

from pathlib import Path

import pytest

from device_agents.android.testphone.phone import TestPhone
from ofa.errors import InputError
from ofa.tables import LatencyTable
from profilers.android import main

# the first test may have to build the phone
pytestmark = [pytest.mark.phone, pytest.mark.timeout(900)]
SMALL = ["--space", "mbv3-w0.35", "--resolutions", "32", "--limit", "4", "--quick", "--rounds", "2"]
STAND_IN = """#!/system/bin/sh
case "$1" in
  --graph=*/b00002.tflite) echo "ERROR: Failed to load model"; exit 1;;
esac
[ -f "${1#--graph=}" ] || exit 2
echo "Log parameter values verbosely: [0]"
echo "INFO: Running benchmark for at least 4 iterations"
echo "INFO: count=4 first=90 curr=70 min=70 max=90 avg=75 std=4"
echo "INFO: count=30 first=52 curr=50 min=49 max=61 avg=51.5 std=2"
echo "Inference timings in us: Init: 1200, First inference: 90, Warmup (avg): 75, Inference (avg): 51.5"
grep Cpus_allowed_list /proc/$$/status >&2
"""


def test_what_benchmark_model_prints_becomes_a_table(phone: TestPhone, results, tmp_path: Path, capsys) -> None:
    tool, out = tmp_path / "benchmark_model", tmp_path / "t.csv"
    tool.write_text(STAND_IN)
    arguments = ["--serial", phone.serial, "--runner", "benchmark_model", "--agent-bin", str(tool), *SMALL]
    assert main([*arguments, "--out", str(out)]) == 1
    assert "Failed to load model" in capsys.readouterr().out
    table = LatencyTable.load(out)
    assert [row.latency_ms for row in table.rows] == [0.0515] * 3
    assert table.header["runtime"].startswith("benchmark_model (sha256 ")
    assert table.header["device"] == "ofa-latency Test phone"
    assert table.header["heat_gate"].startswith("off: ")
    assert (phone.state / "fixed_performance").read_text().split() == ["true", "false"]
    assert all(result["statistic"] == "mean" for result in results(out))


def test_without_the_tool_there_is_nothing_to_run(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="needs the tool itself, by --agent-bin: no --agent-bin is given"):
        main(["--serial", "127.0.0.1:1", "--runner", "benchmark_model", "--out", str(tmp_path / "t.csv")])
