"""`python -m profilers.validate`: how well a table's sums predict whole networks, measured on the same device."""

from __future__ import annotations

import argparse
import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.console import Console

from ofa.blocks import blocks_of, slots_of
from ofa.errors import InputError
from ofa.files import replace_file, write_json
from ofa.latency_table import LatencyTable, TableRow, find_table
from ofa.space import RESOLUTIONS, Genes, SearchSpace, get_space
from profilers.command import REFERENCE_EVERY, RULES, command_line, measure
from profilers.cpu import cpu_target
from profilers.journal import Journal
from profilers.measure import Outcome
from profilers.plan import RUNTIMES, make_plan
from profilers.statistics import summarise, visit_median_ns

ROUNDS = 3
# every fifth network, from fastest to slowest, fits the factor on the sums; the others are scored with it
FITTED = slice(2, None, 5)
# blocks of the table that are timed again among the networks, to tell a wrong sum from a changed machine
CONTROLS = 12
# a machine that runs its blocks this much faster or slower than when the table was made cannot judge it
LARGEST_CHANGE_PCT = 5.0
# a runtime's name in a table's header, which is that of its distribution
RUNTIME_OF = {
    "onnxruntime": "onnxruntime",
    "ai-edge-litert": "tflite",
    "tflite-runtime": "tflite-runtime",
    "torch": "torch",
}


@dataclass(frozen=True)
class Scores:
    """How sums compare with measurements of N whole networks.

    mape_pct: mean absolute error; bias_pct: mean signed error, positive where the sum is too high
    spread_pct: mean absolute error once the bias, as one factor, is taken out
    within_5_pct, within_10_pct: shares, in per cent, of networks predicted that well
    worst_pct: the greatest absolute error; p95_pct: that of 95 % of the networks
    kendall_tau: of the order
    repeat_pct: mean absolute difference of single rounds from the network's median: the machine's own noise
    machine_pct: by how much single blocks of the table take longer now than the table says (median)
    """

    networks: int
    mape_pct: float
    bias_pct: float
    spread_pct: float
    within_5_pct: float
    within_10_pct: float
    p95_pct: float
    worst_pct: float
    kendall_tau: float
    repeat_pct: float
    machine_pct: float


def score(
    predicted: NDArray[np.float64], measured: NDArray[np.float64], repeat_pct: float, machine_pct: float
) -> Scores:
    """Scores of N predictions, ms, against N measurements, ms."""
    from scipy.stats import kendalltau

    error = 100 * (predicted / measured - 1)
    scaled = predicted / np.median(predicted / measured)
    return Scores(
        networks=len(measured),
        mape_pct=_rounded(np.mean(np.abs(error))),
        bias_pct=_rounded(np.mean(error)),
        spread_pct=_rounded(np.mean(np.abs(100 * (scaled / measured - 1)))),
        within_5_pct=_rounded(100 * np.mean(np.abs(error) <= 5)),
        within_10_pct=_rounded(100 * np.mean(np.abs(error) <= 10)),
        p95_pct=_rounded(np.percentile(np.abs(error), 95)),
        worst_pct=_rounded(np.max(np.abs(error))),
        kendall_tau=round(float(kendalltau(predicted, measured).statistic), 4),
        repeat_pct=_rounded(repeat_pct),
        machine_pct=_rounded(machine_pct),
    )


def _rounded(value: Any) -> float:
    return round(float(value), 2)


def stratified(table: LatencyTable, space: SearchSpace, count: int, rng: np.random.Generator) -> Genes:
    """(count, genes) sub-networks, evenly spread by rank from the fastest to the slowest of many random ones."""
    genes = space.sample(rng, 50 * count)
    order = np.argsort(table.latency_ms(space, genes), kind="stable")
    chosen: Genes = genes[order[np.linspace(0, len(order) - 1, count).round().astype(int)]]
    return chosen


def unit_errors(
    table: LatencyTable, space: SearchSpace, genes: Genes, measured: NDArray[np.float64], factor: float = 1.0
) -> dict[str, float]:
    """Per cent by which the sums of each unit's blocks, times the factor, seem too high: least squares.

    An indication: units whose sums rise and fall together cannot be told apart, and the fit leans to zero.
    """
    names = [slot.name.split(" layer")[0] for slot in slots_of(space)]
    units = list(dict.fromkeys(names))
    numbers = table.lookup(space).index.block_numbers(genes)
    block_ms = np.append(table.lookup(space).block_ms, 0.0)
    per_slot = block_ms[numbers]
    sums = np.stack([per_slot[:, [n == unit for n in names]].sum(axis=1) for unit in units], axis=1)
    relative = factor * sums / measured[:, None]
    residual = relative.sum(axis=1) - 1
    ridge = 0.05 * np.sqrt(len(measured)) * relative.mean() * np.eye(len(units))
    factors, *_ = np.linalg.lstsq(np.vstack([relative, ridge]), np.append(residual, np.zeros(len(units))), rcond=None)
    return {unit: round(100 * float(f), 1) for unit, f in zip(units, factors, strict=True)}


