"""The phone agent in a loop: its model stays loaded, runs follow each other or a rate, and heat stops nothing."""

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.device_agents.loops import LOOPS, WARM_UP, PlantedLoop, windows_of

TalkRaw = Callable[[Path, bytes], tuple[int, list[dict], str]]
WriteFake = Callable[[Path, str, str], None]
ManifestWith = Callable[..., dict]
LOOP = {"window_seconds": 0.02, "rate_hz": None}


def results(events: list[dict]) -> list[dict]:
    return [event for event in events if event["type"] == "result"]


def looped(fake: Path, talk_raw: TalkRaw, manifest_with: ManifestWith, **changes: Any) -> tuple[list[dict], str]:
    code, events, err = talk_raw(fake, json.dumps(manifest_with(**{"sustained": LOOP, **changes})).encode())
    assert code == 0, err
    return events, err


def test_a_model_stays_loaded_from_window_to_window(fake: Path, talk_raw: TalkRaw, manifest_with: ManifestWith) -> None:
    events, err = looped(fake, talk_raw, manifest_with, visits=["a"] * 30 + ["b", "b", "a"])
    made = results(events)
    assert [event["type"] for event in events] == ["hello", *["visit", "result"] * 33, "done"]
    assert [line for line in err.splitlines() if "load" in line] == [
        "load a.tflite", "unload", "load b.tflite", "unload", "load a.tflite", "unload",
    ]  # fmt: skip
    assert [i for i, result in enumerate(made) if result["setup_ns"] > 0] == [0, 30, 32]
    first = made[:30]
    # none begins before the one before has ended, nor before its time
    ends = [result["loop_ns"] + result["timed_ns"] for result in first]
    assert all(end <= result["loop_ns"] for end, result in zip(ends[:-1], first[1:], strict=True))
    assert all(result["loop_ns"] >= 20_000_000 * i for i, result in enumerate(first))
    # another model's loop begins anew; how soon, the machine decides, which may stand still for a while
    assert [made[30]["loop_ns"] < ends[-1], made[31]["loop_ns"] >= 20_000_000] == [True, True]
    for result in made:
        assert result["late"] == 0
        assert sum(result["samples_ns"]) <= result["timed_ns"]
        assert len(result["samples_ns"]) == len(result["cpu_ns"]) >= 1


def test_a_window_may_hold_more_samples_than_there_was_room_for(
    fake: Path, talk_raw: TalkRaw, manifest_with: ManifestWith, write_fake: WriteFake
) -> None:
    write_fake(fake, "a", "spin 0")
    quick = {**manifest_with()["rules"], "min_sample_us": 0}
    # some 50 times as many as there was room for
    slow = {"window_seconds": 1, "rate_hz": None}
    events, _ = looped(fake, talk_raw, manifest_with, visits=["a"], rules=quick, sustained=slow)
    for result in results(events):
        assert len(result["samples_ns"]) == len(result["cpu_ns"]) > 1024


def test_at_a_rate_runs_begin_at_their_times_and_no_sooner(
    fake: Path, talk_raw: TalkRaw, manifest_with: ManifestWith
) -> None:
    at_200 = {"window_seconds": 0.02, "rate_hz": 200}
    events, _ = looped(fake, talk_raw, manifest_with, visits=["a"] * 20, sustained=at_200)
    made = 0
    for result in results(events):
        made += len(result["samples_ns"])
        assert result["calls_per_sample"] == 1
        assert made <= 200 * (result["loop_ns"] + result["timed_ns"]) / 1e9
    # a rate that no model keeps
    hurried = {"window_seconds": 0.02, "rate_hz": 1e6}
    events, _ = looped(fake, talk_raw, manifest_with, visits=["a"] * 3, sustained=hurried)
    assert all(result["late"] > 0 for result in results(events))


@pytest.mark.parametrize("asked", LOOPS.values(), ids=LOOPS)
def test_runs_begin_at_their_times(
    clocked: Path, talk_raw: TalkRaw, manifest_with: ManifestWith, write_fake: WriteFake, asked: PlantedLoop
) -> None:
    """The same windows as those of the CPU agent: tests/device_agents/test_cpu_loop.py."""
    for name in {*asked.models}:
        words = f"spin {1000 * asked.run_ms} stand {asked.stand_at} for {1000 * asked.stand_ms}"
        write_fake(clocked, name, words)
    more = {"visits": [*asked.models], "rules": {**manifest_with()["rules"], **WARM_UP}}
    events, _ = looped(clocked, talk_raw, manifest_with, sustained=asked.sustained, **more)
    assert windows_of(results(events)) == asked.windows


