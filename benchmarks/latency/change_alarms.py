"""How often profilers.changes names blocks of unchanged tables, and finds one that is 15 % slower: simulated runs.

python benchmarks/latency/change_alarms.py --pairs 100

461 blocks; each scatters between visits by 0.2 to 2.5 % (log-normal, median 0.7 %), and the runs drift by 10 %.
Visits: normal; Student's t of 3 degrees; that and one visit in thirty 10 to 50 % too slow. Between runs, each block
shifts by 0.3 % or 1 % (normal) or by 0.5 % times Student's t of 4 degrees. Five visits a run. Compared with one old
run, and with three.

alarm      nights on which any unchanged block is named, after the second measurement of the same night
repeated   of those, how many name a block of the alarm again on the next night, compared with the same old runs
found      nights on which a block that is 15 % slower is named, both times
all        nights on which all blocks are 30 % slower, and that is said
"""

from __future__ import annotations

import argparse
import sys
from functools import partial

import numpy as np
from scipy.stats import false_discovery_control

from profilers.changes.change import Changes, find_changes, find_changes_from_runs
from profilers.changes.levels import ALPHA

BLOCKS, VISITS = 461, 5
SHIFTS = ("0.3 %", "1 %", "heavy")
NOISES = ("normal", "heavy", "bad visits")
SLOWER, FACTOR = 7, 1.15


def measured(rng: np.random.Generator, base: np.ndarray, scatter: np.ndarray, shift: str, noise: str) -> np.ndarray:
    """(blocks, visits) of one simulated run, ms."""
    size = (len(base), VISITS)
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


def compared(old: list[np.ndarray], new: np.ndarray) -> Changes:
    return find_changes(old[0], new) if len(old) == 1 else find_changes_from_runs(old, new)


def confirmed(first: Changes, second: Changes) -> set[int]:
    """Blocks that a night names: the second measurement is asked about the suspects of the first alone."""
    suspects = np.flatnonzero(first.changed)
    if not len(suspects):
        return set()
    sure = false_discovery_control(second.p[suspects]) < ALPHA
    same_way = np.sign(first.effect[suspects]) == np.sign(second.effect[suspects])
    return set(suspects[sure & same_way].tolist())


def simulated(pairs: int, shift: str, noise: str, runs: int) -> tuple[int, int, int, int]:
    """alarm, repeated, found, all: of so many nights."""
    rng = np.random.default_rng(0)
    alarms = repeated = found = everything = 0
    for _ in range(pairs):
        base = np.exp(rng.normal(-1, 1, BLOCKS))
        scatter = np.exp(rng.normal(np.log(0.007), 0.7, BLOCKS))
        run = partial(measured, rng, base, scatter, shift, noise)
        old = [run() for _ in range(runs)]
        night = [run(), run()]
        named = confirmed(*(compared(old, new) for new in night))
        if named:
            alarms += 1
            repeated += bool(named & confirmed(*(compared(old, run()) for _ in range(2))))
        for new in night:
            new[SLOWER] *= FACTOR
        first, second = (compared(old, new) for new in night)
        found += SLOWER in confirmed(first, second)
        # the same night on a machine that is 30 % slower: its own drift, of 10 %, is taken out
        slow = [compared(old, 1.3 * new / np.exp(np.median(np.log(new / old[0])))) for new in night]
        everything += all(of.all_changed and of.drift > 1 for of in slow)
    return alarms, repeated, found, everything


def main(argv: list[str] | None = None) -> int:
    """Prints a line a kind of noise."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=100)
    args = parser.parse_args(argv)
    print(f"shift between runs, visits' noise, old runs: alarm, repeated, found, all, of {args.pairs} nights")
    for shift in SHIFTS:
        for noise in NOISES:
            for runs in (1, 3):
                figures = " ".join(f"{figure:4d}" for figure in simulated(args.pairs, shift, noise, runs))
                print(f"{shift:>6} {noise:>11} {runs}: {figures}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
