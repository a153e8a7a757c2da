"""`python -m ofa.search`: the best sub-network for every latency limit."""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence

import numpy as np

from ofa.cli.command import Command
from ofa.cli.console import make_console, progress_bar
from ofa.cli.run import run
from ofa.runs.files import write_json
from ofa.search.config import SearchConfig
from ofa.search.report import print_results, write_plot
from ofa.search.run import SearchResult, search_subnets

CLOUD_SIZE = 2000
COMMAND = Command(
    "ofa.search",
    SearchConfig,
    example="--table note10 --latency 15 20 25 --out out/note10",
)


def main(argv: Sequence[str] | None = None) -> int:
    config = COMMAND.parse(argv)
    console = make_console()
    with progress_bar(console) as bar:
        result = search_subnets(config, bar.show)
    for name, search in result.searches.items():
        print_results(console, name, search.table, result.predictor, result.found[name])
    console.print(
        f"{result.evaluations} sub-networks of {result.space.name} evaluated in {result.seconds:.2f} s, "
        f"seed {config.seed}"
    )
    write_json(config.out / "result.json", result.to_dict())
    console.print(f"wrote {config.out / 'result.json'}")
    if importlib.util.find_spec("matplotlib") is None:
        console.print("no plot: it needs matplotlib: pip install 'ofa-latency[report]'")
        return 0
    draw_frontier(result)
    console.print(f"wrote {config.out / 'frontier.png'}")
    return 0


def draw_frontier(result: SearchResult) -> None:
    """Writes frontier.png: what was found, over random sub-networks."""
    clouds = {
        name: search.random_cloud(np.random.default_rng(result.config.seed), CLOUD_SIZE)
        for name, search in result.searches.items()
    }
    title = f"{result.space.name}: predicted accuracy against {result.axis}"
    batches = {name: search.table.batch for name, search in result.searches.items()}
    write_plot(result.config.out / "frontier.png", title, result.found, clouds, result.axis, batches)


if __name__ == "__main__":
    run(main)
