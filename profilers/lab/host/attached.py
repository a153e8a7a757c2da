"""Which devices are attached to this host, looked at again and again; what is being measured is left alone."""

from __future__ import annotations

import socket
import subprocess
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from importlib.util import find_spec

from device_agents.cpu.machine import cpu_model
from ofa.errors import InputError, one_line
from profilers.devices.identity import IDENTITY_THERE, device_id, is_told_apart, machine_identity
from profilers.lab.config import AnnounceConfig
from profilers.lab.devices import Device, Kind

# what does not answer, and boards, which are asked over ssh, are not asked more often
SELDOM_S = 60.0
SOC = "getprop ro.soc.manufacturer; getprop ro.soc.model; getprop ro.board.platform"
_SMI = ("nvidia-smi", "--query-gpu=index,name,uuid", "--format=csv,noheader")


class Attached:
    """This host's devices. A phone is asked for its facts once, when it appears: that keeps all its cores busy."""

    def __init__(self, config: AnnounceConfig, say: Callable[[str], object]) -> None:
        self._config, self._say = config, say
        # {(kind, address): the device, when it was asked}
        self._known: dict[tuple[Kind, str], tuple[Device, float]] = {}
        # what was said of devices with two addresses
        self._twins: set[str] = set()
        self._here = [*self._this_machine(), *(_gpus() if "gpu" in config.kinds else ())]
        self._with_adb = "phone" in config.kinds and find_spec("adb_shell") is not None
        if "phone" in config.kinds and not self._with_adb:
            say("no phones: they need adb-shell: pip install 'ofa-latency[android]'")

    def look(self, busy: Collection[str]) -> list[Device]:
        """All that is attached now. busy: ids of devices that are being measured, which are not spoken to."""
        phones = self._phones() if self._with_adb else {}
        asked: dict[tuple[Kind, str], str] = {("phone", serial): why for serial, why in phones.items()}
        if "board" in self._config.kinds:
            asked |= {("board", host): "" for host in self._config.board}
        self._known = {key: known for key, known in self._known.items() if key in asked}
        found, twins = [*self._here], set[str]()
        for (kind, address), why in asked.items():
            device = self._device(kind, address, why, busy)
            if twin := next((other for other in found if other.id == device.id), None):
                twins.add(f"{_shown(address)} is left out: it is the same {kind} as {_shown(twin.address)}")
                continue
            found.append(device)
        for line in sorted(twins - self._twins):
            self._say(line)
        self._twins = twins
        return found

    def _this_machine(self) -> list[Device]:
        model = cpu_model() or "unnamed CPU"
        here: tuple[Kind, ...] = ("host", "cpu")
        kinds = [kind for kind in here if kind in self._config.kinds]
        return [Device(device_id(kind, machine_identity()), kind, "", model, model) for kind in kinds]

    def _phones(self) -> dict[str, str]:
        """{serial: why it cannot be used, "" if it can}"""
        from profilers.devices.phone.server import adb_server
        from profilers.devices.phone.usb import usb_devices

        served = adb_server().devices() or {}
        found = {serial: _state(state) for serial, state in served.items() if not serial.startswith("emulator-")}
        with suppress(InputError):  # no way to look at USB: phones of the server and in the network are left
            found |= {serial: "" for serial, _ in usb_devices() if serial not in served}
        return found | {serial: _reachable(serial) for serial in self._config.phone}

    def _device(self, kind: Kind, address: str, why: str, busy: Collection[str]) -> Device:
        known, asked = self._known.get((kind, address), (None, 0.0))
        if known is not None and known.id in busy:
            return known
        if known is not None and not why:
            is_due = (known.trouble or kind == "board") and time.monotonic() - asked >= SELDOM_S
            if not is_due:
                return known
        device = _with_trouble(kind, address, why, known) if why else ASK[kind](address, known)
        self._known[kind, address] = (device, time.monotonic())
        return device


def _with_trouble(kind: Kind, address: str, why: str, known: Device | None) -> Device:
    """Until it has told what it is, its address stands for it."""
    return replace(known or Device(device_id(kind, address), kind, address), trouble=why)


def _state(state: str) -> str:
    """What adb's server says of a phone, as what to do."""
    if state == "device":
        return ""
    if state == "unauthorized":
        return "it does not allow this computer yet: unlock it and tap Allow"
    return f"adb's server says it is {state}"


def _reachable(serial: str) -> str:
    from profilers.devices.phone.usb import tcp_address

    try:
        address = tcp_address(serial)
        if address is not None:
            socket.create_connection(address, 2.0).close()
    except (InputError, OSError, UnicodeError) as error:  # UnicodeError: such as a..b, which is no host's name
        return one_line(f"it does not answer at {serial}: {error}")
    return ""


def ask_phone(serial: str, known: Device | None = None) -> Device:
    """A phone by what it tells of itself."""
    from profilers.devices.phone.adb import Adb
    from profilers.devices.phone.facts import facts
    from profilers.measuring.events import ConnectionLost

    try:
        with Adb(serial) as adb:
            adb.connect()
            phone = facts(adb, own_agent=True)
            maker, model, platform = (*adb.run(SOC).text.splitlines(), "", "", "")[:3]
    except (InputError, ConnectionLost) as reason:
        return _with_trouble("phone", serial, one_line(str(reason)), known)
    soc = f"{maker} {model}".strip() or platform
    # as in its tables' headers; of phones that tell no serial number, adb's name for it is all there is
    own = device_id("phone", phone.identity if phone.is_told_apart else serial)
    return Device(own, "phone", serial, phone.name, soc)


def ask_board(host: str, known: Device | None = None) -> Device:
    """A board by what it tells of itself."""
    from profilers.devices.board.ssh import Board

    try:
        identity, model = Board(host, None).run(BOARD).split("\n", 1)
    except (InputError, ValueError) as reason:
        return _with_trouble("board", host, one_line(str(reason)), known)
    words = " ".join(model.replace("\0", "").split())
    name = "".join(c if c.isprintable() else " " for c in words) or "unnamed board"
    # as in its tables' headers; of boards that nothing tells apart, its address is all there is
    own = device_id("board", identity.strip() if is_told_apart(identity.strip()) else host)
    return Device(own, "board", host, name, name)


# what tells it from others, and its model
BOARD = (
    f'echo "{IDENTITY_THERE}"; '
    "cat /proc/device-tree/model 2> /dev/null || sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -n 1"
)
ASK: Mapping[Kind, Callable[[str, Device | None], Device]] = {"phone": ask_phone, "board": ask_board}


def _gpus() -> list[Device]:
    """NVIDIA's, in the order of the PCI bus, which jobs use too."""
    try:
        done = subprocess.run(
            _SMI, capture_output=True, encoding="utf-8", errors="replace", stdin=subprocess.DEVNULL, timeout=60
        )
    except (OSError, subprocess.TimeoutExpired):
        return []
    return parse_gpus(done.stdout.splitlines() if done.returncode == 0 else [])


def parse_gpus(lines: Sequence[str]) -> list[Device]:
    """Of nvidia-smi's lines "index, name, uuid"."""
    found = []
    for line in lines:
        index, _, rest = line.partition(",")
        model, _, uuid = (part.strip() for part in rest.rpartition(","))
        if index.strip().isdecimal() and model and uuid:
            # CUDA tells it without what it begins with
            plain = uuid.removeprefix("GPU-").removeprefix("MIG-")
            found.append(Device(device_id("gpu", plain), "gpu", f"cuda:{index.strip()}", model, model))
    return found


def _shown(address: str) -> str:
    return one_line(address)
