"""From what a battery's sensor shows to power: pure functions.

The kernel's rule is microamperes and microvolts, but vendors show milliamperes and millivolts too, and a current that
leaves the battery is negative on some phones and positive on others. Only one unit can be meant by a number: a phone
that is awake takes 10 mA to 10 A. Signs are left out, since nothing is measured of a battery that charges.

Where the kernel's files are closed, Android's battery service tells the voltage, on some phones a current, and on most
the charge that is left. It looks at the hardware now and then, so that what it shows may be of half a minute ago: only
figures that are new count.
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

# at the beginning of a half so many windows are left out: a fuel gauge shows a mean of the last seconds
SETTLING = 4
# what a service shows counts where a half has at least so many new figures
FEWEST_NEW = 4
# of the charge counter, in the half in which a network runs
FEWEST_STEPS = 4
# currents from so much on are in microamperes, voltages from these on in micro- and millivolts, charges in
# microampere-hours: no phone's battery holds 50,000 mAh
_MICROAMPERES, _MICROVOLTS, _MILLIVOLTS, _MICROAMPERE_HOURS = 10_000, 100_000, 100, 50_000
# beyond these it is no battery's current and voltage
_MOST_MA, _VOLTS = 100_000.0, (1.0, 100.0)
# beyond these no phone takes while it is awake: a figure was told in another unit than the others, or none was told
_AWAKE_MA = (5.0, 10_000.0)
COULOMBS_PER_MAH = 3.6
# a charge counter's coarsest step
_COARSE_MAH = 100.0

# as agents call them, in place of the kernel's files of a battery: what Android answers; of a board without a battery,
# the sensor of its input rail, whose name follows
SERVICE = "Android's battery service"
RAIL = "INA3221 "
# the least that such a sensor tells apart: 40 uV (its data sheet) over a shunt of 5 milliohms, as Jetson boards have
_RAIL_STEP_MA = 8.0
Reading = Mapping[str, Any]  # of a window's end: what the agent told, by the protocol's names
_CURRENT, _VOLTAGE, _COUNTER = "battery_current", "battery_voltage", "battery_counter"


@dataclass(frozen=True)
class Units:
    """What the numbers of a battery's sensor mean.

    per_ma, per_v: how many of them make a milliampere and a volt; per_ma 0: the charge counter is used instead
    step: the smallest difference that it showed, mA or mAh; per_mah: of the counter; source: "" the kernel's files
    """

    per_ma: float
    per_v: float
    step: float = 0.0
    per_mah: float = 0.0
    source: str = ""

    @property
    def counts(self) -> bool:
        """Whether the charge counter is used, and not the current."""
        return not self.per_ma

    def words(self, negative: bool) -> str:
        """What was assumed."""
        if self.source.startswith(RAIL):
            return f"the power of the whole board, by its sensor {self.source}"
        voltages = {1e6: "microvolts", 1000.0: "millivolts", 1.0: "volts"}[self.per_v]
        by = f", by {self.source}" if self.source else ""
        if self.counts:
            unit = "microampere-hours" if self.per_mah == 1000 else "milliampere-hours"
            taken = f"{unit}, in steps of {self.step:g} mAh, and {voltages}"
            return f"the battery's charge counter was taken for {taken}{by}"
        currents = {1000.0: "microamperes", 1.0: "milliamperes"}[self.per_ma]
        sign = "negative" if negative else "positive"
        return f"the battery's numbers were taken for {currents} and {voltages}, {sign} when it discharges{by}"


@dataclass(frozen=True)
class Power:
    """Of a half. power_mw: mean; runs_per_s: of the network; resolution_mw: the sensor's smallest step"""

    power_mw: float
    runs_per_s: float
    resolution_mw: float


@dataclass(frozen=True)
class Turn:
    """A network's half, and one before it with almost no runs."""

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
                f"a network takes {seconds:.2g} s a run, too long to differ from an idle device, which runs it too: "
                "use a table of smaller networks"
            )
        return more


def is_rail(reading: Reading) -> bool:
    """Whether it is of a board's input rail, and of no battery."""
    return str(reading.get("battery_source")).startswith(RAIL)


def check_discharging(reading: Reading) -> None:
    """InputError unless a window tells of a battery that discharges, with nothing plugged in, or of a board's input."""
    if reading.get(_VOLTAGE) is None or (reading.get(_CURRENT) is None and reading.get(_COUNTER) is None):
        raise InputError(
            "the device does not report its battery's current and voltage (current_now and voltage_now below "
            "/sys/class/power_supply), nor does Android's battery service report a current or a charge counter; nor is "
            "there a sensor of a board's input (below /sys/class/hwmon, an INA3221 with one rail whose label ends in "
            "_IN): no energy can be measured on it"
        )
    if is_rail(reading):
        return  # a cable feeds it, and all that it takes goes through the sensor
    status, plugged = str(reading.get("battery_status")), reading.get("plugged") or 0
    if status == "Updates stopped":
        raise InputError(
            "the phone's battery service shows figures that somebody has set (dumpsys battery unplug, or set): give it "
            "back its own by adb shell dumpsys battery reset, and continue with --resume"
        )
    if plugged or status != "Discharging":
        why = f"its status is {cut(ascii(status), 30)}" if not plugged else "a charger or USB is connected"
        raise InputError(
            f"the battery does not supply all of the power ({why}): reach the phone over Wi-Fi, pull the cable, and "
            "continue with --resume"
        )


