"""How well devices are estimated from few of their networks, on data that others published and that is shipped here.

python benchmarks/transfer/leaderboard.py                        # every set, in some minutes
python benchmarks/transfer/leaderboard.py --keep kept.jsonl      # stopped? the same again continues
python benchmarks/transfer/leaderboard.py --set phones --draws 50
python benchmarks/transfer/leaderboard.py --set dpus --score others.csv   # fitted on ours, scored on other networks
python benchmarks/transfer/leaderboard.py --additive             # which sets are sums of a look-up table
python benchmarks/transfer/leaderboard.py --set dpus --floor     # what the terms can tell at best

Every target is fitted on a few random networks and scored on all others; sources are of other devices. Nothing is
timed, so that any machine gives the same figures.
"""

from __future__ import annotations

import argparse
import itertools
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
from fbnet import additive, fbnet_set
from kept import Kept
from numpy.typing import NDArray
from scipy.optimize import nnls
from scipy.stats import spearmanr

from ofa.blocks import Block
from ofa.blocks.costs import block_macs
from profilers.estimating.combination import combine
from profilers.estimating.cost_model import more_terms_of, terms_of_networks
from profilers.estimating.sources import LISTS, open_sources
from profilers.estimating.timed_networks import read_timed

Floats = NDArray[np.float64]
LISTED = Path(__file__).resolve().parents[2] / "latency_tables" / "networks"
COUNTS = (5, 10, 20, 50)
RIDGES = 10.0 ** np.arange(-6, 3)
GPUS = [f"{gpu}_{batch}_ms" for gpu in ("2080ti", "titan_rtx", "titan_xp", "v100") for batch in (1, 32, 64)]


@dataclass(frozen=True, eq=False)
class Target:
    """A device: terms (N, P) and macs (N,) of its networks, latency_ms (N,); sources (D, P) of other devices.

    priced: (M, P) of blocks that must cost something; directions: as in `combine`; fitted: rows that may be
    fitted, the others are scored; None: any may be, and all others are scored; plain: (N, any) what ridge is given
    """

    name: str
    group: str
    terms: Floats
    macs: Floats
    latency_ms: Floats
    sources: Floats
    priced: Floats
    directions: tuple[Floats, ...] = ()
    fitted: NDArray[np.bool_] | None = None
    plain: Floats | None = None


# ---- ways


def by_macs(t: Target, rows: NDArray[np.intp]) -> Floats:
    relative = t.macs[rows] / t.latency_ms[rows]
    return t.macs * relative.sum() / (relative**2).sum()


def one_scaled(t: Target, rows: NDArray[np.intp]) -> Floats:
    """The source that fits best, times one factor."""
    sums = t.terms @ t.sources.T
    relative = sums[rows] / t.latency_ms[rows, None]
    factors = relative.sum(axis=0) / (relative**2).sum(axis=0)
    best = int(((relative * factors - 1) ** 2).sum(axis=0).argmin())
    return sums[:, best] * factors[best]


def plain_ridge(t: Target, rows: NDArray[np.intp]) -> Floats:
    """Ridge regression on the terms, of relative errors, strength by leave-one-out; no source."""
    terms = t.terms if t.plain is None else t.plain
    usual = terms[rows].mean(axis=0)
    features = terms / np.where(usual > 0, usual, np.inf) * t.latency_ms[rows].mean()
    relative = features[rows] / t.latency_ms[rows, None]
    kernel, best = relative @ relative.T / relative.shape[1], (np.inf, np.zeros(len(rows)))
    for ridge in RIDGES:
        inverse = np.linalg.inv(kernel + ridge * np.eye(len(rows)))
        pulled = inverse.sum(axis=1)
        best = min(best, (float(((pulled / np.diag(inverse)) ** 2).sum()), pulled), key=lambda found: found[0])
    return features @ (relative.T @ best[1]) / relative.shape[1]


def held_to_the_mean(t: Target, rows: NDArray[np.intp]) -> Floats:
    """The sources' mean, differences from it and terms, held by two strengths that leave-one-out chooses.

    Minimises the squared relative errors + n lambda |a - 1/D|^2 + n mu sum_j (c_j T_j / y)^2, for factors a_d of D
    scaled sources, and c_j of the terms.
    """
    sums = t.terms @ t.sources.T
    relative = sums[rows] / t.latency_ms[rows, None]
    scaled = sums * (relative.sum(axis=0) / (relative**2).sum(axis=0))
    plain = t.terms if t.plain is None else t.plain
    usual = plain[rows].mean(axis=0)
    terms = plain / np.where(usual > 0, usual, np.inf) * t.latency_ms[rows].mean()
    mean, measured = scaled.mean(axis=1), t.latency_ms[rows]
    residual = 1 - mean[rows] / measured
    among = [group[rows] / measured[:, None] for group in (scaled, terms)]
    kernels = [group @ group.T / len(rows) for group in among]
    best: tuple[float, tuple[float, float], Floats] = (np.inf, (0.0, 0.0), np.zeros(len(rows)))
    for strengths in itertools.product((0.0, *10.0 ** -np.arange(-2.0, 6.0)), repeat=2):
        reach = [1 / s if s else 0.0 for s in strengths]
        inverse = np.linalg.inv(np.eye(len(rows)) + reach[0] * kernels[0] + reach[1] * kernels[1])
        pulled = inverse @ residual
        error = float(((pulled / np.diag(inverse)) ** 2).sum())
        if error < best[0]:
            best = error, (reach[0], reach[1]), pulled
    change = sum(
        reach / len(rows) * group @ (own.T @ best[2])
        for reach, group, own in zip(best[1], (scaled, terms), among, strict=True)
    )
    return mean + change


