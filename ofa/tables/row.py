"""One line of a latency table: one block's latency on the device."""

from __future__ import annotations

import math
from dataclasses import dataclass

from ofa.blocks import Block
from ofa.errors import InputError


@dataclass(frozen=True)
class TableRow:
    """One block's latency on the device.

    latency_ms: median of the runs for measured tables; what the source gives (a mean, say) for imported ones
    mad_ms, std_ms: median absolute deviation, standard deviation of the runs
    p90_ms: 90th percentile of the runs
    runs: how many
    energy_mj: millijoules a run, where the device tells
    visits_ms: median of the runs of each visit, far apart in time: the samples that are independent; none in a
        table that has the column: all visits were disturbed, the figure is doubtful
    """

    block: Block
    latency_ms: float
    mad_ms: float | None = None
    p90_ms: float | None = None
    runs: int | None = None
    energy_mj: float | None = None
    std_ms: float | None = None
    visits_ms: tuple[float, ...] | None = None

    def __post_init__(self) -> None:
        if not (math.isfinite(self.latency_ms) and self.latency_ms > 0):
            raise InputError(f"latency_ms is {self.latency_ms}, expected a positive number")
        for field in ("mad_ms", "std_ms", "p90_ms", "energy_mj"):
            value = getattr(self, field)
            if value is not None and not (math.isfinite(value) and value >= 0):
                raise InputError(f"{field} is {value}, expected a number of at least 0")
        if self.runs is not None and self.runs < 1:
            raise InputError(f"runs is {self.runs}, expected at least 1")
        visits = self.visits_ms
        if visits is not None and not (visits and all(math.isfinite(v) and v > 0 for v in visits)):
            raise InputError(f"visits_ms is {' '.join(map(str, visits))}, expected positive numbers")
