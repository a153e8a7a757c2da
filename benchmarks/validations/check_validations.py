"""Recomputes what the shipped validations say, a second way: from their own networks, and from the tables' rows.

    python benchmarks/validations/check_validations.py                          # all in latency_tables/
    python benchmarks/validations/check_validations.py my-gpu.validation.json   # beside my-gpu.csv

Errors, bias and Kendall's tau are counted here by plain loops over the scored networks' predicted_ms and measured_ms;
plain sums are the rows of the CSV, added up block by block; predicted_ms is compared with what LatencyTable says.
Ends with 1 where a figure differs from the file's by more than its rounding.
"""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Sequence
from itertools import combinations
from pathlib import Path

from ofa.blocks import BLOCK_FIELDS, block_row, blocks_of
from ofa.space import get_space
from ofa.tables import LatencyTable

TABLES = Path(__file__).resolve().parents[2] / "latency_tables"
SHOWN = ("mape_pct", "bias_pct", "worst_pct", "kendall_tau")


def recomputed(predicted: Sequence[float], measured: Sequence[float]) -> dict[str, float]:
    """Scores of N predictions against N measurements."""
    errors = [100 * (p - m) / m for p, m in zip(predicted, measured, strict=True)]
    pairs = list(combinations(zip(predicted, measured, strict=True), 2))
    order = [(a[0] - b[0]) * (a[1] - b[1]) for a, b in pairs]
    return {
        "mape_pct": sum(map(abs, errors)) / len(errors),
        "bias_pct": sum(errors) / len(errors),
        "worst_pct": max(map(abs, errors)),
        "kendall_tau": (sum(o > 0 for o in order) - sum(o < 0 for o in order)) / len(pairs),
    }


def plain_latencies(path: Path) -> dict[tuple[str, ...], float]:
    """The rows of a table: what stands in its columns of a block, and latency_ms."""
    with path.open(encoding="utf-8", newline="") as file:
        rows = csv.DictReader(line for line in file if not line.startswith("#"))
        return {tuple(row[field] for field in BLOCK_FIELDS): float(row["latency_ms"]) for row in rows}


def check(path: Path) -> list[str]:
    """Prints the scores of one validation beside those recomputed; what differs."""
    told = json.loads(path.read_text(encoding="utf-8"))
    csv_path = path.with_name(path.name.replace(".validation.json", ".csv"))
    table = LatencyTable.load(csv_path)
    latencies = plain_latencies(csv_path)
    space = get_space(told["space"], table.num_classes)
    scored = [network for network in told["networks"] if network["scored"]]
    subnets = [space.subnet_from_dict(network["subnet"]) for network in scored]
    plain = [sum(latencies[tuple(map(str, block_row(b)))] for b in blocks_of(space, subnet)) for subnet in subnets]
    measured = [network["measured_ms"] for network in scored]
    predicted = [network["predicted_ms"] for network in scored]
    wrong = [
        f"network {i}: predicted_ms is {was}, the table says {now:.6f}"
        for i, (was, now) in enumerate(zip(predicted, table.latency_ms(space, subnets), strict=True))
        if abs(was - now) > 2e-6
    ]
    print(f"{path.name}: {len(scored)} networks")
    for key, sums in (("scores", predicted), ("scores_without_correction", plain)):
        found = recomputed(sums, measured)
        print(f"  {key:26}" + "  ".join(f"{name} {found[name]:.4f} ({told[key][name]:g})" for name in SHOWN))
        wrong += [
            f"{key}: {name} is {told[key][name]}, recomputed {found[name]:.4f}"
            for name in SHOWN
            if abs(found[name] - told[key][name]) > (0.00006 if name == "kendall_tau" else 0.0051)
        ]
    return wrong


def main(argv: Sequence[str]) -> int:
    paths = [Path(name) for name in argv] or sorted(TABLES.glob("*.validation.json"))
    wrong = [f"{path.name}: {line}" for path in paths for line in check(path)]
    for line in wrong:
        print(line)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
