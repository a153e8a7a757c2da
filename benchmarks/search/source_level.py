"""Whether a source of accuracies lies above or below another, by how accuracy rises with resolution.

    python benchmarks/search/source_level.py --mit acc_predictor.pth

The accuracies behind the shipped predictor of width 1.0 are of two sources: 128 to 192 px were all taken on one sample
of a quarter of ImageNet's validation images, 224 px on all of them. No network was measured by both. What the first
source lies above the second can only be read off the curve: 224 px is predicted from 128, 160 and 192 px, by straight
lines and parabolas in powers of the resolution, and by the ratio of steps that MIT's predictor (width 1.2) has.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ofa.predictors.accuracy import AccuracyPredictor
from ofa.predictors.prediction import Predictor
from ofa.space import Genes, get_space

POWERS = (-1.0, -1.5, -2.0, -2.5, -3.0)
LOW = (128, 160, 192)


def mean_at(predictor: Predictor, genes: Genes, resolution: int) -> float:
    """The mean top-1 of architectures at a resolution."""
    moved = genes.copy()
    moved[:, 0] = resolution
    return float(predictor.top1(moved).mean())


def straight(power: float, known: dict[int, float]) -> float:
    """At 224 px, on the straight line in resolution^power through 160 and 192 px."""
    share = (224.0**power - 192.0**power) / (192.0**power - 160.0**power)
    return known[192] + share * (known[192] - known[160])


def curved(power: float, known: dict[int, float]) -> float:
    """At 224 px, on the parabola in resolution^power through all three."""
    x: NDArray[np.float64] = np.array(LOW, dtype=np.float64) ** power
    return float(np.polyval(np.polyfit(x, [known[r] for r in LOW], 2), 224.0**power))


def main(argv: list[str] | None = None) -> int:
    """Prints what the sample lies above all images, per cent, by each way; of random networks and the best fifth."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--mit", type=Path, required=True, help="MIT's acc_predictor.pth")
    arguments = parser.parse_args(argv)
    space, wide = get_space("mbv3-w1.0"), get_space("mbv3-w1.2")
    own, mit = AccuracyPredictor.default(space), AccuracyPredictor.load(arguments.mit, wide)
    genes = space.sample(np.random.default_rng(0), 4000, resolutions=(224,))
    top1 = own.top1(genes)
    for words, chosen in (("random networks", genes), ("their best fifth", genes[top1 > np.quantile(top1, 0.8)])):
        known = {r: mean_at(own, chosen, r) for r in (*LOW, 224)}
        step = {r: mean_at(mit, chosen, r) for r in (160, 192, 224)}
        ratio = (step[224] - step[192]) / (step[192] - step[160])
        ways = {"MIT's ratio": known[192] + ratio * (known[192] - known[160])}
        ways |= {f"parabola in r^{power:g}": curved(power, known) for power in POWERS}
        ways |= {f"line in r^{power:g}": straight(power, known) for power in POWERS}
        print(f"{words}: " + ", ".join(f"{way} {value - known[224]:+.2f}" for way, value in ways.items()))
        off = ", ".join(f"r^{power:g} {straight(power, step) - step[224]:+.2f}" for power in POWERS)
        print(f"  what such lines miss of MIT's own 224 px, from 160 and 192: {off}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
