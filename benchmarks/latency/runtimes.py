"""The runtimes and types of this CPU side by side: the same blocks and whole networks, in turns.

python benchmarks/latency/runtimes.py --networks 8 --blocks 24 --rounds 2
python benchmarks/latency/runtimes.py --only onnxruntime:fp32,openvino:fp32,openvino:bf16

Every round visits all models by one runtime after the other, so that a machine that changes changes all of them.
Prints milliseconds, and the time over that of the first runtime. What a runtime or this CPU cannot do is left out, with
a line.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

import numpy as np
from scipy.stats import kendalltau

from ofa.blocks import Block, all_blocks, blocks_of
from ofa.blocks.costs import block_macs
from ofa.errors import InputError
from ofa.runs.journal import Journal
from ofa.space import get_space
from profilers.devices.local_cpu import cpu_target
from profilers.measuring.plan import make_plan
from profilers.measuring.run import measure_on
from profilers.measuring.statistics import summarise

ALL = (
    "onnxruntime:fp32,openvino:fp32,tflite:fp32,torch:fp32,openvino:bf16,torch:bf16,"
    "onnxruntime:int8,openvino:int8,tflite:int8"
)


def measured(way: str, chains: list[tuple[Block, ...]], seed: int) -> list[float]:
    """Milliseconds of every chain, from one round. way: runtime:dtype"""
    runtime, _, dtype = way.partition(":")
    target = cpu_target(runtime, 1, 1, None, 60.0, in_place=True, dtype=dtype)
    own = target.pace.in_place
    assert own is not None
    plan = make_plan(chains, 1, seed)
    with tempfile.TemporaryDirectory() as name:
        journal = Journal.create(Path(name) / "journal.jsonl", {})
        try:
            outcome = measure_on(target, plan, own.blocks, seed, journal, Path(name), lambda *_: None)
        finally:
            journal.close()
    found = {plan.models[name]: summarise(results).latency_ms for name, results in outcome.results.items()}
    return [found.get(chain, float("nan")) for chain in chains]


def report(times: dict[str, np.ndarray], blocks: int) -> None:
    """Prints all figures. times: {way: (rounds, chains)}, the blocks first"""
    ms = {way: np.median(rounds, axis=0) for way, rounds in times.items()}
    first, *_ = ms
    print("runtime, type: whole networks, ms, fastest to slowest | over the first: all, Kendall tau | blocks over the")
    print("first: lowest, median, highest | the same networks, round against round")
    for way, values in ms.items():
        networks, base = values[blocks:], ms[first][blocks:]
        ratios = values[:blocks] / ms[first][:blocks]
        again = times[way][:, blocks:]
        ratio = np.exp(np.log(networks / base).mean())
        apart = 100 * np.median(np.abs(again[0] / again[-1] - 1))
        print(
            f"{way:18s} {networks.min():6.2f} to {networks.max():6.2f} | {ratio:5.2f}, "
            f"tau {kendalltau(networks, base)[0]:.2f} | {ratios.min():.2f}, {np.median(ratios):.2f}, "
            f"{ratios.max():.2f} | {apart:.1f} %"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default=ALL, metavar="R:T,R:T")
    parser.add_argument("--space", default="mbv3-w1.0", metavar="NAME")
    parser.add_argument("--networks", type=int, default=8, metavar="N")
    parser.add_argument("--blocks", type=int, default=24, metavar="N")
    parser.add_argument("--rounds", type=int, default=2, metavar="N")
    parser.add_argument("--seed", type=int, default=0, metavar="N")
    args = parser.parse_args()
    space = get_space(args.space)
    every = sorted(all_blocks(space, (160, 224)), key=block_macs)
    blocks = [(every[i],) for i in np.linspace(0, len(every) - 1, args.blocks).astype(int)]
    genes = space.sample(np.random.default_rng(args.seed), args.networks, resolutions=(160, 224))
    chains = [*blocks, *(tuple(blocks_of(space, subnet)) for subnet in space.decode(genes))]
    rounds: dict[str, list[list[float]]] = {}
    ways = args.only.split(",")
    for number in range(args.rounds):
        for way in [*ways]:
            try:
                rounds.setdefault(way, []).append(measured(way, chains, args.seed + number))
            except InputError as error:
                print(f"{way}: {error}", file=sys.stderr)
                ways.remove(way)
    report({way: np.array(rounds[way]) for way in ways}, len(blocks))


if __name__ == "__main__":
    main()
