"""How far visits of a network are apart, loaded anew for each visit or kept loaded: is it the memory it is loaded to?

    python benchmarks/runtimes/loaded_anew.py                             # onnxruntime, 15 s
    python benchmarks/runtimes/loaded_anew.py --runtimes openvino         # 40 s: it compiles each model anew
    GLIBC_TUNABLES=glibc.malloc.hugetlb=1 python benchmarks/runtimes/loaded_anew.py    # in pages of 2 MB

Networks of maximum depth, whole and in parts, by each runtime, in turns and in a random order. Prints for each way the
standard deviation of the visits' medians, and of their minima, per cent, the mean over the networks. Wall time, one
thread: the machine must be quiet.
"""

from __future__ import annotations

import argparse
import itertools
import os
import random
import tempfile
import time
from pathlib import Path

import numpy as np

from device_agents.cpu.parts import Run
from device_agents.cpu.runtimes import RUNTIMES
from ofa.space import get_space
from profilers.in_place.carriers import CUTS, carriers_of
from profilers.measuring.models import check_runtime, write_models

SECONDS, LEAST, MOST, WARM_UP = 0.1, 10, 16, 3


def visit_ms(runs: list[Run]) -> tuple[float, float]:
    """The median and the minimum of passes through a network's parts."""

    def run_through() -> int:
        before = time.perf_counter_ns()
        for run in runs:
            run()
        return time.perf_counter_ns() - before

    for _ in range(WARM_UP):
        run_through()
    took: list[int] = []
    ends = time.monotonic() + SECONDS
    while len(took) < LEAST or (len(took) < MOST and time.monotonic() < ends):
        took.append(run_through())
    return float(np.median(took)) / 1e6, min(took) / 1e6


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runtimes", default="onnxruntime", metavar="R,R")
    parser.add_argument("--resolutions", default="128,224", metavar="PX,PX")
    parser.add_argument("--rounds", type=int, default=6, metavar="N")
    args = parser.parse_args()
    runtimes, resolutions = args.runtimes.split(","), [int(px) for px in args.resolutions.split(",")]
    for runtime in runtimes:
        check_runtime(runtime)
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    space = get_space("mbv3-w1.0")
    cuts = [carriers_of(space, [px], 0, CUTS[:1])[0].cut for px in resolutions]
    ways = list(itertools.product(runtimes, ("whole", "parts"), ("anew", "kept"), range(len(cuts))))
    with tempfile.TemporaryDirectory() as name:
        chains = {}
        for i, cut in enumerate(cuts):
            chains[f"{i}-whole"] = cut.chain
            for j, (first, end) in enumerate(itertools.pairwise((*cut.cuts, len(cut.chain)))):
                chains[f"{i}-{j}"] = cut.chain[first:end]
        files: dict[str, dict[str, Path]] = {}
        for runtime in runtimes:
            (folder := Path(name) / runtime).mkdir()
            files[runtime] = {key: folder / file for key, file in write_models(chains, runtime, folder, 1).items()}

        def load(runtime: str, kind: str, network: int) -> list[Run]:
            rng = np.random.default_rng(0)
            if kind == "whole":
                return [RUNTIMES[runtime].load(files[runtime][f"{network}-whole"], 1, rng)]
            load_parts = RUNTIMES[runtime].load_parts
            assert load_parts is not None, "all CPU runtimes run parts"
            paths = [files[runtime][f"{network}-{j}"] for j in range(len(cuts[network].cuts))]
            return [part.run for part in load_parts(paths, 1, rng)]

        kept = {way: load(*way[:2], way[3]) for way in ways if way[2] == "kept"}
        found: dict[tuple[str, str, str, int], list[tuple[float, float]]] = {way: [] for way in ways}
        order = random.Random(0)
        for _ in range(args.rounds):
            order.shuffle(ways)
            for way in ways:
                found[way].append(visit_ms(kept[way] if way in kept else load(*way[:2], way[3])))
    for runtime, kind, age in itertools.product(runtimes, ("whole", "parts"), ("anew", "kept")):
        visits = [np.array(found[runtime, kind, age, i]) for i in range(len(cuts))]
        median, least = np.mean([100 * (of / np.median(of, axis=0)).std(axis=0, ddof=1) for of in visits], axis=0)
        print(f"{runtime:12} {kind:6} {age:5} {median:5.1f} % of medians {least:5.1f} % of minima")


if __name__ == "__main__":
    main()
