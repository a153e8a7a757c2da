"""How often profilers.changes names blocks of unchanged tables, and finds one that is 15 % slower: simulated pairs.

python benchmarks/latency/change_alarms.py --pairs 100

461 blocks; each scatters between visits by 0.2 to 2.5 % (log-normal, median 0.7 %), and the runs drift by 10 %.
Visits: normal; Student's t of 3 degrees; that and one visit in thirty 10 to 50 % too slow. Between runs, each block
shifts by 0.3 % or 1 % (normal) or by 0.5 % times Student's t of 4 degrees.
"""

from __future__ import annotations

import argparse
import sys

import numpy as np

from profilers.changes.change import find_changes

BLOCKS = 461
SHIFTS = ("0.3 %", "1 %", "heavy")
NOISES = ("normal", "heavy", "bad visits")


def measured(rng: np.random.Generator, base: np.ndarray, scatter: np.ndarray, visits: int, shift: str, noise: str):
    """(blocks, visits) of one simulated run, ms."""
    size = (len(base), visits)
    by_visit = rng.standard_normal(size) if noise == "normal" else rng.standard_t(3, size)
    logs = scatter[:, None] * by_visit
    if noise == "bad visits":
        logs += (rng.random(size) < 1 / 30) * rng.uniform(0.1, 0.5, size)
    by_run = {
        "0.3 %": 0.003 * rng.standard_normal(len(base)),
        "1 %": 0.01 * rng.standard_normal(len(base)),
        "heavy": 0.005 * rng.standard_t(4, len(base)),
    }[shift]
    return base[:, None] * np.exp(logs + by_run[:, None] + rng.normal(0, 0.1))


def main(argv: list[str] | None = None) -> int:
    """Prints a line a kind of noise."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--pairs", type=int, default=100)
    args = parser.parse_args(argv)
    print("shift between runs, visits' noise, visits: pairs with a false alarm, pairs in which +15 % was found")
    for shift in SHIFTS:
        for noise in NOISES:
            for visits in (5, 3):
                rng = np.random.default_rng(0)
                alarms = found = 0
                for _ in range(args.pairs):
                    base = np.exp(rng.normal(-1, 1, BLOCKS))
                    scatter = np.exp(rng.normal(np.log(0.007), 0.7, BLOCKS))
                    old, new = (measured(rng, base, scatter, visits, shift, noise) for _ in range(2))
                    alarms += find_changes(old, new).changed.any()
                    new[7] *= 1.15
                    found += find_changes(old, new).changed[7]
                print(f"{shift:>6} {noise:>11} {visits}: {alarms:4d} {found:4d} of {args.pairs}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
