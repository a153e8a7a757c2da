"""What `python -m profilers.transfer` is asked for."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from ofa.cli.config import Config, Free, Input, Option, Output
from ofa.cli.options import Count, OptionalCount, Resolutions, Seed
from ofa.reading.kinds import TIMES
from profilers.profiling.profile_options import csv_file


@dataclass(frozen=True, kw_only=True)
class TransferConfig(Config):
    """Estimate a latency table from whole networks timed on a device, and a table of a related device.

    With --suggest, choose networks that are worth timing. Fill in their latency_ms, then give the file as --networks.
    """

    networks: Annotated[Path | None, Input(kinds=(TIMES,)), Option(metavar="CSV")] = None
    """networks and their latencies; --suggest writes such a file"""

    column: Annotated[str | None, Option(metavar="C")] = None
    """the latency column, if the file has several"""

    suggest: OptionalCount = None
    """instead of a table, write N networks to time"""

    runtime: Annotated[str | None, Option(metavar="R")] = None
    """with --suggest: also write the networks as models, for onnxruntime, tflite, tflite-runtime or torch"""

    from_: Annotated[str | None, Option(metavar="T")] = None
    """table of a related device, preferably of the same kind and runtime; without it, at least 8 networks are needed"""

    space: Annotated[tuple[str, ...], Option(metavar="S", each=True)] = ("mbv3-w1.0",)
    """a space that the table is for (repeatable)"""

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
        csv_file("--out", self.out)
