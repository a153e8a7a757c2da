"""The phone agent and heat: which sensors it believes, when it waits, and when it gives up. Its /sys is a fake one."""

import re
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

# what the fake runtime writes to a sensor
HOT = "75000\n"
WriteFake = Callable[[Path, str, str], None]
QUICK = {
    "warmup_runs": 1, "warmup_seconds": 0, "min_runs": 2, "max_runs": 2, "max_seconds": 5, "target_error": 0,
    "min_sample_us": 0,
}  # fmt: skip


def test_it_waits_for_the_phone_to_cool_down_and_says_when_it_does_not(system: Any) -> None:
    for kind, shown in {"battery": 70_000, "cpu-1-0": 39_000, "cpu-1-1": 41_500, "soc_max": -273_000}.items():
        system.zone(kind, shown)

    def heard(limit: float) -> list[dict]:
        return system.heard(visits=["a"], cool_down={"max_temperature_c": limit, "max_wait_seconds": 0.2})

    hello, _, result, _ = heard(limit=42)
    assert (hello["device"]["temperature_c"], hello["device"]["temperature_readable"]) == (41.5, True)
    assert (result["temperature_c_before"], result["temperature_c_after"]) == (41.5, 41.5)
    assert result["cooled_seconds"] is not None
    _, _, error, done = heard(limit=41)
    assert (error["type"], error["reason"], done["type"]) == ("error", "too_hot", "done")
    # whole seconds: a busy machine may add one to the 0.2
    assert re.fullmatch(r"too hot: 41\.5 C after waiting [0-9]+ s, the limit is 41\.0 C", error["message"])


@pytest.mark.parametrize(
    ("zones", "celsius", "source"),
    [
        # by the number, not by the name, and never the battery
        (
            {"tsens_tz_sensor4": 389, "tsens_tz_sensor9": 412, "battery": 290},
            41.2,
            "2 thermal zones, in tenths of a degree",
        ),
        ({"mtktscpu": 52_000, "mtktsbattery": 61_000}, 52, "1 thermal zones, in thousandths of a degree"),
        ({"apc1-cpu0-usr": 47, "pm8998_tz": 61_000}, 47, "1 thermal zones, in degrees"),
        ({"exynos-therm": 47, "tsens_tz_sensor1": 500}, 50, "2 thermal zones, in several units"),
        # Qualcomm's battery, 85 % full
        ({"soc": 85, "cpu-0-0-usr": 40_500}, 40.5, "1 thermal zones, in thousandths of a degree"),
        # a zone of no name that tells anything
        ({"acpitz": 45_000, "bms": 61_000}, 45, "1 thermal zones, in thousandths of a degree"),
        # nothing between 15 and 110 degrees: sensors that are off or count in something else
        ({"cpu-0": -273_000, "cpu-1": 0, "cpu-2": 5, "cpu-3": 8_000, "cpu-4": 400_000}, None, None),
        ({"battery": 30_000, "skin-therm": 32_000, "soc": 50}, None, None),
    ],
)
def test_zones_are_read_in_the_units_of_their_vendor(
    system: Any, zones: dict[str, int], celsius: float | None, source: str | None
) -> None:
    for kind, shown in zones.items():
        system.zone(kind, shown)
    device = system.heard(visits=[])[0]["device"]
    assert (device["temperature_c"], device["temperature_source"]) == (celsius, source)
    assert device["temperature_readable"] is (celsius is not None)


def test_a_zone_in_tenths_stops_the_visits_of_a_hot_phone(system: Any) -> None:
    system.zone("tsens_tz_sensor4", 912)
    error = system.heard(visits=["a"], cool_down={"max_temperature_c": 80, "max_wait_seconds": 0})[2]
    assert error["message"] == "too hot: 91.2 C after waiting 0 s, the limit is 80.0 C"


COOLING = """#include <string.h>
double __real_read_number(const char *path);
double __wrap_read_number(const char *path) {
    static int readings;
    if (!strstr(path, "thermal_zone0/temp")) return __real_read_number(path);
    return readings++ < 6 ? 75000 : 65000;
}
"""
SERVICE = """IsStatusOverride: false
Thermal Status: {status}
Cached temperatures:
	Temperature{{mValue=99.0, mType=0, mName=CPU0, mStatus=0}}
HAL Ready: true
Current temperatures from HAL:
	Temperature{{mValue={celsius}, mType=0, mName=CPU0, mStatus=0}}
	Temperature{{mValue=0.0, mType=0, mName=CPU1, mStatus=0}}
	Temperature{{mValue=95.5, mType=3, mName=SKIN, mStatus=0}}
Current cooling devices from HAL:
	CoolingDevice{{mValue=100, mType=0, mName=fan}}
"""


def answer(system: Any, status: int, celsius: float) -> None:
    """What Android's thermal service says from now on."""
    (system.agent / "service").write_text(SERVICE.format(status=status, celsius=celsius))


@pytest.fixture
def closed(system: Any) -> Any:
    """A phone whose zones adb may not read; its thermal service counts how often it is asked, and how."""
    system.program("dumpsys", f'[ "$1" = thermalservice ] && echo >> {system.agent}/asked; cat {system.agent}/service')
    answer(system, 0, 41.5)
    return system


