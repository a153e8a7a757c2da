"""Phones that behave as real ones do: each run ends with a table whose header tells the truth of that phone."""

import os
import struct
from collections.abc import Sequence
from pathlib import Path
from threading import Thread

import numpy as np
import pytest

from device_agents.android import bundle
from device_agents.android.elf import least_alignment
from device_agents.android.testphone.moods import MOODS
from device_agents.android.testphone.phone import DUMPSYS, MAX_KHZ, _show
from ofa.blocks import blocks_of
from ofa.errors import InputError
from ofa.space import get_space
from ofa.tables import LatencyTable
from profilers.android import main
from profilers.devices.phone.adb import Adb
from profilers.devices.phone.files import BASE
from profilers.devices.phone.phone_options import PhoneOptions
from profilers.devices.phone.phone_target import open_phone, session_of
from profilers.looping.loop import make_loop, open_loop
from profilers.looping.minutes import WINDOWS, LoopPlan, Record, sustained_of

# the first test may have to build the phone
pytestmark = [pytest.mark.phone, pytest.mark.timeout(900)]
SMALL = ["--space", "mbv3-w0.35", "--resolutions", "32", "--limit", "6", "--quick", "--rounds", "1"]


def test_a_noisy_sensor_ends_no_run(boot, results, tmp_path: Path) -> None:
    phone, out = boot(mood=MOODS["noisy"]), tmp_path / "t.csv"
    assert main(["--serial", phone.serial, *SMALL, "--max-temperature", "70", "--out", str(out)]) == 0
    assert len(LatencyTable.load(out).rows) == 6
    assert LatencyTable.load(out).header["heat_gate"].startswith("visits wait while the processor is above 70 C, ")
    assert all(result["temperature_c_before"] <= 70 for result in results(out))


def test_tenths_of_a_degree_are_no_thousandths_and_a_battery_is_no_processor(boot, tmp_path: Path) -> None:
    phone, out = boot(mood=MOODS["tenths"]), tmp_path / "t.csv"
    phone.heat(38.9)
    assert main(["--serial", phone.serial, *SMALL, "--out", str(out)]) == 0
    header = LatencyTable.load(out).header
    assert header["temperature_c"] == "38.9"
    assert header["temperature_source"] == "2 thermal zones, in tenths of a degree"


def test_no_reader_finds_a_file_of_the_phone_empty(tmp_path: Path) -> None:
    """Its /sys was written in place: a phone that was asked just then had no core at all."""
    path, seen = tmp_path / "online", set()
    _show(path, "0\n")
    writer = Thread(target=lambda: [_show(path, f"0{',1' * (i % 2)}\n") for i in range(2000)])
    writer.start()
    while writer.is_alive():
        seen.add(path.read_text())
    assert seen <= {"0\n", "0,1\n"}


def test_a_core_that_sleeps_while_the_phone_idles_is_woken_and_used(boot, tmp_path: Path) -> None:
    phone, out = boot(mood=MOODS["sleepy"]), tmp_path / "t.csv"
    assert main(["--serial", phone.serial, *SMALL, "--out", str(out)]) == 0
    header, last = LatencyTable.load(out).header, str(max(os.sched_getaffinity(0)))
    assert header["cpus"] == last
    assert last not in header.get("cores_off", "").partition(":")[0]


def test_clocks_that_sag_are_told_of(boot, results, during, tmp_path: Path) -> None:
    phone, out = boot(), tmp_path / "t.csv"
    with during(out, 1, phone.sag):
        assert main(["--serial", phone.serial, *SMALL, "--out", str(out)]) == 0
    header = LatencyTable.load(out).header
    assert header["throttling"].startswith("clock limit lowered in ")
    assert int(header["visits_repeated"]) > 0
    assert int(header["visits_doubtful"]) > 0
    assert len({result["clock_limit_mhz"] for result in results(out)}) == 2


def test_closed_zones_leave_a_gate_by_androids_thermal_service(boot, results, during, tmp_path: Path) -> None:
    phone, out = boot(mood=MOODS["closed"]), tmp_path / "t.csv"
    arguments = ["--serial", phone.serial, *SMALL[:-1], "8", "--cool-seconds", "0", "--out", str(out)]
    hot = DUMPSYS["thermalservice"].replace("41.5", "93.5")
    with (
        during(out, 3, lambda: phone.dumpsys("thermalservice", hot)),
        pytest.raises(InputError, match=r"the phone is too hot \(too hot: 93.5 C after waiting 0 s, the limit is 80"),
    ):
        main(arguments)
    assert len(results(out)) >= 20
    phone.dumpsys("thermalservice", DUMPSYS["thermalservice"])
    assert main([*arguments, "--resume"]) == 0
    header = LatencyTable.load(out).header
    assert header["heat_gate"] == (
        "every 20th visit waits while the processor is above 80 C or Android's thermal status is 2 or more, by "
        "Android's thermal service"
    )
    assert header["temperature_c"] == "41.5"


