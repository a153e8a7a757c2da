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
    """Estimate a latency table from whole networks timed on a device and a table of a related one.

    With --suggest, choose networks that are worth timing: fill in their latency_ms, then give them as --networks.
    """

    networks: Annotated[Path | None, Input(kinds=(TIMES,)), Option(metavar="CSV")] = None
    """networks and what they took; --suggest writes such a file"""

    column: Annotated[str | None, Option(metavar="C")] = None
    """which latency column, if the file has several"""

    suggest: OptionalCount = None
    """write N networks to be timed to --out, instead of a table"""

    runtime: Annotated[str | None, Option(metavar="R")] = None
    """with --suggest, also write them as models: onnxruntime, tflite, tflite-runtime or torch"""

    from_: Annotated[str | None, Option(metavar="T")] = None
    """a table of a related device, best of the same kind and runtime; without one, at least 8 networks"""

    space: Annotated[tuple[str, ...], Option(metavar="S", each=True)] = ("mbv3-w1.0",)
    """a space the table is for (repeatable)"""

    resolutions: Resolutions = None
    """of the images, pixels, such as 160,192 (default: 128:224:4)"""

    num_classes: Count = 1000
    """classes of the classifier"""

    device: Annotated[str | None, Option(metavar="NAME")] = None
    """what to call the device (default: what the networks' file says)"""

    batch: OptionalCount = None
    """images a run (default: what the networks' file says, else 1)"""

    seed: Seed = 0
    """of --suggest's candidates"""

    out: Annotated[Path, Output(), Option(metavar="CSV")]
    """the file to write"""

    overwrite: Annotated[bool, Free()] = False
    """replace even a table that was measured or imported"""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.exactly_one("networks", "suggest")
        csv_file("--out", self.out)
