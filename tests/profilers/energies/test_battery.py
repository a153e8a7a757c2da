"""From what a battery's sensor shows to millijoules, by hand and in every vendor's units."""

import math
from typing import Any

import pytest

from ofa.errors import InputError
from profilers.energies import measured_energy
from profilers.energies.battery import (
    SERVICE,
    SETTLING,
    Power,
    Turn,
    Units,
    check_counted,
    check_discharging,
    new_figures,
    power_of,
    units_of,
)
from profilers.measuring.events import Result

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
    assert units == Units(per_ma, per_v, step=10)
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
        with pytest.raises(InputError, match=r"takes .* s a run, too long to differ from an idle device"):
            getattr(turn, value)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"battery_current": None}, "does not report its battery's current and voltage"),
        ({"battery_voltage": None}, "does not report its battery's current and voltage"),
        (
            {"battery_status": "Charging"},
            r"does not supply all of the power \(its status is 'Charging'\): reach the phone over Wi-Fi",
        ),
        ({"battery_status": "Full\x1b"}, r"its status is 'Full\\x1b'"),
        ({"battery_status": None}, "its status is 'None'"),
        ({"plugged": 1}, "a charger or USB is connected"),
        ({"battery_status": "Updates stopped"}, "somebody has set .* adb shell dumpsys battery reset"),
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
        ([reading(300, 0.5), reading(301, 0.6)], "shows 0.5 to 0.6 V, which is no battery's"),
        ([*[reading(300)] * N, reading(301, 400)], "shows 4 to 400 V"),
        ([*[reading(300)] * N, reading(2e8)], "shows 2e\\+05 A, which no phone takes"),
        ([reading(300), {**reading(301), "battery_current": None}], "reported only now and then"),
        ([reading(300), {**reading(301), "battery_source": SERVICE}], "read in two ways"),
        ([*[reading(300)] * N, reading(20, sign=1)], "changed its sign: it charged for a while"),
    ],
)
def test_a_sensor_that_tells_nothing_is_refused(readings: list[Any], words: str) -> None:
    with pytest.raises(InputError, match=words):
        units_of(readings)


@pytest.mark.parametrize(
    ("figures", "words"),
    [
        # each asked in two ways, of which one tells a thousandth
        ([-300_000, -310_000, -300], "shows 0.3 to 310 mA"),
        ([-300, -310, -300_000], "shows 300 to 300000 mA|shows 300 A"),
        ([-300, -310, -60_000], "shows 300 to 60000 mA"),
        ([-300_000, -310_000, 0], "shows 0 to 310 mA"),
    ],
)
def test_a_current_in_two_units_gives_no_power(figures: list[float], words: str) -> None:
    shown = [*[figures[i % 2] for i in range(N)], figures[2]]
    readings = [{**reading(1), "battery_current": current} for current in shown]
    with pytest.raises(InputError, match=words):
        power_of(readings, units_of(readings))


def test_a_power_is_the_mean_of_products_and_not_the_product_of_means() -> None:
    # a battery sags where it gives more: the product of the means would be 7.5 W
    readings = [reading(*((4000, 1.0) if i % 2 else (1000, 5.0))) for i in range(N)]
    assert power_of(readings, units_of(readings)).power_mw == pytest.approx(4500)


def test_a_window_of_the_agents_is_kept_in_seconds() -> None:
    watched = {"loop_ns": 7_500_000_000, "timed_ns": 2_500_000_000, "battery_current": -3.0, "battery_status": "Full"}
    kept = measured_energy._reading(Result(0, "n", [10] * 6, None, 4, watched))
    assert (kept["runs"], kept["seconds"], kept["ended_s"]) == (24, 2.5, 10.0)
    assert (kept["battery_current"], kept["battery_status"], kept["battery_voltage"]) == (-3.0, "Full", None)


# ---- where the kernel's files are closed


def told(
    at: int, mah: float, v: float = 4.0, ma: float | None = None, per_mah: float = 1000, runs: int = 50
) -> dict[str, Any]:
    """What Android's service says at the end of a window of 2.5 s."""
    return {
        "battery_current": ma, "battery_voltage": round(1000 * v), "battery_counter": mah * per_mah, "plugged": 0,
        "battery_status": "Discharging", "battery_source": SERVICE, "runs": runs, "seconds": 2.5,
        "ended_s": 2.5 * (at + 1),
    }  # fmt: skip


