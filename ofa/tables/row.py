"""One line of a latency table: one block's latency on the device."""

from __future__ import annotations

from dataclasses import dataclass

from ofa.blocks import Block
from ofa.errors import InputError
from ofa.reading.numbers import COUNT, MILLIJOULES, MILLISECONDS, SPREAD_MS


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
    warm_ms: where latency_ms was measured in place, what the block takes alone, again and again
    """

    block: Block
    latency_ms: float
    mad_ms: float | None = None
    p90_ms: float | None = None
    runs: int | None = None
    energy_mj: float | None = None
    std_ms: float | None = None
    visits_ms: tuple[float, ...] | None = None
    warm_ms: float | None = None

    def __post_init__(self) -> None:
        MILLISECONDS.check("latency_ms", self.latency_ms)
        if self.warm_ms is not None:
            MILLISECONDS.check("warm_ms", self.warm_ms)
        for field in ("mad_ms", "std_ms", "p90_ms"):
            if getattr(self, field) is not None:
                SPREAD_MS.check(field, getattr(self, field))
        if self.energy_mj is not None:
            MILLIJOULES.check("energy_mj", self.energy_mj)
        if self.runs is not None:
            COUNT.whole("runs", self.runs)
        if self.visits_ms is not None:
            if not self.visits_ms:
                raise InputError("visits_ms is empty, expected positive numbers")
            for each in self.visits_ms:
                MILLISECONDS.check("visits_ms", each)