def units_of(readings: Sequence[Reading]) -> Units:
    """Of a sensor, by the magnitude of what it showed. InputError where it showed nothing that can be meant."""
    sources = {reading.get("battery_source") or "" for reading in readings}
    if len(sources) > 1:
        ways = " and by ".join(source or "the kernel's files" for source in sorted(sources))
        raise InputError(f"the battery was read in two ways, by {ways}: start again with --overwrite")
    (source,) = sources
    if source.startswith(RAIL):
        return _of_rail(readings, source)
    per_v = _per_volt(readings)
    if all(reading.get(_CURRENT) is not None for reading in readings):
        if len({reading[_CURRENT] for reading in readings}) > 1 or not _all_count(readings):
            return _of_current(readings, per_v, source)
    elif not _all_count(readings):
        raise InputError("the battery's current was reported only now and then: nothing can be measured by it")
    return _of_counter(readings, per_v, source)


def _of_rail(readings: Sequence[Reading], source: str) -> Units:
    """hwmon's are milliamperes and millivolts on every board."""
    shown = [reading[_CURRENT] for reading in readings]
    low, high = (end(abs(reading[_VOLTAGE]) for reading in readings) / 1000 for end in (min, max))
    if low < _VOLTS[0] or high > _VOLTS[1]:
        raise InputError(f"{source} shows {low:.3g} to {high:.3g} V, which feeds no board: the sensor is off")
    if min(shown) <= 0 or len(set(shown)) == 1:
        raise InputError(f"{source} shows {min(shown):.3g} to {max(shown):.3g} mA: the sensor is off, or does not move")
    return Units(1.0, 1000.0, step=max(_step(shown), _RAIL_STEP_MA), source=source)


def _all_count(readings: Sequence[Reading]) -> bool:
    return all(reading.get(_COUNTER) is not None for reading in readings)


def _per_volt(readings: Sequence[Reading]) -> float:
    shown = [abs(reading[_VOLTAGE]) for reading in readings]
    middle = float(np.median(shown))
    if not middle:
        raise InputError("the battery shows a voltage of 0: its sensor is of no use")
    per_v = 1e6 if middle >= _MICROVOLTS else 1000.0 if middle >= _MILLIVOLTS else 1.0
    low, high = min(shown) / per_v, max(shown) / per_v
    if low < _VOLTS[0] or high > _VOLTS[1]:
        raise InputError(f"the battery shows {low:.3g} to {high:.3g} V, which is no battery's: its sensor is off")
    return per_v


def _of_current(readings: Sequence[Reading], per_v: float, source: str) -> Units:
    shown = [reading[_CURRENT] for reading in readings]
    middle = float(np.median(np.abs(shown)))
    if not middle:
        raise InputError("the battery shows a current of 0: its sensor is of no use")
    if len({math.copysign(1, current) for current in shown if current}) > 1:
        raise InputError("the battery's current changed its sign: it charged for a while; measure again, unplugged")
    if len(set(shown)) == 1:
        raise InputError("the battery's current never moved: its sensor is too slow or too coarse to measure energy")
    per_ma = 1000.0 if middle >= _MICROAMPERES else 1.0
    if (most := max(map(abs, shown)) / per_ma) > _MOST_MA:
        raise InputError(f"the battery shows {most / 1000:.3g} A, which no phone takes: its sensor is off")
    return Units(per_ma, per_v, step=_step(shown) / per_ma, source=source)


def _of_counter(readings: Sequence[Reading], per_v: float, source: str) -> Units:
    shown = [reading[_COUNTER] for reading in readings]
    if len(set(shown)) == 1:
        raise InputError(
            "the battery's charge counter never moved, and no current is reported: it is too slow or too coarse to "
            "measure energy"
        )
    per_mah = 1000.0 if max(map(abs, shown)) >= _MICROAMPERE_HOURS else 1.0
    return Units(0.0, per_v, step=_step(shown) / per_mah, per_mah=per_mah, source=source)


def _step(shown: Sequence[float]) -> float:
    """The smallest difference between two of them, of which not all are alike."""
    return float(min(b - a for a, b in itertools.pairwise(sorted(set(shown)))))


