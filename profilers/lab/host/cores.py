"""Whose jobs may run beside each other on a host: nothing shares a CPU on which something is timed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from profilers.lab.devices import Device


@dataclass(frozen=True)
class Cores:
    """Of one device's jobs. timed: the CPUs on which its models run; allowed: all that its processes may use.

    Empty where the system pins no process: then nothing is kept apart, and jobs that time something here take turns.
    """

    timed: frozenset[int] = frozenset()
    allowed: frozenset[int] = frozenset()
    here: bool = False


def share_out(devices: Sequence[Device], usable: Sequence[int] | None, timed: int) -> dict[str, Cores]:
    """{device: its CPUs}. usable: those of this machine, None where it pins nothing; timed: how many the CPU times on

    The CPU's are the last, where profilers.cpu pins to without --cpu. A GPU is launched from one CPU of its own while
    at least one is left for phones, boards and hosts, which time nothing here.
    """
    here = {device.id for device in devices if device.kind in ("cpu", "gpu")}
    if usable is None:
        return {device.id: Cores(here=device.id in here) for device in devices}
    left = sorted(usable)
    own: dict[str, frozenset[int]] = {}
    for device in sorted(devices, key=lambda device: (device.kind != "cpu", device.id)):
        if device.id not in here:
            continue
        wanted = timed if device.kind == "cpu" else 1
        own[device.id] = frozenset(left[-wanted:] if len(left) >= wanted else left or usable)
        # the last CPU that is left is for all
        left = left[:-wanted] if len(left) > wanted else left[:1]
    rest = frozenset(left)
    return {
        device.id: Cores(own.get(device.id, frozenset()), rest | own.get(device.id, frozenset()), device.id in here)
        for device in devices
    }


def must_wait(job: Cores, other: Cores) -> bool:
    """Whether a job may not run beside another of the same host."""
    if not job.allowed or not other.allowed:
        return job.here or other.here
    return bool(job.timed & other.allowed or other.timed & job.allowed)


def in_words(cores: Mapping[str, Cores]) -> str:
    """Which CPUs are timed, and which devices take turns."""
    timed = [f"{name} on CPU {_listed(each.timed)}" for name, each in cores.items() if each.timed]
    turns = [name for name, each in cores.items() if any(must_wait(each, o) for n, o in cores.items() if n != name)]
    words = [f"timed: {', '.join(timed)}"] if timed else ["no CPU of this host is timed"]
    return "; ".join([*words, *([f"one at a time, for want of CPUs: {', '.join(turns)}"] if turns else [])])


def _listed(cpus: frozenset[int]) -> str:
    return ",".join(map(str, sorted(cpus)))
