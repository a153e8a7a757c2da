"""The CPU agent's loop by a planted clock: which runs begin when."""

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from device_agents.cpu import loop, timing
from device_agents.cpu.loop import Loop
from tests.device_agents.loops import LOOPS, WARM_UP, PlantedLoop, windows_of


class Clock:
    """A thread's times."""

    def __init__(self) -> None:
        self.now_ns = 0

    def perf_counter_ns(self) -> int:
        return self.now_ns

    def thread_time_ns(self) -> int:
        return self.now_ns

    def sleep(self, seconds: float) -> None:
        self.now_ns += round(seconds * 1e9)


@pytest.mark.parametrize("asked", LOOPS.values(), ids=LOOPS)
def test_runs_begin_at_their_times(asked: PlantedLoop, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock()

    def load(*_: Any) -> Callable[[], None]:
        made = 0

        def run() -> None:
            nonlocal made
            made += 1
            clock.sleep((asked.stand_ms if made == asked.stand_at else asked.run_ms) / 1000)

        return run

    for module in (loop, timing):
        monkeypatch.setattr(module, "time", clock)
    monkeypatch.setattr(loop, "runtime_of", lambda _: SimpleNamespace(load=load))
    agent = Loop({"sustained": asked.sustained, "rules": WARM_UP, "cpus": [], "seed": 0, "threads": 1})
    assert windows_of([agent.visit({"path": Path(name)}) for name in asked.models]) == asked.windows
