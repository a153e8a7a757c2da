"""What is asked of a network that runs in a loop."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar

from ofa.cli.config import Between, Config, Free, Option
from ofa.errors import UsageError
from ofa.reading.numbers import plain_whole, short

_UNITS = {"m": 1, "h": 60}


def minutes(text: str) -> int:
    """ "10m" or "1h" in minutes; ValueError for what is none."""
    count = plain_whole(text[:-1])
    if count is None or text[-1:] not in _UNITS:
        raise ValueError(f"{short(text)} is not a time in whole minutes or hours, such as 10m or 1h")
    return count * _UNITS[text[-1]]


# Free: the rounds that choose the network do not depend on them, so a verified result can be gone on with by a loop
@dataclass(frozen=True, kw_only=True)
class LoopOptions(Config):
    """How a verified network runs for minutes."""

    PANEL: ClassVar[str] = "Minute after minute"

    sustained: Annotated[int | None, Between(2, 24 * 60, "minutes"), Free(), Option(metavar="TIME", parse=minutes)] = (
        None
    )
    """then run the verified network in a loop for so long, such as 10m or 1h; needs a single limit"""

    rate: Annotated[float | None, Between(0.2, 10_000, "runs a second"), Free(), Option(metavar="HZ")] = None
    """with --sustained: runs a second (default: one run after the other)"""

    rest: Annotated[float, Between(0, 3600, "seconds"), Free(), Option(metavar="S")] = 60.0
    """with --sustained: seconds of rest before the loop, so that its first minute begins on a cool device"""

    record: Annotated[bool, Free()] = False
    """with --sustained: write into the table's header how much the network slowed, for ofa.search --sustained"""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.rate is not None and self.sustained is None:
            raise UsageError("--rate is for a loop: add its length, such as --sustained 10m")
        if self.record and self.sustained is None:
            raise UsageError("--record is for a loop: add its length, such as --sustained 10m")
