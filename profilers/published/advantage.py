"""What found networks gain over a published one, read off their measured frontier: pure functions.

Between two found networks the frontier is a straight line over the logarithm of the latency; a space has many networks
between any two. Beyond its ends nothing is assumed: there only the network at the end is compared.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Point:
    """A network that was measured. error: standard error of latency_ms, as a share, NaN if not known; top1: per cent"""

    latency_ms: float
    error: float
    top1: float


@dataclass(frozen=True)
class Advantage:
    """Of found networks over a published one of a latency and a top-1.

    times_faster: its latency over that of found networks of equal accuracy; times_error: standard error of that
    points_better: what found networks of equal latency have in top-1 beyond it, per cent
    at_least_faster, at_least_better: the end of the frontier was compared, which is more accurate, or faster, still
    None: no found network is as accurate, or as fast
    """

    times_faster: float | None
    times_error: float | None
    points_better: float | None
    at_least_faster: bool = False
    at_least_better: bool = False

    def to_dict(self) -> dict[str, Any]:
        """The JSON form."""
        return {
            "times_faster": _rounded(self.times_faster, 4),
            "times_faster_error": _rounded(self.times_error, 4),
            "at_least_faster": self.at_least_faster,
            "points_better": _rounded(self.points_better, 3),
            "at_least_better": self.at_least_better,
        }


def _rounded(value: float | None, digits: int) -> float | None:
    return None if value is None or math.isnan(value) else round(value, digits)


def frontier_of(points: Iterable[Point]) -> list[Point]:
    """Those that no other beats, from fast to slow."""
    kept: list[Point] = []
    for point in sorted(points, key=lambda one: (one.latency_ms, -one.top1)):
        if not kept or point.top1 > kept[-1].top1:
            kept.append(point)
    return kept


def advantage(frontier: list[Point], published: Point) -> Advantage:
    """frontier: as `frontier_of` gives it, at least one."""
    latencies = np.log([point.latency_ms for point in frontier])
    top1s, errors = ([getattr(point, name) for point in frontier] for name in ("top1", "error"))
    first, last = frontier[0], frontier[-1]
    times = error = points = None
    if published.top1 <= last.top1:  # below the first, interp gives the first
        times = published.latency_ms / math.exp(float(np.interp(published.top1, top1s, latencies)))
        error = times * math.hypot(published.error, float(np.interp(published.top1, top1s, errors)))
    if published.latency_ms >= first.latency_ms:
        points = float(np.interp(math.log(published.latency_ms), latencies, top1s)) - published.top1
    below, above = published.top1 < first.top1, published.latency_ms > last.latency_ms
    if below and times is not None and times < 1:
        times = error = None  # the fastest one is slower, and more accurate: that says nothing of equal accuracy
    if above and points is not None and points < 0:
        points = None  # likewise the slowest one, which is faster
    return Advantage(times, error, points, below and times is not None, above and points is not None)
