"""What a phone's answers mean, in words."""

import dataclasses

import numpy as np
import pytest

from profilers.devices.phone.doctor.examine import report
from profilers.devices.phone.doctor.numerics import difference, tolerance_of
from profilers.devices.phone.doctor.verdicts import (
    Verdict,
    of_clocks,
    of_connection,
    of_energy,
    of_numerics,
    of_phone,
    of_pinning,
    of_state,
)
from profilers.devices.phone.facts import Phone
from profilers.measuring.events import Result

PHONE = Phone("a phone", "aarch64", None, {0: 1800000, 7: 2800000}, (0, 7), "hash")
DEVICE = {"cpus": [7], "cores": [{"cpu": 0, "max_mhz": 1800}, {"cpu": 7, "max_mhz": 2800}]}


def results(*clocks: float, elsewhere: bool = False) -> list[Result]:
    reasons = ["ran on another core"] if elsewhere else []
    return [
        Result(i, "a", [1], None, 1, {"clock_mhz_after": mhz, "throttling": reasons}) for i, mhz in enumerate(clocks)
    ]


@pytest.mark.parametrize(
    ("mode", "clocks", "is_good"),
    [
        ("on", [1900, 1900, 1890], True),
        ("on", [1900, 2800], None),
        ("this phone has none", [2750, 2800], True),
        ("this phone has none", [1400, 2800], None),
        ("on", [], None),
    ],
)
def test_clocks_are_good_when_up_or_held(mode: str, clocks: list[float], is_good: bool | None) -> None:
    assert of_clocks({**DEVICE, "fixed_performance_mode": mode}, results(*clocks)).is_good is is_good


def test_what_cannot_be_trusted_is_said() -> None:
    assert of_pinning(results(1, 2)).is_good is True
    assert of_pinning(results(1, 2, elsewhere=True)).line == (
        "BAD   pinning: 2 of 2 visits ran on another core: close apps, and choose other cores by --cpu"
    )
    assert of_connection("by USB", 12.4).line == "good  connection: by USB, a call takes 12 ms"
    assert of_connection("by adb over TCP", 900).is_good is None
    assert [verdict.is_good for verdict in of_phone(PHONE, [7])] == [True, True]
    off = of_phone(dataclasses.replace(PHONE, off=(8,)), [7])[1]
    assert off.line.startswith("LOOK  cores: pinned to CPU 7 of 0: 1800 MHz, 7: 2800 MHz; CPU 8 cannot be used: charge")
    assert [verdict.is_good for verdict in of_state({})] == [None, True, True, None]


@pytest.mark.parametrize(
    ("told", "is_good"),
    [([1.0, -2.0], True), ([1.0, -2.0001], True), ([1.0, -2.001], False), ([1.0], False), ([1.0, None], False)],
)
def test_outputs_are_good_within_the_tolerance(told: list[float | None], is_good: bool) -> None:
    off = difference(told, np.array([1.0, -2.0], np.float32))
    assert of_numerics(off, tolerance_of("xnnpack", "fp32"), "here").is_good is is_good
    assert of_numerics(0.003, tolerance_of("xnnpack", "fp16"), "here").is_good is True
    assert of_numerics(None, 1.0, "here").is_good is None
    assert tolerance_of("gpu", "fp32") == tolerance_of("xnnpack", "fp16")


def test_a_report_has_no_serial() -> None:
    found = [Verdict("agent", False, "lost 192.168.1.7:5555", "look at 192.168.1.7:5555")]
    said = report(found, "192.168.1.7:5555")
    assert "192.168" not in said
    assert said.endswith("BAD   agent: lost (its serial): look at (its serial)")


@pytest.mark.parametrize(
    ("said", "is_good", "words"),
    [
        ("-312500\n---\n---\n", True, "the kernel's files"),
        ("---\n-312500\n---\n", True, "Android's battery service"),
        ("---\nUnknown get option: current_now\n---\n  Charge counter: 0\n  current now: 321\n", True, "Android's"),
        ("---\nUnknown get option: current_now\n---\n  Charge counter: 2967000\n", None, "only its charge"),
        ("0\n---\n0\n---\n  Charge counter: 0\n  current now: 0\n", None, "no current and no charge"),
        ("", None, "no current and no charge"),
        ("cat: permission denied\n---\n\n---\nCan't find service: battery", None, "no current and no charge"),
    ],
)
def test_whether_a_battery_can_tell_of_energy(said: str, is_good: bool | None, words: str) -> None:
    verdict = of_energy(said)
    assert verdict.is_good is is_good
    assert words in verdict.finding
    assert bool(verdict.to_do) is (is_good is None)
