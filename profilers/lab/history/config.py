"""What `python -m profilers.lab.history` is asked for."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from ofa.cli.config import Above, Config, Input, Option, Output
from ofa.errors import UsageError
from profilers.changes.levels import ALPHA, EFFECT


@dataclass(frozen=True, kw_only=True)
class HistoryConfig(Config):
    """Compare each device with its own earlier tables, and tell drift from another runtime or system.

    Exit codes: 0 every device's last table is like those before it, 1 some are not, 2 no history could be read.
    """

    folders: Annotated[tuple[Path, ...], Input(), Option(metavar="FOLDER", positional=True)]
    """folders of dated tables, of one or more devices, and single tables"""

    effect: Annotated[float, Above(0), Option(metavar="PCT")] = 100 * EFFECT
    """largest change, per cent, that does not matter"""

    alpha: Annotated[float, Option(metavar="P")] = ALPHA
    """accepted share of false alarms among the blocks that are reported, between 0 and 1"""

    json: Annotated[Path | None, Output(), Option(metavar="FILE")] = None
    """also write all of it into this file, which `ofa report` draws"""

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 < self.alpha < 1:
            raise UsageError(f"--alpha is {self.alpha}, expected a number between 0 and 1")
        if not self.folders:
            raise UsageError("a history is of tables: name a folder of them")
