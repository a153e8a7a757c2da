"""`python -m profilers.compare OLD NEW`: which blocks changed between two tables of one device, and which drifted."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from ofa.blocks import Block
from ofa.errors import InputError
from ofa.runs.files import replace_file, write_json
from ofa.tables import LatencyTable, find_table
from profilers.change import ALPHA, EFFECT, Changes, find_changes
from profilers.visits import visits_of

# header facts that two tables of the same measurement have in common; what neither states is no difference
SAME = ("space", "soc", "runtime", "threads", "batch", "dtype", "delegate", "mode", "memory_format", "inputs")


@dataclass(frozen=True)
class BlockChange:
    """One block in both tables; effect, p, p_adjusted, changed: see profilers.change.Changes."""

    block: Block
    old_ms: float
    new_ms: float
    effect: float
    p: float
    p_adjusted: float
    changed: bool


@dataclass(frozen=True)
class Comparison:
    """Two tables compared.

    differences: facts in which the tables differ: then what changed is no news
    blocks: those in both that could be judged, the worst change first
    not_judged: blocks of which one table has only disturbed visits
    only_old, only_new: blocks in one table
    basis: what the old and the new figures rest on
    """

    old: LatencyTable
    new: LatencyTable
    changes: Changes
    differences: tuple[str, ...]
    blocks: tuple[BlockChange, ...]
    not_judged: tuple[Block, ...]
    only_old: tuple[Block, ...]
    only_new: tuple[Block, ...]
    basis: tuple[str, str]

    @property
    def changed(self) -> tuple[BlockChange, ...]:
        return tuple(block for block in self.blocks if block.changed)

    @property
    def drift_pct(self) -> float:
        return 100 * (self.changes.drift - 1)

    def drift_text(self) -> str:
        """The drift in words."""
        return (
            f"{self.drift_pct:+.1f} % (standard error {100 * self.changes.drift_error:.1f} %) on all blocks: clock, "
            f"load or host; taken out of every change"
        )

    def noise_text(self) -> str:
        """How small a change could be seen, in words."""
        return (
            f"typical standard error of a change {100 * self.changes.noise:.1f} %, of which between runs "
            f"{100 * self.changes.between_runs:.1f} %"
        )


def compare_tables(old: LatencyTable, new: LatencyTable, effect: float = EFFECT, alpha: float = ALPHA) -> Comparison:
    """Compares what both tables hold; InputError where that is too little."""
    (before, old_basis), (after, new_basis) = visits_of(old), visits_of(new)
    common = [row.block for row in old.rows if row.block in after]
    judged = [block for block in common if before[block] and after[block]]
    try:
        changes = find_changes(
            [before[block] for block in judged], [after[block] for block in judged], effect=effect, alpha=alpha
        )
    except InputError as reason:
        raise InputError(f"{old.path} and {new.path} cannot be compared: {reason}") from None
    old_ms, new_ms = ({row.block: row.latency_ms for row in table.rows} for table in (old, new))
    found = zip(judged, changes.effect, changes.p, changes.p_adjusted, changes.changed, strict=True)
    rows = [
        BlockChange(block, old_ms[block], new_ms[block], float(size), float(p), float(adjusted), bool(changed))
        for block, size, p, adjusted, changed in found
    ]
    rows.sort(key=lambda row: (not row.changed, -abs(np.log1p(row.effect)), str(row.block)))
    return Comparison(
        old,
        new,
        changes,
        tuple(differences(old.header, new.header)),
        tuple(rows),
        tuple(block for block in common if not (before[block] and after[block])),
        tuple(row.block for row in old.rows if row.block not in after),
        tuple(row.block for row in new.rows if row.block not in before),
        (old_basis, new_basis),
    )


def differences(old: Mapping[str, str], new: Mapping[str, str]) -> list[str]:
    """The facts in which two headers differ, in words; the device's name counts where no soc is stated."""
    keys = [*SAME, *([] if old.get("soc") and new.get("soc") else ["device"])]
    return [
        f"{key}: {old.get(key, 'not stated')} against {new.get(key, 'not stated')}"
        for key in keys
        if old.get(key) != new.get(key)
    ]


