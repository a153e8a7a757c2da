"""A device and a host of a lab as values, which travel between processes; no network and no Ray here."""

from __future__ import annotations

import functools
import hashlib
import platform
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Literal, get_args

import ofa

Kind = Literal["cpu", "gpu", "phone", "board", "host"]
KINDS: tuple[Kind, ...] = get_args(Kind)
# whose builds decide a latency
RUNTIMES = ("ai-edge-litert", "onnxruntime", "onnxruntime-gpu", "openvino", "tflite-runtime", "torch")
_SOURCES = ("ofa", "profilers", "device_agents")


@dataclass(frozen=True)
class Device:
    """One device.

    id: such as phone-1a2b3c4d5e6f, the same on every host and in every run, and a name for files
    kind: host is the machine itself, for work that times nothing
    address: how its host reaches it: a serial for adb, a name for ssh, cuda:0; "" for CPU and host
    model, soc: as it calls itself; a CPU's and a GPU's are one
    trouble: why nothing can be measured there now; "" if it can
    """

    id: str
    kind: Kind
    address: str = ""
    model: str = ""
    soc: str = ""
    trouble: str = ""


@dataclass(frozen=True)
class Host:
    """One host and what is attached to it.

    package: what `package` says there; runtimes: {distribution: its version}
    cores: which CPUs are timed and who waits for whom, in words
    """

    name: str
    package: str
    runtimes: Mapping[str, str]
    devices: tuple[Device, ...] = ()
    cores: str = ""


_UNPLUG = "unplug it from one of them"
_ONE_MACHINE = "stop one of them, or, if they are two machines, give each a host name of its own (hostnamectl)"
_TWICE: Mapping[Kind, str] = {
    "cpu": _ONE_MACHINE,
    "host": _ONE_MACHINE,
    "gpu": "stop one of them",
    "board": "name it by --board on one of them",
}


@dataclass(frozen=True)
class Announced:
    """All devices of a lab.

    devices: {id: (its host, itself)}, of those that jobs may run on
    refused: what may not be used, and why, a line each
    """

    devices: Mapping[str, tuple[str, Device]] = field(default_factory=dict)
    refused: tuple[str, ...] = ()


def announced(hosts: Mapping[str, Host], own: str) -> Announced:
    """The devices of all hosts. own: the package of whoever asks.

    Refused are hosts with another package, devices that two hosts announce, and those in trouble.
    """
    refused = [
        f"host {host.name} is left out: it has {host.package}, here is {own}: install the same on all hosts"
        for host in hosts.values()
        if host.package != own
    ]
    found: dict[str, list[tuple[str, Device]]] = {}
    for host in hosts.values():
        for device in host.devices if host.package == own else ():
            found.setdefault(device.id, []).append((host.name, device))
    usable = {}
    for name, places in found.items():
        ready = [place for place in places if not place[1].trouble]
        if len(ready) == 1:
            usable[name] = ready[0]
        elif ready:
            where = " and ".join(host for host, _ in places)
            device = places[0][1]
            refused.append(f"{name} ({device.model}) is announced by {where}: {_TWICE.get(device.kind, _UNPLUG)}")
        else:
            refused += [f"{name} ({device.model}) on {host}: {device.trouble}" for host, device in places]
    return Announced(usable, tuple(refused))


@functools.cache
def package() -> str:
    """The package, as hosts must have it in common: version, content of its sources, and Python."""
    digest = hashlib.sha256()
    top = Path(ofa.__file__).resolve().parents[1]
    for folder in _SOURCES:
        for path in sorted((top / folder).rglob("*.py")):
            # a checkout on Windows may end its lines otherwise
            content = path.read_bytes().replace(b"\r\n", b"\n")
            digest.update(path.relative_to(top).as_posix().encode() + b"\0" + hashlib.sha256(content).digest())
    return f"ofa-latency {ofa.__version__} ({digest.hexdigest()[:12]}), Python {platform.python_version()}"


def runtimes() -> dict[str, str]:
    """Versions of the runtimes that are installed here."""
    found = {}
    for name in RUNTIMES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found
