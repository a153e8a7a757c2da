"""`python -m ofa.search`: the best sub-network for every latency limit."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ofa.cli.command import Command
from ofa.cli.console import make_console, progress_bar
from ofa.cli.run import run
from ofa.runs.files import write_json
from ofa.runs.lock import Lock
from ofa.runs.places import check_writable
from ofa.search.config import SearchConfig
from ofa.search.plots.frontier import write_plot
from ofa.search.report import print_results
from ofa.search.run import SearchResult, search_subnets
from ofa.search.specialise import Frontier
from ofa.tables.network_times import write_networks

if TYPE_CHECKING:
    from rich.console import Console

    from ofa.priced import NetworkInNoSpace, PricedNetwork

CLOUD_SIZE = 2000
RESULT, PLOT, FRONTIER = "result.json", "frontier.png", ".frontier.csv"
COMMAND = Command(
    "ofa.search",
    SearchConfig,
    example="--table note10 --latency 15 20 25 --out out/note10",
)


def main(argv: Sequence[str] | None = None) -> int:
    config = COMMAND.parse(argv)
    check_writable(config.out / RESULT)
    # two searches into one folder would leave one's result beside the other's plot
    with Lock(config.out):
        return search_and_write(config)


def search_and_write(config: SearchConfig) -> int:
    """Searches, shows what was found, and writes it into the folder, over what an earlier search left there."""
    console, named = make_console(), read_networks(config)
    with progress_bar(console) as bar:
        result = search_subnets(config, bar.show)
    for name, search in result.searches.items():
        taken = result.margins.get(name), result.factors.get(name), result.allowances.get(name)
        print_results(console, name, search.table, result.predictor, result.found[name], *taken)
    others = show_networks(console, result, named)
    console.print(work_done(result))
    for name, found in result.found.items():
        limits = 1 if config.together else max(1, len(config.latency))
        if config.best > 1 and len(found) < config.best * limits:
            console.print(
                f"{name}: {len(found)} of {config.best * limits} networks asked for: no more of them differ in "
                f"{config.differ} choices"
            )
    for old in (PLOT, *(path.name for path in config.out.glob(f"*{FRONTIER}"))):
        (config.out / old).unlink(missing_ok=True)
    listed = {name: [one.to_dict() for one in priced] for name, priced in others.items()}
    write_json(config.out / RESULT, {**result.to_dict(), **({"networks": listed} if listed else {})})
    console.print(f"wrote {config.out / RESULT}")
    for name, frontier in result.frontiers.items():
        path = config.out / f"{name}{FRONTIER}"
        write_frontier(path, name, result, frontier)
        console.print(f"wrote {path}: all {len(frontier.genes):,} networks of the frontier")
    drawn = [one for priced in others.values() for one in priced if one.latency_ms is not None]
    if sum(map(len, result.found.values())) + len(drawn) < 2:
        return 0  # one point is no plot, and drawing it takes longer than finding it
    if importlib.util.find_spec("matplotlib") is None:
        console.print("no plot: it needs matplotlib: pip install 'ofa-latency[report]'")
        return 0
    draw_frontier(result, others)
    console.print(f"wrote {config.out / PLOT}")
    return 0


def read_networks(config: SearchConfig) -> Sequence[NetworkInNoSpace]:
    """Those that are to be shown beside what is found, before anything is searched; InputError for what is none."""
    if not config.networks:
        return ()
    from ofa.priced import named_networks

    return named_networks(config.networks)


def show_networks(
    console: Console, result: SearchResult, named: Sequence[NetworkInNoSpace]
) -> dict[str, list[PricedNetwork]]:
    """Shows the networks by every table; by the tables' names, the fastest first."""
    if not named:
        return {}
    from ofa.search.plots.networks import show_priced

    classes = result.space.num_classes
    return {name: show_priced(console, name, search.table, named, classes) for name, search in result.searches.items()}


def work_done(result: SearchResult) -> str:
    """What the search took, in words."""
    space, seconds = result.space.name, f"{result.seconds:.2f} s"
    if all(search.method == "exact" for search in result.searches.values()):
        return f"exact: {result.evaluations:,} configurations of units of {space} put together in {seconds}"
    return f"{result.evaluations} sub-networks of {space} evaluated in {seconds}, seed {result.config.seed}"


def write_frontier(path: Path, name: str, result: SearchResult, frontier: Frontier) -> None:
    """Every network of a whole frontier, as a file of networks and what they take (`ofa.tables.network_times`)."""
    table = result.searches[name].table
    header = {"device": table.device, "source": f"python -m ofa.search: sums of the blocks of {name}"}
    subnets = [(result.space.name, subnet) for subnet in result.space.decode(frontier.genes)]
    unit = "latency_ms" if result.axis == "latency" else "energy_mj"
    shown = {unit: [f"{v:.6f}" for v in frontier.cost], "predicted_top1": [f"{v:.4f}" for v in frontier.top1]}
    path.parent.mkdir(parents=True, exist_ok=True)
    write_networks(path, header, subnets, shown, spaces=[result.space])


def draw_frontier(result: SearchResult, others: Mapping[str, Sequence[PricedNetwork]]) -> None:
    """Writes frontier.png: what was found, over random sub-networks. others: networks in no space, by table"""
    clouds = {
        name: search.random_cloud(np.random.default_rng(result.config.seed), CLOUD_SIZE)
        for name, search in result.searches.items()
    }
    title = f"{result.space.name}: predicted accuracy against {result.axis}"
    batches = {name: search.table.batch for name, search in result.searches.items()}
    write_plot(result.config.out / PLOT, title, result.found, clouds, result.axis, batches, others)


if __name__ == "__main__":
    run(main)
