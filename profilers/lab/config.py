"""What `python -m profilers.lab announce`, `run` and `status` are asked for."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from ofa.cli.config import AtLeast, Between, Config, Free, Input, Option, Output
from ofa.errors import UsageError
from ofa.reading.numbers import short
from profilers.lab.devices import KINDS, Kind
from profilers.profiling.profile_options import JournalOptions


@dataclass(frozen=True, kw_only=True)
class LabOptions(Config):
    """Where the lab is."""

    address: Annotated[str, Free(), Option(metavar="A")] = "auto"
    """the lab's Ray: HOST:6379, ray://HOST:10001, or auto for the one that runs on this machine"""

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.address.strip() or not self.address.isprintable():
            raise UsageError(f"--address is {short(self.address)}, expected HOST:6379, ray://HOST:10001 or auto")


@dataclass(frozen=True, kw_only=True)
class AnnounceConfig(LabOptions):
    """Announce this host and the devices that are attached to it to the lab, until it is stopped.

    Ray must run here first (ray start). Phones on USB are found, boards are named by --board. What is plugged in
    or pulled is noticed. Jobs of this host end when this command does; what they measured is kept.
    """

    address: Annotated[str, Free(), Option(metavar="A")] = "auto"
    """the lab's Ray: HOST:6379, or auto for the one that runs on this machine"""

    name: Annotated[str | None, Option(metavar="NAME")] = None
    """what to call this host (default: its host name)"""

    only: Annotated[tuple[Kind, ...], Option(metavar="KIND")] = ()
    """kinds to announce: cpu, gpu, phone, board and host, which is the machine itself for work that times nothing
    (default: all)"""

    phone: Annotated[tuple[str, ...], Option(metavar="S", each=True)] = ()
    """a phone in the network, HOST:PORT; repeat it for several: those on USB are found"""

    board: Annotated[tuple[str, ...], Option(metavar="H", each=True)] = ()
    """a board, as for profilers.linux --host; repeat it for several"""

    timed_cpus: Annotated[int, AtLeast(1), Option(metavar="N")] = 1
    """how many CPUs are kept for timing on this host's CPU: its last ones"""

    every: Annotated[float, Between(1, 3600, "seconds"), Option(metavar="S")] = 10.0
    """how often to look what is attached, seconds"""

    work: Annotated[Path, Output(folder=True), Option(metavar="DIR")] = Path("~/.cache/ofa-latency/lab")
    """folder in which jobs work; what is not fetched for 14 days is removed"""

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "work", self.work.expanduser())
        if self.address.startswith("ray://"):
            raise UsageError(
                f"--address is {short(self.address)}, a client's address: with it the devices would be looked for on "
                "Ray's head and not here. Start Ray on this host (ray start --address HEAD:6379), and leave --address "
                "out"
            )
        if self.name is not None and (not self.name.isprintable() or not self.name.strip() or len(self.name) > 100):
            raise UsageError(f"--name is {short(self.name)}, expected 1 to 100 characters that can be printed")
        for flag, named in (("--phone", self.phone), ("--board", self.board)):
            twice = next((one for one in named if named.count(one) > 1), None)
            if twice is not None:
                raise UsageError(f"{flag} names {short(twice)} twice")

    @property
    def kinds(self) -> tuple[Kind, ...]:
        return self.only or KINDS


@dataclass(frozen=True, kw_only=True)
class RunLabConfig(LabOptions, JournalOptions):
    """Run the jobs of a file on all devices of the lab that they are for.

    Tables, journals and logs come back as they grow, into OUT/JOB/DEVICE. If a host or a device goes away, its job goes
    on when the device is back, on whichever host. Tables of several devices of one model are compared, and merged
    where they agree. Exit codes: 0 all jobs ended well, 1 some ended with 1 (such as blocks that changed), or devices
    of one model differ or cannot be compared, 2 some failed or had no device.
    """

    config: Annotated[Path, Input(), Option(metavar="TOML")]
    """the jobs: a list of [[job]], each a command and the devices that it is for"""

    out: Annotated[Path, Output(folder=True), Option(metavar="DIR")]
    """folder for all that comes back"""

    dry_run: Annotated[bool, Free()] = False
    """show which job would run on which device, and end"""

    patience: Annotated[float, AtLeast(0), Free(), Option(metavar="MIN")] = 60.0
    """how long a job waits for a device that went away or that another run uses, minutes"""

    accept: Annotated[bool, Free()] = False
    """of regenerated tables: replace those that changed or are new, as profilers.regenerate --accept does"""


@dataclass(frozen=True, kw_only=True)
class StatusConfig(LabOptions):
    """Show hosts, devices and what runs on them; with --run, the jobs of a run, its tables and failures."""

    run: Annotated[Path | None, Input(), Option(metavar="DIR")] = None
    """folder of a run (--out); then the lab need not be reachable"""
