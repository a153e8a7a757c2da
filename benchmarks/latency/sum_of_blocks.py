"""Why blocks timed alone do not add up to the network, and what each way of timing or correcting them gives.

python benchmarks/latency/sum_of_blocks.py --runtime tflite --networks 28

Random networks, each timed in turns with its own blocks, alone and in pairs, warm (again and again, as profilers do)
and cold (6 MB read in between, so that weights come from beyond the level-2 cache).
"""

from __future__ import annotations

import argparse
import itertools
import os
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from device_agents.cpu.agent import RUNTIMES as LOADERS
from ofa.blocks import Block, blocks_of
from ofa.space import get_space
from ofa.tables.sum_correction import block_terms
from profilers.devices.local_cpu import chosen_cpus
from profilers.measuring.models import RUNTIMES, write_models
from profilers.measuring.plan import make_plan

RESOLUTIONS = (128, 160, 192, 208, 224)
SWEEP = np.ones(6 << 17)  # 6 MB
WAYS = ("warm", "cold", "warm pairs", "cold pairs")
FITS = {
    "warm, a factor": ("warm",),
    "warm, a factor, weights": ("warm", "weights"),
    "warm, a factor, borders": ("warm", "borders"),
    "warm, a factor, weights, borders": ("warm", "weights", "borders"),
    "warm, a factor, blocks": ("warm", "blocks"),
    "cold, a factor": ("cold",),
    "warm and cold, a factor each": ("warm", "cold"),
    "warm pairs, a factor": ("warm pairs",),
    "cold pairs, a factor": ("cold pairs",),
}


def timed_ms(run: Callable[[], object]) -> float:
    before = time.perf_counter_ns()
    run()
    return (time.perf_counter_ns() - before) / 1e6


def measure(
    chains: Sequence[tuple[Block, ...]], runtime: str, rounds: int, seed: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """(N,) milliseconds of N chains, warm and cold: medians over rounds in turns."""
    plan = make_plan(chains, 1, seed)
    with tempfile.TemporaryDirectory() as name:
        files = write_models(plan.models, runtime, Path(name), 1)
        load = LOADERS[runtime][1]
        runs = [load(Path(name) / file, 1, np.random.default_rng(seed)) for file in files.values()]
        for run in runs:
            run(), run(), run()
        warm, cold = np.empty((rounds, len(runs))), np.empty((rounds, len(runs)))
        for turn in range(rounds):
            for i, run in enumerate(runs):
                SWEEP.sum()
                cold[turn, i] = timed_ms(run)
            for i, run in enumerate(runs):
                run(), run()
                warm[turn, i] = np.median([timed_ms(run) for _ in range(3)])
    return np.median(warm, axis=0), np.median(cold, axis=0)


def features(blocks: tuple[Block, ...], runtime: str, rounds: int, seed: int) -> dict[str, float]:
    """What is measured and known of one network: "whole" and `WAYS` in ms, its terms."""
    pairs = list(itertools.pairwise(blocks))
    warm, cold = measure([blocks, *((block,) for block in blocks), *pairs], runtime, rounds, seed)
    single, paired = slice(1, 1 + len(blocks)), slice(1 + len(blocks), None)
    found = {"whole": warm[0], "blocks": float(len(blocks))}
    for way, times in (("warm", warm), ("cold", cold)):
        found[way] = times[single].sum()
        # pairs cover every inner block twice: what is left has each border inside a model once
        found[f"{way} pairs"] = times[paired].sum() - times[single][1:-1].sum()
    terms = block_terms(blocks, np.zeros(len(blocks))).sum(axis=0)
    return {**found, "weights": terms[1], "borders": terms[2]}


def leave_one_out(columns: NDArray[np.float64], whole: NDArray[np.float64]) -> NDArray[np.float64]:
    """(N,) relative errors of predicting each network with factors fitted on the others."""
    relative, ones = columns / whole[:, None], np.ones(len(whole))
    others = ~np.eye(len(whole), dtype=bool)
    fits = [np.linalg.lstsq(relative[rows], ones[rows], rcond=None)[0] for rows in others]
    return np.array([row @ fit - 1 for row, fit in zip(relative, fits, strict=True)])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runtime", default="onnxruntime", choices=[*RUNTIMES])
    parser.add_argument("--networks", type=int, default=28, metavar="N")
    parser.add_argument("--rounds", type=int, default=15, metavar="N")
    parser.add_argument("--seed", type=int, default=0, metavar="N")
    args = parser.parse_args()
    os.sched_setaffinity(0, chosen_cpus(None, 1))
    space = get_space("mbv3-w1.0")
    nets = space.decode(space.sample(np.random.default_rng(args.seed), args.networks, resolutions=RESOLUTIONS))
    rows = []
    for number, net in enumerate(nets, start=1):
        rows.append(features(blocks_of(space, net), args.runtime, args.rounds, args.seed))
        print(f"{number} of {len(nets)}: {rows[-1]['whole']:.3f} ms", flush=True)
    whole = np.array([row["whole"] for row in rows])
    print(f"\n{args.runtime}, {len(nets)} networks: sum against whole network, no fit")
    for way in WAYS:
        error = 100 * (np.array([row[way] for row in rows]) / whole - 1)
        print(f"  {way:<34} bias {error.mean():+6.1f} %  sd {error.std():5.1f} %")
    print("fitted on the other networks (leave-one-out)")
    for name, columns in FITS.items():
        error = 100 * leave_one_out(np.array([[row[c] for c in columns] for row in rows]), whole)
        print(f"  {name:<34} MAPE {np.abs(error).mean():5.2f} %  worst {np.abs(error).max():5.1f} %")


if __name__ == "__main__":
    main()
