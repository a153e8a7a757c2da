"""When to stop: warm-up, samples and the window of an energy reading, as functions of what they are given.

`batch()` runs a few samples, at least one, and returns their nanoseconds.
"""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Callable, Sequence
from typing import Any


def relative_error_of_median(samples: Sequence[int]) -> float:
    """Standard error of the median over the median, from the median absolute deviation."""
    median = statistics.median(samples)
    deviation = 1.4826 * statistics.median(abs(s - median) for s in samples)
    return 1.2533 * deviation / math.sqrt(len(samples)) / median


def warm_up(
    batch: Callable[[], list[int]],
    clock_mhz: Callable[[], float | None],
    rules: dict[str, Any],
    now: Callable[[], float] = time.monotonic,
) -> None:
    """Runs until the rules' count and time are reached, and the median and the clock of two batches agree.

    At the latest after `warmup_max_seconds`: a clock that never settles is told by the samples' spread.
    """
    started, runs = now(), 0
    before: tuple[float, float | None] | None = None
    while True:
        samples = batch()
        seen = (statistics.median(samples), clock_mhz())
        runs += len(samples)
        settled = before is not None and all(
            a is None or b is None or abs(a - b) <= rules["settle"] * b for a, b in zip(before, seen, strict=True)
        )
        before = seen
        took = now() - started
        if took >= rules["warmup_max_seconds"]:
            return
        if settled and runs >= rules["warmup_runs"] and took >= rules["warmup_seconds"]:
            return


def take_samples(
    batch: Callable[[], list[int]], rules: dict[str, Any], now: Callable[[], float] = time.monotonic
) -> list[int]:
    """Samples until `max_runs`, or, after `min_runs`, until the median is known well enough or the time is up."""
    deadline = now() + rules["max_seconds"]
    samples: list[int] = []
    while len(samples) < rules["max_runs"]:
        samples += batch()
        known = relative_error_of_median(samples) < rules["target_error"]
        if len(samples) >= rules["min_runs"] and (known or now() > deadline):
            break
    return samples


def power_mw(
    read_mj: Callable[[], float | None],
    keep_busy: Callable[[], None],
    window_s: float,
    now: Callable[[], float] = time.monotonic,
) -> tuple[float, float, float] | None:
    """Millijoules a second under a steady load: the figure, its error, and the seconds it is the mean of.

    The counter moves in steps, tens of milliseconds apart. The window begins and ends at a step, the second one seen,
    so that no step reaches back to an earlier load; a step's moment is known to the time between two readings, and
    the counter to 1 mJ. None where no two steps come within ten windows.
    """
    started = asked = now()
    last = read_mj()
    steps: list[tuple[float, float, float]] = []  # earliest moment, latest moment, millijoules
    while now() - started < 10 * window_s + 1:
        keep_busy()
        before, asked = asked, now()
        value = read_mj()
        if value is None or last is None:
            return None
        if value != last:
            steps.append((before, now(), value))
            last = value
        if len(steps) > 2:
            (early0, late0, mj0), (early1, late1, mj1) = steps[1], steps[-1]
            seconds = (early1 + late1 - early0 - late0) / 2
            if seconds >= window_s:
                unsure_s = (late0 - early0 + late1 - early1) / 2
                power = (mj1 - mj0) / seconds
                return power, power * unsure_s / seconds + 1 / seconds, seconds
    return None
