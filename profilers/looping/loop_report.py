"""What a loop leaves: lines by the minute, a part of verified.json, and what its network sustains, in words."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from ofa.cli.console import progress_bar
from profilers.looping.loop import Loop
from profilers.looping.minutes import WINDOWS, LoopPlan, Minute, Record, Sustained, minutes_of

if TYPE_CHECKING:
    from rich.console import Console


@contextmanager
def shown(console: Console, plan: LoopPlan) -> Iterator[Callable[[Sequence[Record]], None]]:
    """A callback that is told of all windows after every one: a bar with the time left, and a line for each minute."""
    with progress_bar(console) as bar:

        def watch(windows: Sequence[Record]) -> None:
            bar.show("running", len(windows), plan.windows)
            if len(windows) % WINDOWS == 0:
                minute = minutes_of(windows)[-1]
                left = round((plan.minutes - minute.number) * plan.minute_s / 60)
                more = f"; about {left} min left" if left and not console.is_terminal else ""
                console.out(minute_in_words(minute, plan) + more)

        yield watch


def minute_in_words(minute: Minute, plan: LoopPlan) -> str:
    """One line."""
    words = (
        f"minute {minute.number} of {plan.minutes}: {minute.median_ms:.4g} ms, 95 % within {minute.p95_ms:.4g} ms, "
        f"{minute.runs:,} runs"
    )
    if minute.late:
        words += f", {minute.late:,} of them late"
    if minute.clock_mhz is not None:
        low, high = minute.clock_mhz
        words += f"; {high:.0f} MHz" if low == high else f"; {low:.0f} to {high:.0f} MHz"
    if minute.clock_limit_mhz is not None:
        words += f" (limit {minute.clock_limit_mhz:.0f})"
    if minute.temperature_c is not None:
        words += f"; up to {minute.temperature_c:.1f} C"
    return words


def to_json(found: Sustained, loop: Loop, plan: LoopPlan, rest_s: float, verified_ms: float) -> dict[str, Any]:
    """For the network's result in verified.json. verified_ms: its latency there, of short visits"""
    burst, last = found.burst, found.sustained
    return {
        "burst_ms": round(burst.median_ms, 6),
        "burst_minutes": [burst.first, burst.last],
        "sustained_ms": round(last.median_ms, 6),
        "sustained_minutes": [last.first, last.last],
        "factor": round(found.factor, 4),
        "factor_error": round(found.factor_error, 4),
        "over_verified": round(last.median_ms / verified_ms, 4),
        "rests_on": rests_on(found, loop, plan, rest_s),
        "doubts": list(found.doubts),
        "minutes": [minute.to_dict() for minute in found.minutes],
        "loop": {
            "minutes": plan.minutes,
            "rate_hz": plan.rate_hz,
            "rest_seconds": rest_s,
            "when": loop.when,
            "runtime": loop.hello.runtime,
            "device": dict(loop.hello.device),
        },
    }


def rests_on(found: Sustained, loop: Loop, plan: LoopPlan, rest_s: float) -> str:
    """What the figures rest on, in a line."""
    mode = loop.hello.device.get("fixed_performance_mode")
    return (
        f"one network, run {plan.words()} for {plan.minutes} minutes after {rest_s:g} s of rest ({loop.when[:10]}); "
        f"medians of all runs of minute {found.burst.first} and of minutes {found.sustained.first} to "
        f"{found.sustained.last}" + (f"; fixed-performance mode: {mode}" if mode else "")
    )


def print_sustained(console: Console, found: Sustained, limit_ms: float) -> bool:
    """Says what the network takes in a burst and when it has run for long; whether it keeps the limit then."""
    kept = found.sustained.median_ms <= limit_ms
    if all(m.clock_mhz is None and m.temperature_c is None for m in found.minutes):
        console.out("the device reports neither clocks nor temperatures")
    runs, late = (sum(of) for of in zip(*((m.runs, m.late) for m in found.minutes), strict=True))
    if late:
        console.out(f"{late:,} of {runs:,} runs began late: the one before still ran")
    for doubt in found.doubts:
        console.out(f"? {doubt}: the figures may not be the device's own")
    console.out(f"{found} (standard error {found.factor_error:.2g})")
    still = "is still kept" if kept else "is no longer kept"
    console.out(f"the limit of {limit_ms:g} ms {still} in {str(found.sustained).partition(':')[0]}")
    return kept
