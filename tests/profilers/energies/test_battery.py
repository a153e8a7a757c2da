"""From what a battery's sensor shows to millijoules, by hand and in every vendor's units."""

import math
from typing import Any

import pytest

from ofa.errors import InputError
from profilers.energies.battery import SETTLING, Power, Turn, Units, check_discharging, power_of, units_of

N = 12


def reading(
    ma: float, v: float = 4.0, *, per_ma: float = 1000, per_v: float = 1e6, sign: int = -1, runs: int = 50
) -> Any:
    """Of a window of 2.5 s with so many runs."""
    return {
        "battery_current": sign * ma * per_ma, "battery_voltage": v * per_v, "battery_status": "Discharging",
        "plugged": 0, "runs": runs, "seconds": 2.5,
    }  # fmt: skip


@pytest.mark.parametrize("per_ma", [1, 1000])
@pytest.mark.parametrize("per_v", [1, 1000, 1e6])
@pytest.mark.parametrize("sign", [-1, 1])
def test_units_and_signs_of_any_vendor_give_the_same_power(per_ma: float, per_v: float, sign: int) -> None:
    how: Any = {"per_ma": per_ma, "per_v": per_v, "sign": sign}
    readings = [reading(5000, **how)] * SETTLING + [
        reading(ma, 4.2, **how) for ma in (300, 310, 300, 310, 300, 310, 300, 310)
    ]
    units = units_of(readings)
    assert units == Units(per_ma, per_v)
    found = power_of(readings, units)
    # the first windows, in which a gauge shows what was before, are left out
    assert found == pytest.approx(Power(305 * 4.2, 20.0, 10 * 4.2))
    assert "negative when it discharges" in units.words(sign < 0) or sign > 0


@pytest.mark.parametrize("ma", [11, 50, 300, 4000, 9000])
def test_a_phone_that_is_awake_takes_currents_that_only_one_unit_can_mean(ma: float) -> None:
    for per_ma in (1, 1000):
        assert units_of([reading(ma, per_ma=per_ma), reading(ma + 1, per_ma=per_ma)]).per_ma == per_ma


def test_the_energy_of_a_run_is_what_is_taken_above_idle_over_the_runs_above_idle() -> None:
    turn = Turn(Power(400, 0.4, 3), Power(1900, 100.4, 4))
    assert turn.energy_mj == pytest.approx(15)
    assert turn.resolution_mj == pytest.approx(5 / math.sqrt(12) / 100)


@pytest.mark.parametrize("runs_per_s", [0.3, 0.4, 0.7])
def test_a_network_that_an_idle_device_runs_as_often_has_no_energy(runs_per_s: float) -> None:
    turn = Turn(Power(400, 0.4, 3), Power(1900, runs_per_s, 4))
    for value in ("energy_mj", "resolution_mj"):
        with pytest.raises(InputError, match=r"takes .* s a run, too long to be told from an idle device"):
            getattr(turn, value)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"battery_current": None}, "does not tell its battery's current and voltage"),
        ({"battery_voltage": None}, "does not tell its battery's current and voltage"),
        (
            {"battery_status": "Charging"},
            r"not all of the power \(its status is 'Charging'\): reach the phone over Wi-Fi",
        ),
        ({"battery_status": "Full\x1b"}, r"its status is 'Full\\x1b'"),
        ({"battery_status": None}, "its status is 'None'"),
        ({"plugged": 1}, "a charger or USB is connected"),
    ],
)
def test_what_a_charger_gives_is_not_measured(change: dict[str, Any], words: str) -> None:
    check_discharging(reading(300))
    check_discharging({**reading(300), "plugged": None})
    with pytest.raises(InputError, match=words):
        check_discharging({**reading(300), **change})


@pytest.mark.parametrize(
    ("readings", "words"),
    [
        ([reading(0)] * N, "the battery shows a current of 0"),
        ([reading(300, 0)] * N, "the battery shows a voltage of 0"),
        ([reading(300)] * N, "current never moved"),
        ([*[reading(300)] * N, reading(20, sign=1)], "changed its sign: it charged for a while"),
    ],
)
def test_a_sensor_that_tells_nothing_is_refused(readings: list[Any], words: str) -> None:
    with pytest.raises(InputError, match=words):
        units_of(readings)