def new_figures(readings: Sequence[Reading]) -> list[Reading]:
    """Of a half's readings after the settling, those in which something is new. InputError where there are too few.

    The kernel looks at the hardware whenever it is asked, so that all of its are new, and a rail's are.
    """
    used = readings[SETTLING:]
    if used[0].get("battery_source") != SERVICE:
        return list(used)
    facts = [tuple(reading.get(key) for key in (_CURRENT, _VOLTAGE, _COUNTER)) for reading in used]
    changes = zip(itertools.pairwise(facts), used[1:], strict=True)
    new = [reading for (before, now), reading in changes if now != before]
    if len(new) < FEWEST_NEW:
        seconds = sum(reading["seconds"] for reading in used)
        raise InputError(
            f"Android's battery service showed something new {len(new)} times in {seconds:.0f} s, at least "
            f"{FEWEST_NEW} are needed: let each half of a turn take longer, such as --half 300"
        )
    return new


def check_counted(busy: Sequence[Reading]) -> None:
    """InputError where a charge counter is all that is told, and hardly moved while a network ran."""
    if any(reading.get(_CURRENT) is not None for reading in busy):
        return
    moves = len({reading[_COUNTER] for reading in new_figures(busy)}) - 1
    if moves < FEWEST_STEPS:
        seconds = sum(reading["seconds"] for reading in busy[SETTLING:])
        raise InputError(
            f"no current is reported, and the battery's charge counter made {moves} steps in {seconds:.0f} s of runs, "
            f"at least {FEWEST_STEPS} are needed: let each half of a turn take longer, such as --half 300"
        )


def power_of(readings: Sequence[Reading], units: Units) -> Power:
    """Of the windows of one loop, without those in which the sensor settles."""
    new, used = new_figures(readings), readings[SETTLING:]
    runs_per_s = sum(reading["runs"] for reading in used) / sum(reading["seconds"] for reading in used)
    volts = float(np.mean([abs(reading[_VOLTAGE]) / units.per_v for reading in new]))
    if units.counts:
        power_mw, resolution_mw = _counted(new, units, volts)
        return Power(power_mw, runs_per_s, resolution_mw)
    if not units.source.startswith(RAIL):  # whose units are no guess
        _check_awake(new, units)
    products = [abs(r[_CURRENT]) / units.per_ma * abs(r[_VOLTAGE]) / units.per_v for r in new]
    return Power(float(np.mean(products)), runs_per_s, units.step * volts)


def _check_awake(new: Sequence[Reading], units: Units) -> None:
    """InputError where a single current can only be of another unit than the median of all: it would be 1000 times off.

    A current of microamperes is not held to the upper end: the median has told its unit, and a laptop's may be larger.
    """
    shown = [abs(reading[_CURRENT]) / units.per_ma for reading in new]
    low, high = min(shown), max(shown)
    if low < _AWAKE_MA[0] or (units.per_ma == 1 and high >= _AWAKE_MA[1]):
        raise InputError(
            f"the battery shows {low:.3g} to {high:.6g} mA, which no device takes that is awake: some of its figures "
            "are in another unit than the others, or mean nothing; start again with --overwrite"
        )


def _counted(new: Sequence[Reading], units: Units, volts: float) -> tuple[float, float]:
    """The mean power between the first and the last new figure of a charge counter, and its resolution, mW.

    A figure is as old as a window at most, and a charge as wrong as a step: at both ends.
    """
    first, last = new[0], new[-1]
    seconds = last["ended_s"] - first["ended_s"]
    mw_per_mah = 1000 * COULOMBS_PER_MAH * volts / seconds
    _check_charge(new, units)
    power_mw = (first[_COUNTER] - last[_COUNTER]) / units.per_mah * mw_per_mah
    if power_mw < 0:
        raise InputError("the battery's charge counter rises while the battery discharges: it is of no use")
    late = power_mw * float(np.median([reading["seconds"] for reading in new])) / seconds
    return power_mw, math.sqrt(2) * math.hypot(units.step * mw_per_mah, late)


def _check_charge(new: Sequence[Reading], units: Units) -> None:
    """InputError where more charge goes than any phone takes, as by a wrong unit: of a nearly empty battery, or a jump.

    A single figure may be a coarse step late.
    """
    for slack_mah, pairs in ((0.0, [(new[0], new[-1])]), (_COARSE_MAH, itertools.pairwise(new))):
        for before, now in pairs:
            mah, seconds = abs(now[_COUNTER] - before[_COUNTER]) / units.per_mah, now["ended_s"] - before["ended_s"]
            if mah > _AWAKE_MA[1] * seconds / 3600 + slack_mah:
                raise InputError(
                    f"the battery's charge counter moved by {mah:.3g} mAh in {seconds:.3g} s, which no phone takes: "
                    "its unit is not known, or changed; charge the phone, and start again with --overwrite"
                )
