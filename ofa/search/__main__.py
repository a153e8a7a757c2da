"""`python -m ofa.search`: the best sub-network for every latency limit."""

from __future__ import annotations

import argparse
import importlib.util
import time
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from ofa.cli.options import resolutions as resolution_list
from ofa.errors import InputError
from ofa.predictors.accuracy import AccuracyPredictor
from ofa.runs.files import write_json
from ofa.search.report import print_results, table_facts, write_plot
from ofa.search.specialise import Axis, DeviceSearch, Specialised, shared_resolutions
from ofa.space import RESOLUTIONS, SearchSpace, get_space
from ofa.tables import LatencyTable, find_table

CLOUD_SIZE = 2000


def parser() -> argparse.ArgumentParser:
    parsed = argparse.ArgumentParser(
        prog="python -m ofa.search",
        description="Find the most accurate sub-network that meets each latency limit. Without a limit: the "
        "accuracy-latency frontier from the fastest to the slowest sub-network, or with --frontier energy the "
        "accuracy-energy frontier.",
        epilog="example: python -m ofa.search --table latency_tables/note10.csv --latency 15 20 25 --out out/note10",
    )
    add = parsed.add_argument
    add(
        "--table",
        action="append",
        required=True,
        metavar="T",
        help="latency table: a CSV or a shipped name (repeatable)",
    )
    add("--latency", nargs="+", type=float, default=[], metavar="MS", help="limits in ms, searched in one run")
    add("--max-macs", type=float, metavar="M", help="at most M million MACs")
    add("--max-params", type=float, metavar="M", help="at most M million parameters")
    add("--max-energy", type=float, metavar="MJ", help="at most MJ millijoules, by a table that tells energies")
    add("--frontier", choices=("latency", "energy"), help="what accuracy is traded for without a limit (latency)")
    add("--space", metavar="S", help="search space, if the table does not name just one (mbv3-w1.0 ...)")
    add("--num-classes", type=int, metavar="N", help="classes of the classifier (default: the first table's)")
    add(
        "--resolutions",
        type=resolution_list,
        metavar="R",
        help="such as 160,192 or 128:224:4 (default: what table and predictor share)",
    )
    add("--predictor", metavar="P", help="accuracy predictor: .safetensors, or MIT's .pth (default: the space's own)")
    add("--allow-emulated", action="store_true", help="take tables of emulated devices, whose latencies mean nothing")
    add("--seed", type=int, default=0, metavar="N", help="the same seed gives the same result (default 0)")
    add(
        "--out",
        type=Path,
        default=Path("out/search"),
        metavar="DIR",
        help="where to write result.json and frontier.png (default out/search)",
    )
    return parsed


