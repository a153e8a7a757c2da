"""Which networks are worth timing: random ones, today's --suggest, or those that tell most of a region of latency.

python benchmarks/transfer/designs.py                    # HELP's GPUs, DPUs, FBNet's platforms; 20 draws
python benchmarks/transfer/designs.py --set gpus --draws 50

Of every target, candidates are drawn at random, ten of them are chosen, timed (their published latencies are taken) and
fitted as `profilers.transfer --from all` does; the others within a region of latency are predicted. Nothing is timed.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from leaderboard import SETS, Target
from numpy.typing import NDArray

from profilers.estimating.combination import beforehand, combine
from profilers.estimating.cost_model import TERMS, suggest
from profilers.estimating.suggestion import NEAR, NOISE, Known, informative

Floats = NDArray[np.float64]
CANDIDATES, CHOSEN = 400, 10
GROUPS = {"gpus": ("GPUs, batch 1", "GPUs, batch 64"), "dpus": ("",), "phones": ("",)}


@dataclass(frozen=True, eq=False)
class Pool:
    """Candidates: terms (N, P), latency (N,) ms; sources (D, P) of other devices; limit: of the region, ms."""

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
    return suggest(p.sources[best, : len(TERMS)], p.terms[:, : len(TERMS)], CHOSEN)


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
    """{way: MAPE of the candidates in the region that were not chosen, and of all others}."""
    rng = np.random.default_rng((seed, draw))
    rows = rng.choice(len(t.latency_ms), min(CANDIDATES, len(t.latency_ms)), replace=False)
    terms, latency = t.terms[rows], t.latency_ms[rows]
    limit = float(np.quantile(latency, rng.choice([0.3, 0.5, 0.7])))
    region = _near(latency, limit)
    found = {}
    for way, choose in WAYS.items():
        chosen = choose(Pool(t.sources, terms, latency, limit, np.random.default_rng((seed, draw, 1))))
        fit = combine(t.sources, terms[chosen], latency[chosen], t.priced)
        error = 100 * np.abs(fit.latency_ms(terms) / latency - 1)
        left = np.setdiff1d(np.arange(len(terms)), chosen)
        found[way] = float(error[np.intersect1d(left, np.flatnonzero(region))].mean()), float(error[left].mean())
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--set", choices=GROUPS, action="append", help="default: all")
    parser.add_argument("--draws", type=int, default=20, metavar="N")
    parser.add_argument("--seed", type=int, default=0, metavar="N")
    args = parser.parse_args()
    print("| set | way | MAPE in the region | worst draw | MAPE of all |\n|---|---|---|---|---|")
    for name in args.set or GROUPS:
        groups: dict[str, list[Target]] = {}
        for target in SETS[name](None):
            if any(target.group.startswith(start) for start in GROUPS[name]):
                groups.setdefault(target.group, []).append(target)
        for group, members in groups.items():
            done = [[scores(t, draw, args.seed) for draw in range(args.draws)] for t in members]
            for way in WAYS:
                values = np.array([[each[way] for each in of] for of in done])  # (devices, draws, 2)
                spread = values.mean(axis=0).std(axis=0)
                print(
                    f"| {group} | {way} | {values[..., 0].mean():.2f} ± {spread[0]:.2f} | {values[..., 0].max():.1f} | "
                    f"{values[..., 1].mean():.2f} |",
                    flush=True,
                )
    return 0


if __name__ == "__main__":
    sys.exit(main())
