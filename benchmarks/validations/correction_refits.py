"""Which correction of sums predicts other networks best: the networks of validations, fitted anew in many ways.

python benchmarks/validations/correction_refits.py --refits 60                  # the shipped validations
python benchmarks/validations/correction_refits.py my-cpu.validation.json       # beside my-cpu.csv

A refit draws one network of every five, from fastest to slowest, fits each way on those, and scores the others.

    plain       no correction
    selected    terms of any sign, of those sets of terms the one of least leave-one-out error: the way until 2026-11-26
    fixed       scale, weights and calls of at least 0, and a ridge: the way of 2026-11-26
    head        profilers.whole_networks.sums.correction_fit: fixed, and a factor of the head's own
    by blocks   as fixed, without the bound, and a share of every block's own; the likelihood chooses both spreads

Prints the mean absolute error of every way, per cent, its mean over the refits and their spread.
"""

from __future__ import annotations

import argparse
import itertools
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import least_squares

from ofa.space import get_space, resolutions_in
from ofa.tables import LatencyTable
from profilers.whole_networks.sums.correction_fit import ERRORS, SPREADS, correction_terms, fit_correction

TABLES = Path(__file__).resolve().parents[2] / "latency_tables"
Floats = NDArray[np.float64]
SETS = ((0,), (0, 1), (0, 2), (0, 3), (0, 1, 2), (0, 1, 3), (0, 2, 3), (0, 1, 2, 3))
OWN_SPREADS = (0.0, 0.02, 0.05, 0.1, 0.2)


def selected(terms: Floats, measured: Floats) -> Floats:
    """(4,) factors of the set of terms that predicts each network best from the others."""
    relative = terms / measured[:, None]

    def fitted(columns: tuple[int, ...], rows: NDArray[np.bool_]) -> Floats:
        used = relative[rows][:, columns]
        start = np.linalg.lstsq(used, np.ones(len(used)), rcond=None)[0]
        weights = np.zeros(terms.shape[1])
        weights[list(columns)] = least_squares(lambda w: used @ w - 1, start, loss="soft_l1", f_scale=0.02).x
        return weights

    def error(columns: tuple[int, ...]) -> float:
        others = ~np.eye(len(measured), dtype=bool)
        return float(np.mean([abs(relative[i] @ fitted(columns, others[i]) - 1) for i in range(len(measured))]))

    allowed = [columns for columns in SETS if len(columns) == 1 or 4 * len(columns) <= len(measured)]
    return fitted(min(allowed, key=error), np.ones(len(measured), dtype=bool))


def by_blocks(terms: Floats, shares: Floats, measured: Floats, fit: NDArray[np.bool_]) -> Floats:
    """(N,) ms of all networks. shares: (N, blocks) of every block in a network's plain sum"""
    own = (terms / terms[:, :1])[:, [0, 1, 3]]
    own = own / own.mean(axis=0)
    off = measured / terms[:, 0] - 1
    common, blocks = own @ own.T, shares @ shares.T

    def covariance(spread: float, own_spread: float) -> Floats:
        return spread**2 * common + own_spread**2 * blocks

    def unlikely(spread: float, own_spread: float, error: float) -> float:
        among = covariance(spread, own_spread)[np.ix_(fit, fit)] + error**2 * np.eye(fit.sum())
        return float(np.linalg.slogdet(among)[1] + off[fit] @ np.linalg.solve(among, off[fit]))

    *spreads, error = min(itertools.product(SPREADS, OWN_SPREADS, ERRORS), key=lambda of: unlikely(*of))
    whole = covariance(*spreads)
    among = whole[np.ix_(fit, fit)] + error**2 * np.eye(fit.sum())
    return terms[:, 0] * (1 + whole[:, fit] @ np.linalg.solve(among, off[fit]))


def refits(path: Path, count: int, seed: int) -> None:
    """Prints a line a way."""
    told = json.loads(path.read_text(encoding="utf-8"))
    table = LatencyTable.load(path.with_name(path.name.replace(".validation.json", ".csv"))).uncorrected
    space = get_space(told["space"], table.num_classes)
    genes = space.encode([space.subnet_from_dict(network["subnet"]) for network in told["networks"]])
    measured = np.array([network["measured_ms"] for network in told["networks"]])
    lookup = table.lookup(space, resolutions_in(genes))
    terms = correction_terms(lookup, lookup.block_ms, genes)
    headless = np.where([True] * 4 + [False], terms, 0.0)
    shares = np.stack([lookup.index.total(genes, row) for row in np.diag(lookup.block_ms)], axis=1) / terms[:, :1]
    rng = np.random.default_rng(seed)
    groups = np.array_split(np.argsort(measured), len(measured) // 5)
    ways: dict[str, Callable[[NDArray[np.bool_]], Floats]] = {
        "plain": lambda _: terms[:, 0],
        "selected": lambda fit: terms @ selected(terms[fit], measured[fit]),
        "fixed": lambda fit: headless @ fit_correction(headless[fit], measured[fit]).factors,
        "head": lambda fit: terms @ fit_correction(terms[fit], measured[fit]).factors,
        "by blocks": lambda fit: by_blocks(terms, shares, measured, fit),
    }
    errors: dict[str, list[float]] = {way: [] for way in ways}
    for _ in range(count):
        fit = np.zeros(len(measured), dtype=bool)
        fit[[rng.choice(group) for group in groups]] = True
        for way, predict in ways.items():
            errors[way].append(100 * float(np.mean(np.abs(predict(fit) / measured - 1)[~fit])))
    print(f"{path.name}: {len(measured)} networks, {count} refits on {len(groups)}", flush=True)
    for way, found in errors.items():
        print(f"  {way:10} {np.mean(found):6.2f}  sd {np.std(found):.2f}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("validations", nargs="*", type=Path, help="default: all in latency_tables/")
    parser.add_argument("--refits", type=int, default=60, metavar="N")
    parser.add_argument("--seed", type=int, default=0, metavar="N")
    args = parser.parse_args()
    for path in args.validations or sorted(TABLES.glob("*.validation.json")):
        refits(path, args.refits, args.seed)


if __name__ == "__main__":
    main()
