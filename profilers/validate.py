"""`python -m profilers.validate`: how well a table's sums predict whole networks, measured on the same device."""

from __future__ import annotations

import argparse
import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from rich.console import Console

from ofa.blocks import blocks_of
from ofa.errors import InputError
from ofa.runs.files import replace_file, write_json
from ofa.space import RESOLUTIONS, Genes, SearchSpace, get_space
from ofa.tables import LatencyTable, TableRow, find_table
from profilers.command import REFERENCE_EVERY, command_line, measure
from profilers.header import known
from profilers.journal import Journal
from profilers.measure import Outcome
from profilers.plan import make_plan
from profilers.statistics import summarise, visit_median_ns
from profilers.sum_fit import Scores, fit_correction, network_terms, repeat, score, unit_errors
from profilers.targets import target_of

# every fifth network, from fastest to slowest, fits the correction of the sums; the others are scored with it
FITTED = slice(2, None, 5)
# blocks of the table that are timed again among the networks, to tell a wrong sum from a changed machine
CONTROLS = 12
# a machine that runs its blocks this much faster or slower than when the table was made cannot judge it
LARGEST_CHANGE_PCT = 5.0


def stratified(table: LatencyTable, space: SearchSpace, count: int, rng: np.random.Generator) -> Genes:
    """(count, genes) sub-networks from the fastest to the slowest: the middle one of each of `count` equal shares."""
    genes = space.sample(rng, 50 * count)
    order = np.argsort(table.latency_ms(space, genes), kind="stable")
    chosen: Genes = genes[order[25::50]]
    return chosen


def parser() -> argparse.ArgumentParser:
    parsed = argparse.ArgumentParser(
        prog="python -m profilers.validate",
        description="Measure whole networks and compare them with the sums of a table made on this machine; a fifth "
        "of them fit a correction of the sums, the others are scored. Writes TABLE.validation.json and .png, and puts "
        "correction and expected error into the table's header, where the search uses and shows them.",
        epilog="example: python -m profilers.validate --table my-cpu.csv --networks 125",
    )
    add = parsed.add_argument
    add("--table", required=True, metavar="T", help="a table measured on this machine")
    add("--networks", type=int, default=125, metavar="N", help="how many whole networks to measure (default 125)")
    add("--space", metavar="S", help="search space, if the table does not name just one")
    add("--num-classes", type=int, metavar="N", help="classes of the classifier (default: the table's)")
    add("--seed", type=int, default=0, metavar="N", help="of the choice of networks (default 0)")
    add(
        "--timeout",
        type=float,
        default=60.0,
        metavar="S",
        help="seconds before a silent network is given up (default 60)",
    )
    add("--resume", action="store_true", help="go on with the journal of an interrupted run")
    return parsed


def main(argv: Sequence[str] | None = None) -> int:
    args = parser().parse_args(argv)
    command = command_line("profilers.validate", argv)
    if args.networks < 10:
        raise InputError(f"--networks is {args.networks}, expected at least 10")
    path = find_table(args.table)
    table = LatencyTable.load(path)
    if table.provenance != "measured":
        raise InputError(f"{path} is {table.provenance}: only a table measured on this machine can be validated on it")
    target = target_of(table, args.timeout)
    spaces = [args.space] if args.space else table.spaces
    if len(spaces) != 1:
        raise InputError(f"{path} names the spaces {', '.join(spaces)}: choose with --space")
    classes = table.num_classes if args.num_classes is None else args.num_classes
    whole = get_space(spaces[0], classes, {*RESOLUTIONS, *table.resolutions})
    complete = table.coverage(whole).complete
    table.lookup(whole).require(complete or whole.resolutions)
    space = get_space(spaces[0], classes, complete)
    genes = stratified(table, space, args.networks, np.random.default_rng(args.seed))
    by_latency = sorted(table.rows, key=lambda row: row.latency_ms)
    controls = [by_latency[round(share * (len(by_latency) - 1))] for share in np.linspace(0.3, 0.95, CONTROLS)]
    chains = [*(blocks_of(space, subnet) for subnet in space.decode(genes)), *((row.block,) for row in controls)]
    settings = {
        "rows": hashlib.sha256(repr(table.rows).encode()).hexdigest(),
        "networks": args.networks,
        "seed": args.seed,
    }
    journal_path = path.with_suffix(".validation.journal.jsonl")
    resumed = args.resume and journal_path.is_file()
    journal = (Journal.resume if resumed else Journal.create)(journal_path, settings)
    plan = make_plan(chains, target.pace.whole_rounds, REFERENCE_EVERY, args.seed)
    console = Console()
    resume = f"{command.replace(' --resume', '')} --resume"
    outcome = measure(plan, target, target.pace.whole, args.seed, journal, console, resume)
    if outcome.hello["runtime"] != table.header["runtime"]:
        raise InputError(f"{path} was made with {table.header['runtime']}, installed is {outcome.hello['runtime']}")
    return report(console, path, table, space, genes, controls, outcome, command)


