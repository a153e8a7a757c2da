"""Whether an estimate knows what it knows: how many held-out networks keep what it says with 95 %.

python benchmarks/transfer/coverage.py                       # every set but FBNet's, some minutes
python benchmarks/transfer/coverage.py --set phones --draws 20 --each

Every target is fitted on a few random networks, as `profilers.transfer --from all` does, and calibrated on these alone,
each left out in turn. Of all its others is counted how many took no longer than their latency with the margin that
`ofa.search --confidence 95` gives them. *Searched*: for 17 limits, of those within the limit with their margins the one
with the most MACs, which stands for the most accurate; how many of these keep it, and how many would without margins.
Nothing is timed.
"""

from __future__ import annotations

import argparse
import sys

import numpy as np
from leaderboard import SETS, Target
from numpy.typing import NDArray

from ofa.tables.uncertainty import student_quantile
from profilers.estimating.combination import calibration, combine
from profilers.estimating.cost_model import folds

Floats = NDArray[np.float64]
STATED = 0.95
LIMITS = np.linspace(0.1, 0.9, 17)  # quantiles of the latencies
FIELDS = (
    "standard deviation %",
    "kept %",
    "margin %",
    "searched, kept %",
    "without margins %",
    "rank correlation",
)


def left_out(t: Target, rows: NDArray[np.intp]) -> tuple[Floats, Floats]:
    """(N,) of N networks, each predicted by the others: relative errors, and errors of the measured latency in terms of
    their standard deviation.
    """
    errors, off = np.zeros(len(rows)), np.zeros(len(rows))
    for fold in folds(len(rows)):
        kept, out = rows[~fold], rows[fold]
        without = combine(t.sources, t.terms[kept], t.latency_ms[kept], t.priced, timed=len(rows))
        predicted = without.latency_ms(t.terms[out])
        errors[fold] = predicted / t.latency_ms[out] - 1
        off[fold] = (t.latency_ms[out] / predicted - 1) / without.relative_sd(t.terms[out])
    return errors, off


def scores(t: Target, count: int, draws: int, seed: int) -> Floats:
    """(draws, fields)."""
    found = []
    for draw in range(draws):
        rows = np.random.default_rng((seed, draw)).choice(len(t.latency_ms), count, replace=False)
        rest = np.setdiff1d(np.arange(len(t.latency_ms)), rows)
        _, off = left_out(t, rows)
        scale, freedom = calibration(off)
        fit = combine(t.sources, t.terms[rows], t.latency_ms[rows], t.priced)
        predicted, measured = fit.latency_ms(t.terms[rest]), t.latency_ms[rest]
        sd = scale * fit.relative_sd(t.terms[rest])
        most = predicted * (1 + student_quantile(STATED, freedom) * sd)
        limits = np.quantile(t.latency_ms, LIMITS)
        error = np.abs(measured / predicted - 1)
        found.append(
            (
                100 * np.median(sd),
                100 * np.mean(measured <= most),
                100 * np.median(most / predicted - 1),
                _searched(most, measured, t.macs[rest], limits),
                _searched(predicted, measured, t.macs[rest], limits),
                float(np.corrcoef(error.argsort().argsort(), sd.argsort().argsort())[0, 1]),
            )
        )
    return np.array(found)


def _searched(most: Floats, measured: Floats, macs: Floats, limits: Floats) -> float:
    """How many per cent of the networks that a search takes keep their limit."""
    kept = []
    for limit in limits:
        within = np.flatnonzero(most <= limit)
        if len(within):
            kept.append(measured[within[macs[within].argmax()]] <= limit)
    return 100 * float(np.mean(kept)) if kept else float("nan")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--set", choices=[name for name in SETS if name != "fbnet"], action="append")
    parser.add_argument("--draws", type=int, default=10, metavar="N")
    parser.add_argument("--seed", type=int, default=0, metavar="N")
    parser.add_argument("--networks", type=int, nargs="+", default=[5, 10, 20], metavar="N")
    parser.add_argument("--each", action="store_true", help="also device by device")
    args = parser.parse_args()
    print(f"| set (devices) | networks | {' | '.join(FIELDS)} |\n|{'---|' * (2 + len(FIELDS))}")
    for name in args.set or ("phones", "dpus", "gpus"):
        groups: dict[str, list[Target]] = {}
        for target in SETS[name](None):
            groups.setdefault(target.group, []).append(target)
        for group, members in groups.items():
            if name == "phones" or "without" not in group:
                for count in args.networks:
                    of_each = [scores(t, count, args.draws, args.seed) for t in members]
                    for words, values in [
                        (f"{group} ({len(members)})", np.stack(of_each)),
                        *((t.name, each) for t, each in zip(members, of_each, strict=True) if args.each),
                    ]:
                        means = np.nanmean(values.reshape(-1, len(FIELDS)), axis=0)
                        shown = " | ".join(f"{mean:.2f}" if i == 5 else f"{mean:.1f}" for i, mean in enumerate(means))
                        print(f"| {words} | {count} | {shown} |", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