def parser() -> argparse.ArgumentParser:
    parsed = argparse.ArgumentParser(
        prog="python -m profilers.validate",
        description="Measure whole networks and compare them with the sums of a table made on this machine; a fifth "
        "of them fit one factor on the sums, the others are scored. Writes TABLE.validation.json and .png, and puts "
        "factor and expected error into the table's header, where the search uses and shows them.",
        epilog="example: python -m profilers.validate --table my-cpu.csv --networks 100",
    )
    add = parsed.add_argument
    add("--table", required=True, metavar="T", help="a table measured on this machine")
    add("--networks", type=int, default=100, metavar="N", help="how many whole networks to measure (default 100)")
    add("--space", metavar="S", help="search space, if the table does not name just one")
    add("--num-classes", type=int, default=1000, metavar="N", help="classes of the classifier (default 1000)")
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
    runtime = RUNTIME_OF.get(table.header["runtime"].split(" ")[0])
    if runtime is None:
        raise InputError(f"{path}: runtime {table.header['runtime']!r} is none of the CPU's: {', '.join(RUNTIMES)}")
    spaces = [args.space] if args.space else table.spaces
    if len(spaces) != 1:
        raise InputError(f"{path} names the spaces {', '.join(spaces)}: choose with --space")
    whole = get_space(spaces[0], args.num_classes, {*RESOLUTIONS, *table.resolutions})
    complete = table.coverage(whole).complete
    table.lookup(whole).require(complete or whole.resolutions)
    space = get_space(spaces[0], args.num_classes, complete)
    genes = stratified(table, space, args.networks, np.random.default_rng(args.seed))
    predicted = table.latency_ms(space, genes)
    by_latency = sorted(table.rows, key=lambda row: row.latency_ms)
    controls = [by_latency[round(share * (len(by_latency) - 1))] for share in np.linspace(0.3, 0.95, CONTROLS)]
    chains = [*(blocks_of(space, subnet) for subnet in space.decode(genes)), *((row.block,) for row in controls)]
    threads, batch = int(table.header.get("threads", 1)), int(table.header.get("batch", 1))
    target = cpu_target(runtime, threads, batch, table.header.get("cpus"), args.timeout)
    settings = {
        "rows": hashlib.sha256(repr(table.rows).encode()).hexdigest(),
        "networks": args.networks,
        "seed": args.seed,
    }
    journal_path = path.with_suffix(".validation.journal.jsonl")
    resumed = args.resume and journal_path.is_file()
    journal = (Journal.resume if resumed else Journal.create)(journal_path, settings)
    plan = make_plan(chains, ROUNDS, REFERENCE_EVERY, args.seed)
    console = Console()
    resume = f"{command.replace(' --resume', '')} --resume"
    outcome = measure(plan, target, RULES, args.seed, journal, console, resume)
    if outcome.hello["runtime"] != table.header["runtime"]:
        raise InputError(f"{path} was made with {table.header['runtime']}, installed is {outcome.hello['runtime']}")
    return report(console, path, table, space, genes, predicted, controls, outcome, command)


def report(
    console: Console,
    path: Path,
    table: LatencyTable,
    space: SearchSpace,
    genes: Genes,
    predicted: NDArray[np.float64],
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
    genes, predicted = genes[rows], predicted[rows]
    measured = np.array([summarise(outcome.results[name]).latency_ms for name in names])
    rounds = [[visit_median_ns(r) / 1e6 for r in outcome.results[name]] for name in names]
    repeat = float(np.mean([100 * np.mean(np.abs(np.array(r) / np.median(r) - 1)) for r in rounds]))
    now = [
        summarise(outcome.results[name]).latency_ms / row.latency_ms - 1
        for name, row in zip(all_names[-len(controls) :], controls, strict=True)
        if name in outcome.results
    ]
    machine_pct = 100 * float(np.median(now)) if now else 0.0
    scored = np.ones(len(measured), dtype=bool)
    scored[FITTED] = False
    # the factor of least squared relative error
    ratio = predicted[~scored] / measured[~scored]
    factor = float(ratio.sum() / (ratio**2).sum())
    before = score(predicted[scored], measured[scored], repeat, machine_pct)
    predicted = predicted * factor
    scores = score(predicted[scored], measured[scored], repeat, machine_pct)
    worst = np.argsort(-np.abs(predicted / measured - 1), kind="stable")[:5]
    when = datetime.now(UTC)
    result = {
        "table": path.name,
        "command": command,
        "when": when.isoformat(timespec="seconds"),
        "space": space.name,
        "runtime": table.header["runtime"],
        "device": table.device,
        "scores": asdict(scores),
        "scores_before_this_fit": asdict(before),
        "sum_scale": round(table.sum_scale * factor, 5),
        "fitted_on": int((~scored).sum()),
        "too_high_by_unit_pct": unit_errors(table, space, genes, measured, factor),
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
        f"({scores.networks} other whole networks, {when:%Y-%m-%d}; repeating a network: {scores.repeat_pct} %)"
    )
    same_machine = abs(scores.machine_pct) <= LARGEST_CHANGE_PCT
    if same_machine:
        scale = f"{table.sum_scale * factor:.5f} (fitted on {(~scored).sum()} whole networks that are not scored)"
        LatencyTable({**table.header, "sum_scale": scale, "expected_error": summary}, table.rows).save(path)
    say(f"sums of blocks times {factor:.4f}, fitted on {(~scored).sum()} networks, against the {scored.sum()} others:")
    for key, value in asdict(scores).items():
        say(f"{key:>16} {value:>10} (before {asdict(before)[key]})")
    for i in worst.tolist():
        subnet = space.decode(genes[i : i + 1])[0]
        say(f"worst: {predicted[i] / measured[i] - 1:+.1%}, {measured[i]:.3f} ms measured, {subnet}")
    say("sums too high, by unit (%): " + json.dumps(result["too_high_by_unit_pct"]))
    if not same_machine:
        say(f"wrote {path.with_suffix('.validation.json')} and .png, but nothing into {path}:")
        say(
            f"single blocks take {scores.machine_pct:+} % longer than in the table: something slows the machine now, "
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
    from ofa.cli import run

    run(main)
