"""What a phone tells, and which of its cores are measured."""

import dataclasses
import subprocess
from pathlib import Path

import pytest

from ofa.errors import InputError
from profilers.devices.phone.facts import (
    FACTS,
    Phone,
    big_cores,
    chosen_cores,
    clusters,
    maybe_faster,
    parse_facts,
    parse_state,
)
from profilers.devices.phone.phone_target import described
from profilers.devices.phone.words import ending

# a Galaxy Note10's, as its getprop and /sys would tell: four little, two middle, two big cores
NOTE10 = """ro.product.cpu.abilist=arm64-v8a,armeabi-v7a,armeabi
ro.product.manufacturer=samsung
ro.product.model=SM-N970F
ro.build.version.sdk=31
ro.build.fingerprint=samsung/d1/d1:12/S/1:user/release-keys
ro.serialno=R58M123ABC
ro.boot.qemu=
ro.kernel.qemu=
machine=aarch64
allowed=0-7
online=0-7
khz.cpu0=1950000
khz.cpu1=1950000
khz.cpu2=1950000
khz.cpu3=1950000
khz.cpu4=2400000
khz.cpu5=2400000
khz.cpu6=2730000
khz.cpu7=2730000
"""


def note10(old: str = "", new: str = "") -> Phone:
    assert old in NOTE10
    return parse_facts(NOTE10.replace(old, new) if old else NOTE10, own_agent=False)


def test_a_phone_tells_what_it_is() -> None:
    phone = note10()
    assert (phone.name, phone.abi, phone.emulated) == ("samsung SM-N970F", "aarch64", None)
    assert phone.usable == tuple(range(8))
    assert clusters(phone) == "0-3: 1950 MHz, 4-5: 2400 MHz, 6-7: 2730 MHz"
    assert "R58M123ABC" not in repr(phone), "serial numbers stay on the phone"
    assert phone.identity != note10("R58M123ABC", "R58M123ABD").identity


