"""A loop's windows, minute by minute, and what a network takes in a burst and when it has run for long: pure functions.

Burst is the first minute. Sustained are the last three of ten minutes, and of other lengths as large a share. Both are
medians over all runs.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from profilers.measuring.statistics import interrupted, standard_error_of_median

# windows in a minute: clock and temperature are read between two of them
WINDOWS = 12
# of the minutes, the last are what a device sustains
SUSTAINED_SHARE = 0.3
# beyond these shares of a minute its figure is not the device's own
MOST_STILL, MOST_INTERRUPTED = 0.05, 0.5

Record = Mapping[str, Any]
# of a window: by how many seconds the device's clock had fallen behind the host's, since the first
BEHIND = "behind_s"


@dataclass(frozen=True)
class LoopPlan:
    """minutes: how long a network runs; rate_hz: runs a second, None: they follow each other

    minute_s: seconds in a minute, which tests shorten
    """

    minutes: int
    rate_hz: float | None
    minute_s: float = 60.0

    @property
    def windows(self) -> int:
        return WINDOWS * self.minutes

    def manifest(self) -> dict[str, Any]:
        """The protocol's field `sustained`."""
        return {"window_seconds": self.minute_s / WINDOWS, "rate_hz": self.rate_hz}

    def words(self) -> str:
        """How it runs."""
        return "without a pause" if self.rate_hz is None else f"{self.rate_hz:g} times a second"


@dataclass(frozen=True)
class Minute:
    """number: from 1; runs: how many there were; median_ms, p95_ms: of a run

    windows_ms: the median of every window
    late: runs that began after their time, where there is a rate; still_s: seconds in which the loop stood still
    slept_s: seconds for which the device's clock stood still
    interrupted: the share of the samples in which the thread lost the CPU; None: not told
    clock_mhz: lowest and highest; clock_limit_mhz: lowest; temperature_c: highest; None: not told
    throttling: what the agent said of it
    """

    number: int
    runs: int
    median_ms: float
    p95_ms: float
    windows_ms: tuple[float, ...]
    late: int
    still_s: float
    slept_s: float
    interrupted: float | None
    clock_mhz: tuple[float, float] | None
    clock_limit_mhz: float | None
    temperature_c: float | None
    throttling: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """For verified.json."""
        return {
            "minute": self.number,
            "median_ms": round(self.median_ms, 6),
            "p95_ms": round(self.p95_ms, 6),
            "runs": self.runs,
            "late": self.late,
            "still_seconds": round(self.still_s, 3),
            "slept_seconds": round(self.slept_s, 3),
            "interrupted_pct": None if self.interrupted is None else round(100 * self.interrupted, 2),
            "clock_mhz": None if self.clock_mhz is None else list(self.clock_mhz),
            "clock_limit_mhz": self.clock_limit_mhz,
            "temperature_c": self.temperature_c,
            "throttling": list(self.throttling),
        }


@dataclass(frozen=True)
class Stretch:
    """Some minutes of a loop. first, last: their numbers; median_ms: of all runs; error_ms: its standard error"""

    first: int
    last: int
    median_ms: float
    error_ms: float

    def __str__(self) -> str:
        minutes = f"minute {self.first}" if self.first == self.last else f"minutes {self.first}-{self.last}"
        return f"{minutes}: {self.median_ms:.4g} ms"


@dataclass(frozen=True)
class Sustained:
    """What a whole loop says. doubts: why its figures may not be the device's own, in words; empty: nothing speaks
    against them"""

    minutes: tuple[Minute, ...]
    burst: Stretch
    sustained: Stretch
    doubts: tuple[str, ...]

    @property
    def factor(self) -> float:
        """How many times longer a run takes when the network has run for long."""
        return self.sustained.median_ms / self.burst.median_ms

    @property
    def factor_error(self) -> float:
        """Its standard error."""
        shares = [of.error_ms / of.median_ms for of in (self.burst, self.sustained)]
        return self.factor * math.hypot(*shares)

    def __str__(self) -> str:
        return f"{self.burst}; {self.sustained}, {self.factor:.2f} times"


