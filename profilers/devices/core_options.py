"""Which CPUs of a device run the models: the same words for this machine, a phone and a board."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar

from ofa.cli.config import Config, Option
from ofa.cli.options import Count
from ofa.reading.numbers import plain_whole, short

MOST_CPUS = 100_000  # which of them are there, the device says


def cpu_numbers(text: str) -> tuple[int, ...]:
    """ "3", "2,3" or, as a table's header has it, "2, 3", ascending; ValueError for what is none."""
    numbers = [plain_whole(number.strip(" ")) for number in text.split(",")]
    cpus = {number for number in numbers if number is not None and 0 <= number < MOST_CPUS}
    if None in numbers or len(cpus) < len(set(numbers)):
        raise ValueError(f"{short(text)}, expected numbers such as 3 or 2,3")
    return tuple(sorted(cpus))


@dataclass(frozen=True, kw_only=True)
class CoreOptions(Config):
    """How many threads compute, and where."""

    PANEL: ClassVar[str] = "Cores"

    threads: Count = 1
    """threads of one operator"""

    cpu: Annotated[tuple[int, ...] | None, Option(metavar="N,N", parse=cpu_numbers)] = None
    """CPUs to pin to, such as 3 or 2,3 (default: the fastest, one for each thread)"""
