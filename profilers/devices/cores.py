"""Which cores a device has, and which of them are the fastest."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable, Mapping
from typing import Literal

from ofa.errors import InputError

# of a device's kinds of cores: the fastest, the slowest, and all between
Cluster = Literal["big", "middle", "little"]


def cpu_list(text: str) -> tuple[int, ...]:
    """The kernel's way to list CPUs, such as 0-3,6; () for what is none."""
    found: list[int] = []
    for part in filter(None, text.strip().split(",")):
        first, _, last = part.partition("-")
        if not (first.isdigit() and (last or first).isdigit()):
            return ()
        found += range(int(first), int(last or first) + 1)
    return tuple(found)


def core_numbers(answers: Mapping[str, str], name: str) -> dict[int, int]:
    """{CPU: number} of a device's answers such as {"khz.cpu0": "1800000"}, in the order of the CPUs."""
    found = {re.fullmatch(rf"{name}\.cpu(\d{{1,4}})", key, re.ASCII): text for key, text in answers.items()}
    numbers = {int(key[1]): int(text) for key, text in found.items() if key and re.fullmatch(r"[0-9]{1,9}", text)}
    return dict(sorted(numbers.items()))


def fastest(usable: Iterable[int], max_khz: Mapping[int, int], count: int) -> list[int]:
    """The CPUs of the highest maximum clock, among equals the last, which are the big ones where no clock is told."""
    return sorted(sorted(usable, key=lambda cpu: (max_khz.get(cpu, 0), cpu))[-count:])


def kinds_of_cores(max_khz: Mapping[int, int], capacity: Mapping[int, int]) -> list[tuple[int, ...]]:
    """The CPUs of each kind, the slowest kind first: those of one capacity and one highest clock.

    capacity: what the kernel's scheduler takes a core's speed to be, told by kernels that know different kinds. It goes
    before the clock, and counts only if all cores whose clock is told have one.
    """
    cpus = sorted({*max_khz, *capacity})
    known = capacity if all(cpu in capacity for cpu in cpus) else {}

    def speed(cpu: int) -> tuple[int, int]:
        return known.get(cpu, 0), max_khz.get(cpu, 0)

    return [tuple(kind) for _, kind in itertools.groupby(sorted(cpus, key=lambda cpu: (speed(cpu), cpu)), speed)]


def of_cluster(
    which: Cluster,
    kinds: list[tuple[int, ...]],
    usable: Iterable[int],
    max_khz: Mapping[int, int],
    threads: int | None,
    device: str,
) -> list[int]:
    """The CPUs of a cluster: as many as threads, the fastest; all without. kinds: of `kinds_of_cores`

    InputError, which names the device, where it has no such cluster, or too few cores of it may be used.
    """
    shown = "; ".join(", ".join(map(str, kind)) for kind in kinds)
    if len(kinds) < 2:
        what = (
            f"all cores of {device} are of one kind"
            if kinds
            else f"{device} does not show which of its cores are faster"
        )
        raise InputError(f"--cores {which}: {what}: leave it out, or name CPUs by --cpu")
    cluster = {"little": kinds[0], "big": kinds[-1], "middle": tuple(itertools.chain(*kinds[1:-1]))}[which]
    if not cluster:
        raise InputError(f"--cores {which}: {device} has only a little and a big cluster (CPU {shown})")
    there = [cpu for cpu in cluster if cpu in set(usable)]
    if len(there) < (threads or 1):
        wanted = f", and --threads is {threads}" if threads else ""
        raise InputError(
            f"--cores {which}: of CPU {', '.join(map(str, cluster))} of {device}, "
            f"{', '.join(map(str, there)) or 'none'} may be used{wanted}"
        )
    return fastest(there, max_khz, threads or len(there))