def many_sources(t: Target, rows: NDArray[np.intp]) -> Floats:
    found = combine(t.sources, t.terms[rows], t.latency_ms[rows], t.priced, t.directions)
    return found.latency_ms(t.terms)


WAYS: dict[str, Callable[[Target, NDArray[np.intp]], Floats]] = {
    "MACs": by_macs,
    "ridge": plain_ridge,
    "one source, scaled": one_scaled,
    "lambda, mu": held_to_the_mean,
    "many sources": many_sources,
}
RANKED = ("one source, scaled", "lambda, mu", "many sources")


# ---- sets


def phones_and_dpus(which: str, other: Path | None) -> list[Target]:
    """Named CNNs on phones, or a DPU's networks; a phone's own settings are no sources for it."""
    own = "phone-cnns" if which == "phones" else "dpus"
    sources = open_sources(["all"])
    targets = []
    for column in LISTS[own]:
        device = column.split("_")[0]
        used = [s for s in sources if not s.name.startswith(f"{own}:{device}")]
        kinds = [("", False)] if which == "phones" else [("without squeeze-and-excite", True), ("all", False)]
        for words, plain in kinds:
            target = listed(LISTED / f"{own}.csv", column, used, other, plain)
            cores = "GPU" if "gpu" in column else "CPU, int8" if "quant" in column else "CPU, float"
            group = f"phones, {cores}" if which == "phones" else f"{device}, {words}"
            targets.append(replace(target, group=group))
    return targets


def listed(path: Path, column: str, used: list, other: Path | None, plain: bool = False) -> Target:
    networks: list[tuple[Block, ...]] = []
    latencies: list[float] = []
    fitted: list[bool] = []
    for file, fit in ((path, True), *([(other, False)] if other else [])):
        timed = read_timed(file, column)
        kept = [i for i, of in enumerate(timed.blocks) if not (plain and any(b.squeeze_excite for b in of))]
        networks += [timed.blocks[i] for i in kept]
        latencies += [float(timed.latency_ms[i]) for i in kept]
        fitted += [fit] * len(kept)
    blocks = sorted({block for of in networks for block in of})
    macs = np.array([float(sum(map(block_macs, of))) for of in networks])
    constant = np.zeros((1, len(used[0].weights_ms)))
    constant[0, -1] = 1.0
    return Target(
        column.removesuffix("_ms"), "", terms_of_networks(networks), macs, np.array(latencies),
        np.stack([source.weights_ms for source in used]), np.vstack([more_terms_of(blocks), constant]),
        fitted=np.array(fitted) if other else None,
    )  # fmt: skip


def gpus(other: Path | None) -> list[Target]:
    """HELP's OFA networks on GPUs, from tables and lists of other devices (no GPU of HELP's is a source)."""
    sources = open_sources(["all"])
    targets = [listed(LISTED / "help-gpus.csv", column, sources, other) for column in GPUS]
    return [replace(target, group=f"GPUs, batch {target.name.split('_')[-1]}") for target in targets]


def fbnet(other: Path | None) -> list[Target]:
    return [Target(**fields) for fields in fbnet_set(Path(__file__).with_name("fbnet.csv.gz"), other)]


SETS: dict[str, Callable[[Path | None], list[Target]]] = {
    "fbnet": fbnet,
    "phones": lambda other: phones_and_dpus("phones", other),
    "dpus": lambda other: phones_and_dpus("dpus", other),
    "gpus": gpus,
}


# ---- scores


def scores(target: Target, count: int, draw: int, seed: int) -> dict[str, tuple[float, float, float]]:
    """{way: Spearman's rank correlation, MAPE and share within 10 % of the networks that are not fitted}."""
    total = np.arange(len(target.latency_ms))
    pool = total if target.fitted is None else np.flatnonzero(target.fitted)
    rows = np.random.default_rng((seed, draw)).choice(pool, count, replace=False)
    rest = np.setdiff1d(total, rows) if target.fitted is None else np.flatnonzero(~target.fitted)
    measured = target.latency_ms[rest]
    found = {}
    for way, predict in WAYS.items():
        predicted = predict(target, rows)[rest]
        error = 100 * np.abs(predicted / measured - 1)
        rank = float(spearmanr(predicted, measured).statistic)
        found[way] = rank, float(error.mean()), float(100 * (error <= 10).mean())
    return found


