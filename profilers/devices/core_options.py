"""Which CPUs of a device run the models: the same words for this machine, a phone and a board."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, ClassVar

from ofa.cli.config import Config, Option
from ofa.cli.options import Count, OptionalCount
from ofa.reading.numbers import plain_whole, short
from profilers.devices.cores import Cluster

MOST_CPUS = 100_000  # which of them are there, the device says


def cpu_numbers(text: str) -> tuple[int, ...]:
    """ "3", "2,3" or, as a table's header has it, "2, 3", ascending; ValueError for what is none."""
    numbers = [plain_whole(number.strip(" ")) for number in text.split(",")]
    cpus = {number for number in numbers if number is not None and 0 <= number < MOST_CPUS}
    if None in numbers or len(cpus) < len(set(numbers)):
        raise ValueError(f"{short(text)}, expected numbers such as 3 or 2,3")
    return tuple(sorted(cpus))


@dataclass(frozen=True, kw_only=True)
class PinningOptions(Config):
    """Where to compute."""

    PANEL: ClassVar[str] = "Cores"

    cpu: Annotated[tuple[int, ...] | None, Option(metavar="N,N", parse=cpu_numbers)] = None
    """CPUs to pin to, such as 3 or 2,3 (default: the fastest, one for each thread)"""


@dataclass(frozen=True, kw_only=True)
class CoreOptions(PinningOptions):
    """How many threads compute, and where."""

    PANEL: ClassVar[str] = "Cores"

    threads: Count = 1
    """threads of one operator"""


@dataclass(frozen=True, kw_only=True)
class ClusterOptions(PinningOptions):
    """The same of a device whose cores are not all of one kind."""

    PANEL: ClassVar[str] = "Cores"

    cores: Annotated[Cluster | None, Option(metavar="C")] = None
    """cluster to pin to: big, middle or little, by the capacity and the maximum clock of its cores"""

    threads: OptionalCount = None
    """threads of one operator (default: 1; with --cores, one for each core of the cluster)"""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.at_most_one("cores", "cpu")

    def threads_on(self, cpus: Sequence[int]) -> int:
        """How many threads compute on the CPUs that were chosen by these options."""
        return self.threads or (len(cpus) if self.cores else 1)
