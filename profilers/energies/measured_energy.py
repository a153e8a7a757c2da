"""Networks on a device's battery, turn after turn: half a minute idle, half a minute of runs."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ofa.errors import InputError
from ofa.runs.journal import Journal
from profilers.energies.battery import Turn, Units, check_discharging, power_of, units_of
from profilers.looping.loop import windows_of
from profilers.looping.minutes import WINDOWS, LoopPlan
from profilers.measuring.events import Hello, Result
from profilers.measuring.target import Target

# seconds of each half of a turn
HALF_S = 30.0
# a device whose clock stands still while ours goes on for so many seconds sleeps
_ASLEEP_S = 5.0
# what is kept of a window
_KEPT = ("battery_current", "battery_voltage", "battery_status", "plugged", "temperature_c_after", "clock_mhz_after")


@dataclass(frozen=True)
class Halves:
    """The two loops of a turn. Idle has a run in each window: it keeps the device awake, and is subtracted as well."""

    idle: LoopPlan
    busy: LoopPlan

    @classmethod
    def of(cls, half_s: float = HALF_S) -> Halves:
        return cls(LoopPlan(1, WINDOWS / half_s, half_s), LoopPlan(1, None, half_s))


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
    halves: Halves | None = None,
) -> MeasuredEnergies:
    """Makes the turns that the journal lacks. files: of the networks' models, in the folder

    progress: told how many turns are made, and of how many
    InputError where the device charges, sleeps or does not tell; AgentFailed where the agent or the connection ends
    """
    halves = halves or Halves.of()
    made = {(record["round"], record["network"]): record for record in journal.records if record.get("kind") == "turn"}
    for number, network in order:
        if (number, network) not in made:
            loops = {
                name: _readings(target, folder, files[network], plan, seed)
                for name, plan in (("idle", halves.idle), ("busy", halves.busy))
            }
            record = {"kind": "turn", "round": number, "network": network, **loops}
            journal.append(record)
            made[number, network] = record
        progress(len(made), len(order))
    return measured_of(list(made.values()), len(files))


def measured_of(turns: Sequence[Mapping[str, Any]], networks: int) -> MeasuredEnergies:
    """What a journal's turns say of every network."""
    readings = [reading for turn in turns for half in ("idle", "busy") for reading in turn[half]]
    for reading in readings:
        check_discharging(reading)
    units = units_of(readings)
    found: list[list[Turn]] = [[] for _ in range(networks)]
    for turn in turns:
        found[turn["network"]].append(Turn(power_of(turn["idle"], units), power_of(turn["busy"], units)))
    return MeasuredEnergies(units, readings[0]["battery_current"] < 0, found)


def _readings(target: Target, folder: Path, file: str, plan: LoopPlan, seed: int) -> list[dict[str, Any]]:
    """What the battery showed at the end of every window of a loop, and how many runs it had."""
    readings: list[dict[str, Any]] = []
    started = 0.0
    for event in windows_of(target, folder, file, plan, seed):
        if isinstance(event, Hello):
            continue
        reading = _reading(event)
        check_discharging(reading)
        started = started or time.monotonic() - reading["ended_s"]
        if time.monotonic() - started - reading["ended_s"] > _ASLEEP_S:
            raise InputError(
                "the device sleeps between the runs: keep its screen on (Settings > Display > Screen timeout), and go "
                "on by --resume"
            )
        readings.append(reading)
    return readings


def _reading(window: Result) -> dict[str, Any]:
    watched = window.watched
    ended = (watched["loop_ns"] + watched["timed_ns"]) / 1e9
    runs = len(window.samples_ns) * window.calls_per_sample
    return {
        "runs": runs,
        "seconds": watched["timed_ns"] / 1e9,
        "ended_s": ended,
        **{key: watched.get(key) for key in _KEPT},
    }
