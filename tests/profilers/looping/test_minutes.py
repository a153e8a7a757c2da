"""Burst and sustained latencies from the windows of a loop, by hand."""

import math
from typing import Any

import numpy as np
import pytest

from profilers.looping.minutes import WINDOWS, LoopPlan, minutes_of, sustained_of

S = 10**9


def window(at_s: float, ms: float, *, calls: int = 1, count: int = 4, **more: Any) -> dict[str, Any]:
    """Of 5 s, with so many samples of a run that takes ms."""
    samples = [round(ms * 1e6) * calls] * count
    return {
        "samples_ns": samples, "cpu_ns": samples, "calls_per_sample": calls, "loop_ns": round(at_s * S),
        "timed_ns": 5 * S, "late": 0, "behind_s": 0.0, **more,
    }  # fmt: skip


def loop(minutes_ms: list[float], **more: Any) -> list[dict[str, Any]]:
    """A loop whose runs take so long in each of its minutes."""
    return [window(5.0 * i, minutes_ms[i // WINDOWS], **more) for i in range(WINDOWS * len(minutes_ms))]


TEN = [9.8, 10, 10.4, 11, 12, 12.5, 13, 13.1, 13.1, 13.1]


def test_of_ten_minutes_the_last_three_are_sustained_and_the_first_is_burst() -> None:
    found = sustained_of(loop(TEN), LoopPlan(10, None))
    assert str(found) == "minute 1: 9.8 ms; minutes 8-10: 13.1 ms, 1.34 times"
    assert found.factor == pytest.approx(13.1 / 9.8)
    assert (found.factor_error, found.doubts) == (0, ())
    assert [minute.median_ms for minute in found.minutes] == pytest.approx(TEN)
    assert [minute.runs for minute in found.minutes] == [48] * 10


@pytest.mark.parametrize(("count", "first"), [(2, 2), (3, 3), (4, 4), (5, 4), (10, 8), (30, 22), (60, 43)])
def test_as_large_a_share_of_other_lengths_and_never_the_first_minute(count: int, first: int) -> None:
    found = sustained_of(loop([1.0] * count), LoopPlan(count, None))
    assert (found.sustained.first, found.sustained.last, found.factor) == (first, count, 1)
    assert (found.burst.first, found.burst.last) == (1, 1)


def test_figures_are_of_all_runs_and_errors_of_windows() -> None:
    rng = np.random.default_rng(0)
    windows = loop([1.0, 2.0])
    every = []
    for i, each in enumerate(windows):
        each["samples_ns"] = rng.integers(1_000_000, 3_000_000, 7 + i % 3).tolist()
        each["cpu_ns"] = each["samples_ns"]
        every.append(np.array(each["samples_ns"]) / 1e6)
    found = sustained_of(windows, LoopPlan(2, None))
    first, last = np.concatenate(every[:WINDOWS]), np.concatenate(every[WINDOWS:])
    assert found.burst.median_ms == pytest.approx(np.median(first))
    assert found.sustained.median_ms == pytest.approx(np.median(last))
    assert found.minutes[1].p95_ms == pytest.approx(np.sort(last)[math.ceil(0.95 * len(last)) - 1])
    medians = np.array([np.median(each) for each in every[:WINDOWS]])
    mad = np.median(np.abs(medians - np.median(medians)))
    assert found.burst.error_ms == pytest.approx(1.2533 * 1.4826 * mad / math.sqrt(WINDOWS))
    shares = found.burst.error_ms / found.burst.median_ms, found.sustained.error_ms / found.sustained.median_ms
    assert found.factor_error == pytest.approx(found.factor * math.hypot(*shares))


def test_calls_that_share_a_sample_count_each() -> None:
    found = sustained_of(loop([0.2, 0.2], calls=5), LoopPlan(2, None))
    assert found.burst.median_ms == pytest.approx(0.2)
    assert found.minutes[0].runs == 4 * 5 * WINDOWS


def test_of_a_loop_that_was_ended_the_whole_minutes_are_told() -> None:
    windows = loop(TEN)
    for made, whole in ((0, 0), (11, 0), (12, 1), (47, 3), (119, 9)):
        minutes = minutes_of(windows[:made])
        assert [minute.median_ms for minute in minutes] == pytest.approx(TEN[:whole])


def test_clocks_and_temperatures_stand_beside_their_minute_and_what_is_not_told_is_none() -> None:
    windows = loop([1.0, 1.0])
    for i, each in enumerate(windows):
        each |= {"clock_mhz_before": 2800.0 - i, "clock_mhz_after": 2799.0 - i, "temperature_c_after": 40 + i}
        each |= {"clock_limit_mhz": 2800 if i < 20 else 1680, "temperature_c_before": None}
    one, two = sustained_of(windows, LoopPlan(2, None)).minutes
    assert (one.clock_mhz, one.clock_limit_mhz, one.temperature_c) == ((2788, 2800), 2800, 51)
    assert (two.clock_mhz, two.clock_limit_mhz, two.temperature_c) == ((2776, 2788), 1680, 63)
    plain = sustained_of(loop([1.0, 1.0]), LoopPlan(2, None)).minutes[0].to_dict()
    assert (plain["clock_mhz"], plain["clock_limit_mhz"], plain["temperature_c"]) == (None, None, None)


def test_what_is_not_the_devices_own_is_doubted() -> None:
    plan = LoopPlan(2, None)
    # the host was stopped for 4 s after window 13, which the device used to cool
    still = loop([1.0, 1.0])
    for each in still[14:]:
        each["loop_ns"] += 4 * S
    assert sustained_of(still, plan).doubts == ("in minute 2 the loop stood still for 4.0 s",)
    busy = loop([1.0, 1.0])
    for each in busy[:7]:
        each["cpu_ns"] = [ns // 2 for ns in each["samples_ns"]]
    assert sustained_of(busy, plan).doubts == ("in minute 1 something else had the CPU in 58% of the runs",)
    fled = loop([1.0, 1.0])
    fled[3]["throttling"] = ["ran on another core"]
    assert sustained_of(fled, plan).doubts == ("in minute 1 the network ran on another core",)
    slept = loop([1.0, 1.0])
    for each in slept[15:]:
        each["behind_s"] = 30.0
    assert sustained_of(slept, plan).doubts == ("in minute 2 the device slept, or this computer did, for 30.0 s",)
    # three quarters of a second is what a minute may lack
    short = loop([1.0, 1.0])
    for each in short[1:]:
        each["loop_ns"] += 3 * S // 4
    assert sustained_of(short, plan).doubts == ()


def test_several_threads_tell_no_cpu_time() -> None:
    found = sustained_of(loop([1.0, 1.0], cpu_ns=None), LoopPlan(2, 30.0))
    assert (found.minutes[0].interrupted, found.doubts) == (None, ())
