"""The command line of a job: what is typed for one device, with the device's own words put in by the lab."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from profilers.lab.devices import Device, Kind

_EVERY: tuple[Kind, ...] = ("cpu", "gpu", "phone", "board")
_PROFILERS: Mapping[Kind, str] = {
    "cpu": "profilers.cpu",
    "gpu": "profilers.gpu",
    "phone": "profilers.android",
    "board": "profilers.linux",
}
# what a device's own commands call its address, and what those call it that take the device from a table
_OWN: Mapping[Kind, str] = {"gpu": "--device", "phone": "--serial", "board": "--host"}
_BY_TABLE: Mapping[Kind, str] = {"phone": "--serial", "board": "--host"}


@dataclass(frozen=True)
class LabWork:
    """A command of the lab.

    modules: what runs on each kind of device; it is for no other
    address: the option that takes a device's address, by kind
    own: more words that the lab puts in; {device} and {file} stand for the device's id and the table to regenerate
    given: options that are the lab's to give
    table: whether it needs the table that an earlier job made of the device
    """

    modules: Mapping[Kind, str]
    address: Mapping[Kind, str]
    own: tuple[str, ...]
    given: tuple[str, ...]
    table: bool = False


_TABLE = ("--table", "{device}.csv")
WORKS: Mapping[str, LabWork] = {
    "profile": LabWork(
        _PROFILERS,
        _OWN,
        ("--out", "{device}.csv", "--resume"),
        ("--out", "--resume", "--overwrite", "--serial", "--host", "--device"),
    ),
    "validate": LabWork(
        dict.fromkeys(_EVERY, "profilers.validate"),
        _BY_TABLE,
        (*_TABLE, "--resume"),
        ("--table", "--resume", "--overwrite", "--serial", "--host"),
        table=True,
    ),
    "verify": LabWork(
        dict.fromkeys(_EVERY, "profilers.verify"),
        _BY_TABLE,
        (*_TABLE, "--out", "verified.json", "--resume"),
        ("--table", "--out", "--resume", "--overwrite", "--serial", "--host"),
        table=True,
    ),
    "doctor": LabWork({"phone": "profilers.android"}, _OWN, ("--doctor",), ("--serial", "--out", "--doctor")),
    "regenerate": LabWork(
        dict.fromkeys(_EVERY, "profilers.regenerate"),
        {},
        ("--config", "given/tables.toml", "--only", "{file}", "--out", "new", "--resume"),
        ("--config", "--only", "--out", "--resume", "--overwrite", "--accept"),
    ),
    "collect": LabWork(
        {"host": "ofa.predictors.collect", "gpu": "ofa.predictors.collect"},
        {"gpu": "--device"},
        ("--out", "accuracies.csv", "--resume"),
        ("--out", "--resume", "--overwrite"),
    ),
    "search": LabWork({"host": "ofa.search"}, {}, (*_TABLE, "--out", "search"), ("--table", "--out"), table=True),
}


def words_for(work: LabWork, device: Device, args: Sequence[str], stands: Mapping[str, str]) -> tuple[str, ...]:
    """Module and arguments of a job on a device. stands: {"{device}": what it stands for, in args too}"""
    option = work.address.get(device.kind)
    words = [*args, *((option, device.address) if option and device.address else ()), *work.own]
    for name, value in stands.items():
        words = [word.replace(name, value) for word in words]
    return (work.modules[device.kind], *words)


def asked_cores(words: Sequence[str]) -> tuple[int, tuple[int, ...]]:
    """What --threads and --cpu of a command say, 0 and () where they are not given."""
    found = dict(itertools.pairwise(words))
    found |= dict(word.split("=", 1) for word in words if word.startswith(("--threads=", "--cpu=")))
    threads, cpus = found.get("--threads", ""), found.get("--cpu", "")
    numbers = [cpu.strip() for cpu in cpus.split(",")]
    return int(threads) if threads.isdecimal() else 0, tuple(int(cpu) for cpu in numbers if cpu.isdecimal())