def report(
    console: Console,
    path: Path,
    table: LatencyTable,
    space: SearchSpace,
    genes: Genes,
    controls: Sequence[TableRow],
    outcome: Outcome,
    command: str,
) -> int:
    """Writes scores, plot and the table's header, and says what came of it; 1 if networks failed."""
    say = console.out
    all_names = [f"b{i:05d}" for i in range(len(genes) + len(controls))]
    names = [name for name in all_names[: len(genes)] if name in outcome.results]
    if len(names) < 10:
        raise InputError(f"only {len(names)} networks could be measured: {outcome.failed}")
    rows = [int(name[1:]) for name in names]
    genes = genes[rows]
    measured = np.array([summarise(outcome.results[name]).latency_ms for name in names])
    repeated = repeat([[visit_median_ns(r) / 1e6 for r in outcome.results[name]] for name in names])
    now = [
        summarise(outcome.results[name]).latency_ms / row.latency_ms - 1
        for name, row in zip(all_names[-len(controls) :], controls, strict=True)
        if name in outcome.results
    ]
    # by how much single blocks take longer now than the table says
    machine_pct = round(100 * float(np.median(now)), 2) if now else 0.0
    scored = np.ones(len(measured), dtype=bool)
    scored[FITTED] = False
    plain = LatencyTable({key: text for key, text in table.header.items() if key != "sum_correction"}, table.rows)
    alone = plain.lookup(space)
    correction = fit_correction(network_terms(alone, alone.block_ms, genes[~scored]), measured[~scored])
    when = datetime.now(UTC)
    remark = f"(ms per MB, per block; fitted on {(~scored).sum()} whole networks that are not scored)"
    corrected = LatencyTable({**plain.header, "sum_correction": f"{correction} {remark}"}, table.rows)
    predicted = corrected.latency_ms(space, genes)
    scores = score(predicted[scored], measured[scored])
    without = score(alone.latency_ms(genes[scored]), measured[scored])
    worst = np.argsort(-np.abs(predicted / measured - 1), kind="stable")[:5]
    result = {
        "table": path.name,
        "command": command,
        "when": when.isoformat(timespec="seconds"),
        "space": space.name,
        "runtime": table.header["runtime"],
        "device": table.device,
        "scores": asdict(scores),
        "scores_without_correction": asdict(without),
        "repeat": asdict(repeated),
        "machine_pct": machine_pct,
        "sum_correction": str(correction),
        "fitted_on": int((~scored).sum()),
        "too_high_by_unit_pct": unit_errors(corrected.lookup(space), genes, measured),
        "networks": [
            {
                "predicted_ms": round(float(p), 6),
                "measured_ms": round(float(m), 6),
                "scored": bool(used),
                "subnet": subnet.to_dict(),
            }
            for p, m, used, subnet in zip(predicted, measured, scored, space.decode(genes), strict=True)
        ],
        "worst": worst.tolist(),
        "failed": outcome.failed,
    }
    write_json(path.with_suffix(".validation.json"), result)
    write_plot(
        path.with_suffix(".validation.png"), f"{table.device}, {table.header['runtime']}", predicted, measured, scores
    )
    summary = (
        f"MAPE {scores.mape_pct} %, bias {scores.bias_pct:+} %, 95 % within {scores.p95_pct} % "
        f"({scores.networks} other whole networks, {when:%Y-%m-%d}; "
        f"the same networks again: {known(repeated.mape_pct)} %)"
    )
    same_machine = abs(machine_pct) <= LARGEST_CHANGE_PCT
    if same_machine:
        LatencyTable({**corrected.header, "expected_error": summary}, table.rows).save(path)
    say(f"sums, {correction} {remark}, against the {scored.sum()} others:")
    for key, value in asdict(scores).items():
        again = f", the same networks again: {asdict(repeated)[key]}" if key in asdict(repeated) else ""
        say(f"{key:>16} {value:>10} (plain sums: {asdict(without)[key]}{again})")
    say(f"single blocks take {machine_pct:+} % longer than when the table was made")
    for i in worst.tolist():
        subnet = space.decode(genes[i : i + 1])[0]
        say(f"worst: {predicted[i] / measured[i] - 1:+.1%}, {measured[i]:.3f} ms measured, {subnet}")
    say("sums too high, by unit (%): " + json.dumps(result["too_high_by_unit_pct"]))
    if not same_machine:
        say(f"wrote {path.with_suffix('.validation.json')} and .png, but nothing into {path}:")
        say(
            f"single blocks take {machine_pct:+} % longer than in the table: something slows the machine now, "
            f"or did then. Close other programs and validate again, or measure the table anew"
        )
        return 1
    say(f"wrote {path.with_suffix('.validation.json')}, .png, and the expected error into {path}")
    say(f"next: python -m ofa.search --table {path}")
    return 1 if outcome.failed else 0


def write_plot(
    path: Path, title: str, predicted: NDArray[np.float64], measured: NDArray[np.float64], scores: Scores
) -> None:
    """Measured against predicted latency, with 5 % on both sides."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(figsize=(5, 5), layout="constrained")
    ends = np.array([min(predicted.min(), measured.min()), max(predicted.max(), measured.max())])
    axes.plot(ends, ends, color="black", linewidth=0.8)
    axes.fill_between(ends, 0.95 * ends, 1.05 * ends, alpha=0.15, color="C0", label="within 5 %")
    axes.scatter(measured, predicted, s=8)
    axes.set_xlabel("measured, whole network (ms)")
    axes.set_ylabel("predicted, sum of blocks (ms)")
    axes.set_title(f"{title}\nMAPE {scores.mape_pct} %, bias {scores.bias_pct:+} %", fontsize="small")
    axes.legend()
    replace_file(path, lambda file: figure.savefig(file, format="png", dpi=130))
    plt.close(figure)


if __name__ == "__main__":
    from ofa.cli.run import run

    run(main)
