"""A comparison as it is shown: a table of the worst changes, what belongs beside it, and a plot."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table

from ofa.blocks import Block
from ofa.runs.files import replace_file
from profilers.changes.comparison import BlockChange, Comparison

# blocks that are named where only their number matters
_NAMED = 5


def print_comparison(console: Console, comparison: Comparison, rows: int) -> None:
    """The worst changes as a table, and what belongs beside it. rows: how many of them"""

    def say(text: str, style: str = "") -> None:
        console.print(text, style=style, highlight=False, markup=False, soft_wrap=True)

    for difference in comparison.differences:
        say(f"warning: the tables differ in {difference}", "yellow")
    console.print(_worst_changes(comparison.blocks[:rows]))
    say(f"drift: {comparison.drift_text()}")
    say(f"noise: {comparison.noise_text()} (old: {comparison.basis[0]}, new: {comparison.basis[1]})")
    for what, blocks in (
        ("not judged, all visits disturbed", comparison.not_judged),
        ("only in the old table", comparison.only_old),
        ("only in the new table", comparison.only_new),
    ):
        if blocks:
            say(f"{what}: {len(blocks)} blocks: {_listed(blocks)}")
    if comparison.changes.all_changed:
        say(f"all blocks together changed by {comparison.drift_pct:+.1f} %: measure once more to be sure")
    say(f"{len(comparison.changed)} of {len(comparison.blocks)} blocks changed")


def _worst_changes(rows: Sequence[BlockChange]) -> Table:
    shown = Table(title="Worst changes first, drift taken out", title_justify="left")
    shown.add_column("block")
    for heading in ("old ms", "new ms", "change %", "adjusted p", "changed"):
        shown.add_column(heading, justify="right", no_wrap=True)
    for row in rows:
        shown.add_row(
            str(row.block),
            f"{row.old_ms:.4f}",
            f"{row.new_ms:.4f}",
            f"{100 * row.effect:+.1f}",
            f"{row.p_adjusted:.2g}",
            "yes" if row.changed else "",
            style="red" if row.changed else "",
        )
    return shown


def _listed(blocks: Sequence[Block]) -> str:
    more = f", and {len(blocks) - _NAMED} more" if len(blocks) > _NAMED else ""
    return f"{'; '.join(map(str, blocks[:_NAMED]))}{more}"


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
    title = f"{comparison.old.device}, {comparison.old.header['runtime']}"
    axes.set_title(title, fontsize="small", parse_math=False)  # a device may be called $x$
    axes.legend(fontsize="small")
    replace_file(path, lambda file: figure.savefig(file, format="png", dpi=130))
    plt.close(figure)