def minutes_of(windows: Sequence[Record]) -> list[Minute]:
    """The whole minutes of a loop, of whose windows there may be fewer than planned. windows: results, in order"""
    whole = len(windows) // WINDOWS
    gaps = [0.0, *(_gap_s(a, b) for a, b in itertools.pairwise(windows))]
    behind = [0.0, *(window[BEHIND] for window in windows)]
    return [
        _minute(
            number + 1,
            windows[number * WINDOWS :][:WINDOWS],
            gaps[number * WINDOWS :][:WINDOWS],
            behind[(number + 1) * WINDOWS] - behind[number * WINDOWS],
        )
        for number in range(whole)
    ]


def sustained_of(windows: Sequence[Record], plan: LoopPlan) -> Sustained:
    """What a whole loop says."""
    minutes = minutes_of(windows)
    assert len(minutes) == plan.minutes >= 2, "a loop that was made whole"
    count = max(1, round(SUSTAINED_SHARE * len(minutes)))
    burst, last = _stretch(windows, minutes[:1]), _stretch(windows, minutes[-count:])
    doubts = [doubt for minute in minutes for doubt in _doubts(minute, plan)]
    return Sustained(tuple(minutes), burst, last, tuple(doubts))


def _runs_ms(windows: Sequence[Record]) -> NDArray[np.float64]:
    """(N,) milliseconds of a run, of every sample; calls that share one have their mean."""
    of_each = [np.asarray(w["samples_ns"], dtype=np.float64) / w["calls_per_sample"] / 1e6 for w in windows]
    return np.concatenate(of_each)


def _gap_s(before: Record, after: Record) -> float:
    """Seconds between two windows in which nothing ran."""
    return float(max(0.0, after["loop_ns"] - before["loop_ns"] - before["timed_ns"]) / 1e9)


def _minute(number: int, windows: Sequence[Record], gaps_s: Sequence[float], slept_s: float) -> Minute:
    runs_ms = _runs_ms(windows)
    lost = [interrupted(w["samples_ns"], w["cpu_ns"]) for w in windows if w["cpu_ns"] is not None]
    clocks = _told(windows, "clock_mhz_before", "clock_mhz_after")
    return Minute(
        number=number,
        runs=sum(len(w["samples_ns"]) * w["calls_per_sample"] for w in windows),
        median_ms=float(np.median(runs_ms)),
        p95_ms=float(np.percentile(runs_ms, 95, method="inverted_cdf")),
        windows_ms=tuple(float(np.median(_runs_ms([w]))) for w in windows),
        late=int(sum(w["late"] for w in windows)),
        still_s=sum(gaps_s),
        slept_s=max(0.0, slept_s),
        interrupted=float(np.concatenate(lost).mean()) if lost else None,
        clock_mhz=(min(clocks), max(clocks)) if clocks else None,
        clock_limit_mhz=min(_told(windows, "clock_limit_mhz"), default=None),
        temperature_c=max(_told(windows, "temperature_c_before", "temperature_c_after"), default=None),
        throttling=tuple(sorted({reason for w in windows for reason in w.get("throttling") or ()})),
    )


def _told(windows: Sequence[Record], *names: str) -> list[float]:
    return [float(w[name]) for w in windows for name in names if w.get(name) is not None]


def _stretch(windows: Sequence[Record], minutes: Sequence[Minute]) -> Stretch:
    first, last = minutes[0].number, minutes[-1].number
    runs_ms = _runs_ms(windows[(first - 1) * WINDOWS : last * WINDOWS])
    # runs that follow each other are alike: windows tell how far a median is off
    error = standard_error_of_median([ms for minute in minutes for ms in minute.windows_ms])
    return Stretch(first, last, float(np.median(runs_ms)), error)


def _doubts(minute: Minute, plan: LoopPlan) -> list[str]:
    found = []
    if minute.still_s > MOST_STILL * plan.minute_s:
        found.append(f"in minute {minute.number} the loop stood still for {minute.still_s:.1f} s")
    if minute.slept_s > MOST_STILL * plan.minute_s:
        found.append(f"in minute {minute.number} the device slept, or this computer did, for {minute.slept_s:.1f} s")
    if minute.interrupted is not None and minute.interrupted > MOST_INTERRUPTED:
        found.append(f"in minute {minute.number} something else had the CPU in {minute.interrupted:.0%} of the runs")
    found += [f"in minute {minute.number} the network {reason}" for reason in minute.throttling]
    return found