def to_json(comparison: Comparison) -> dict[str, Any]:
    """Everything that was found, for a program to read."""
    return {
        "old": str(comparison.old.path),
        "new": str(comparison.new.path),
        "changed": len(comparison.changed),
        "differences": list(comparison.differences),
        "basis": list(comparison.basis),
        "drift": comparison.changes.drift,
        "drift_error": comparison.changes.drift_error,
        "noise": comparison.changes.noise,
        "between_runs": comparison.changes.between_runs,
        "blocks": [{**vars(row), "block": str(row.block)} for row in comparison.blocks],
        "not_judged": list(map(str, comparison.not_judged)),
        "only_old": list(map(str, comparison.only_old)),
        "only_new": list(map(str, comparison.only_new)),
    }


def print_comparison(console: Console, comparison: Comparison, rows: int) -> None:
    """The worst changes as a table, and what belongs beside it."""

    def say(text: str, style: str = "") -> None:
        console.print(text, style=style, highlight=False, markup=False, soft_wrap=True)

    for difference in comparison.differences:
        say(f"warning: the tables differ in {difference}", "yellow")
    shown = Table(title="Worst changes first, drift taken out", title_justify="left")
    shown.add_column("block")
    for heading in ("old ms", "new ms", "change %", "adjusted p", "changed"):
        shown.add_column(heading, justify="right", no_wrap=True)
    for row in comparison.blocks[:rows]:
        shown.add_row(
            str(row.block),
            f"{row.old_ms:.4f}",
            f"{row.new_ms:.4f}",
            f"{100 * row.effect:+.1f}",
            f"{row.p_adjusted:.2g}",
            "yes" if row.changed else "",
            style="red" if row.changed else "",
        )
    console.print(shown)
    say(f"drift: {comparison.drift_text()}")
    say(f"noise: {comparison.noise_text()} (old: {comparison.basis[0]}, new: {comparison.basis[1]})")
    for what, blocks in (
        ("not judged, all visits disturbed", comparison.not_judged),
        ("only in the old table", comparison.only_old),
        ("only in the new table", comparison.only_new),
    ):
        if blocks:
            more = f", and {len(blocks) - 5} more" if len(blocks) > 5 else ""
            say(f"{what}: {len(blocks)} blocks: {'; '.join(map(str, blocks[:5]))}{more}")
    say(f"{len(comparison.changed)} of {len(comparison.blocks)} blocks changed")


def write_plot(path: Path, comparison: Comparison) -> None:
    """New over old of every block against its latency, with the drift and what counts as a change."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(figsize=(7, 4.5), layout="constrained")
    for changed, colour, label in ((False, "C0", "unchanged"), (True, "C3", "changed")):
        rows = [row for row in comparison.blocks if row.changed == changed]
        total = [100 * ((1 + row.effect) * comparison.changes.drift - 1) for row in rows]
        axes.scatter([row.old_ms for row in rows], total, s=10, color=colour, label=f"{label} ({len(rows)})")
    axes.axhline(comparison.drift_pct, color="black", linewidth=0.8, label=f"drift {comparison.drift_pct:+.1f} %")
    axes.set_xscale("log")
    axes.set_xlabel("old latency of a block (ms)")
    axes.set_ylabel("new over old, less 1 (%)")
    axes.set_title(f"{comparison.old.device}, {comparison.old.header['runtime']}", fontsize="small")
    axes.legend(fontsize="small")
    replace_file(path, lambda file: figure.savefig(file, format="png", dpi=130))
    plt.close(figure)


def parser() -> argparse.ArgumentParser:
    parsed = argparse.ArgumentParser(
        prog="python -m profilers.compare",
        description="Which blocks changed between two tables of one device. A drift common to all blocks is reported "
        "and taken out; a block has changed if it did by more than --effect, and significantly among all blocks. "
        "Exit code 0: none did, 1: some did, 2: could not compare.",
        epilog="example: python -m profilers.compare latency_tables/xeon-vm-tflite.csv my-cpu.csv --plot changes.png",
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
    args = parser().parse_args(argv)
    if args.effect < 0:
        raise InputError(f"--effect is {args.effect}, expected at least 0")
    if not 0 < args.alpha < 1:
        raise InputError(f"--alpha is {args.alpha}, expected a number between 0 and 1")
    old, new = (LatencyTable.load(find_table(name)) for name in (args.old, args.new))
    comparison = compare_tables(old, new, args.effect / 100, args.alpha)
    print_comparison(Console(), comparison, args.rows)
    if args.plot:
        write_plot(args.plot, comparison)
    if args.json:
        write_json(args.json, to_json(comparison))
    return 1 if comparison.changed else 0


if __name__ == "__main__":
    from ofa.cli.run import run

    run(main, failed=2)
