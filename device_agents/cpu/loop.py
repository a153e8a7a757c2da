"""A loop that goes on from visit to visit: what a model takes when it runs for minutes, at a rate or not."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from device_agents.cpu.machine import clock_mhz, temperature_c
from device_agents.cpu.parts import Run
from device_agents.cpu.runtimes import runtime_of
from device_agents.cpu.system import HAS_THREAD_TIMES, involuntary_switches, switches_since
from device_agents.cpu.timing import warmed_up


class Loop:
    """Windows of a model's runs, one after the other. It stays loaded as long as the visits are its own."""

    def __init__(self, manifest: Mapping[str, Any]) -> None:
        self._manifest = manifest
        asked = manifest["sustained"]
        self._window_ns = int(asked["window_seconds"] * 1e9)
        self._period_ns = int(1e9 / asked["rate_hz"]) if asked.get("rate_hz") else 0
        self._path: Path | None = None

    def visit(self, model: Mapping[str, Any]) -> dict[str, Any]:
        """The fields of a window's result. model: its `Path`"""
        if "parts" in model:
            raise ValueError("a loop is of whole models, not of parts")
        setup_ns = warmup_ns = 0
        if model["path"] != self._path:
            setup_ns, warmup_ns = self._begin(model["path"])
        cpus = self._manifest["cpus"]
        before = {"clock_mhz_before": clock_mhz(cpus), "temperature_c_before": temperature_c()}
        window = self._window()
        after = {"clock_mhz_after": clock_mhz(cpus), "temperature_c_after": temperature_c()}
        return {"setup_ns": setup_ns, "warmup_ns": warmup_ns, **before, **window, **after}

    def _begin(self, path: Path) -> tuple[int, int]:
        """Loads a model and warms it up; how long each took."""
        self._path = None
        manifest, rules = self._manifest, self._manifest["rules"]
        started = time.perf_counter_ns()
        rng = np.random.default_rng(manifest["seed"])
        self._run: Run = runtime_of(manifest).load(path, manifest["threads"], rng)
        loaded = time.perf_counter_ns()
        took = warmed_up(self._run, rules)
        # at a rate, each run begins at a time of its own
        self._calls = 1 if self._period_ns else max(1, math.ceil(rules["min_sample_us"] * 1000 / min(took)))
        self._path = path
        self._began = self._ends = time.perf_counter_ns()
        self._due = self._began + self._period_ns if self._period_ns else 0
        return loaded - started, self._began - loaded

    def _window(self) -> dict[str, Any]:
        """Makes the runs that begin within the next window, at least one."""
        began = time.perf_counter_ns()
        before = involuntary_switches()
        # a window begins where the last one ended, though its last run may have taken longer; unless all stood still
        if began - self._ends > self._window_ns:
            self._ends = began
        self._ends += self._window_ns
        samples: list[int] = []
        cpu: list[int] = []
        late = 0
        while not samples or max(time.perf_counter_ns(), self._due) < self._ends:
            if self._period_ns:
                late += self._await_turn()
            cpu_before = time.thread_time_ns()
            start = time.perf_counter_ns()
            for _ in range(self._calls):
                self._run()
            end = time.perf_counter_ns()
            cpu.append(time.thread_time_ns() - cpu_before)
            samples.append(max(1, end - start))
        return {
            "samples_ns": samples,
            "cpu_ns": cpu if HAS_THREAD_TIMES and self._manifest["threads"] == 1 else None,
            "calls_per_sample": self._calls,
            "loop_ns": began - self._began,
            "timed_ns": time.perf_counter_ns() - began,
            "late": late,
            "involuntary_switches": switches_since(before),
        }

    def _await_turn(self) -> bool:
        """Waits until the next run is due; whether it begins late. Times that passed meanwhile are left out."""
        now, due = time.perf_counter_ns(), self._due
        if now < due:
            time.sleep((due - now) / 1e9)
        self._due = due + self._period_ns * (1 + max(0, now - due) // self._period_ns)
        return now > due
