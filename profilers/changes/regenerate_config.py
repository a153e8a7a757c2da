"""What `python -m profilers.regenerate` is asked for."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from ofa.cli.config import Free, Input, Option, Output
from ofa.reading.kinds import TABLES_TOML
from profilers.profiling.profile_options import JournalOptions


@dataclass(frozen=True, kw_only=True)
class RegenerateConfig(JournalOptions):
    """Measure again every table of a list whose device is at hand.

    Each is compared block by block with the table beside the list, and report.md is written. What looks changed is
    measured once more before it counts. Exit codes: 0 nothing changed, 1 blocks changed or a table is new, 2 something
    failed.
    """

    config: Annotated[Path, Input(kinds=(TABLES_TOML,)), Option(metavar="TOML")]
    """the list: file, profiler and args of each table; the committed tables lie beside it"""

    out: Annotated[Path, Output(folder=True), Option(metavar="DIR")]
    """folder for the new tables, journals and the report"""

    only: Annotated[tuple[str, ...], Free(), Option(metavar="FILE", each=True)] = ()
    """leave out all tables but this; repeat it for several"""

    accept: Annotated[bool, Free()] = False
    """replace the tables that changed or are new; with --resume after a finished run, without measuring"""
