"""What tells devices of one model apart: the same in headers, in the agent's words and in a lab, and no serial."""

import hashlib
from pathlib import Path
from types import SimpleNamespace

import pytest

from device_agents.cuda import device as cuda_device
from profilers.devices import identity
from profilers.devices.board.ssh import Board
from profilers.devices.identity import DEVICE_ID, device_id, is_told_apart, machine_identity
from profilers.devices.local_cpu import cpu_target
from profilers.devices.phone import server, usb
from profilers.devices.phone.facts import parse_facts
from profilers.lab.config import AnnounceConfig
from profilers.lab.devices import Device
from profilers.lab.host import attached
from profilers.lab.host.attached import Attached, parse_gpus

UUID = "4a1b1f0e-0c1d-2e3f-4a5b-6c7d8e9fa0b1"
PHONE = "ro.product.cpu.abilist=arm64-v8a\nro.product.model=Pixel 8\nro.build.fingerprint=f\n"


def test_an_id_is_a_files_name_and_shows_no_serial() -> None:
    found = device_id("phone", "R58M123ABC")
    assert found == "phone-" + hashlib.sha256(b"ofa-latency phone R58M123ABC").hexdigest()[:12]
    assert hashlib.sha256(b"R58M123ABC").hexdigest()[:12] not in found
    assert device_id("board", "R58M123ABC").split("-")[1] != found.split("-")[1]
    assert device_id("phone", "\udcff")  # a serial is what a phone says of itself


def test_a_gpu_is_called_alike_by_its_agent_and_by_the_lab() -> None:
    (gpu,) = parse_gpus([f"0, NVIDIA H100, GPU-{UUID}"])
    assert gpu.id == cuda_device.device_id(UUID) == device_id("gpu", UUID)


def test_a_machine_is_told_by_its_number_and_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = set()
    monkeypatch.setattr(identity, "MACHINE_NUMBER", tmp_path / "machine-id")
    for name in ("a", "b"):
        monkeypatch.setattr(identity.socket, "gethostname", lambda name=name: name)
        for number in ("", "1\n", "2\n"):
            (tmp_path / "machine-id").write_text(number)
            found.add(device_id("cpu", machine_identity()))
    assert len(found) == 6
    (tmp_path / "machine-id").unlink()
    assert device_id("cpu", machine_identity()) in found


def test_machines_that_nobody_numbered_or_named_are_not_taken_for_one(monkeypatch: pytest.MonkeyPatch) -> None:
    assert not any(map(is_told_apart, ("", " ", "localhost", " (none)", "uninitialized localhost")))
    assert all(map(is_told_apart, ("bench", " bench", "1a2b localhost", "1a2b ", "uninitialized bench")))
    for answer, told in (("localhost", False), ("1a2b localhost", True)):
        monkeypatch.setattr(Board, "run", lambda _, words, a=answer: f"identity= {a}\n" if "=" in words else f"{a}\nPi")
        assert Board("pi", None).facts().identity == answer * told
        ids = [attached.ask_board(host).id for host in ("10.0.0.1", "10.0.0.2")]
        assert (ids[0] == ids[1]) == told
    monkeypatch.setattr("profilers.devices.local_cpu.machine_identity", lambda: " localhost")
    assert DEVICE_ID not in cpu_target("torch", 1, 1, None, 60.0).header


def test_a_cpus_table_names_it_as_the_lab_does() -> None:
    target = cpu_target("torch", 1, 1, None, 60.0)
    (cpu,) = Attached(AnnounceConfig(only=("cpu",), name="bench"), print).look(())
    assert target.header[DEVICE_ID] == cpu.id == device_id("cpu", machine_identity())
    assert DEVICE_ID not in target.manifest  # a journal that is copied to a twin is gone on with


def test_a_phone_without_a_serial_number_is_not_told_from_others_of_its_build() -> None:
    silent, told = (parse_facts(PHONE + more, own_agent=False) for more in ("ro.serialno=\n", "ro.serialno=A\n"))
    assert (silent.is_told_apart, told.is_told_apart) == (False, True)


def test_a_phone_with_two_addresses_is_named_once(monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []
    monkeypatch.setattr(Attached, "_phones", lambda _: {"R58": "", "10.0.0.7:5555": ""})
    monkeypatch.setitem(attached.ASK, "phone", lambda serial, _: Device("phone-1", "phone", serial))  # type: ignore[index]
    here = Attached(AnnounceConfig(only=("phone",)), said.append)
    here._with_adb = True
    for _ in range(3):
        assert [device.address for device in here.look(())] == ["R58"]
    assert said == ["10.0.0.7:5555 is left out: it is the same phone as R58"]


def test_phones_that_adb_s_server_cannot_use_say_why(monkeypatch: pytest.MonkeyPatch) -> None:
    states = {"R1": "unauthorized", "R2": "offline", "R3": "device", "emulator-5554": "device"}
    monkeypatch.setattr(server, "adb_server", lambda: SimpleNamespace(devices=lambda: states))
    monkeypatch.setattr(usb, "usb_devices", lambda: [("R3", None), ("R4", None)])
    monkeypatch.setitem(attached.ASK, "phone", lambda serial, _: Device(serial, "phone", serial))  # type: ignore[index]
    here = Attached(AnnounceConfig(only=("phone",), phone=("a..b:5555",)), print)
    here._with_adb = True
    found = {device.address: device.trouble for device in here.look(())}
    assert found.pop("a..b:5555").startswith("it does not answer at a..b:5555: ")
    assert found == {
        "R1": "it does not allow this computer yet: unlock it and tap Allow",
        "R2": "adb's server says it is offline",
        "R3": "",
        "R4": "",
    }
