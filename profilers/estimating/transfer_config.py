"""What `python -m profilers.transfer` is asked for."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any, Literal

from ofa.cli.config import Above, Free, Input, Option, Output, flag_of
from ofa.cli.options import Count, OptionalCount, Resolutions, Seed, Spaces
from ofa.errors import UsageError
from ofa.reading.kinds import TIMES
from ofa.reading.numbers import short
from profilers.devices.by_options import DeviceByOptions
from profilers.profiling.profile_options import JournalOptions, TimingOptions, csv_file

# of no meaning where nothing is measured
_OF_DEVICES = ("ssh_config", "cores", "cpu", "threads", "agent_bin", "agent_lib", "agent_aar", "resume")


@dataclass(frozen=True, kw_only=True)
class TransferConfig(DeviceByOptions, TimingOptions, JournalOptions):
    """Estimate a latency table from whole networks timed on a device, and a table of a related device.

    With --suggest, choose networks that are worth timing. Fill in their latency_ms, then give the file as --networks.
    With --serial or --host as well, they are measured at once on that phone or board, and the table is made.
    """

    networks: Annotated[Path | None, Input(kinds=(TIMES,)), Option(metavar="CSV")] = None
    """networks and their latencies; --suggest writes such a file"""

    column: Annotated[str | None, Option(metavar="C")] = None
    """the latency column, if the file has several"""

    suggest: OptionalCount = None
    """instead of a table, write N networks to time; with --serial or --host, measure them and make the table"""

    runtime: Annotated[str | None, Option(metavar="R")] = None
    """with --suggest: also write the networks as models, for onnxruntime, tflite, tflite-runtime, openvino or torch"""

    serial: Annotated[str | None, Free(), Option(metavar="S")] = None
    """with --suggest: measure the networks on this phone: USB serial, HOST:PORT or emulator-N"""

    host: Annotated[str | None, Free(), Option(metavar="H")] = None
    """with --suggest: measure the networks on this board: USER@ADDRESS, or a name in ~/.ssh/config"""

    from_: Annotated[str | None, Option(metavar="T")] = None
    """table of a related device, preferably of the same kind and runtime; without it, at least 8 networks are needed;
    several with commas between, or all: measured tables, and lists of networks (list.csv:column), combined"""

    unit: Annotated[Literal["ms", "s", "us"] | None, Option(metavar="U")] = None
    """unit of the latencies: ms, s or us; refused where no known device is as slow or as fast, unless ms is named
    (default: ms)"""

    latency: Annotated[tuple[float, ...], Above(0), Option(metavar="MS")] = ()
    """with --suggest: limits that will be searched within, ms; the networks that tell most of those there are chosen"""

    timed: Annotated[Path | None, Input(kinds=(TIMES,)), Option(metavar="CSV")] = None
    """with --suggest: networks that were timed already, beside which others are chosen"""

    space: Spaces = ("mbv3-w1.0",)
    """a space that the table is for, by its name or the file of its description (repeatable)"""

    resolutions: Resolutions = None
    """sides of the images in pixels, such as 160,192 (default: 128:224:4)"""

    num_classes: Count = 1000
    """number of classes of the classifier"""

    device: Annotated[str | None, Option(metavar="NAME")] = None
    """name of the device (default: as in the networks' file)"""

    batch: OptionalCount = None
    """images in a run (default: as in the networks' file, else 1)"""

    seed: Seed = 0
    """seed of --suggest's candidates"""

    out: Annotated[Path, Output(), Option(metavar="CSV")]
    """the file to write"""

    overwrite: Annotated[bool, Free()] = False
    """replace even a measured or imported table"""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.exactly_one("networks", "suggest")
        self.at_most_one("serial", "host")
        csv_file("--out", self.out)
        for name in ("latency", "timed"):
            if getattr(self, name) and self.suggest is None:
                raise UsageError(f"--{name} is for --suggest: how many networks are to be chosen?")
        if self.timed is not None and self.measures:
            raise UsageError("--timed is for networks that are only written: leave out --serial and --host")
        if not self.measures:
            if given := next((name for name in _OF_DEVICES if self._is_given(name)), None):
                raise UsageError(f"{flag_of(given)} is for measuring, by --suggest with --serial or --host")
        elif self.suggest is None:
            raise UsageError("--serial and --host are for --suggest: how many networks are to be measured?")
        elif self.runtime not in (None, "tflite"):
            raise UsageError(f"--runtime is {short(self.runtime)}: phones and boards are measured with tflite")

    @property
    def sources(self) -> tuple[str, ...]:
        """What is combined: several sources, or a list; none where one table is scaled, or no source is named."""
        names = tuple(name.strip() for name in (self.from_ or "").split(","))
        return names if len(names) > 1 or names == ("all",) or ".csv:" in names[0] else ()

    @property
    def measures(self) -> bool:
        """Whether networks are measured here."""
        return self.serial is not None or self.host is not None

    def estimating(self, networks: Path) -> TransferConfig:
        """The same table from networks that have been measured."""
        nothing: dict[str, Any] = dict.fromkeys(("suggest", "runtime", "serial", "host", "timed", *_OF_DEVICES))
        return replace(self, **{**nothing, "networks": networks, "unit": "ms"})
