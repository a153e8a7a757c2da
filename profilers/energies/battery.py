"""From what a battery's sensor shows to millijoules: pure functions.

The kernel's rule is microamperes and microvolts, but vendors show milliamperes and millivolts too, and a current that
leaves the battery is negative on some phones and positive on others. Only one unit can be meant by a number: a phone
that is awake takes 10 mA to 10 A. Signs are left out, since nothing is measured of a battery that charges.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ofa.errors import InputError
from ofa.reading.numbers import cut

# at the beginning of a half minute so many windows are left out: a fuel gauge shows a mean of the last seconds
SETTLING = 4
# currents from so much on are in microamperes, voltages from these on in micro- and millivolts
_MICROAMPERES, _MICROVOLTS, _MILLIVOLTS = 10_000, 100_000, 100

Reading = Mapping[str, Any]  # of a window's end: what the agent told, by the protocol's names


@dataclass(frozen=True)
class Units:
    """per_ma, per_v: how many of the sensor's numbers make a milliampere and a volt"""

    per_ma: float
    per_v: float

    def words(self, negative: bool) -> str:
        """What was assumed."""
        currents = {1000.0: "microamperes", 1.0: "milliamperes"}[self.per_ma]
        voltages = {1e6: "microvolts", 1000.0: "millivolts", 1.0: "volts"}[self.per_v]
        sign = "negative" if negative else "positive"
        return f"the battery's numbers were taken for {currents} and {voltages}, {sign} when it discharges"


@dataclass(frozen=True)
class Power:
    """Of half a minute. power_mw: mean; runs_per_s: of the network; resolution_mw: the sensor's smallest step"""

    power_mw: float
    runs_per_s: float
    resolution_mw: float


@dataclass(frozen=True)
class Turn:
    """A network's half minute, and one before it with almost no runs."""

    idle: Power
    busy: Power

    @property
    def energy_mj(self) -> float:
        """Of a run, above what the device takes without it."""
        return (self.busy.power_mw - self.idle.power_mw) / self._more_runs

    @property
    def resolution_mj(self) -> float:
        """The standard error that the sensor's steps leave: of two means, each a step wide."""
        return math.hypot(self.busy.resolution_mw, self.idle.resolution_mw) / math.sqrt(12) / self._more_runs

    @property
    def _more_runs(self) -> float:
        """A second. InputError where the idle half, which has a run in each window, is almost as busy."""
        more = self.busy.runs_per_s - self.idle.runs_per_s
        if more < self.idle.runs_per_s or not more:
            seconds = 1 / self.busy.runs_per_s
            raise InputError(
                f"a network takes {seconds:.2g} s a run, too long to be told from an idle device, which runs it too: "
                "use a table of smaller networks"
            )
        return more


def check_discharging(reading: Reading) -> None:
    """InputError unless a window tells of a battery that discharges, with nothing plugged in."""
    if reading.get("battery_current") is None or reading.get("battery_voltage") is None:
        raise InputError(
            "the device does not tell its battery's current and voltage (current_now and voltage_now below "
            "/sys/class/power_supply): no energy can be measured on it"
        )
    status, plugged = str(reading.get("battery_status")), reading.get("plugged") or 0
    if plugged or status != "Discharging":
        why = f"its status is {cut(ascii(status), 30)}" if not plugged else "a charger or USB is connected"
        raise InputError(
            f"the battery gives not all of the power ({why}): reach the phone over Wi-Fi, pull the cable, and "
            "continue with --resume"
        )


def units_of(readings: Sequence[Reading]) -> Units:
    """Of a sensor, by the magnitude of what it showed. InputError where it showed nothing that can be meant."""
    current, voltage = (float(np.median([abs(r[key]) for r in readings])) for key in _BOTH)
    if not current or not voltage:
        raise InputError(
            f"the battery shows a {'current' if not current else 'voltage'} of 0: its sensor tells nothing"
        )
    signs = {math.copysign(1, r["battery_current"]) for r in readings if r["battery_current"]}
    if len(signs) > 1:
        raise InputError("the battery's current changed its sign: it charged for a while; measure anew, unplugged")
    if len({r["battery_current"] for r in readings}) == 1:
        raise InputError("the battery's current never moved: its sensor is too slow or too coarse to tell of energy")
    per_ma = 1000.0 if current >= _MICROAMPERES else 1.0
    per_v = 1e6 if voltage >= _MICROVOLTS else 1000.0 if voltage >= _MILLIVOLTS else 1.0
    return Units(per_ma, per_v)


_BOTH = ("battery_current", "battery_voltage")


def power_of(readings: Sequence[Reading], units: Units) -> Power:
    """Of the windows of one loop, without those in which the sensor settles."""
    used = readings[SETTLING:]
    volts = [abs(r["battery_voltage"]) / units.per_v for r in used]
    milliamperes = [abs(r["battery_current"]) / units.per_ma for r in used]
    steps = [b - a for a, b in itertools.pairwise(sorted(set(milliamperes)))]
    return Power(
        power_mw=float(np.mean([ma * v for ma, v in zip(milliamperes, volts, strict=True)])),
        runs_per_s=sum(r["runs"] for r in used) / sum(r["seconds"] for r in used),
        resolution_mw=min(steps, default=0.0) * float(np.mean(volts)),
    )
