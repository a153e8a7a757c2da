"""What `python -m ofa.report` is asked for."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from ofa.cli.config import Config, Free, Option, Output
from ofa.errors import UsageError


@dataclass(frozen=True, kw_only=True)
class ReportConfig(Config):
    """Write one HTML page that shows what runs found: a file to open, send and print. It needs no network.

    A run is a file or a folder that ofa.search, profilers.verify, ofa.evaluate, ofa.train, ofa.finetune,
    profilers.validate, profilers.baselines or profilers.lab.history wrote, or a latency table.
    """

    runs: Annotated[tuple[str, ...], Option(metavar="RUN", positional=True), Free()]
    """files and folders of runs, and latency tables: files, or the names of shipped ones"""

    networks: Annotated[tuple[str, ...], Option(metavar="NETWORK")] = ()
    """also show these networks, which are in no space: names such as mobilenet_v2, JSON lists of blocks, net.configs.
    Their latency is the sum of their blocks in the tables that are shown"""

    out: Annotated[Path, Output(), Option(metavar="FILE")] = Path("report.html")
    """the page"""

    title: Annotated[str | None, Option(metavar="TEXT")] = None
    """heading of the page (default: what is in it)"""

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.runs:
            raise UsageError("a report is of runs: name at least one, such as out/search")
