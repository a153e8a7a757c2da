"""Why blocks timed alone do not add up to the network, and what each way of timing or correcting them gives.

python benchmarks/latency/sum_of_blocks.py --runtime tflite --networks 28
python benchmarks/latency/sum_of_blocks.py --runtime tflite --networks 6 --in-place

Random networks, each timed in turns with its own blocks, alone and in pairs, warm (again and again) and cold (6 MB read
in between, so that weights come from beyond the level-2 cache). With --in-place instead: alone, in parts that run again
and again, and in parts that run one after the other, each on the output of the one before, as `profilers.cpu` does; by
the thread's CPU time, so that other processes matter less.
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

from device_agents.cpu.parts import Part
from device_agents.cpu.runtimes import RUNTIMES as LOADERS
from ofa.blocks import Block, blocks_of
from ofa.space import get_space
from ofa.tables.sum_correction import block_terms
from profilers.devices.local_cpu import chosen_cpus
from profilers.in_place.carriers import Cut
from profilers.measuring.models import RUNTIMES, write_models, write_plan
from profilers.measuring.plan import CutChain, make_plan

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


# how a network is cut: where its parts begin
CUTS: dict[str, Callable[[tuple[Block, ...]], tuple[int, ...]]] = {
    "single blocks": lambda blocks: tuple(range(len(blocks))),
    "parts of 2": lambda blocks: Cut(2, 2).starts(len(blocks)),
    "parts of 5": lambda blocks: Cut(5, 5).starts(len(blocks)),
    "parts of 9": lambda blocks: Cut(9, 9).starts(len(blocks)),
    "units": lambda blocks: (
        0,
        *(i for i in range(2, len(blocks)) if not blocks[i].skip and "mbconv" in (blocks[i].op, blocks[i - 1].op)),
    ),
}
PASSES, WARM_UP = 4, 2


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
        load = LOADERS[runtime].load
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


def passes_ms(parts: Sequence[Part], in_turn: bool) -> float:
    """A network's parts in milliseconds of CPU time, medians added up: run in turn, or each again and again."""
    took: list[list[float]] = [[] for _ in parts]

    def timed(number: int) -> None:
        before = time.thread_time_ns()
        parts[number].run()
        took[number].append((time.thread_time_ns() - before) / 1e6)

    if in_turn:
        for _ in range(WARM_UP + PASSES):
            for number, part in enumerate(parts):
                timed(number)
                part.hand_on()
    else:
        for number in range(len(parts)):
            for _ in range(WARM_UP + PASSES):
                timed(number)
    return sum(float(np.median(times[WARM_UP:])) for times in took)


def in_place(blocks: tuple[Block, ...], runtime: str, rounds: int, seed: int) -> dict[str, float]:
    """Milliseconds of one network: whole, and the sums of its parts by every cut, again and again and in turn."""
    cuts = {"whole": (0,), **{name: cut(blocks) for name, cut in CUTS.items()}}
    plan = make_plan([blocks], 1, seed, cut_chains=[CutChain(blocks, cut) for cut in cuts.values()])
    took: dict[str, list[float]] = {}
    with tempfile.TemporaryDirectory() as name:
        files = write_plan(plan, runtime, Path(name), 1)
        for turn in range(rounds):
            # anew in every round: where a model lies in memory changes its time
            whole = LOADERS[runtime].load(Path(name) / str(files["b00000"]), 1, np.random.default_rng(turn))
            load_parts = LOADERS[runtime].load_parts
            assert load_parts is not None
            took.setdefault("whole", []).append(passes_ms([Part(whole, lambda: None)], in_turn=True))
            for way, model in zip(cuts, plan.cuts, strict=True):
                paths = [Path(name) / file for file in files[model]]
                parts = load_parts(paths, 1, np.random.default_rng(turn))
                if way == "whole":
                    took.setdefault("whole, as one part", []).append(passes_ms(parts, in_turn=True))
                    continue
                took.setdefault(f"{way}, again and again", []).append(passes_ms(parts, in_turn=False))
                took.setdefault(f"{way}, in turn", []).append(passes_ms(parts, in_turn=True))
    return {way: float(np.median(times)) for way, times in took.items()}


def compare_ways(rows: Sequence[dict[str, float]]) -> None:
    """Prints every way's sums over the whole networks."""
    print(f"  {'sum / whole network':<34} " + " ".join(f"{row['whole']:>7.2f}" for row in rows) + "  ms    mean     sd")
    for way in list(rows[0])[1:]:
        ratio = np.array([row[way] / row["whole"] for row in rows])
        each = " ".join(f"{r:>7.3f}" for r in ratio)
        print(f"  {way:<34} {each}      {ratio.mean():>7.3f} {ratio.std():>6.3f}")


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
    parser.add_argument("--in-place", action="store_true", help="compare parts in turn with parts again and again")
    args = parser.parse_args()
    os.sched_setaffinity(0, chosen_cpus(None, 1))
    space = get_space("mbv3-w1.0")
    nets = space.decode(space.sample(np.random.default_rng(args.seed), args.networks, resolutions=RESOLUTIONS))
    rows = []
    for number, net in enumerate(nets, start=1):
        measure_one = in_place if args.in_place else features
        rows.append(measure_one(blocks_of(space, net), args.runtime, args.rounds, args.seed))
        print(f"{number} of {len(nets)}: {rows[-1]['whole']:.3f} ms", flush=True)
    if args.in_place:
        compare_ways(rows)
        return
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
