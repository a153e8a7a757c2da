"""The whole frontier of an exact search: every network that no other beats, as points."""

from __future__ import annotations

from pathlib import Path

from ofa.errors import InputError
from ofa.reading.csv_text import read_csv_text
from ofa.reading.numbers import MILLIJOULES, MILLISECONDS, Bounds

MOST_POINTS = 400  # of a line; more cannot be told apart


def read_frontier(path: Path) -> tuple[tuple[float, float], ...]:
    """(ms or mJ, predicted top-1 in per cent) from the cheapest up, of at most 400 networks, evenly spread."""
    text = read_csv_text(path, "a frontier of ofa.search")
    cost = next((c for c in ("latency_ms", "energy_mj") if c in text.columns), None)
    if cost is None or "predicted_top1" not in text.columns:
        raise InputError(f"{path}:{text.columns_line}: expected columns latency_ms or energy_mj, and predicted_top1")
    bounds, top1 = MILLISECONDS if cost == "latency_ms" else MILLIJOULES, Bounds(-100, 200, "per cent")
    points = sorted(
        (
            bounds.decimal(f"{row.where(cost)}: {cost}", row.cells[cost]),
            top1.decimal(f"{row.where('predicted_top1')}: predicted_top1", row.cells["predicted_top1"]),
        )
        for row in text.rows
    )
    if len(points) <= MOST_POINTS:
        return tuple(points)
    return tuple(points[i * (len(points) - 1) // (MOST_POINTS - 1)] for i in range(MOST_POINTS))
