"""Whole profiles of the test phone, through a real adbd: what the table says, what goes over the wire, what stays."""

import hashlib
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from device_agents.android import bundle
from device_agents.android.testphone.phone import TestPhone
from ofa.blocks import all_blocks
from ofa.errors import InputError
from ofa.runs.journal import Journal
from ofa.search.__main__ import main as search
from ofa.space import get_space
from ofa.tables import LatencyTable
from profilers.android import main
from profilers.devices.access_options import AccessOptions
from profilers.devices.from_header import open_target
from profilers.devices.phone import adb
from profilers.devices.phone.adb import Adb, PushFailed, ShellAnswer
from profilers.devices.phone.files import BASE
from profilers.devices.phone.phone_options import PhoneOptions
from profilers.devices.phone.phone_target import open_phone, session_of
from profilers.estimating import measured
from profilers.measuring.events import Result
from profilers.measuring.judge import Outcome
from profilers.measuring.models import write_models
from profilers.measuring.plan import VisitPlan, make_plan
from profilers.measuring.run import measure_on
from profilers.measuring.target import Target
from profilers.transfer import main as transfer
from profilers.whole_networks.choosing import Chosen, controls_of
from profilers.whole_networks.measured import measure_networks, of_table

# the first test may have to build the phone
pytestmark = [pytest.mark.phone, pytest.mark.timeout(900)]
SMALL = ["--space", "mbv3-w0.35", "--resolutions", "32", "--quick"]


def shell(phone: TestPhone, script: str) -> ShellAnswer:
    with Adb(phone.serial) as connection:
        connection.connect()
        return connection.run(script, BASE)


def test_the_arm_agent_measures_a_space_through_a_real_adbd(boot, results, tmp_path: Path) -> None:
    phone = boot("arm64-v8a")
    out = tmp_path / "t.csv"
    assert main(["--serial", phone.serial, *SMALL, "--limit", "6", "--out", str(out)]) == 0
    table = LatencyTable.load(out)
    assert [row.block for row in table.rows] == list(all_blocks(get_space("mbv3-w0.35"), [32])[:6])
    said = {
        "device": "ofa-latency Test phone",
        "runtime": "ai-edge-litert 2.3.0",
        "provenance": "measured",
        "architecture": "aarch64",
        "android": "14",
        "emulated": "yes",
        "delegate": "xnnpack",
        "cpus": str(max(os.sched_getaffinity(0))),
        "heat_gate": "visits wait while the processor is above 80 C, every 20th also while "
        "Android's thermal status is 2 or more",
        "battery": "80 %, charging by USB",
        "screen": "on, kept on while the phone charges",
        "airplane_mode": "on",
        "battery_saver": "off",
        "thermal_status": "0",
        "temperature_c": "40",
    }
    assert {key: table.header[key] for key in said} == said
    assert table.header["clusters"].endswith(": 2800 MHz")
    assert table.header["fixed_performance_mode"].startswith("on, clocks constant at ")
    for result in results(out):
        assert min(result["samples_ns"]) > 0
        assert result["temperature_c_before"] == 40
    with pytest.raises(InputError, match="measured on an emulated device"):
        search(["--table", str(out), "--latency", "5"])


def test_blocks_are_timed_in_networks_on_the_phone(phone: TestPhone, results, tmp_path: Path) -> None:
    out = tmp_path / "t.csv"
    assert main(["--serial", phone.serial, *SMALL, "--out", str(out)]) == 0
    table, found = LatencyTable.load(out), results(out)
    assert (table.timing, len(table.rows)) == ("in place", 96)
    assert all(row.warm_ms is not None and row.warm_ms > 0 and row.latency_ms > 0 for row in table.rows)
    assert "blocks_not_in_place" not in table.header
    in_parts = [result for result in found if result.get("parts_ns")]
    assert len({result["id"] for result in in_parts}) == 9
    assert all(len(result["parts_cpu_ns"]) == len(result["parts_ns"]) > 1 for result in in_parts)
    assert all(result["temperature_c_before"] is not None for result in in_parts)