def test_clocks_that_sag_in_a_loop_are_told_by_the_minute(boot, tmp_path: Path) -> None:
    phone, plan = boot(), LoopPlan(2, 50.0, minute_s=0.6)

    def watch(windows: Sequence[Record]) -> None:
        if len(windows) == WINDOWS // 2:
            phone.sag()
            phone.heat(71.0)

    asked = PhoneOptions(no_fixed_performance=True)
    journal, _ = open_loop(tmp_path / "loop.jsonl", {}, plan, resume=False)
    space = get_space("mbv3-w0.35")
    chain = blocks_of(space, space.decode(space.sample(np.random.default_rng(0), 1, resolutions=[32]))[0])
    with Adb(phone.serial) as adb:
        adb.connect()
        shape, cpus = open_phone(adb, asked)
        with session_of(adb, shape, cpus, asked, 1, 60.0, print, keep_models=False) as target:
            loop = make_loop(journal, target, chain, plan, 0, watch)
    journal.close()
    assert loop.hello.device["emulated"] == "yes"
    one, two = sustained_of(loop.windows, plan).minutes
    highest = MAX_KHZ[2 if cpus[0] == (os.cpu_count() or 1) - 1 else 0] / 1000
    # emulated: no time is believed, but what stands beside it is the phone's
    assert one.clock_mhz is not None
    assert one.clock_mhz[1] == highest
    assert (two.clock_mhz, two.clock_limit_mhz, two.temperature_c) == ((0.6 * highest,) * 2, 0.6 * highest, 71.0)


def test_a_processor_that_cannot_compute_in_float16_is_not_believed_to(boot, tmp_path: Path) -> None:
    phone, out = boot("arm64-v8a", mood=MOODS["old"]), tmp_path / "t.csv"
    with pytest.raises(InputError, match=r"--dtype fp16 has no effect here \(float16 was asked for, and the runtime"):
        main(["--serial", phone.serial, *SMALL, "--dtype", "fp16", "--out", str(out)])
    assert not out.exists()


def test_a_phone_with_pages_of_16_kib_is_measured_and_what_it_cannot_load_is_named(boot, tmp_path: Path) -> None:
    phone, out = boot("arm64-v8a", mood=MOODS["tensor"]), tmp_path / "t.csv"
    cores = "big" if (os.cpu_count() or 1) - 1 in os.sched_getaffinity(0) else "little"
    assert main(["--serial", phone.serial, *SMALL, "--limit", "3", "--cores", cores, "--out", str(out)]) == 0
    table = LatencyTable.load(out)
    assert len(table.rows) == 3
    said = {"page_kib": "16", "android": "15", "cores": cores, "architecture": "aarch64", "emulated": "yes"}
    assert {key: table.header[key] for key in said} == said
    assert table.header["temperature_source"] == "3 thermal zones, in thousandths of a degree"

    made, small = bundle.make("aarch64"), tmp_path / "agent"
    # the alignment of its segments is all that is changed
    small.write_bytes((made.folder / "agent").read_bytes().replace(struct.pack("<Q", 65536), struct.pack("<Q", 4096)))
    assert least_alignment(small) == 4096
    own = ["--agent-bin", str(small), "--agent-lib", str(made.folder / "libLiteRt.so")]
    with pytest.raises(
        InputError, match=r"^agent cannot be loaded by ofa-latency Test phone, .* pages of 16 KiB: link"
    ):
        main(["--serial", phone.serial, *SMALL, *own, "--out", str(tmp_path / "u.csv")])
    # nor does the phone take it: what is faked is not only in our own words
    with Adb(phone.serial) as adb:
        adb.connect()
        adb.push(small, f"{BASE}/small")
        answer = adb.run('cd "$1" && chmod 755 small && ./small x', BASE)
    assert answer.code == 127
    assert "program alignment cannot be smaller than system page size (16384)" in answer.text
