"""benchmarks/latency/first_gpu_probe.py: the power that a counter tells, by the length of its window."""

import runpy
from pathlib import Path

import pytest

PROBE = Path(__file__).resolve().parents[2] / "benchmarks" / "latency" / "first_gpu_probe.py"


def test_a_window_too_short_for_a_counter_that_looks_now_and_then_is_told_from_longer_ones() -> None:
    power_by_window = runpy.run_path(str(PROBE), run_name="imported")["power_by_window"]
    clock = 0.0

    def keep_busy() -> None:
        nonlocal clock
        clock += 0.0005

    def read() -> float:
        """Of 300 W that come and go ten times a second with 100 W, in steps of 100 ms that only see one of them."""
        steps = int(clock / 0.1)
        return float(sum(30_000 if i % 4 else 10_000 for i in range(steps)))

    found = power_by_window(read, keep_busy, lambda: clock)
    assert list(found) == ["power_of_0.3_s", "power_of_1_s", "power_of_3_s"]
    milliwatts = [power for power, _, _ in found.values()]
    assert milliwatts[2] == pytest.approx(250_000, rel=0.03)
    assert abs(milliwatts[0] - 250_000) > abs(milliwatts[2] - 250_000)
    assert [seconds for *_, seconds in found.values()] == pytest.approx([0.3, 1.0, 3.0], abs=0.11)
    assert power_by_window(lambda: None, keep_busy, lambda: clock) == dict.fromkeys(found)
