"""Networks on a device's battery, turn after turn: half of it idle, half of it runs."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ofa.errors import InputError
from ofa.runs.journal import Journal
from profilers.energies.battery import (
    SERVICE,
    Turn,
    Units,
    check_counted,
    check_discharging,
    is_rail,
    new_figures,
    power_of,
    units_of,
)
from profilers.looping.loop import windows_of
from profilers.looping.minutes import WINDOWS, LoopPlan
from profilers.measuring.events import LONGEST_SAMPLE_NS, Hello, Result, is_number
from profilers.measuring.target import Target

# seconds of a half whose windows are as long as a fuel gauge takes to show something new
MINUTE_S = 30.0
# a device whose clock stands still while ours goes on for so many seconds sleeps
_ASLEEP_S = 5.0
# of a window, in a journal: what is beyond them was never measured
_SHORTEST_S, _LONGEST_S, _MOST_RUNS = 1e-6, LONGEST_SAMPLE_NS / 1e9, 10**9
Turned = Mapping[str, Any]  # a turn as its journal holds it
# what is kept of a window
_NUMBERS = (
    *("battery_current", "battery_voltage", "battery_counter", "plugged"),
    *("temperature_c_after", "clock_mhz_after"),
)
_TEXTS = ("battery_status", "battery_source")


@dataclass(frozen=True)
class Halves:
    """The two loops of a turn. Idle has a run in each window: it keeps the device awake, and is subtracted as well."""

    idle: LoopPlan
    busy: LoopPlan

    @classmethod
    def of(cls, half_s: float) -> Halves:
        """Of so many seconds each."""
        count = max(1, round(half_s / MINUTE_S))
        return cls(LoopPlan(count, count * WINDOWS / half_s, half_s / count), LoopPlan(count, None, half_s / count))


@dataclass(frozen=True)
class MeasuredEnergies:
    """units: of the battery's sensor; negative: the sign of its current; turns: of every network"""

    units: Units
    negative: bool
    turns: list[list[Turn]]


def order_of(networks: int, rounds: int, seed: int) -> list[tuple[int, int]]:
    """(round, network) of every turn: each round in an order of its own."""
    rng = np.random.default_rng(seed)
    return [(number, int(i)) for number in range(rounds) for i in rng.permutation(networks)]


def make_turns(
    journal: Journal,
    target: Target,
    folder: Path,
    files: Sequence[str],
    order: Sequence[tuple[int, int]],
    seed: int,
    progress: Callable[[int, int], object],
    halves: Halves,
) -> MeasuredEnergies:
    """Makes the turns that the journal lacks. files: of the networks' models, in the folder

    progress: told how many turns are made, and of how many
    InputError where the device charges, sleeps or does not tell; AgentFailed where the agent or the connection ends
    """
    made = made_turns(journal, order, halves)
    for number, network in order:
        if (number, network) not in made:
            loops = {
                name: _readings(target, folder, files[network], plan, seed)
                for name, plan in (("idle", halves.idle), ("busy", halves.busy))
            }
            check_counted(loops["busy"])
            record = {"kind": "turn", "round": number, "network": network, **loops}
            journal.append(record)
            made[number, network] = record
        progress(len(made), len(order))
    return measured_in(journal, list(made.values()), len(files))


def made_turns(journal: Journal, order: Sequence[tuple[int, int]], halves: Halves) -> dict[tuple[int, int], Turned]:
    """The turns that a journal holds, by round and network. InputError where it was edited, or is of another one."""
    made: dict[tuple[int, int], Turned] = {}
    wanted = set(order)
    for record in journal.records:
        if record.get("kind") != "turn":
            continue
        which = (record.get("round"), record.get("network"))
        if (
            any(type(number) is not int for number in which)
            or which not in wanted
            or not all(_are_sound(record.get(half), getattr(halves, half)) for half in ("idle", "busy"))
        ):
            raise InputError(f"{journal.path} is damaged, or of another measurement: start again with --overwrite")
        made[record["round"], record["network"]] = record
    return made


def _are_sound(readings: Any, plan: LoopPlan) -> bool:
    """Whether a journal's readings of a half can have been made: a number that is not told is null."""
    return (
        isinstance(readings, list)
        and len(readings) == plan.windows
        and all(isinstance(reading, dict) and _is_sound(reading) for reading in readings)
        and all(a["ended_s"] < b["ended_s"] for a, b in itertools.pairwise(readings))
    )


def _is_sound(reading: Mapping[str, Any]) -> bool:
    runs: Any = reading.get("runs")
    seconds: Any = reading.get("seconds")
    ended: Any = reading.get("ended_s")
    return (
        type(runs) is int
        and 1 <= runs <= _MOST_RUNS
        and is_number(seconds)
        and _SHORTEST_S <= seconds <= _LONGEST_S
        and is_number(ended)
        and 0 <= ended <= _LONGEST_S
        and all(reading.get(key) is None or is_number(reading[key]) for key in _NUMBERS)
        and all(reading.get(key) is None or isinstance(reading[key], str) for key in _TEXTS)
        and (is_rail(reading) or (reading.get("battery_source") or SERVICE) == SERVICE)
    )


def measured_in(journal: Journal, turns: Sequence[Turned], networks: int) -> MeasuredEnergies:
    """What the turns of a journal say of every network. InputError, naming it, where they cannot be used."""
    try:
        return measured_of(turns, networks)
    except InputError as error:
        raise InputError(f"{journal.path}: {error}") from None


def measured_of(turns: Sequence[Mapping[str, Any]], networks: int) -> MeasuredEnergies:
    """What a journal's turns say of every network."""
    readings = [reading for turn in turns for half in ("idle", "busy") for reading in turn[half]]
    for reading in readings:
        check_discharging(reading)
    units = units_of(readings)
    found: list[list[Turn]] = [[] for _ in range(networks)]
    for turn in turns:
        found[turn["network"]].append(Turn(power_of(turn["idle"], units), power_of(turn["busy"], units)))
    return MeasuredEnergies(units, not units.counts and readings[0]["battery_current"] < 0, found)


def _readings(target: Target, folder: Path, file: str, plan: LoopPlan, seed: int) -> list[dict[str, Any]]:
    """What the battery showed at the end of every window of a loop, and how many runs it had."""
    readings: list[dict[str, Any]] = []
    started = 0.0
    for event in windows_of(target, folder, file, plan, seed, battery=True):
        if isinstance(event, Hello):
            continue
        reading = _reading(event)
        check_discharging(reading)
        started = started or time.monotonic() - reading["ended_s"]
        if time.monotonic() - started - reading["ended_s"] > _ASLEEP_S:
            raise InputError(
                "the device sleeps between the runs: keep its screen on (Settings > Display > Screen timeout), and "
                "continue with --resume"
            )
        readings.append(reading)
    new_figures(readings)  # where there are too few, that is said now, and not after twenty minutes
    return readings


def _reading(window: Result) -> dict[str, Any]:
    watched = window.watched
    ended = (watched["loop_ns"] + watched["timed_ns"]) / 1e9
    runs = len(window.samples_ns) * window.calls_per_sample
    return {
        "runs": runs,
        "seconds": watched["timed_ns"] / 1e9,
        "ended_s": ended,
        **{key: watched.get(key) for key in (*_NUMBERS, *_TEXTS)},
    }
