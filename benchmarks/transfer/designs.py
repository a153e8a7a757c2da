"""Which networks are worth timing: random ones, today's --suggest, or those that tell most of a region of latency.

python benchmarks/transfer/designs.py                    # HELP's GPUs, DPUs, phones: some minutes
python benchmarks/transfer/designs.py --set gpus --draws 50 --keep kept.jsonl   # stopped? the same again continues

Of every target, networks are drawn at random. Of one half ten are chosen, timed (their published latencies are taken)
and fitted as `profilers.transfer --from all` does. The other half is predicted, also those within a region of latency.
Nothing is timed.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from kept import Kept
from leaderboard import SETS, Target
from numpy.typing import NDArray

from profilers.estimating.combination import beforehand, combine
from profilers.estimating.cost_model import TERMS, eleven, suggest
from profilers.estimating.suggestion import NEAR, NOISE, Known, informative

Floats = NDArray[np.float64]
CANDIDATES, CHOSEN = 250, 10
FIELDS = ("set (devices)", "way", "MAPE in the region", "against random", "worst draw", "MAPE of all", "against random")
# the groups of each set that are tried
GROUPS = {
    "gpus": ("GPUs, batch 1", "GPUs, batch 64"),
    "dpus": ("zcu102, all", "vck190, all"),
    "phones": ("phones, CPU, float", "phones, GPU"),
}


@dataclass(frozen=True, eq=False)
class Pool:
    """At most CANDIDATES: terms (N, P), latency (N,) ms; sources (D, P) of other devices; limit: of the region, ms."""

    sources: Floats
    terms: Floats
    latency: Floats
    limit: float
    rng: np.random.Generator


def random_ones(p: Pool) -> list[int]:
    return p.rng.choice(len(p.terms), CHOSEN, replace=False).tolist()


def d_optimal(p: Pool) -> list[int]:
    """Today's --suggest, from the source that fits a few networks best, of eleven terms."""
    relative = p.terms[:CHOSEN] @ p.sources.T / p.latency[:CHOSEN, None]
    factors = relative.sum(axis=0) / np.maximum((relative**2).sum(axis=0), 1e-300)
    best = int(((relative * factors - 1) ** 2).sum(axis=0).argmin())
    return suggest(p.sources[best, : len(TERMS)], eleven(p.terms), CHOSEN)


def v_optimal(p: Pool) -> list[int]:
    """--suggest with several sources: of all candidates."""
    known = Known(*beforehand(p.sources, p.terms), NOISE)
    return informative(known, p.terms, np.ones(len(p.terms), dtype=bool), CHOSEN)


def v_region(p: Pool) -> list[int]:
    """--suggest --latency, where a related device tells roughly which networks are within the limit."""
    known = Known(*beforehand(p.sources, p.terms), NOISE)
    return informative(known, p.terms, _near(p.latency, p.limit), CHOSEN)


def in_two_steps(p: Pool) -> list[int]:
    """--suggest 5, then --suggest 5 --timed --latency."""
    first = v_optimal(p)[: CHOSEN // 2]
    found = combine(p.sources, p.terms[first], p.latency[first], np.eye(p.terms.shape[1])[-1:])
    region = _near(p.terms @ found.weights_ms, p.limit)
    if not region.any():
        region[:] = True
    known = Known(found.weights_ms, found.covariance, found.noise)
    rest = np.setdiff1d(np.arange(len(p.terms)), first)
    return [*first, *rest[informative(known, p.terms[rest], region[rest], CHOSEN - len(first))].tolist()]


def _near(latency: Floats, limit: float) -> NDArray[np.bool_]:
    near: NDArray[np.bool_] = (latency >= NEAR * limit) & (latency <= limit)
    return near


WAYS: dict[str, Callable[[Pool], list[int]]] = {
    "random": random_ones,
    "D-optimal": d_optimal,
    "V-optimal": v_optimal,
    "V-optimal in the region": v_region,
    "V-optimal, in two steps": in_two_steps,
}


def scores(t: Target, draw: int, seed: int) -> dict[str, tuple[float, float]]:
    """{way: MAPE of the networks in the region, and of all}, of networks that no way could choose: half of those drawn.

    Not a number where none of these is in the region.
    """
    rng = np.random.default_rng((seed, draw))
    rows = rng.choice(len(t.latency_ms), min(2 * CANDIDATES, len(t.latency_ms)), replace=False)
    offered, scored = np.array_split(rows, 2)
    terms, latency = t.terms[offered], t.latency_ms[offered]
    limit = float(np.quantile(latency, rng.choice([0.3, 0.5, 0.7])))
    near = _near(t.latency_ms[scored], limit)
    found = {}
    for way, choose in WAYS.items():
        chosen = choose(Pool(t.sources, terms, latency, limit, np.random.default_rng((seed, draw, 1))))
        fit = combine(t.sources, terms[chosen], latency[chosen], t.priced)
        error = 100 * np.abs(fit.latency_ms(t.terms[scored]) / t.latency_ms[scored] - 1)
        found[way] = float(error[near].mean()) if near.any() else float("nan"), float(error.mean())
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--set", choices=GROUPS, action="append", help="default: all")
    parser.add_argument("--draws", type=int, default=6, metavar="N")
    parser.add_argument("--seed", type=int, default=0, metavar="N")
    parser.add_argument("--keep", type=Path, metavar="JSONL", help="keep what is done, and go on from it")
    args = parser.parse_args()
    kept = Kept(args.keep)
    print(f"| {' | '.join(FIELDS)} |\n|{'---|' * len(FIELDS)}")
    for name in args.set or GROUPS:
        groups: dict[str, list[Target]] = {}
        for target in SETS[name](None):
            if target.group in GROUPS[name]:
                groups.setdefault(target.group, []).append(target)
        for group, members in groups.items():
            done = [
                [
                    kept.result(t, ("design", draw, args.seed), partial(scores, t, draw, args.seed))
                    for draw in range(args.draws)
                ]
                for t in members
            ]
            for way in WAYS:
                values = np.array([[each[way] for each in of] for of in done])  # (devices, draws, 2)
                gain = values - np.array([[each["random"] for each in of] for of in done])
                means = [[g.mean() for g in gain[..., i].T if not np.isnan(g).any()] for i in (0, 1)]  # of each draw
                spread = [np.std(of) / np.sqrt(len(of)) for of in means]  # draws: of the same candidates
                cells = [
                    f"{np.nanmean(values[..., i]):.2f} | {np.nanmean(gain[..., i]):+.2f} ± {spread[i]:.2f}"
                    for i in (0, 1)
                ]
                print(
                    f"| {group} ({len(members)}) | {way} | {cells[0]} | {np.nanmax(values[..., 0]):.1f} | {cells[1]} |",
                    flush=True,
                )
    return 0


if __name__ == "__main__":
    sys.exit(main())