@pytest.mark.parametrize("per_mah", [1, 1000])
def test_a_charge_counter_gives_the_power_between_two_of_its_figures_and_says_how_coarse_it_is(per_mah: float) -> None:
    # 1 mAh every second window: 720 mA
    readings = [told(i, 3000 - i // 2, per_mah=per_mah) for i in range(120)]
    units = units_of(readings)
    assert (units.counts, units.step, units.per_mah) == (True, 1.0, per_mah)
    assert "charge counter was taken for m" in units.words(False) and f", by {SERVICE}" in units.words(False)
    found = power_of(readings, units)
    assert found.power_mw == pytest.approx(720 * 4.0)
    assert found.runs_per_s == 20
    # between the first and the last new figure lie 112 windows
    seconds = 112 * 2.5
    assert found.resolution_mw == pytest.approx(math.sqrt(2) * math.hypot(14400 / seconds, 2880 * 2.5 / seconds))


@pytest.mark.parametrize(("every", "windows"), [(1, 12), (6, 48), (24, 240)])
def test_what_a_service_shows_a_second_time_is_no_new_figure(every: int, windows: int) -> None:
    # it looks at the hardware every so many windows; between, it repeats itself
    looks = [i // every * every for i in range(windows)]
    readings = [told(i, 3000 - 0.5 * at, 4.0 + 0.001 * (at % 7), ma=-720 - at % 3) for i, at in enumerate(looks)]
    new = new_figures(readings)
    assert len(new) == len(set(looks[SETTLING:])) - (looks[SETTLING] in looks[:SETTLING] or every == 1)
    counted = [{**reading, "battery_current": None} for reading in readings]
    power = power_of(counted, units_of(counted)).power_mw
    assert power == pytest.approx(720 * 4.0, rel=0.01)


def test_a_service_that_looks_too_seldom_and_a_counter_that_hardly_moves_are_refused() -> None:
    seldom = [told(i, 3000 - i // 10, ma=-300 - i // 10) for i in range(N)]
    with pytest.raises(InputError, match=r"showed something new 1 times in 20 s, at least 4 .* such as --half 300"):
        new_figures(seldom)
    coarse = [told(i, 3000 - i // 8, 4.0 + 0.001 * (i % 2)) for i in range(N)]
    with pytest.raises(InputError, match=r"made 1 steps in 20 s of runs, at least 4 are needed: .* such as --half"):
        check_counted(coarse)
    check_counted([{**reading, "battery_current": -300} for reading in coarse])
    check_counted([told(i, 3000 - i, 4.0) for i in range(N)])


@pytest.mark.parametrize(
    ("readings", "words"),
    [
        ([told(i, 3000, 4 + i % 2 / 1000) for i in range(N)], "charge counter never moved, and no current is reported"),
        ([told(i, 3000 + i) for i in range(N)], "charge counter rises while the battery discharges"),
    ],
)
def test_a_counter_that_tells_nothing_is_refused(readings: list[Any], words: str) -> None:
    with pytest.raises(InputError, match=words):
        power_of(readings, units_of(readings))


@pytest.mark.parametrize(
    ("counters", "words"),
    [
        # a battery of 40 mAh left, in microampere-hours: as mAh it would give a thousand times the power
        ([40_000 - 100 * i for i in range(N)], "moved by 600 mAh in 15 s, which no phone takes"),
        ([-1000 - 100 * i for i in range(N)], "moved by 600 mAh in 15 s"),
        # one figure in mAh
        ([3000 if i == 8 else 3_000_000 - 1000 * i for i in range(N)], "moved by 2.99e\\+03 mAh in 2.5 s"),
        # nanoampere-hours
        ([3e9 - 1e6 * i for i in range(N)], "moved by 6e\\+03 mAh"),
    ],
)
def test_a_counter_whose_unit_cannot_be_told_is_refused(counters: list[float], words: str) -> None:
    readings = [told(i, counter, per_mah=1) for i, counter in enumerate(counters)]
    with pytest.raises(InputError, match=words):
        power_of(readings, units_of(readings))


def test_a_counter_that_goes_down_from_nothing_and_one_of_coarse_steps_are_worked_with() -> None:
    from_nothing = [told(i, -60 - i / 2) for i in range(120)]
    assert power_of(from_nothing, units_of(from_nothing)).power_mw == pytest.approx(720 * 4.0)
    # 50 mAh, 1 % of a battery, every 100 windows
    coarse = [told(i, 3000 - 50 * (i // 100)) for i in range(1000)]
    assert power_of(coarse, units_of(coarse)).power_mw == pytest.approx(720 * 4.0)


# ---- a board's input


def of_rail(ma: float, v: float = 5.0, **change: Any) -> Any:
    """Of a window, as an agent tells it of a Jetson."""
    return {
        "battery_current": ma, "battery_voltage": 1000 * v, "battery_status": None, "plugged": None,
        "battery_source": "INA3221 VDD_IN", "runs": 50, "seconds": 2.5, **change,
    }  # fmt: skip


def test_a_boards_input_is_read_in_the_kernels_units_and_needs_no_battery() -> None:
    # 14 A at 19 V: a battery's current of this size would be in microamperes
    readings = [of_rail(ma, 19.0) for ma in (99.0,) * SETTLING + (14_000.0, 14_000.25) * 4]
    for reading in readings:
        check_discharging(reading)
    assert new_figures(readings) == readings[SETTLING:], "all of its figures are new, also those that are alike"
    units = units_of(readings)
    # the sensor's own step, which a mean of many hides
    assert units == Units(1.0, 1000.0, step=8.0, source="INA3221 VDD_IN")
    assert units.words(False) == "the power of the whole board, by its sensor INA3221 VDD_IN"
    assert power_of(readings, units) == pytest.approx(Power(14_000.125 * 19, 20.0, 8 * 19))


@pytest.mark.parametrize(
    ("readings", "words"),
    [
        ([of_rail(500)] * 3, "shows 500 to 500 mA: the sensor is off, or does not move"),
        ([of_rail(500), of_rail(-3)], "shows -3 to 500 mA: the sensor is off"),
        ([of_rail(500, 0.2), of_rail(501)], r"INA3221 VDD_IN shows 0.2 to 5 V, which feeds no board"),
        ([of_rail(500), reading(501)], "read in two ways, by the kernel's files and by INA3221 VDD_IN"),
    ],
)
def test_a_rail_that_shows_nonsense_is_refused(readings: list[Any], words: str) -> None:
    with pytest.raises(InputError, match=words):
        units_of(readings)


def test_a_board_that_tells_nothing_is_told_what_is_looked_for() -> None:
    with pytest.raises(InputError, match=r"an INA3221 with one rail whose label ends in _IN\): no energy"):
        check_discharging(of_rail(500, battery_current=None, battery_source=None))