@pytest.mark.parametrize(
    ("old", "new", "emulated"),
    [
        ("ro.boot.qemu=", "ro.boot.qemu=1", True),
        ("ro.kernel.qemu=", "ro.kernel.qemu=1", True),
        ("machine=aarch64", "machine=x86_64", True),
        ("machine=aarch64\n", "", False),
        ("ro.boot.qemu=", "ro.boot.qemu=0", False),
    ],
)
def test_an_emulated_phone_is_known_by_its_mark_or_its_machine(old: str, new: str, emulated: bool) -> None:
    assert (note10(old, new).emulated is not None) == emulated


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (
            "arm64-v8a,armeabi-v7a,armeabi",
            "armeabi-v7a,armeabi",
            "runs armeabi-v7a, armeabi; the agent is for arm64-v8a",
        ),
        ("ro.product.cpu.abilist=arm64-v8a,armeabi-v7a,armeabi\n", "", "this is no Android"),
        ("sdk=31", "sdk=25", "API level 25, expected at least 26"),
    ],
)
def test_an_unsupported_phone_is_refused(old: str, new: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        note10(old, new)


def test_who_brings_an_agent_may_bring_it_for_any_abi() -> None:
    text = NOTE10.replace("arm64-v8a,armeabi-v7a", "armeabi-v7a")
    assert parse_facts(text, own_agent=True).abi == "armeabi-v7a"


@pytest.mark.parametrize(("threads", "cpus"), [(1, [7]), (2, [6, 7]), (3, [5, 6, 7]), (8, list(range(8)))])
def test_the_fastest_cores_are_taken(threads: int, cpus: list[int]) -> None:
    assert big_cores(note10(), threads) == cpus


def test_a_cluster_is_told_by_capacity_before_the_clock() -> None:
    assert chosen_cores(note10(), None, None, "middle") == [4, 5]
    assert chosen_cores(note10(), None, 1, "little") == [3]
    told = "\n".join(f"capacity.cpu{cpu}={1024 if cpu < 2 else 300}" for cpu in range(8))
    by_capacity = note10("allowed=0-7", f"{told}\nallowed=0-7")
    assert chosen_cores(by_capacity, None, None, "little") == [2, 3]
    two_kinds = note10("2400000", "1950000")
    with pytest.raises(InputError, match="--cores middle: samsung SM-N970F has only a little and a big cluster"):
        chosen_cores(two_kinds, None, None, "middle")


def test_the_fastest_core_need_not_be_the_last() -> None:
    phone = note10("khz.cpu4=2400000", "khz.cpu4=3000000")
    assert big_cores(phone, 2) == [4, 7]


def test_cores_that_are_off_or_forbidden_are_not_taken() -> None:
    assert big_cores(note10("online=0-7", "online=0-5,7"), 2) == [5, 7]
    assert big_cores(note10("allowed=0-7", "allowed=0-5"), 1) == [5]
    with pytest.raises(InputError, match=r"--cpu names CPU 7; of samsung SM-N970F may be used 0, 1, 2, 3, 4, 5$"):
        chosen_cores(note10("allowed=0-7", "allowed=0-5"), [7], 1)
    with pytest.raises(InputError, match="--threads is 9, but programs of adb may use 8 CPUs"):
        big_cores(note10(), 9)


def test_a_core_that_cannot_be_pinned_to_is_not_taken() -> None:
    # isolated: on, allowed, and refused
    phone = note10("online=0-7", "online=0-7\n" + "\n".join(f"pins.{cpu}=1" for cpu in range(7)))
    assert (phone.usable, phone.off, big_cores(phone, 1)) == (tuple(range(7)), (7,), [6])
    assert maybe_faster(phone, [6]) == (), "as fast as the one that is used"
    assert maybe_faster(phone, [5]) == (7,)


def test_a_core_that_stays_off_may_be_the_fastest() -> None:
    phone = note10("online=0-7", "online=0-6\npossible=0-7")
    phone = dataclasses.replace(phone, max_khz={cpu: khz for cpu, khz in phone.max_khz.items() if cpu != 7})
    assert (phone.off, big_cores(phone, 1)) == ((7,), [6])
    assert maybe_faster(phone, [6]) == (7,), "its clock cannot be read while it is off"
    assert "CPU 7 is off or kept for others, and may be faster" in described(phone, [6])
    assert "may be faster" not in described(note10(), [7])


@pytest.mark.parametrize(
    ("code", "words"),
    [
        (0, "exited with code 0"),
        (-1, "was ended together with its shell"),
        (139, "was ended by signal 11"),
        (137, "was ended by signal 9, as Android does where memory is short: it held up to 300 MiB"),
        (159, "was ended by signal 31: this Android forbids a system call"),
    ],
)
def test_how_an_agent_ended_is_said_in_words(code: int, words: str) -> None:
    assert ending(code, 300 * 1024.0).startswith(words)


def test_without_clocks_the_last_cores_are_taken() -> None:
    phone = dataclasses.replace(note10(), max_khz={})
    assert big_cores(phone, 2) == [6, 7]
    assert clusters(phone) == ""


STATE = """Current Battery Service state:
  AC powered: true
  USB powered: true
  level: 57
  temperature: 312
  mWakefulness=Dozing
IsStatusOverride: false
Thermal Status: 2
Cached temperatures:
	Temperature{mValue=99.0, mType=0, mName=CPU0, mStatus=0}
Current temperatures from HAL:
	Temperature{mValue=51.0, mType=0, mName=CPU0, mStatus=0}
	Temperature{mValue=63.5, mType=0, mName=CPU7, mStatus=0}
	Temperature{mValue=70.5, mType=2, mName=BATTERY, mStatus=0}
Current cooling devices from HAL:
	CoolingDevice{mValue=0, mType=0, mName=big}
airplane=0
low_power=1
"""


def test_a_state_is_what_the_phone_says_now() -> None:
    state = parse_state(STATE)
    assert state.header() == {
        "battery": "57 %, charging by AC and USB",
        "screen": "off",
        "airplane_mode": "off",
        "battery_saver": "on",
        "thermal_status": "2",
    }
    assert state.processor_c == 63.5


def test_what_a_phone_does_not_tell_is_not_known() -> None:
    state = parse_state("Can't find service: battery\nairplane=null\nlow_power=")
    assert set(state.header().values()) == {""}
    assert (state.throttling, state.processor_c) == (None, None)


@pytest.mark.parametrize(("wakes_after", "online"), [(1, "0-1"), (3, "0-1"), (9, "0")])
def test_a_core_that_is_off_is_waited_for(tmp_path: Path, wakes_after: int, online: str) -> None:
    """By the words that a phone's shell runs, with a clock of our own: cores come on when the system finds the time."""
    (tmp_path / "online").write_text("0\n")
    (tmp_path / "possible").write_text("0-1\n")
    (tmp_path / "cpu0").mkdir()
    clock = f"n=0; sleep() {{ n=$((n+1)); [ $n = {wakes_after} ] && cp possible online; }}; getprop() {{ :; }}\n"
    facts = FACTS.replace("/sys/devices/system/cpu", str(tmp_path)).replace("while [ $SECONDS -lt 5 ]; do :; done", ":")
    script = f"{clock}{facts}echo slept=$n\n"
    done = subprocess.run(["sh", "-c", script], capture_output=True, text=True)
    told = dict(line.split("=", 1) for line in done.stdout.splitlines() if "=" in line)
    assert (told["online"], told["slept"]) == (online, str(min(wakes_after, 4)))
