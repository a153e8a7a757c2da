"""Which CPUs of a device run the models: the same words for this machine, a phone and a board."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar

from ofa.cli.config import Config, Option
from ofa.cli.options import Count


def cpu_numbers(text: str) -> tuple[int, ...]:
    """ "3" or "2,3", ascending; ValueError for what is none."""
    try:
        return tuple(sorted({int(number) for number in text.split(",")}))
    except ValueError:
        raise ValueError(f"{text!r}, expected numbers such as 3 or 2,3") from None


@dataclass(frozen=True, kw_only=True)
class CoreOptions(Config):
    """How many threads compute, and where."""

    PANEL: ClassVar[str] = "Cores"

    threads: Count = 1
    """of one operator"""

    cpu: Annotated[tuple[int, ...] | None, Option(metavar="N,N", parse=cpu_numbers)] = None
    """CPUs to pin to, such as 3 or 2,3 (default: the fastest, one a thread)"""
