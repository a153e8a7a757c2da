"""What tells a bad draw of networks: their own left-out errors, or how surely the estimate knows others?

python benchmarks/transfer/bad_draws.py                          # phones' CPUs from five networks
python benchmarks/transfer/bad_draws.py --set dpus --networks 10 --draws 20

Every target is fitted on a few random networks, as `profilers.transfer --from all` does. Of each draw three things are
compared: its error on all other networks, the mean of the errors that its table states (each network predicted from
the others), and the median standard deviation that its table has for the other networks. Nothing is timed.
"""

from __future__ import annotations

import argparse
import sys

import numpy as np
from coverage import left_out
from leaderboard import SETS, Target
from scipy.stats import spearmanr

from profilers.estimating.combination import calibration, combine

SHOWN = 3  # draws of each group, the worst


def draw_of(t: Target, count: int, draw: int, seed: int) -> tuple[float, float, float, float]:
    """In per cent: MAPE of the others, stated mean and worst error, median standard deviation of the others."""
    rows = np.random.default_rng((seed, draw)).choice(len(t.latency_ms), count, replace=False)
    rest = np.setdiff1d(np.arange(len(t.latency_ms)), rows)
    errors, off = left_out(t, rows)
    fit = combine(t.sources, t.terms[rows], t.latency_ms[rows], t.priced)
    mape = np.abs(fit.latency_ms(t.terms[rest]) / t.latency_ms[rest] - 1).mean()
    sd = calibration(off)[0] * np.median(fit.relative_sd(t.terms[rest]))
    return 100 * float(mape), 100 * float(np.abs(errors).mean()), 100 * float(np.abs(errors).max()), 100 * float(sd)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--set", choices=[name for name in SETS if name != "fbnet"], default="phones")
    parser.add_argument("--draws", type=int, default=10, metavar="N")
    parser.add_argument("--seed", type=int, default=0, metavar="N")
    parser.add_argument("--networks", type=int, default=5, metavar="N")
    args = parser.parse_args()
    groups: dict[str, list[Target]] = {}
    for target in SETS[args.set](None):
        groups.setdefault(target.group, []).append(target)
    for group, members in groups.items():
        names = [(t.name, draw) for t in members for draw in range(args.draws)]
        found = np.array(
            [draw_of(t, args.networks, draw, args.seed) for t in members for draw in range(args.draws)]
        )  # (draws, 4)
        mape, stated, worst, sd = found.T
        by = [float(spearmanr(mape, told).statistic) for told in (stated, sd)]
        said = sd > worst
        print(
            f"{group}, {len(found)} draws of {args.networks}: a draw's error goes with the stated one by {by[0]:.2f}, "
            f"with the standard deviation by {by[1]:.2f} (rank correlation); {(mape > worst).sum()} are worse than the "
            f"worst that is stated, and {(said & (mape > worst)).sum()} of these say so; {said.sum()} say so in all",
            flush=True,
        )
        for i in np.argsort(-mape)[:SHOWN]:
            print(
                f"    {names[i][0]}, draw {names[i][1]}: {mape[i]:.1f}; stated {stated[i]:.1f}, worst {worst[i]:.1f}; "
                f"standard deviation {sd[i]:.1f}"
            )
    return 0


if __name__ == "__main__":
    sys.exit(main())