def test_a_model_that_fails_in_its_loop_is_an_error_and_the_next_is_run(
    fake: Path, talk_raw: TalkRaw, manifest_with: ManifestWith, write_fake: WriteFake
) -> None:
    write_fake(fake, "a", "fail_run 7")
    events, err = looped(fake, talk_raw, manifest_with, visits=["a", "a", "b"])
    told = [event for event in events if event["type"] in ("result", "error")]
    assert [(event["type"], event["id"]) for event in told] == [("error", "a"), ("error", "a"), ("result", "b")]
    assert "the model fails when it is run: status 7" in told[0]["message"]
    assert err.count("unload") == err.count("load") - err.count("unload") == 3
    write_fake(fake, "a", "fail_load 9")
    events, _ = looped(fake, talk_raw, manifest_with, visits=["a", "b"])
    assert [event["type"] for event in events] == ["hello", "visit", "error", "visit", "result", "done"]


def test_heat_is_waited_out_before_a_loop_and_not_within_it(system: Any, write_fake: WriteFake) -> None:
    sensor = system.zone("cpu-0", 50_000)
    cool_down = {"max_temperature_c": 60, "max_wait_seconds": 0}
    # running "a" makes the sensor show 75 C, too hot for another loop to begin
    write_fake(system.agent, "a", f"spin 100 heat {sensor}")
    heard = system.heard(visits=["a", "a", "b", "a"], sustained=LOOP, cool_down=cool_down)
    told = [event for event in heard if event["type"] in ("result", "error")]
    assert [(event["type"], event.get("reason")) for event in told] == [
        ("result", None), ("result", None), ("error", "too_hot"), ("error", "too_hot"),
    ]  # fmt: skip
    assert [event["temperature_c_before"] for event in told[:2]] == [50, 75]


def test_heat_within_a_loop_is_told(system: Any) -> None:
    system.zone("cpu-0", 50_000)
    system.clock(0, "scaling_max_freq", 1_680_000)
    heard = system.heard(visits=["a"] * 3, sustained=LOOP, cpus=[0])
    assert [(r["temperature_c_after"], r["clock_limit_mhz"]) for r in results(heard)] == [(50, 1680)] * 3


def test_where_zones_are_closed_the_thermal_service_is_asked_now_and_then(system: Any) -> None:
    words = (
        "Thermal Status: 0\\nCurrent temperatures from HAL:\\n"
        "\\tTemperature{mValue=41.5, mType=0, mName=CPU0, mStatus=0}\\nCurrent cooling devices from HAL:\\n"
    )
    system.program("dumpsys", f"printf '{words}'")
    made = results(system.heard(visits=["a"] * 30, sustained={"window_seconds": 0.001, "rate_hz": None}))
    # before the first window nothing asks, since nothing is waited for
    assert [i for i, result in enumerate(made) if result["temperature_c_before"] == 41.5] == [12, 24]


def supply(system: Any, name: str, **files: object) -> None:
    folder = system.sys / "class/power_supply" / name
    folder.mkdir(parents=True)
    for file, shown in files.items():
        (folder / file).write_text(f"{shown}\n")


def test_what_the_battery_shows_stands_beside_every_window(system: Any) -> None:
    asked: dict[str, Any] = {"visits": ["a"] * 2, "sustained": {"window_seconds": 0.001, "rate_hz": None}}
    names = ("battery_current", "battery_voltage", "battery_status", "plugged")

    def shown() -> list[tuple[Any, ...]]:
        return [tuple(result[name] for name in names) for result in results(system.heard(**asked))]

    assert shown() == [(None, None, None, None)] * 2
    supply(system, "ac", type="Mains", online=0)
    supply(system, "maxfg", type="Battery", status="Unknown", current_now=1, voltage_now=2)
    supply(system, "battery", type="Battery", status="Discharging", current_now=-312_500, voltage_now=4_012_000)
    supply(system, "bms", type="BMS", current_now=7, voltage_now=8)
    supply(system, "nothing", type="Battery", status="Full")
    assert shown() == [(-312_500, 4_012_000, "Discharging", 0)] * 2
    supply(system, "usb", type="USB", online=1)
    assert shown() == [(-312_500, 4_012_000, "Discharging", 1)] * 2


