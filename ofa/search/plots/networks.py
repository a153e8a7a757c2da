"""Networks in no space beside what a search found: priced by its tables, in a table of their own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ofa.cli.console import spelled
from ofa.priced import NetworkInNoSpace, PricedNetwork, measured_beside, priced_by
from ofa.reading.amounts import of_batch
from ofa.tables import LatencyTable

if TYPE_CHECKING:
    from rich.console import Console

TOP1 = (
    "  top-1 is of the network's own images: as its authors state (paper), by timm's later recipe (timm), or as its "
    "file states (stated)"
)


def show_priced(
    console: Console, name: str, table: LatencyTable, networks: Sequence[NetworkInNoSpace], num_classes: int
) -> list[PricedNetwork]:
    """Shows the networks under a table; the fastest first. num_classes: of the classifier that they are given"""
    measured, faults = measured_beside(table)
    for fault in faults:
        console.print(f"  left out: {fault}", highlight=False)
    priced = priced_by(table, networks, num_classes, measured)
    console.print(_table(name, table.batch, priced))
    for line in _remarks(table, priced):
        console.print(line, highlight=False, soft_wrap=True)
    return priced


def _table(name: str, batch: int, priced: Sequence[PricedNetwork]) -> object:
    from rich.table import Table

    recipes = list(dict.fromkeys(recipe for one in priced for recipe in one.top1))
    whole = [f"measured, ms{of_batch(batch)}"] if any(one.measured for one in priced) else []
    shown = Table(title=f"{name}: networks in no space", title_justify="left")
    shown.add_column("network", overflow="fold")
    headings = (f"sum, ms{of_batch(batch)}", *whole, *(f"top-1 %, {recipe}" for recipe in recipes))
    for heading in (*headings, "MMACs", "Mparams", "px"):
        shown.add_column(heading, justify="right", no_wrap=True)
    for one in priced:
        blocks = "block" if one.missing == 1 else "blocks"
        took = "" if one.measured is None else f"{one.measured.latency_ms:.4g}{'?' * one.measured.doubtful}"
        shown.add_row(
            one.name,
            f"lacks {one.missing} {blocks}" if one.sum_ms is None else f"{'~' * one.interpolated}{one.sum_ms:.4g}",
            *([took] if whole else []),
            *(f"{one.top1[recipe]:.1f}" if recipe in one.top1 else "" for recipe in recipes),
            f"{one.macs_millions:.0f}",
            f"{one.params_millions:.2f}",
            str(one.resolution),
        )
    return shown


def _remarks(table: LatencyTable, priced: Sequence[PricedNetwork]) -> list[str]:
    lines = []
    files = {one.measured.file: one.measured.machine_pct for one in priced if one.measured}
    if files:
        doubtful = " (?: the machine was busy)" if any(one.measured and one.measured.doubtful for one in priced) else ""
        stated = [f"{file} says{_then(pct)}" for file, pct in files.items()]
        lines.append(f"  measured: whole, on the table's device, as {' and '.join(stated)}{doubtful}")
    if any(one.top1 for one in priced):
        lines.append(TOP1)
    if any(one.interpolated for one in priced):
        lines.append("  ~: some blocks are interpolated between the sizes that the table holds")
    if (others := [one.asked for one in priced if one.measured is None]) and table.provenance == "measured":
        words = spelled("profilers.validate", "--table", table.path, "--also", *others)
        which = "the others" if files else "them"
        lines.append(f"  to measure {which} whole, on the table's device: {words}")
    return lines


def _then(pct: float | None) -> str:
    """How the machine was then, by what the table holds."""
    return "" if pct is None else f" (what is in the table took {abs(pct):.1f} % {'less' if pct < 0 else 'more'} then)"
