"""What whole networks take when something else used the caches between two inferences.

    python benchmarks/runtimes/cold_weights.py                     # mbv3-w1.0, from its smallest to its largest network
    python benchmarks/runtimes/cold_weights.py --megabytes 0,8,64

Between two timed inferences (onnxruntime, one thread) so many megabytes are read, outside the time. 0 is what profilers
and validations time: one inference after the other, whose weights the last-level cache may hold. Prints medians in ms,
a line for each network and round. Two rounds that differ tell that neighbours use the cache as well.
"""

from __future__ import annotations

import argparse
import time

import numpy as np
import onnxruntime

from ofa.blocks import blocks_of
from ofa.graph.untrained import untrained_model
from ofa.space import get_space

RUNS, WARM_UP = 50, 5


def session(model: bytes) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])


def median_ms(network: onnxruntime.InferenceSession, megabytes: float) -> float:
    """Of RUNS inferences, each after so many megabytes were read."""
    given = network.get_inputs()[0]
    inputs = {given.name: np.random.default_rng(0).normal(size=given.shape).astype(np.float32)}
    other = np.ones(int(megabytes * 2**20 / 4), dtype=np.float32)
    times = []
    for _ in range(RUNS):
        other.sum()
        begun = time.perf_counter()
        network.run(None, inputs)
        times.append(time.perf_counter() - begun)
    return 1e3 * float(np.median(times[WARM_UP:]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--space", default="mbv3-w1.0")
    parser.add_argument("--resolutions", default="128,224", help="the smallest and the largest (default: 128,224)")
    parser.add_argument("--megabytes", default="0,4,16,64", help="read between inferences (default: 0,4,16,64)")
    parser.add_argument("--rounds", type=int, default=2)
    args = parser.parse_args()
    space = get_space(args.space)
    small, large = (int(side) for side in args.resolutions.split(","))
    lean = np.repeat([0.0, 0.5, 1.0], 2)
    genes = space.sample_leaning(np.random.default_rng(0), lean, np.array([small, large] * 3, dtype=np.uint16))
    amounts = [float(amount) for amount in args.megabytes.split(",")]
    networks = []
    for subnet in space.decode(genes):
        model = untrained_model("onnx", blocks_of(space, subnet), {})
        networks.append((f"{len(model) / 1e6:5.1f} MB, {subnet.resolution} px, depths {subnet.depths}", session(model)))
    for number in range(args.rounds):
        for words, network in networks:
            took = "  ".join(f"{amount:g} MB {median_ms(network, amount):.3f}" for amount in amounts)
            print(f"round {number}: {words}: {took}", flush=True)


if __name__ == "__main__":
    main()
