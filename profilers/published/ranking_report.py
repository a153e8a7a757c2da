"""What `python -m profilers.baselines` prints."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table

from ofa.published.accuracies import RECIPES, Recipe
from ofa.reading.amounts import of_batch
from profilers.published.advantage import Advantage
from profilers.published.ranking import MeasuredEntrant, Ranking, error_of
from profilers.whole_networks.measured import MeasuredNetwork


def print_ranking(console: Console, ranking: Ranking) -> None:
    """The published networks with what found ones gain over them, then the found ones."""
    table = ranking.contest.search.table
    unit = f"ms{of_batch(table.batch)}"
    of = f"{table.device}, {ranking.measured.hello.runtime}"
    published = [one for one in ranking.published if one.entrant.published]
    own = [one for one in ranking.published if not one.entrant.published]
    if published:
        console.print(_published_table(published, f"Published networks: {of}", unit, RECIPES))
    if own:
        console.print(_published_table(own, f"Networks of yours: {of}", unit, ("stated",)))
    console.print(_found_table(ranking, unit))
    for line in (
        "ms: measured in this run, with its standard error. paper: top-1 as its authors state; timm: by later recipes",
        "faster: its latency over that of found ones of equal top-1; better: their top-1 at its latency, less its own",
        "  equal: on a straight line between two found networks, over log latency; >: at least, by the fastest or the",
        "  slowest one; -: no found network is as good",
        f"found networks' top-1 is predicted, not measured: {ranking.contest.search.predictor.description}",
    ):
        console.print(line, soft_wrap=True)
    if any(times.doubtful for times in _all_times(ranking)):
        console.print(
            "? the machine was busy or drifted whenever it was measured: continue with --resume", soft_wrap=True
        )


def _all_times(ranking: Ranking) -> list[MeasuredNetwork]:
    return [*(one.times for one in ranking.published), *(times for _, times in ranking.found)]


def _published_table(networks: Sequence[MeasuredEntrant], title: str, unit: str, recipes: Sequence[Recipe]) -> Table:
    shown = Table(title=title, title_justify="left")
    shown.add_column("network", no_wrap=True)
    for heading in ("M MACs", unit, "+-", *(h for recipe in recipes for h in (f"{recipe} %", "faster", "better"))):
        shown.add_column(heading, justify="right", no_wrap=True)
    for one in networks:
        entrant = one.entrant
        macs = f"{entrant.network.macs / 1e6:.0f}"
        gains = [cell for recipe in recipes for cell in _gain_cells(one, recipe)]
        shown.add_row(entrant.label, macs, *times_cells(one.times), *gains)
    return shown


def shown_ms(ms: float) -> str:
    """Three digits."""
    return f"{ms:#.3g}".rstrip(".")


def times_cells(times: MeasuredNetwork) -> tuple[str, str]:
    """A latency, marked where it is doubtful, and its standard error, ms."""
    error = error_of(times)
    return f"{shown_ms(times.latency_ms)}{'?' if times.doubtful else ''}", "-" if math.isnan(error) else f"{error:.1g}"


def _gain_cells(one: MeasuredEntrant, recipe: Recipe) -> tuple[str, str, str]:
    if recipe not in one.entrant.top1:
        return "", "", ""
    gain = one.advantage.get(recipe, Advantage(None, None, None))
    return (f"{one.entrant.top1[recipe].top1:.1f}", *gain_words(gain))


def gain_words(gain: Advantage) -> tuple[str, str]:
    """How many times as fast, and how many points better."""
    faster = "-" if gain.times_faster is None else f"{'>' * gain.at_least_faster}{gain.times_faster:.2f}x"
    better = "-" if gain.points_better is None else f"{'>' * gain.at_least_better}{gain.points_better:+.1f}"
    return faster, better


def _found_table(ranking: Ranking, unit: str) -> Table:
    shown = Table(title=f"Found networks ({ranking.contest.search.space.name})", title_justify="left")
    for heading in ("M MACs", unit, "+-", "sum of blocks", "predicted %", "sd", "px", "depths"):
        shown.add_column(heading, justify="right", no_wrap=True)
    for network, times in ranking.found:
        shown.add_row(
            f"{network.macs_millions:.0f}",
            *times_cells(times),
            shown_ms(network.latency_ms),
            f"{network.predicted_top1:.1f}",
            "-" if math.isnan(network.predicted_top1_std) else f"{network.predicted_top1_std:.1f}",
            str(network.subnet.resolution),
            "-".join(map(str, network.subnet.depths)),
        )
    return shown


def ending(ranking: Ranking, file: Path, console: Console) -> int:
    """Says what was written and what is not as it should be; the exit code."""
    console.print(f"wrote {file}", soft_wrap=True)
    for name, why in ranking.failed.items():
        console.print(f"{name} could not be measured: {why}", soft_wrap=True)
    measured = ranking.measured
    if not measured.same_machine:
        console.print(
            f"{measured.machine_words()}: something slows the machine now, or did when the table was made. The "
            "latencies are of now, for found and published networks alike; close other programs and measure again",
            soft_wrap=True,
        )
    return 0 if measured.same_machine and not ranking.failed else 1