ANDROID = """Current Battery Service state:
  AC powered: false
  USB powered: false
  Charge counter: {counter}
  status: {status}
  level: 80
  voltage: 4012
"""
SERVICE = "Android's battery service"
NAMES = ("battery_current", "battery_voltage", "battery_counter", "battery_status", "plugged", "battery_source")


@pytest.mark.parametrize(
    ("cmd", "dumpsys", "told"),
    [
        # microamperes by cmd, where Android knows them, and before a vendor's own line
        ("echo -312500", ANDROID.format(counter=2967000, status=3) + "  current now: -310\n",
         (-312500, 4012, 2967000, "Discharging", 0, SERVICE)),
        # Samsung's line, and its second counter where the first shows none
        ("echo Unknown get option: current_now", ANDROID.format(counter=0, status=3)
         + "  current now: 321\n  charge counter: 1500\n", (321, 4012, 1500, "Discharging", 0, SERVICE)),
        # what stands for none
        ("echo -2147483648", ANDROID.format(counter=-1000, status=9),
         (None, 4012, -1000, None, 0, SERVICE)),
        ("exit 20", ANDROID.format(counter="2967000 uAh", status=2).replace("USB powered: false", "USB powered: true"),
         (None, 4012, None, "Charging", 1, SERVICE)),
        # somebody's `dumpsys battery unplug`
        ("echo 5", "Current Battery Service state:\n  (UPDATES STOPPED -- use 'reset' to restart)\n  voltage: 4\n",
         (5, 4, None, "Updates stopped", None, SERVICE)),
        ("echo no", "Can't find service: battery\n", (None,) * 6),
        # lines as Windows ends them, and a second battery, which is not the phone's own
        ("echo no",
         (ANDROID.format(counter=3000, status=3) + ANDROID.format(counter=9, status=2)).replace("\n", "\r\n"),
         (None, 4012, 3000, "Discharging", 0, SERVICE)),
        # no unit is guessed from words
        ("echo 300 mA", ANDROID.format(counter=3000, status=3).replace("4012", "4.012V"),
         (None, None, 3000, "Discharging", 0, SERVICE)),
        # more than is read, which would end amid the voltage: 40
        ("echo 7", "x" * (65_535 - len("current now: 7\n\nvoltage: 40")) + "\nvoltage: 4012\n" + "y" * 1_000_000,
         (7, None, None, None, None, SERVICE)),
        ("echo 7; echo 8", "voltage:\n:\n" + "x" * 70_000, (7, None, None, None, None, SERVICE)),
    ],
)  # fmt: skip
def test_where_the_kernels_files_are_closed_androids_battery_service_is_asked(
    system: Any, cmd: str, dumpsys: str, told: tuple[Any, ...]
) -> None:
    system.program("cmd", f'echo "cmd $*" >> {system.agent}/asked; {cmd}')
    (system.agent / "words").write_text(dumpsys)
    system.program("dumpsys", f'[ "$1" = battery ] && cat {system.agent}/words')
    asked: dict[str, Any] = {"visits": ["a"] * 3, "sustained": {"window_seconds": 0.001, "battery": True}}
    shown = [tuple(result[name] for name in NAMES) for result in results(system.heard(**asked))]
    assert shown == [told] * 3
    counted = (system.agent / "asked").read_text().splitlines()
    # a service that tells nothing is not asked again
    assert counted == ["cmd battery get -f current_now"] * (3 if told[-1] else 1)
    supply(system, "battery", type="Battery", status="Discharging", current_now=-5, voltage_now=4)
    assert [tuple(r[name] for name in NAMES) for r in results(system.heard(**asked))] == [
        (-5, 4, None, "Discharging", None, None)
    ] * 3
    assert (system.agent / "asked").read_text().splitlines() == counted, "the kernel told"


def test_a_loop_whose_battery_is_not_asked_for_starts_no_program(system: Any) -> None:
    for name in ("cmd", "dumpsys"):
        system.program(name, f'echo "$*" >> {system.agent}/asked; echo "current now: 5"')
    for battery in ({}, {"battery": False}, {"battery": None}):
        made = results(system.heard(visits=["a"] * 2, sustained={"window_seconds": 0.001, **battery}))
        assert [result["battery_current"] for result in made] == [None] * 2
    assert "battery" not in (system.agent / "asked").read_text()


