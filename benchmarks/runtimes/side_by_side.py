"""The runtimes and types of this CPU side by side: the same whole networks, in turns.

python benchmarks/runtimes/side_by_side.py --networks 3 --rounds 2

Every round loads each network by one runtime after the other, and takes the median CPU time of up to 15 runs in one
thread, so that other programs take less part in it than in wall time. Prints the fastest round of each network, and the
mean over that of the first runtime.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np

from device_agents.cpu.parts import Run
from device_agents.cpu.runtimes import runtime_of
from ofa.blocks import blocks_of
from ofa.space import get_space
from profilers.devices.local_cpu import check_computes
from profilers.measuring.models import check_runtime, write_models

ALL = (
    "onnxruntime:fp32,openvino:fp32,tflite:fp32,torch:fp32,openvino:bf16,torch:bf16,"
    "onnxruntime:int8,openvino:int8,tflite:int8"
)
RUNS, LEAST, SECONDS = 15, 4, 0.3


def median_ms(run: Run) -> float:
    """The thread's CPU time of one run, after three that warm up."""
    for _ in range(3):
        run()
    took: list[int] = []
    ends = time.monotonic() + SECONDS
    while len(took) < LEAST or (len(took) < RUNS and time.monotonic() < ends):
        before = time.thread_time_ns()
        run()
        took.append(time.thread_time_ns() - before)
    return float(np.median(took)) / 1e6


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default=ALL, metavar="R:T,R:T")
    parser.add_argument("--space", default="mbv3-w1.0", metavar="NAME")
    parser.add_argument("--resolutions", default="160,224", metavar="PX,PX")
    parser.add_argument("--networks", type=int, default=3, metavar="N")
    parser.add_argument("--rounds", type=int, default=2, metavar="N")
    parser.add_argument("--seed", type=int, default=0, metavar="N")
    args = parser.parse_args()
    space, ways = get_space(args.space), args.only.split(",")
    resolutions = tuple(int(px) for px in args.resolutions.split(","))
    genes = space.sample(np.random.default_rng(args.seed), args.networks, resolutions=resolutions)
    chains = {f"network{i}": tuple(blocks_of(space, subnet)) for i, subnet in enumerate(space.decode(genes))}
    ms = np.zeros((len(ways), args.rounds, len(chains)))
    with tempfile.TemporaryDirectory() as name:
        loads, files = [], []
        for way in ways:
            runtime, _, dtype = way.partition(":")
            check_runtime(runtime)
            check_computes(dtype)
            folder = Path(name) / way.replace(":", "-")
            folder.mkdir()
            files.append([folder / file for file in write_models(chains, runtime, folder, 1, dtype).values()])
            # int8 is the models' own affair
            loads.append(runtime_of({"runtime": runtime, "dtype": "fp32" if dtype == "int8" else dtype}).load)
        for turn in range(args.rounds):
            for i, load in enumerate(loads):
                for j, file in enumerate(files[i]):
                    ms[i, turn, j] = median_ms(load(file, 1, np.random.default_rng(0)))
    best, spread = ms.min(1), 100 * (ms.max(1) / ms.min(1) - 1).mean(1)
    for i, way in enumerate(ways):
        ratio = np.exp(np.log(best[i] / best[0]).mean())
        print(f"{way:18s} {best[i].min():.2f} to {best[i].max():.2f} ms, {ratio:.2f} of {ways[0]}, ", end="")
        print(f"rounds {spread[i]:.0f} % apart")


if __name__ == "__main__":
    main()