def test_a_second_run_pushes_nothing_and_what_was_harmed_is_pushed_again(
    phone: TestPhone, tmp_path: Path, capsys
) -> None:
    def said(name: str) -> str:
        arguments = ["--serial", phone.serial, *SMALL, "--rounds", "1", "--limit", "4", "--out", str(tmp_path / name)]
        assert main(arguments) == 0
        return capsys.readouterr().out

    first = said("a.csv")
    assert "pushing agent" in first
    assert "pushing models" in first
    assert "pushing" not in said("b.csv")
    assert shell(phone, 'cd "$1"/models-* && echo x >> b00001.tflite').code == 0
    third = said("c.csv")
    assert "pushing models" in third
    assert "pushing agent" not in third


def test_another_space_takes_the_place_of_the_old_models(phone: TestPhone, tmp_path: Path) -> None:
    for name, resolution in (("a.csv", "32"), ("b.csv", "64")):
        space = ["--space", "mbv3-w0.35", "--resolutions", resolution, "--quick", "--rounds", "1", "--limit", "2"]
        assert main(["--serial", phone.serial, *space, "--out", str(tmp_path / name)]) == 0
    there = shell(phone, 'ls "$1"').text.split()
    assert sorted(name.split("-")[0] for name in there) == ["agent", "models"]
    assert "manifest.json" not in shell(phone, 'ls "$1"/*').text
    assert main(["--serial", phone.serial, "--clean"]) == 0
    assert shell(phone, 'ls -d "$1"').code != 0


def test_whole_networks_are_measured_on_the_phone_of_a_table_one_measurement_after_another(
    phone: TestPhone, tmp_path: Path, capsys
) -> None:
    space = get_space("mbv3-w0.35")
    out = tmp_path / "t.csv"
    assert main(["--serial", phone.serial, *SMALL, "--rounds", "1", "--limit", "4", "--out", str(out)]) == 0
    table, genes = LatencyTable.load(out), space.sample(np.random.default_rng(0), 3, resolutions=[32])
    with open_target(table, AccessOptions(serial=phone.serial), 60.0, print) as target:
        for number, some in enumerate((genes[:2], genes[2:])):
            journal, folder = Journal.create(tmp_path / f"{number}.jsonl", {}), tmp_path / str(number)
            folder.mkdir()
            rules = {**target.pace.whole, "warmup_seconds": 0, "min_runs": 1, "max_runs": 3, "max_seconds": 0.01}

            def measure(plan: VisitPlan, at: Target, by: Any, seed: int, journal=journal, folder=folder) -> Outcome:
                return measure_on(at, plan, by, seed, journal, folder, lambda *_: None)

            chosen = Chosen(space, some, controls_of(table, 1))
            found = measure_networks(chosen, of_table(target, table), measure, visits=2, seed=0, rules=rules)
            journal.close()
            assert [network is not None for network in found.networks] == [True] * len(some)
            assert found.failed == {}
    assert capsys.readouterr().out.count("pushing models") == 3
    assert [name.split("-")[0] for name in shell(phone, 'ls "$1"').text.split()] == ["agent"], "networks do not stay"


