"""What `python -m profilers.lab.siblings` is asked for."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from ofa.cli.config import Above, Config, Free, Input, Option, Output
from ofa.errors import UsageError
from ofa.reading.kinds import TABLE
from profilers.changes.levels import ALPHA, EFFECT


@dataclass(frozen=True, kw_only=True)
class MergeConfig(Config):
    """Compare the tables of several devices of one model, and merge those that agree into one table.

    A device agrees if it is shown to be within --effect of the others: that no difference was found is not enough. The
    others are set aside, and named. Of two devices that differ, nobody can say which is right: nothing is merged. Exit
    codes: 0 all agree, 1 some are set aside or nothing is merged, 2 the tables could not be compared.
    """

    tables: Annotated[tuple[Path, ...], Input(kinds=(TABLE,)), Option(metavar="TABLE", positional=True)]
    """measured tables, one of each device"""

    out: Annotated[Path | None, Output(), Option(metavar="CSV")] = None
    """write the table of the devices that agree (default: only compare)"""

    name: Annotated[str | None, Option(metavar="TEXT")] = None
    """what the merged table calls the device (default: as its tables do, or their soc)"""

    effect: Annotated[float, Above(0), Option(metavar="PCT")] = 100 * EFFECT
    """largest difference between devices, per cent, that does not matter"""

    alpha: Annotated[float, Option(metavar="P")] = ALPHA
    """accepted chance that any device is called apart wrongly, and that one is called alike wrongly"""

    json: Annotated[Path | None, Output(), Option(metavar="FILE")] = None
    """also write everything that was found, into this file"""

    overwrite: Annotated[bool, Free()] = False
    """replace --out where it exists"""

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 < self.alpha < 0.5:
            raise UsageError(f"--alpha is {self.alpha}, expected a number above 0 and below 0.5")
        if len(self.tables) < 2:
            raise UsageError(
                f"{len(self.tables)} table is named: devices are compared with each other, name two or more"
            )
