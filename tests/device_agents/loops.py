"""Loops by a planted clock, which passes while a run lasts and while an agent waits for the next, and not otherwise."""

from dataclasses import dataclass
from typing import Any

MS = 1_000_000
# one run, which is no window's
WARM_UP = {"warmup_runs": 1, "warmup_seconds": 0, "min_sample_us": 0}


@dataclass(frozen=True)
class PlantedLoop:
    """What an agent is to do on a machine that stands still only when told to.

    models: one for every window; run_ms: of any run but the model's `stand_at`th since it was loaded, its warm-up
    included, which takes `stand_ms`; windows: of each its start in ms, its runs, and how many of them were late
    """

    models: str
    run_ms: int
    window_ms: int
    rate_hz: int | None
    windows: list[tuple[float, int, int]]
    stand_at: int = 0
    stand_ms: int = 0

    @property
    def sustained(self) -> dict[str, Any]:
        """As the manifest asks for it."""
        return {"window_seconds": self.window_ms / 1000, "rate_hz": self.rate_hz}


LOOPS = {
    # each window waits for its run, which are due at 10, 20, ... ms
    "a rate slower than windows": PlantedLoop(
        "aaaaaa", 1, 1, 100, [(0, 1, 0), (11, 1, 0), (21, 1, 0), (31, 1, 0), (41, 1, 0), (51, 1, 0)]
    ),
    # the run of 20 ms lasts until 55: that of 30 begins late, those of 40 and 50 are left out
    "a standstill": PlantedLoop(
        "aaaaaa", 1, 1, 100, [(0, 1, 0), (11, 1, 0), (55, 1, 1), (56, 1, 0), (61, 1, 0), (71, 1, 0)], 3, 35
    ),
    "a rate that the network does not keep": PlantedLoop(
        "aaa", 4, 20, 500, [(0, 5, 4), (22, 5, 5), (42, 5, 5)]
    ),
    # 600 ms hold the starts of 8 runs; were each window to begin anew, there would be two in each
    "runs that end beyond their window": PlantedLoop(
        "aaaaaa", 75, 100, None, [(0, 2, 0), (150, 1, 0), (225, 1, 0), (300, 2, 0), (450, 1, 0), (525, 1, 0)]
    ),
    "another model": PlantedLoop("aaba", 1, 20, None, [(0, 20, 0), (20, 20, 0), (0, 20, 0), (0, 20, 0)]),
}  # fmt: skip


def windows_of(results: list[dict[str, Any]]) -> list[tuple[float, int, int]]:
    """What an agent told of each window, as `PlantedLoop.windows` has it."""
    return [(result["loop_ns"] / MS, len(result["samples_ns"]), result["late"]) for result in results]
