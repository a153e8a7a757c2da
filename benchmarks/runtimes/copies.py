"""Do copies of a model, side by side in memory, take equally long? If so, it may stay loaded between its visits.

    python benchmarks/runtimes/copies.py --runtimes onnxruntime,openvino        # 40 s
    python benchmarks/runtimes/copies.py --runtimes openvino --dtype int8

Blocks of a network of maximum depth, and the network in parts, each in several copies, which are visited in turns. For
each it prints the standard deviation of visits of a copy, and how far copies differ beyond that. Wall time, one thread:
the machine must be quiet.
"""

from __future__ import annotations

import argparse
import itertools
import os
import tempfile
import time
from pathlib import Path

import numpy as np

from device_agents.cpu.parts import Run
from device_agents.cpu.runtimes import runtime_of
from ofa.space import get_space
from profilers.in_place.carriers import CUTS, carriers_of
from profilers.measuring.models import check_runtime, write_models

SECONDS, LEAST, WARM_UP_SECONDS = 0.04, 10, 0.01


def visit_ms(runs: list[Run]) -> float:
    """The median of passes through the runs."""
    took: list[float] = []
    began = time.perf_counter()
    warm, ends = began + WARM_UP_SECONDS, began + WARM_UP_SECONDS + SECONDS
    while len(took) < LEAST or time.perf_counter() < ends:
        before = time.perf_counter()
        for run in runs:
            run()
        if before >= warm:
            took.append(time.perf_counter() - before)
    return 1000 * float(np.median(took))


def spreads(visits_ms: np.ndarray) -> tuple[float, float]:
    """Of (visits, copies): the standard deviation of a copy's visits, and of copies beyond that, per cent."""
    logs = np.log(visits_ms)
    within = float(logs.var(axis=0, ddof=1).mean())
    between = float(logs.mean(axis=0).var(ddof=1)) - within / len(logs)
    return 100 * within**0.5, 100 * max(0.0, between) ** 0.5


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runtimes", default="openvino", metavar="R,R")
    parser.add_argument("--dtype", default="fp32")
    parser.add_argument("--resolution", type=int, default=192, metavar="PX")
    parser.add_argument("--copies", type=int, default=8, metavar="N")
    parser.add_argument("--visits", type=int, default=6, metavar="N")
    args = parser.parse_args()
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    cut = carriers_of(get_space("mbv3-w1.0"), [args.resolution], 0, CUTS[:1])[0].cut
    parts = [cut.chain[first:end] for first, end in itertools.pairwise((*cut.cuts, len(cut.chain)))]
    models = {"block": [[(block,)] for block in cut.chain[2:22:3]], "network in parts": [parts]}
    for runtime, (what, chosen) in itertools.product(args.runtimes.split(","), models.items()):
        check_runtime(runtime)
        told = {"dtype": args.dtype} if args.dtype in ("bf16", "fp16") else {}
        loads = runtime_of({"runtime": runtime, **told})
        assert loads.load_parts is not None, "all CPU runtimes run parts"
        found = []
        for chains in chosen:
            with tempfile.TemporaryDirectory() as folder:
                # files of their own, for a runtime may know a file that it loaded before
                named = {f"{copy}-{i}": chain for copy in range(args.copies) for i, chain in enumerate(chains)}
                files = write_models(named, runtime, Path(folder), 1, args.dtype)
                copies = [
                    [
                        part.run
                        for part in loads.load_parts(
                            [Path(folder) / files[f"{copy}-{i}"] for i in range(len(chains))],
                            1,
                            np.random.default_rng(0),
                        )
                    ]
                    for copy in range(args.copies)
                ]
                found.append(spreads(np.array([[visit_ms(runs) for runs in copies] for _ in range(args.visits)])))
        within, between = np.median(found, axis=0)
        print(f"{runtime:12} {args.dtype} {what:16} visits {within:4.1f} %, copies {between:4.1f} %", flush=True)


if __name__ == "__main__":
    main()
