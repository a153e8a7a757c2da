"""`python -m profilers.compare OLD NEW`: which blocks changed between two tables of one device, and which drifted."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from ofa.errors import InputError
from ofa.optional_packages import require
from ofa.runs.files import write_json
from ofa.tables import LatencyTable, find_table
from profilers.changes.change import ALPHA, EFFECT
from profilers.changes.comparison import Comparison, compare_tables, to_json
from profilers.changes.comparison_report import print_comparison, write_plot
from profilers.profiling.arguments import options_of


@dataclass(frozen=True, kw_only=True)
class CompareOptions:
    """Two tables of one device."""

    old: str
    """a table, or the name of a shipped one"""

    new: str
    """the table to compare with it"""

    effect: float = 100 * EFFECT
    """changes of up to so many per cent do not matter, at least 0"""

    alpha: float = ALPHA
    """share of false ones among the blocks said to have changed, between 0 and 1"""

    rows: int = 20
    """blocks to print"""

    plot: Path | None = None
    """where to draw all blocks (default: nowhere)"""

    json: Path | None = None
    """where to write everything that was found (default: nowhere)"""


def parser() -> argparse.ArgumentParser:
    parsed = argparse.ArgumentParser(
        prog="python -m profilers.compare",
        description="Which blocks changed between two tables of one device. A drift common to all blocks is reported "
        "and taken out; a block has changed if it did by more than --effect, and significantly among all blocks. "
        "Exit code 0: none did, 1: some did, 2: could not compare.",
        epilog="example: python -m profilers.compare xeon-vm-tflite my-cpu.csv --plot changes.png",
    )
    add = parsed.add_argument
    add("old", metavar="OLD", help="a table, or the name of a shipped one")
    add("new", metavar="NEW", help="the table to compare with it")
    add("--effect", type=float, default=100 * EFFECT, metavar="PCT",
        help=f"changes of up to so many per cent do not matter (default {100 * EFFECT:g})")  # fmt: skip
    add("--alpha", type=float, default=ALPHA, metavar="P",
        help=f"share of false ones among the blocks said to have changed (default {ALPHA})")  # fmt: skip
    add("--rows", type=int, default=20, metavar="N", help="blocks to print (default 20)")
    add("--plot", type=Path, metavar="PNG", help="also draw all blocks")
    add("--json", type=Path, metavar="FILE", help="also write everything that was found")
    return parsed


def main(argv: Sequence[str] | None = None) -> int:
    options = options_of(CompareOptions, parser().parse_args(argv))
    comparison = compare(options)
    print_comparison(Console(), comparison, options.rows)
    if options.plot:
        write_plot(options.plot, comparison)
    if options.json:
        write_json(options.json, to_json(comparison))
    return 1 if comparison.changed else 0


def compare(options: CompareOptions) -> Comparison:
    """Two tables compared; InputError where they cannot be."""
    if options.effect < 0:
        raise InputError(f"--effect is {options.effect}, expected at least 0")
    if not 0 < options.alpha < 1:
        raise InputError(f"--alpha is {options.alpha}, expected a number between 0 and 1")
    require("scipy", "comparing tables")
    if options.plot:
        require("matplotlib", "--plot")
    old, new = (LatencyTable.load(find_table(name)) for name in (options.old, options.new))
    return compare_tables(old, new, options.effect / 100, options.alpha)


if __name__ == "__main__":
    from ofa.cli.run import run

    run(main, failed=2)