def main(argv: Sequence[str] | None = None) -> int:
    args = parser().parse_args(argv)
    if args.frontier and args.latency:
        raise InputError("--frontier is what to search without limits: leave out --latency, or give --max-energy")
    axis: Axis = "energy" if args.frontier == "energy" else "latency"
    console = Console(width=None if Console().is_terminal else 120)
    tables = load_tables(args.table, args.allow_emulated)
    space_name = args.space or common_space(tables, () if args.predictor else AccuracyPredictor.shipped())
    listed = [r for table in tables.values() for r in table.resolutions]
    classes = next(iter(tables.values())).num_classes if args.num_classes is None else args.num_classes
    space = get_space(space_name, classes, {*RESOLUTIONS, *(args.resolutions or ()), *listed})
    predictor = load_predictor(args.predictor, space)
    space = predictor.space
    searches = {}
    for name, table in tables.items():
        chosen = shared_resolutions(table, predictor, space, args.resolutions)
        searches[name] = DeviceSearch(
            name,
            table,
            predictor,
            space,
            chosen,
            max_macs=args.max_macs,
            max_params=args.max_params,
            max_energy_mj=args.max_energy,
            axis=axis,
        )
    for search in searches.values():
        search.check_feasible(args.latency)

    results: dict[str, list[Specialised]] = {}
    evaluations, started = 0, time.perf_counter()
    columns = (TextColumn("{task.description}"), BarColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        for name, search in searches.items():
            task = bar.add_task(name, total=1.0)
            limits = args.latency or search.frontier_limits()
            # one generator a device: its result does not depend on which others are searched
            rng = np.random.default_rng(args.seed)
            found, asked = search.run(limits, rng, progress=partial(_show, bar, task))
            results[name] = found if args.latency else undominated(found, axis)
            evaluations += asked
    seconds = time.perf_counter() - started

    for name, search in searches.items():
        print_results(console, name, search.table, predictor, results[name])
    console.print(f"{evaluations} sub-networks of {space.name} evaluated in {seconds:.2f} s, seed {args.seed}")
    write_json(
        args.out / "result.json",
        {
            "space": space.name,
            "num_classes": space.num_classes,
            "tables": {
                name: table_facts(
                    search.table, search.space.resolutions, any(r.latency_interpolated for r in results[name])
                )
                for name, search in searches.items()
            },
            "predictor": {"path": args.predictor or "default", "description": predictor.description},
            "results": [result.to_dict() for found in results.values() for result in found],
            "evaluations": evaluations,
            "seconds": round(seconds, 3),
            "seed": args.seed,
        },
    )
    console.print(f"wrote {args.out / 'result.json'}", highlight=False)
    if importlib.util.find_spec("matplotlib") is None:
        console.print("no plot: it needs matplotlib: pip install 'ofa-latency[report]'", highlight=False, markup=False)
        return 0
    clouds = {
        name: search.random_cloud(np.random.default_rng(args.seed), CLOUD_SIZE) for name, search in searches.items()
    }
    write_plot(args.out / "frontier.png", f"{space.name}: predicted accuracy against {axis}", results, clouds, axis)
    console.print(f"wrote {args.out / 'frontier.png'}", highlight=False)
    return 0


def _show(bar: Progress, task: TaskID, share: float) -> None:
    bar.update(task, completed=share)


def load_predictor(path: str | None, space: SearchSpace) -> AccuracyPredictor:
    """The predictor of a file, or the shipped one, bound to the space with the resolutions that it knows too."""

    def bound(to: SearchSpace) -> AccuracyPredictor:
        return AccuracyPredictor.default(to) if path is None else AccuracyPredictor.load(path, to)

    known = bound(space).resolutions
    return bound(replace(space, resolutions=tuple(sorted({*space.resolutions, *known}))))


def load_tables(names: Sequence[str], allow_emulated: bool) -> dict[str, LatencyTable]:
    """Tables by the name they are shown under: the file's, without .csv."""
    tables: dict[str, LatencyTable] = {}
    for given in names:
        path = find_table(given)
        if path.stem in tables:
            raise InputError(f"--table {given}: a table named {path.stem} is already given")
        table = LatencyTable.load(path)
        if table.emulated and not allow_emulated:
            raise InputError(
                f"{path} was measured on an emulated device: its latencies mean nothing; to try the search all the "
                "same, add --allow-emulated"
            )
        tables[path.stem] = table
    return tables


def common_space(tables: dict[str, LatencyTable], preferred: Sequence[str] = ()) -> str:
    """The one space that all tables were made for, of several the one preferred; InputError asks for --space."""
    shared = [space for space in next(iter(tables.values())).spaces if all(space in t.spaces for t in tables.values())]
    if len(shared) > 1:
        shared = [space for space in shared if space in preferred] or shared
    if len(shared) != 1:
        stated = "; ".join(f"{name}: {', '.join(table.spaces)}" for name, table in tables.items())
        raise InputError(f"the tables do not name one space in common ({stated}): choose with --space")
    return shared[0]


def undominated(found: Sequence[Specialised], axis: Axis) -> list[Specialised]:
    """The frontier proper: without those that a faster, or thriftier, network already beats."""
    kept: list[Specialised] = []
    for result in sorted(found, key=lambda r: (r.cost(axis), -r.predicted_top1)):
        if not kept or result.predicted_top1 > kept[-1].predicted_top1:
            kept.append(result)
    return kept


if __name__ == "__main__":
    from ofa.cli.run import run

    run(main)
