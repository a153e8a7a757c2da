"""`python -m profilers.compare OLD NEW`: which blocks changed between two tables of one device, and which drifted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from ofa.cli.command import Command
from ofa.cli.config import AtLeast, Config, Input, Option, Output
from ofa.cli.console import make_console
from ofa.errors import UsageError
from ofa.optional_packages import require
from ofa.reading.kinds import TABLE
from ofa.runs.files import write_json
from ofa.runs.places import check_replaced
from ofa.tables.shipped import find_table
from profilers.changes.levels import ALPHA, EFFECT

if TYPE_CHECKING:
    from profilers.changes.comparison import Comparison


@dataclass(frozen=True, kw_only=True)
class CompareTablesConfig(Config):
    """Find the blocks that changed between two tables of one device.

    A drift common to all blocks is taken out. A block has changed if the rest is more than --effect, and significantly
    so among all blocks. All blocks have changed if their drift is beyond --effect and five standard errors. Runs of OLD
    on other days, in baseline/OLD beside it, are compared with too. Exit codes: 0 nothing changed, 1 some or all blocks
    did, 2 the tables could not be compared.
    """

    old: Annotated[str, Input(find=find_table, kinds=(TABLE,)), Option(positional=True)]
    """a table, or the name of a shipped one"""

    new: Annotated[str, Input(find=find_table, kinds=(TABLE,)), Option(positional=True)]
    """the table to compare with it"""

    effect: Annotated[float, AtLeast(0), Option(metavar="PCT")] = 100 * EFFECT
    """largest change, per cent, that does not matter"""

    alpha: Annotated[float, Option(metavar="P")] = ALPHA
    """accepted share of false alarms among the blocks that are reported, between 0 and 1"""

    rows: Annotated[int, AtLeast(0), Option(metavar="N")] = 20
    """how many blocks to print"""

    plot: Annotated[Path | None, Output(), Option(metavar="PNG")] = None
    """also draw all blocks, into this file"""

    json: Annotated[Path | None, Output(), Option(metavar="FILE")] = None
    """also write everything that was found, into this file"""

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 < self.alpha < 1:
            raise UsageError(f"--alpha is {self.alpha}, expected a number between 0 and 1")


COMMAND = Command("profilers.compare", CompareTablesConfig, "xeon-vm-tflite my-cpu.csv --plot changes.png")


def main(argv: Sequence[str] | None = None) -> int:
    config = COMMAND.parse(argv)
    if config.json:
        check_replaced(config.json, {"old", "new", "changed"}, "what profilers.compare writes", name="--json")
    comparison = compare(config)

    from profilers.changes.comparison import to_json
    from profilers.changes.comparison_report import print_comparison, write_plot

    print_comparison(make_console(), comparison, config.rows)
    if config.plot:
        write_plot(config.plot, comparison)
    if config.json:
        write_json(config.json, to_json(comparison))
    return 1 if comparison.changed or comparison.changes.all_changed else 0


def compare(config: CompareTablesConfig) -> Comparison:
    """Two tables compared; InputError where they cannot be."""
    require("scipy", "comparing tables")
    if config.plot:
        require("matplotlib", "--plot")

    from ofa.tables import LatencyTable, find_table
    from profilers.changes.baseline import earlier_runs
    from profilers.changes.comparison import compare_tables

    old, new = (LatencyTable.load(find_table(name)) for name in (config.old, config.new))
    return compare_tables(old, new, config.effect / 100, config.alpha, earlier_runs(old, new))


if __name__ == "__main__":
    from ofa.cli.run import run

    run(main, failed=2)
