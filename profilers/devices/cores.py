"""Which cores a device has, and which of them are the fastest."""

from __future__ import annotations

from collections.abc import Iterable, Mapping


def cpu_list(text: str) -> tuple[int, ...]:
    """The kernel's way to list CPUs, such as 0-3,6; () for what is none."""
    found: list[int] = []
    for part in filter(None, text.strip().split(",")):
        first, _, last = part.partition("-")
        if not (first.isdigit() and (last or first).isdigit()):
            return ()
        found += range(int(first), int(last or first) + 1)
    return tuple(found)


def fastest(usable: Iterable[int], max_khz: Mapping[int, int], count: int) -> list[int]:
    """The CPUs of the highest maximum clock, among equals the last, which are the big ones where no clock is told."""
    return sorted(sorted(usable, key=lambda cpu: (max_khz.get(cpu, 0), cpu))[-count:])
