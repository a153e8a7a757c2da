"""How the CPU agent takes samples: of a model, and of the parts of a network that is run in place."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from device_agents.cpu.parts import Part
from device_agents.cpu.system import involuntary_switches, switches_since

# the spread is looked at again when there are a tenth, and at least this many, more samples: it is not free
CHECK_EVERY = 5


def relative_error_of_median(samples: list[int]) -> float:
    """Standard error of the median over the median, from the median absolute deviation."""
    values = np.array(samples, dtype=np.float64)
    median = _median(values)
    values -= median
    deviation = 1.4826 * _median(np.abs(values, out=values))
    return 1.2533 * deviation / math.sqrt(len(values)) / median


def _median(values: NDArray[np.float64]) -> float:
    """Of values that it sorts: for as few as a visit has, sooner than np.median."""
    values.sort()
    middle = len(values) // 2
    return float(values[middle]) if len(values) % 2 else 0.5 * float(values[middle - 1] + values[middle])


class _Enough:
    """Whether there are samples enough: the median is known well enough, or the time or the count is up."""

    def __init__(self, rules: Mapping[str, Any], began_ns: int) -> None:
        self.rules, self.check_at = rules, rules["min_runs"]
        self.deadline = began_ns + int(rules["max_seconds"] * 1e9)

    def __call__(self, samples: list[int]) -> bool:
        count, late = len(samples), time.perf_counter_ns() > self.deadline
        if count >= self.rules["max_runs"]:
            return True
        if count < self.check_at:
            return late and count >= self.rules["min_runs"]
        if late or relative_error_of_median(samples) < self.rules["target_error"]:
            return True
        self.check_at = count + max(CHECK_EVERY, count // 10)
        return False


def time_model(run: Callable[[], object], rules: Mapping[str, Any], one_thread: bool) -> dict[str, Any]:
    """Warm-up, then samples until the median is known well enough or the time is up.

    cpu_ns is each sample's CPU time of this thread: where it falls short of the wall time, something else ran.
    """
    started = time.perf_counter_ns()
    took = warmed_up(run, rules)
    # the clock cannot resolve very short calls: several make one sample
    calls = max(1, math.ceil(rules["min_sample_us"] * 1000 / min(took)))
    warm = time.perf_counter_ns()
    switches = involuntary_switches()
    samples: list[int] = []
    cpu: list[int] = []
    enough = _Enough(rules, warm)
    while not samples or not enough(samples):
        cpu_before = time.thread_time_ns()
        before = time.perf_counter_ns()
        for _ in range(calls):
            run()
        after = time.perf_counter_ns()
        cpu_after = time.thread_time_ns()
        samples.append(after - before)
        cpu.append(cpu_after - cpu_before)
    return {
        "samples_ns": samples,
        "cpu_ns": cpu if one_thread else None,
        "calls_per_sample": calls,
        "warmup_ns": warm - started,
        "timed_ns": time.perf_counter_ns() - warm,
        "involuntary_switches": switches_since(switches),
    }


def time_parts(parts: Sequence[Part], rules: Mapping[str, Any], one_thread: bool) -> dict[str, Any]:
    """A network in parts, run through as if it were whole: every part finds in the caches what the others left there.

    parts_ns, parts_cpu_ns: for every part, its time in every pass; samples_ns, cpu_ns: of the passes, their sums
    """
    started = time.perf_counter_ns()

    def run_through() -> None:
        for part in parts:
            part.run()
            part.hand_on()

    warmed_up(run_through, rules)
    warm = time.perf_counter_ns()
    switches = involuntary_switches()
    wall: list[list[int]] = [[] for _ in parts]
    cpu: list[list[int]] = [[] for _ in parts]
    samples: list[int] = []
    enough = _Enough(rules, warm)
    while not samples or not enough(samples):
        for number, part in enumerate(parts):
            cpu_before = time.thread_time_ns()
            before = time.perf_counter_ns()
            part.run()
            after = time.perf_counter_ns()
            cpu_after = time.thread_time_ns()
            part.hand_on()
            wall[number].append(after - before)
            cpu[number].append(cpu_after - cpu_before)
        samples.append(sum(times[-1] for times in wall))
    return {
        "samples_ns": samples,
        "cpu_ns": [sum(times) for times in zip(*cpu, strict=True)] if one_thread else None,
        "calls_per_sample": 1,
        "parts_ns": wall,
        "parts_cpu_ns": cpu if one_thread else None,
        "warmup_ns": warm - started,
        "timed_ns": time.perf_counter_ns() - warm,
        "involuntary_switches": switches_since(switches),
    }


def warmed_up(run: Callable[[], object], rules: Mapping[str, Any]) -> list[int]:
    """What the first runs took, which plan memory and fill caches: they are never timed."""
    took: list[int] = []
    while len(took) < rules["warmup_runs"] or sum(took) < rules["warmup_seconds"] * 1e9:
        before = time.perf_counter_ns()
        run()
        took.append(max(1, time.perf_counter_ns() - before))
    return took
