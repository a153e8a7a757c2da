"""What a runtime pays for a lone block's input and output: a block at many sizes, its planes whole pages apart or not.

    python benchmarks/runtimes/lone_blocks.py --runtime openvino
    python benchmarks/runtimes/lone_blocks.py --runtime openvino --dtype int8

A runtime that computes in a layout of its own converts what a block is given and gives. Where the sides are multiples
of 32 pixels, float32 planes are whole pages apart, and all planes of a pixel meet in the same lines of the first cache.
Prints, for each size, the least CPU time of a run of the block alone, and what a run takes more with a second such
block behind it: in place, without conversions.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np

from device_agents.cpu.parts import Run
from device_agents.cpu.runtimes import RUNTIMES
from ofa.blocks import Block
from profilers.in_place.solve import aliased
from profilers.measuring.models import check_runtime, write_models

RUNS, LOADS = 60, 3


def least_ms(run: Run) -> float:
    """The thread's CPU time of the fastest run."""
    took = []
    for _ in range(RUNS):
        before = time.thread_time_ns()
        run()
        took.append(time.thread_time_ns() - before)
    return min(took) / 1e6


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runtime", default="openvino", metavar="R")
    parser.add_argument("--dtype", default="fp32", choices=["fp32", "int8"])
    parser.add_argument("--channels", type=int, default=16, metavar="N")
    parser.add_argument("--sizes", default="48,56,64,72,80,88,96,104,112,120,128", metavar="PX,PX")
    args = parser.parse_args()
    check_runtime(args.runtime)
    load, n = RUNTIMES[args.runtime].load, args.channels
    sizes = [int(px) for px in args.sizes.split(",")]
    blocks = {px: Block("mbconv", px, n, n, n, 3, 1, "relu", False, True) for px in sizes}
    chains = {f"{px}-{times}": (block,) * times for px, block in blocks.items() for times in (1, 2)}
    print(f"{'px':>4} {'alone, us':>10} {'in place, us':>13} {'alone / in place':>17}")
    with tempfile.TemporaryDirectory() as folder:
        files = write_models(chains, args.runtime, Path(folder), 1, args.dtype)
        for px in sizes:
            alone, both = (
                min(
                    least_ms(load(Path(folder) / files[f"{px}-{times}"], 1, np.random.default_rng(0)))
                    for _ in range(LOADS)
                )
                for times in (1, 2)
            )
            page = "  planes whole pages apart" if args.dtype == "fp32" and aliased(px) else ""
            print(f"{px:4} {1000 * alone:10.0f} {1000 * (both - alone):13.0f} {alone / (both - alone):17.2f}{page}")


if __name__ == "__main__":
    main()
