"""report.md: what a regeneration found, for whoever decides whether the new tables are taken over."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from ofa.blocks import Block
from profilers.changes.comparison import BlockChange, Comparison
from profilers.changes.levels import ALPHA, DRIFT_ERRORS, EFFECT
from profilers.changes.tables_config import TableEntry

UNCHANGED, CHANGED, NEW, SKIPPED, FAILED = "unchanged", "changed", "new", "skipped", "failed"
# a change that concerns everything at once leaves no room for a list of it
_LONGEST_LIST = 50


@dataclass(frozen=True)
class TableResult:
    """What became of one table.

    status: UNCHANGED, CHANGED, NEW (nothing to compare it with), SKIPPED (device not at hand) or FAILED
    reason: of the last three, and of CHANGED where all blocks did; first: the comparison, if there was one
    confirmed: changes that a second measurement showed too; doubted: blocks of which it did not
    """

    entry: TableEntry
    status: str
    reason: str = ""
    first: Comparison | None = None
    confirmed: tuple[BlockChange, ...] = ()
    doubted: tuple[Block, ...] = ()


def markdown(results: Sequence[TableResult], accepted: Mapping[str, str], command: str, accept: str) -> str:
    """The report. accepted: {table: whether it was taken over, in words}; accept: the command that takes over."""
    when = datetime.now(UTC).isoformat(timespec="seconds")
    lines = [
        "# Latency tables, measured again",
        "",
        f"{when}, `{command}`",
        "",
        "| table | profiler | result | blocks | changed | drift | noise |",
        "|---|---|---|---|---|---|---|",
    ]
    for result in results:
        figures = ["", "", "", ""]
        if result.first is not None:
            c = result.first
            figures = [
                str(len(c.blocks)),
                str(len(result.confirmed)),
                f"{c.drift_pct:+.1f} %",
                f"{100 * c.changes.noise:.1f} %",
            ]
        lines.append(_row(result.entry.file, result.entry.profiler, result.status, *figures))
    lines += [
        "",
        f"A block has changed if, beside the drift of all, it takes more than {100 * EFFECT:g} % more or less time, "
        f"significantly among all blocks (TREAT; Benjamini-Hochberg, {ALPHA:g}), and does so again when measured a "
        f"second time. All have changed if their drift is beyond {100 * EFFECT:g} % and {DRIFT_ERRORS:g} standard "
        "errors, both times. Noise: typical standard error of one block's change.",
    ]
    for result in results:
        lines += ["", f"## {result.entry.file}: {result.status}", "", *_section(result)]
    waiting = [r for r in results if r.status in (CHANGED, NEW) and r.entry.file not in accepted]
    if accepted:
        lines += ["", "## Accepted", "", *(f"- {_plain(line)}" for line in accepted.values())]
    if waiting:
        lines += [
            "",
            "## To accept",
            "",
            f"`{accept}` replaces {', '.join(result.entry.file for result in waiting)} by the new tables. "
            "A new table has no correction of its sums and no expected error in its header, which the old one may "
            "have: `python -m profilers.validate --table TABLE`, on the same device, measures them. "
            f"A table that drifted by more than {100 * EFFECT:g} % is not taken over: it was measured on a device that "
            "ran faster or slower as a whole.",
        ]
    return "\n".join(lines) + "\n"


def _section(result: TableResult) -> list[str]:
    lines = [_plain(result.reason), ""] if result.reason else []
    c = result.first
    if c is None:
        return lines[:-1]
    lines += [f"- drift: {c.drift_text()}", f"- noise: {c.noise_text()} (old: {c.basis[0]}; new: {c.basis[1]})"]
    if c.changes.all_changed:
        lines.append("- **the device ran faster or slower as a whole than when the committed table was made**")
    for what, blocks in (
        ("looked changed once, not when measured again", result.doubted),
        ("not judged, since every visit was disturbed", c.not_judged),
        ("only in the committed table", c.only_old),
        ("only in the new table", c.only_new),
    ):
        if blocks:
            lines.append(f"- {what}: {len(blocks)}: {_listed([f'`{block}`' for block in blocks], ', ')}")
    if result.confirmed:
        rows = [
            _row(
                f"`{row.block}`",
                f"{row.old_ms:.4f}",
                f"{row.new_ms:.4f}",
                f"{100 * row.effect:+.1f} %",
                f"{row.p_adjusted:.2g}",
            )
            for row in result.confirmed
        ]
        lines += ["", "| block | old ms | new ms | change beside the drift | adjusted p |", "|---|---|---|---|---|"]
        lines += rows[:_LONGEST_LIST]
        if len(rows) > _LONGEST_LIST:
            lines += ["", f"and {len(rows) - _LONGEST_LIST} more, in the table's comparison.json"]
    return lines


def _listed(words: Sequence[str], separator: str) -> str:
    more = f"{separator}and {len(words) - _LONGEST_LIST} more" if len(words) > _LONGEST_LIST else ""
    return separator.join(words[:_LONGEST_LIST]) + more


def _row(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"


def _plain(text: str) -> str:
    """Text of others in one paragraph that is no Markdown."""
    return "".join(f"\\{c}" if c in "\\`*_[]<>|#" else c for c in " ".join(text.split()))