def test_where_zones_are_closed_the_thermal_service_is_asked_every_20_visits(closed: Any) -> None:
    rules = {"max_temperature_c": 80, "resume_below_c": 75, "max_wait_seconds": 0}
    hello, *events = closed.heard(visits=["a", "b"] * 50, rules=QUICK, cool_down=rules)
    assert hello["device"]["temperature_c"] == 41.5
    assert hello["device"]["temperature_source"] == "Android's thermal service"
    assert hello["device"]["thermal_status_readable"] is True
    before = [event["temperature_c_before"] for event in events if event["type"] == "result"]
    assert before == [41.5 if number % 20 == 0 else None for number in range(100)]
    assert len((closed.agent / "asked").read_text()) == 1 + 100 // 20


@pytest.mark.parametrize(
    ("status", "celsius", "message"),
    [
        (0, 95.5, "too hot: 95.5 C after waiting 0 s, the limit is 80.0 C"),
        (2, 41.5, "too hot: Android's thermal status is 2 after waiting 0 s: clocks are cut"),
    ],
)
def test_a_phone_with_closed_zones_has_a_gate_during_a_run(
    closed: Any, status: int, celsius: float, message: str
) -> None:
    answer(closed, status, celsius)
    error = closed.heard(visits=["a"], cool_down={"max_temperature_c": 80, "max_wait_seconds": 0})[2]
    assert (error["type"], error.get("reason"), error["message"]) == ("error", "too_hot", message)


def test_heat_that_only_the_service_knows_of_is_waited_out(closed: Any) -> None:
    # it says so the first time it is asked before a visit, and not the second
    answer(closed, 0, 41.5)
    (closed.agent / "later").write_text(SERVICE.format(status=3, celsius=41.5))
    script = f'echo >> {closed.agent}/asked; n=$(grep -c "" {closed.agent}/asked)'
    closed.program("dumpsys", f"{script}; [ $n = 2 ] && cat {closed.agent}/later || cat {closed.agent}/service")
    cool_down = {"max_temperature_c": 80, "max_wait_seconds": 1e6}
    (result,) = (e for e in closed.heard(visits=["a"], rules=QUICK, cool_down=cool_down) if e["type"] == "result")
    assert result["cooled_seconds"] > 0


def test_a_sensor_that_wanders_about_the_limit_ends_no_run(
    system: Any, tmp_path: Path, write_fake: WriteFake, linked: Callable[..., None]
) -> None:
    (tmp_path / "agent").unlink()
    linked(tmp_path / "agent", "-Wl,--wrap=read_number", Path(__file__).with_name("noise.c"))
    system.zone("cpu-7", 66_000)
    for model in "ab":
        write_fake(system.agent, model, "spin 20")
    # never so long that a machine that stands still could end it: only the temperature may
    cool_down = {"max_temperature_c": 70, "resume_below_c": 65, "max_wait_seconds": 1e6}
    events = system.heard(visits=["a", "b"] * 1200, rules=QUICK, cool_down=cool_down)
    results = [event for event in events if event["type"] == "result"]
    assert len(results) == 2400
    waits = sum(result["cooled_seconds"] > 0 for result in results)
    assert 1 <= waits <= 8, "what was warm for long was waited for, a peak was not"


def test_heat_that_comes_while_a_model_is_loaded_is_waited_out(system: Any, write_fake: WriteFake) -> None:
    zone = system.zone("cpu-7", 60_000)
    write_fake(system.agent, "a", f"hot {zone} spin 10")

    def cool_soon() -> None:
        while zone.read_text() != HOT:
            time.sleep(0.01)
        time.sleep(0.1)
        zone.write_text("60000\n")

    cooling = threading.Thread(target=cool_soon)
    cooling.start()
    cool_down = {"max_temperature_c": 70, "resume_below_c": 65, "max_wait_seconds": 1e6}
    events = system.heard(visits=["a"], rules=QUICK, cool_down=cool_down)
    cooling.join()
    (result,) = (event for event in events if event["type"] == "result")
    assert result["cooled_seconds"] > 0
    assert result["temperature_c_before"] == 60


@pytest.mark.parametrize(("resume_below", "outcome"), [(60, ("error", "too_hot")), (68, ("result", None))])
def test_what_waits_goes_on_well_below_the_limit_and_not_at_the_next_wobble(
    system: Any, tmp_path: Path, linked: Callable[..., None], resume_below: int, outcome: tuple[str, str | None]
) -> None:
    # the first readings are 75 C, all others 65: by their number, so that no machine is too slow for it
    (tmp_path / "cooling.c").write_text(COOLING)
    (tmp_path / "agent").unlink()
    linked(tmp_path / "agent", "-Wl,--wrap=read_number", tmp_path / "cooling.c")
    system.zone("cpu-7", 75_000)
    waits = 1 if outcome[0] == "error" else 1e6
    rules = {"max_temperature_c": 70, "resume_below_c": resume_below, "max_wait_seconds": waits}
    told = system.heard(visits=["a"], rules=QUICK, cool_down=rules)[2]
    assert (told["type"], told.get("reason")) == outcome
    assert "65.0 C after waiting" in told["message"] if outcome[1] else told["cooled_seconds"] > 0
