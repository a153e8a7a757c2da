"""Whether a correction of one day holds on another: fitted on one validation of a table, scored on another.

    python benchmarks/validations/across_occasions.py                                    # the shipped tables
    python benchmarks/validations/across_occasions.py my-cpu.csv first.validation.json second.validation.json

Every validation has networks, and an order of visits, of its own (`profilers.validate --seed`). A row is one occasion
that fits, on its fitting networks, and one that scores: on the same occasion those networks that did not fit, else all.
Prints, in per cent, the mean absolute error and the bias of plain sums and of corrected ones, how many corrected sums
are within 5 %, the worst of each, and the bias of each among the fastest fifth.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ofa.space import get_space, resolutions_in
from ofa.tables import LatencyTable
from profilers.whole_networks.sums.correction_fit import correction_terms, fit_correction

OTHERS = Path(__file__).parent / "occasions"
TABLES = Path(__file__).resolve().parents[2] / "latency_tables"
Floats = NDArray[np.float64]


def occasion(table: LatencyTable, path: Path) -> tuple[Floats, Floats, NDArray[np.bool_]]:
    """(N, 5) terms, (N,) measured ms, and which N networks are scored there."""
    told = json.loads(path.read_text(encoding="utf-8"))
    space, networks = get_space(told["space"], table.num_classes), told["networks"]
    genes = space.encode([space.subnet_from_dict(network["subnet"]) for network in networks])
    lookup = table.lookup(space, resolutions_in(genes))
    measured = np.array([network["measured_ms"] for network in networks])
    scored = np.array([network["scored"] for network in networks])
    return correction_terms(lookup, lookup.block_ms, genes), measured, scored


def across(csv: Path, validations: list[Path]) -> None:
    """Prints a line a pair of occasions."""
    table = LatencyTable.load(csv).uncorrected
    occasions = [occasion(table, path) for path in validations]
    print(f"{csv.name}: fitted on, scored on, networks; plain MAPE, bias; corrected MAPE, bias, within 5 %; "
          "worst, plain and corrected; bias of the fastest fifth, plain and corrected", flush=True)  # fmt: skip
    for a, (terms, measured, scored) in enumerate(occasions):
        correction = fit_correction(terms[~scored], measured[~scored])
        for b, (others, truth, scored_there) in enumerate(occasions):
            rows = scored_there if a == b else np.ones(len(truth), dtype=bool)
            plain = 100 * (others[rows, 0] / truth[rows] - 1)
            corrected = 100 * (others[rows] @ correction.factors / truth[rows] - 1)
            fastest = truth[rows] <= np.quantile(truth[rows], 0.2)
            print(
                f"  {a + 1} {b + 1} {rows.sum():4}  {abs(plain).mean():5.2f} {plain.mean():+5.2f}"
                f"  {abs(corrected).mean():5.2f} {corrected.mean():+5.2f} {100 * (abs(corrected) <= 5).mean():4.0f}"
                f"  {abs(plain).max():5.1f} {abs(corrected).max():5.1f}"
                f"  {plain[fastest].mean():+5.1f} {corrected[fastest].mean():+5.1f}",
                flush=True,
            )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("table", nargs="?", type=Path)
    parser.add_argument("validations", nargs="*", type=Path)
    args = parser.parse_args()
    if args.table:
        across(args.table, args.validations)
        return
    for csv in sorted(csv for machine in ("epyc-vm", "xeon-amx-vm") for csv in TABLES.glob(f"{machine}-*.csv")):
        found = [csv.with_suffix(".validation.json"), *OTHERS.glob(f"{csv.stem}.*.json")]
        if not found[0].exists():  # a table that was never validated
            continue
        across(csv, sorted(found, key=lambda path: str(json.loads(path.read_text(encoding="utf-8"))["when"])))


if __name__ == "__main__":
    main()
