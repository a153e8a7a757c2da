"""Sub-networks a second that accuracy predictors judge: ours, and MIT's where its file is given.

    python benchmarks/search/predictor_throughput.py [--mit acc_predictor.pth]

The yardstick is the machine's own speed at the arithmetic that cannot be avoided: one float32 matrix product
of a layer of MIT's predictor, 400 x 400. "of peak" is the share of that speed which a whole prediction (features, every
layer, members, interval) reaches; it holds on any machine, unlike sub-networks a second. The original
implementation is timed beside ours by search.py.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from ofa.predictors.accuracy import AccuracyPredictor
from ofa.predictors.prediction import Predictor
from ofa.predictors.separable.predictor import SeparablePredictor
from ofa.space import get_space

BATCHES = (1, 100, 5_000, 100_000)


def side_by_side(work: Callable[[], object], yardstick: Callable[[], object], repeats: int) -> tuple[float, float]:
    """The fastest of several runs of each, in seconds, taken in turns: other load on the machine meets both."""
    fastest = [float("inf"), float("inf")]
    for repeat in range(repeats + 1):
        for i, run in enumerate((work, yardstick)):
            start = time.perf_counter()
            run()
            if repeat:  # the first is never counted
                fastest[i] = min(fastest[i], time.perf_counter() - start)
    return fastest[0], fastest[1]


def flops_per_subnet(predictor: Predictor) -> int:
    """Two a weight, of every member; a separable predictor's are those of its interval."""
    if isinstance(predictor, SeparablePredictor):
        networks = predictor.networks
        return 2 * (networks.choices.size + networks.outputs.size)
    assert isinstance(predictor, AccuracyPredictor)
    return sum(2 * weight.size for member in predictor.ensemble for weight in member.weights)


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__.splitlines()[0],
        epilog="example: python benchmarks/search/predictor_throughput.py --repeats 20",
    )
    parser.add_argument("--mit", type=Path, metavar="PTH", help="MIT's acc_predictor.pth, if at hand")
    parser.add_argument("--repeats", type=int, default=10, metavar="N", help="runs, the fastest counts (default 10)")
    args = parser.parse_args(argv)
    spaces = {name: get_space(name) for name in ("mbv3-w1.0", "mbv3-w1.2")}
    predictors = {f"ours, {name}": AccuracyPredictor.default(space) for name, space in spaces.items()}
    if args.mit:
        predictors[f"MIT's {args.mit.name}"] = AccuracyPredictor.load(args.mit, spaces["mbv3-w1.2"])
    rng = np.random.default_rng(0)
    a, b = rng.random((4096, 400), dtype=np.float32), rng.random((400, 400), dtype=np.float32)
    product_flops = 2 * 4096 * 400 * 400
    for name, predictor in predictors.items():
        work = flops_per_subnet(predictor)
        interval = "with interval" if predictor.uncertainty else "no interval"
        kind_of = "separable" if isinstance(predictor, SeparablePredictor) else "ensemble"
        print(f"{name}: {kind_of}, {work / 1000:.0f} kFLOP a sub-network, {interval}")
        for kind, resolutions in (("known px", predictor.resolutions), ("interpolated px", (180, 200))):
            space = predictor.space
            for n in BATCHES:
                genes = space.sample(np.random.default_rng(0), n, resolutions=resolutions)
                seconds, product_seconds = side_by_side(
                    lambda p=predictor, g=genes: p.predict(g),  # type: ignore[misc]
                    lambda: a @ b,
                    args.repeats,
                )
                rate, peak = n / seconds, product_flops / product_seconds
                print(
                    f"  {kind:15} batches of {n:>7,}: {rate:>9,.0f} a second, "
                    f"{rate * work / peak:5.0%} of {peak / 1e9:.0f} GFLOP/s"
                )
    return 0


if __name__ == "__main__":
    from ofa.cli.run import run

    run(main)