def test_suggested_networks_are_measured_on_a_phone_and_their_table_says_that_it_is_emulated(
    phone: TestPhone, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(measured, "ROUNDS", 1)
    monkeypatch.setattr(measured, "RULES", {**measured.RULES, "max_seconds": 0.01, "warmup_seconds": 0})
    out = tmp_path / "t.csv"
    words = [
        "--suggest",
        "2",
        "--from",
        "note10",
        "--space",
        "mbv3-w0.35",
        "--resolutions",
        "32",
        "--runtime",
        "tflite",
    ]
    assert transfer([*words, "--serial", phone.serial, "--out", str(out)]) == 0
    table = LatencyTable.load(out)
    assert (table.provenance, table.device, table.emulated) == ("estimated", "ofa-latency Test phone", True)
    with pytest.raises(InputError, match="measured on an emulated device"):
        search(["--table", str(out), "--latency", "5"])
    assert [name.split("-")[0] for name in shell(phone, 'ls "$1"').text.split()] == ["agent"]


def test_ten_networks_in_one_word_make_a_table_that_is_estimated(
    phone: TestPhone, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys
) -> None:
    monkeypatch.setattr(measured, "ROUNDS", 1)
    monkeypatch.setattr(measured, "RULES", {**measured.RULES, "max_seconds": 0.01, "warmup_seconds": 0})
    out = tmp_path / "t.csv"
    asked = ["--serial", phone.serial, "--quickest", "--space", "mbv3-w0.35", "--resolutions", "32", "--out", str(out)]
    assert main([*asked, "--dry-run"]) == 0
    assert "10 whole networks of mbv3-w0.35: " in capsys.readouterr().out
    assert main(asked) == 0
    table, said = LatencyTable.load(out), " ".join(capsys.readouterr().out.split())
    assert (table.provenance, table.device, table.emulated) == ("estimated", "ofa-latency Test phone", True)
    assert f"expected error: {table.expected_error}" in said and "of 10 networks, each" in said
    assert "--serial SERIAL" in table.header["command"] and phone.serial not in out.read_text()
    assert [name.split("-")[0] for name in shell(phone, 'ls "$1"').text.split()] == ["agent"], "networks do not stay"


def test_models_that_do_not_fit_together_go_to_the_phone_in_batches(boot, results, tmp_path: Path, capsys) -> None:
    # what a phone has left beside the agent, the space that stays free, and twice a few models
    phone, out = boot(mib=29), tmp_path / "t.csv"
    space = ["--space", "mbv3-w1.0", "--resolutions", "32", "--quick", "--rounds", "2", "--limit", "60"]
    assert main(["--serial", phone.serial, *space, "--out", str(out)]) == 0
    assert "the models do not fit on the phone together: they go there in " in " ".join(capsys.readouterr().out.split())
    table, found = LatencyTable.load(out), results(out)
    assert [row.block for row in table.rows] == list(all_blocks(get_space("mbv3-w1.0"), [32])[:60])
    visits = [(result["pass"], result["number"]) for result in found]
    assert len(visits) == len(set(visits))
    assert "failed_blocks" not in table.header
    # a later pass over few of them is one batch, and still not all of them
    folder = tmp_path / "models"
    folder.mkdir()
    plan = make_plan([(row.block,) for row in table.rows], 1, 0)
    write_models(plan.models, "tflite", folder, batch=1)
    few = {"seed": 0, "protocol": 1, "models": [{"id": name, "path": f"{name}.tflite"} for name in plan.models]}
    with Adb(phone.serial) as connection:
        connection.connect()
        asked = PhoneOptions()
        shape, cpus = open_phone(connection, asked)
        with session_of(connection, shape, cpus, asked, 1, 60.0, print) as target:
            manifest = {**target.manifest, **few, "rules": target.pace.quick, "visits": list(plan.models)[-3:]}
            assert sum(isinstance(event, Result) for event in target.start(folder, manifest)) == 3


def test_the_plan_is_shown_without_measuring(boot, capsys) -> None:
    phone = boot(mib=5000)
    assert main(["--serial", phone.serial, *SMALL, "--dry-run"]) == 0
    said = capsys.readouterr().out
    assert "96 of 96 blocks of mbv3-w0.35 and 12 whole networks, 9 networks in parts, 2 rounds: 247 visits" in said
    assert "free on the phone: 5243 MB" in said, "more than 32 bits can count"
    assert "processor: 41.5 C" in said
    assert main(["--serial", phone.serial, *SMALL, "--dry-run", "--timing", "warm"]) == 0
    said = capsys.readouterr().out
    assert "96 of 96 blocks of mbv3-w0.35 and 12 whole networks, 3 rounds: 342 visits" in said


def test_a_cluster_is_pinned_to_and_one_that_is_not_there_is_said(phone: TestPhone, capsys) -> None:
    words = ["--serial", phone.serial, *SMALL, "--dry-run", "--cores"]
    assert main([*words, "little"]) == 0
    little = sorted(os.sched_getaffinity(0) - {(os.cpu_count() or 1) - 1})
    assert f"pinned to CPU {', '.join(map(str, little))} (" in " ".join(capsys.readouterr().out.split())
    with pytest.raises(InputError, match="--cores middle: ofa-latency Test phone has only a little and a big cluster"):
        main([*words, "middle"])


@pytest.fixture
def adb_client(phone: TestPhone) -> Iterator[list[str]]:
    """Debian's adb client and a server of its own, run by the libraries of the test phone's root."""
    libraries = phone.root / "usr/lib/x86_64-linux-gnu"
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    loader = [str(phone.root / "usr/lib64/ld-linux-x86-64.so.2"), "--library-path", f"{libraries}:{libraries}/android"]
    client = [*loader, str(phone.adb), "-P", str(port)]
    environment = {**os.environ, "HOME": str(phone.state), "ADB_MDNS": "0"}
    server = subprocess.Popen(
        [*client, "nodaemon", "server"], env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    while True:
        assert server.poll() is None, "the adb server ended"
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            break
        except OSError:
            time.sleep(0.02)
    try:
        yield client
    finally:
        server.kill()
        server.wait()


def test_the_adb_client_sees_what_was_pushed(phone: TestPhone, adb_client: list[str], tmp_path: Path) -> None:
    def client(*arguments: str) -> str:
        return subprocess.run([*adb_client, *arguments], check=True, capture_output=True, text=True).stdout

    assert "connected to" in client("connect", phone.serial)
    assert f"{phone.serial}\tdevice" in client("devices")
    arguments = ["--serial", phone.serial, *SMALL, "--rounds", "1", "--limit", "2", "--out", str(tmp_path / "t.csv")]
    assert main(arguments) == 0
    agent = bundle.make("x86_64")
    on_phone = client("-s", phone.serial, "shell", f"sha256sum {BASE}/agent-*/agent").split()[0]
    assert on_phone == hashlib.sha256((agent.folder / "agent").read_bytes()).hexdigest()
    folder = client("-s", phone.serial, "shell", f"echo {BASE}/models-*").strip()
    client("-s", phone.serial, "pull", f"{folder}/b00001.tflite", str(tmp_path / "pulled"))
    listed = dict(
        line.split()[::-1] for line in client("-s", phone.serial, "shell", f"cat {folder}/sha256sums").splitlines()
    )
    assert listed["b00001.tflite"] == hashlib.sha256((tmp_path / "pulled").read_bytes()).hexdigest()


def test_a_phone_that_an_adb_server_holds_is_measured_through_it(
    phone: TestPhone, adb_client: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys
) -> None:
    subprocess.run([*adb_client, "connect", phone.serial], check=True, capture_output=True)
    monkeypatch.setenv("ANDROID_ADB_SERVER_PORT", adb_client[-1])
    monkeypatch.setattr(adb, "AdbDevice", None)  # who speaks to the phone directly fails
    out, large = tmp_path / "t.csv", os.urandom(3_000_001)
    assert main(["--serial", phone.serial, *SMALL, "--rounds", "1", "--limit", "2", "--out", str(out)]) == 0
    assert len(LatencyTable.load(out).rows) == 2
    with Adb(phone.serial) as connection:
        connection.connect()
        connection.push(large, f"{BASE}/large")
        assert connection.run('sha256sum "$1/large"', BASE).text.split()[0] == hashlib.sha256(large).hexdigest()
        with pytest.raises(PushFailed):
            connection.push(large, "/system/bin/large")
    assert main(["--list"]) == 0
    assert f"{phone.serial}  by this computer's adb server (device)" in capsys.readouterr().out


def test_importing_the_command_needs_no_adb_shell() -> None:
    program = "import sys; sys.modules['adb_shell'] = None; import profilers.android as a; a.COMMAND.help()"
    subprocess.run([sys.executable, "-c", program], check=True)
