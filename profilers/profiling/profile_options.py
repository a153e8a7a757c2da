"""What a profiler is asked for, as values: the options that all of them share. Nothing here computes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, ClassVar, Literal

from ofa.cli.config import Above, Between, Config, Free, Option, Output
from ofa.cli.options import Count, OptionalCount, Seed, Space, resolutions
from ofa.errors import UsageError
from ofa.reading.numbers import short
from ofa.space.families import default_resolutions

RESOLUTIONS = (128, 160, 192, 208, 224)
# of one model: the order of all visits is drawn at the start, and a thousand take days
MOST_VISITS = 1000
OptionalVisits = Annotated[int | None, Between(1, MOST_VISITS, "visits"), Option(metavar="N")]


@dataclass(frozen=True, kw_only=True)
class PlanOptions(Config):
    """What is measured, and how often."""

    PANEL: ClassVar[str] = "What is measured"

    space: Space = "mbv3-w1.0"
    """search space: mbv3-w1.0, or the file of a description, such as my-space.toml; a network that is in no space is
    timed whole, by --also of profilers.validate"""

    num_classes: Count = 1000
    """number of classes of the classifier"""

    resolutions: Annotated[tuple[int, ...], Option(metavar="R", parse=resolutions)] = ()
    """sides of the images in pixels, such as 128,160 or 128:224:32; search interpolates between them (default: those of
    the space's file, else 128,160,192,208,224)"""

    batch_size: Count = 1
    """images in a run"""

    rounds: OptionalVisits = None
    """visits of each block, spread over time (default: 5, with --quick 3)"""

    quick: bool = False
    """take a fraction of the time, with more noise, for a first look"""

    limit: OptionalCount = None
    """measure only the first N blocks, as a trial; for a small complete table, give a single resolution"""

    seed: Seed = 0
    """seed of the order of visits"""

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.resolutions:
            object.__setattr__(self, "resolutions", default_resolutions(self.space, RESOLUTIONS))


@dataclass(frozen=True, kw_only=True)
class InPlaceOptions(PlanOptions):
    """Where blocks are timed, on devices whose agents run networks in parts."""

    PANEL: ClassVar[str] = "What is measured"

    timing: Annotated[Literal["in-place", "warm"] | None, Option(metavar="T")] = None
    """in-place: time each block inside networks, after the blocks before it; warm: time each alone, repeatedly, which
    is faster than in a network (default: in-place; with --limit, warm)"""

    rounds: OptionalVisits = None
    """visits of each block, spread over time (default: 5; with --quick 2 in place, 3 alone)"""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.timing == "in-place" and self.limit is not None:
            raise UsageError("--limit times blocks alone: --timing in-place needs all of them")

    @property
    def in_place(self) -> bool:
        return self.timing != "warm" and self.limit is None


@dataclass(frozen=True, kw_only=True)
class TimingOptions(Config):
    """How long a device may be silent."""

    PANEL: ClassVar[str] = "Timing"

    timeout: Annotated[float, Above(0), Free(), Option(metavar="S")] = 60.0
    """seconds after which a silent block or network is given up"""


@dataclass(frozen=True, kw_only=True)
class JournalOptions(Config):
    """A long measurement, which a killed run leaves and a resumed one takes up; it is replaced only when that is said.

    `ofa.runs.journal.Journal.begin` is the rule.
    """

    PANEL: ClassVar[str] = "Run"

    resume: Annotated[bool, Free()] = False
    """continue an interrupted run by its journal, or retry what failed or drifted"""

    overwrite: Annotated[bool, Free()] = False
    """start again, replacing an earlier run and what it made"""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.at_most_one("resume", "overwrite")


@dataclass(frozen=True, kw_only=True)
class MeasureOptions(PlanOptions, TimingOptions, JournalOptions):
    """A space that is measured."""

    PANEL: ClassVar[str] = "What is measured"

    energy: bool = False
    """also measure millijoules, if the device counts energy; 0.6 s more for each block"""

    name: Annotated[str | None, Free(), Option(metavar="NAME")] = None
    """name of this device (default: its model)"""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.name is not None:
            # spaces of any kind are spaces: a table's header is one line of printable text
            name = " ".join(self.name.split())
            if not name or not name.isprintable():
                raise UsageError(f"--name is {short(self.name)}, expected a name that can be printed")
            object.__setattr__(self, "name", name)


@dataclass(frozen=True, kw_only=True)
class ProfileOptions(MeasureOptions):
    """A space that is measured into a table."""

    PANEL: ClassVar[str] = "Run"

    out: Annotated[Path, Output(), Option(metavar="CSV")]
    """the table to write; its journal is written next to it"""

    def __post_init__(self) -> None:
        super().__post_init__()
        csv_file("--out", self.out)


@dataclass(frozen=True, kw_only=True)
class QuickestOptions(InPlaceOptions, MeasureOptions):
    """A space that is measured, or estimated from a few whole networks, on phones and boards."""

    PANEL: ClassVar[str] = "What is measured"

    quickest: bool = False
    """measure ten whole networks instead, in about two minutes, and estimate every block from them; the table is marked
    as estimated, and has its expected error"""

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("quick", "rounds", "limit", "timing", "energy"):
            self.at_most_one("quickest", name)

    @property
    def in_place(self) -> bool:
        return super().in_place and not self.quickest


def csv_file(flag: str, path: Path) -> None:
    """UsageError for a file that is to be written and is called otherwise."""
    if path.suffix != ".csv":
        raise UsageError(f"{flag} is {path}, expected a file that ends in .csv")