VDD_IN = {"name": "ina3221", "in2_label": "VDD_IN", "in2_input": 5032, "curr2_input": 1016}
OTHERS = {"in1_label": "VDD_CPU_GPU_CV", "in1_input": 5000, "curr1_input": 96, "in3_label": "VDD_SOC", "curr3_input": 5}
SUM = {"in7_label": "sum of shunt voltages", "in7_input": 3, "curr4_input": 1120}
RAIL, NONE = (5032, 1016, "INA3221 VDD_IN"), (None, None, None)


@pytest.mark.parametrize(
    ("sensors", "told"),
    [
        ([VDD_IN], RAIL),
        ([{"name": "nvme", "in1_label": "VDD_IN", "in1_input": 1}, {**VDD_IN, **OTHERS, **SUM}], RAIL),
        ([], NONE),
        # rails of which none feeds the others, or two
        ([{"name": "ina3221", **OTHERS}], NONE),
        ([VDD_IN, VDD_IN], NONE),
        ([{**VDD_IN, "name": "ina2xx"}], NONE),
        # what cannot be read, is no number, or is of no use
        ([{**VDD_IN, "curr2_input": None}], NONE),
        ([{**VDD_IN, "in2_input": "5032 mV"}], NONE),
        ([{**VDD_IN, "curr2_input": ""}], NONE),
        ([{**VDD_IN, "in2_input": 0}], NONE),
        ([{**VDD_IN, "in2_input": -5032}], NONE),
    ],
)  # fmt: skip
def test_a_boards_input_rail_is_read_where_there_is_no_battery(
    system: Any, sensors: list[dict[str, Any]], told: tuple[Any, ...]
) -> None:
    for number, files in enumerate(sensors):
        folder = system.sys / f"class/hwmon/hwmon{number}"
        folder.mkdir(parents=True)
        for file, shown in files.items():
            if shown is None:
                (folder / file).mkdir()
            else:
                (folder / file).write_text(f"{shown}\n")
    asked: dict[str, Any] = {"visits": ["a"] * 2, "sustained": {"window_seconds": 0.05, "battery": True}}
    names = ("battery_voltage", "battery_current", "battery_source")
    made = results(system.heard(**asked))
    assert [tuple(result[name] for name in names) for result in made] == [told] * 2
    assert {(result["battery_status"], result["plugged"]) for result in made} == {(None, None)}
    supply(system, "battery", type="Battery", status="Discharging", current_now=-5, voltage_now=4)
    assert [tuple(r[name] for name in names) for r in results(system.heard(**asked))] == [(4, -5, None)] * 2


def test_the_rail_is_read_again_and_again_and_its_reader_ends_with_the_window(system: Any) -> None:
    folder = system.sys / "class/hwmon/hwmon0"
    folder.mkdir(parents=True)
    for file, shown in VDD_IN.items():
        (folder / file).write_text(f"{shown}\n")
    # what reads the rail goes by this name, and tells how often it was asked to wait
    system.program("sleep", f'echo "$*" >> {system.agent}/waits; exec /bin/sleep "$@"')
    (made,) = results(system.heard(visits=["a"], sustained={"window_seconds": 0.6, "battery": True}))
    assert made["battery_current"] == 1016
    waits = (system.agent / "waits").read_text().splitlines()
    assert set(waits) == {"0.1"}
    time.sleep(0.3)
    assert (system.agent / "waits").read_text().splitlines() == waits, "nobody reads it any more"


@pytest.mark.parametrize(
    ("sustained", "message"),
    [
        ({"rate_hz": 30}, "manifest: sustained.window_seconds is missing or wrong, expected a number of at least"),
        ({"window_seconds": 0}, "manifest: sustained.window_seconds is missing or wrong"),
        ({"window_seconds": 5, "rate_hz": -1}, "manifest: sustained.rate_hz is missing or wrong, expected a number"),
        ({"window_seconds": 5, "rate_hz": "30"}, "manifest: sustained.rate_hz is missing or wrong"),
        (
            {"window_seconds": 5, "battery": 1},
            "sustained.battery is missing or wrong, expected true or false",
        ),
        ([5], "manifest: sustained.window_seconds is missing or wrong"),
    ],
)
def test_a_loop_that_cannot_be_followed_is_one_error(
    fake: Path, talk_raw: TalkRaw, manifest_with: ManifestWith, sustained: Any, message: str
) -> None:
    code, (event,), _ = talk_raw(fake, json.dumps(manifest_with(sustained=sustained)).encode())
    assert (code, event["type"], event["id"]) == (1, "error", None)
    assert message in event["message"]
