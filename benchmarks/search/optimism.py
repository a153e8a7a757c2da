"""How a search's optimism falls with the rows that its predictor was fitted on: thirds against two thirds of the data.

    python benchmarks/search/optimism.py --data accuracies.csv --space mbv3-w1.0 --splits 3

A search shows top-1 - o / 2. o is the optimism of a predictor of half the data (docs/results/accuracy_predictor.md).
That holds if optimism falls as 1 / rows. Here predictors of a third, of a half and of two thirds are searched, and each
is judged by one of a part that it did not see: two thirds should be overrated half as much as a third.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np

from ofa.predictors.fit.optimism import optimism_by_parts
from ofa.predictors.fit.run import RECIPES
from ofa.predictors.subnet_accuracies import read_accuracies_csv, split

# words, equal parts of the data, of how many of them the predictor that is searched is fitted
WAYS = (("a third", 3, 1), ("half", 2, 1), ("two thirds", 3, 2))

RATIOS = (("two thirds", "a third", 1 / 2), ("two thirds", "half", 3 / 4), ("half", "a third", 2 / 3))


def main(argv: list[str] | None = None) -> int:
    """Prints a line a way, then the ratios."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--space", required=True)
    parser.add_argument("--splits", type=int, default=3)
    arguments = parser.parse_args(argv)
    data = read_accuracies_csv([arguments.data], arguments.space)
    data = data.where(~split(data.genes)["test"])
    means: dict[str, list[float]] = {}
    for words, parts, chosen_by in WAYS:
        found, splits = optimism_by_parts(data, RECIPES["separable", "data"], parts, chosen_by, arguments.splits)
        means[words] = [float(np.mean(values)) for values in found.values()]
        # optima of one split share their predictors: the spread is that of the splits and ways round
        groups = [np.array(values).reshape(splits * parts, -1).mean(axis=1) for values in found.values()]
        errors = [float(g.std(ddof=1) / len(g) ** 0.5) for g in groups]
        shown = ", ".join(f"{r} px {m:+.3f} ({e:.3f})" for r, m, e in zip(found, means[words], errors, strict=True))
        print(f"fitted on {words} of {len(data.top1)} rows: {shown}; mean {np.mean(means[words]):+.3f}", flush=True)
    for one, other, expected in (
        ("two thirds", "a third", 0.5),
        ("two thirds", "half", 0.75),
        ("half", "a third", 0.667),
    ):
        ratio = np.mean(means[one]) / np.mean(means[other])
        print(f"{one} / {other}: {ratio:.2f} (1 / rows says {expected:.2f})")
    return 0


if __name__ == "__main__":
    sys.exit(main())