def leaderboard(targets: list[Target], draws: int, seed: int, each: bool, kept: Kept) -> None:
    """Prints a line a group and count: means over its devices and draws, and the worst draw's MAPE of many sources."""
    groups: dict[str, list[Target]] = {}
    for target in targets:
        for group in target.group.split("; "):
            groups.setdefault(group, []).append(target)
    done: dict[tuple[int, int], Floats] = {}  # (draws, ways, 3)
    for group, members in groups.items():
        for count in COUNTS:
            fitting = [t for t in members if (len(t.latency_ms) if t.fitted is None else t.fitted.sum()) > count + 4]
            if not fitting:
                continue
            for t in fitting:
                if (id(t), count) not in done:
                    of_draws = [
                        kept.result(t, (count, draw, seed), partial(scores, t, count, draw, seed))
                        for draw in range(draws)
                    ]
                    done[id(t), count] = np.array([[of[way] for way in WAYS] for of in of_draws])
            print(
                _line(f"{group} ({len(fitting)})", count, np.stack([done[id(t), count] for t in fitting])), flush=True
            )
            if each:
                for t in fitting:
                    means = dict(zip(WAYS, done[id(t), count].mean(axis=0), strict=True))
                    (_, of_one, _), (rank, mape, within) = means["one source, scaled"], means["many sources"]
                    print(
                        f"    {t.name}, {count}: Spearman {rank:.3f}, MAPE {mape:.1f} (one source {of_one:.1f}), "
                        f"within 10 %: {within:.0f}"
                    )


HEADER = (
    "set (devices)", "networks", *WAYS, "worst draw", "within 10 %", *(f"Spearman: {way}" for way in RANKED)
)  # fmt: skip


def _line(words: str, count: int, values: Floats) -> str:
    """(devices, draws, ways, 3): means, with the standard deviation over the draws of the means over devices."""
    means, spread = values.mean(axis=(0, 1)), values.mean(axis=0).std(axis=0)
    ways = list(WAYS)
    cells = [f"{mape:.1f} ± {sd:.1f}" for mape, sd in zip(means[:, 1], spread[:, 1], strict=True)]
    cells += [f"{values[:, :, -1, 1].max():.1f}", f"{means[-1, 2]:.0f}"]
    cells += [f"{means[ways.index(way), 0]:.3f} ± {spread[ways.index(way), 0]:.3f}" for way in RANKED]
    return f"| {words} | {count} | {' | '.join(cells)} |"


def floor(targets: list[Target]) -> None:
    """Prints the MAPE of terms that are fitted on all networks, and scored on these: no fewer networks do better."""
    for t in targets:
        terms = t.terms if t.plain is None else t.plain
        relative = terms / t.latency_ms[:, None]
        size = np.maximum(relative.max(axis=0), 1e-300)
        ones = np.ones(len(relative))
        free = np.linalg.lstsq(relative / size, ones, rcond=1e-10)[0]
        held = nnls(relative / size, ones)[0]
        errors = [100 * np.abs(relative / size @ weights - 1).mean() for weights in (free, held)]
        print(f"{t.group}, {t.name}: {errors[0]:.1f} (no weight below nothing: {errors[1]:.1f})")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--set", choices=SETS, action="append", help="default: all")
    parser.add_argument("--draws", type=int, default=10, metavar="N")
    parser.add_argument("--seed", type=int, default=0, metavar="N")
    parser.add_argument("--score", type=Path, metavar="CSV", help="other networks of the one --set, to score instead")
    parser.add_argument("--each", action="store_true", help="also one source and many, device by device")
    parser.add_argument("--keep", type=Path, metavar="JSONL", help="keep what is done, and go on from it")
    parser.add_argument("--additive", action="store_true", help="which columns are sums of a look-up table")
    parser.add_argument("--floor", action="store_true", help="what the terms can tell at best, fitted on all networks")
    args = parser.parse_args()
    if args.score and len(args.set or ()) != 1:
        parser.error("--score is for one --set")
    if args.additive:
        additive(Path(__file__).with_name("fbnet.csv.gz"), LISTED / "dpus.csv")
        return 0
    if args.floor:
        for name in args.set or SETS:
            floor(SETS[name](args.score))
        return 0
    kept = Kept(args.keep)
    print(f"| {' | '.join(HEADER)} |\n|{'---|' * len(HEADER)}")
    for name in args.set or SETS:
        leaderboard(SETS[name](args.score), args.draws, args.seed, args.each, kept)
    return 0


if __name__ == "__main__":
    sys.exit(main())
