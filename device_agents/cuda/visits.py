"""How a visit is made from work that a runtime has loaded: warm-up, samples, and what is watched meanwhile."""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from device_agents.cuda.device import Cpu, Cuda, Work
from device_agents.cuda.nvml import Nvml
from device_agents.cuda.timing import power_mw, take_samples, warm_up

# runs in one sample, and so in one graph of ours
MAX_CALLS = 256
# samples that are queued at once, after one that is not timed: as many as take so long, but some
BATCH_NS, FEWEST, MOST = 2_500_000, 2, 10
# how much work is queued at a time while the energy counter is watched
BUSY_NS = 20_000_000
# while samples are taken clock and throttling are read so often, and the list of processes so often
LOOK_NS, LIST_NS = 10_000_000, 1_000_000_000


class NoParts(ValueError):
    """A runtime runs no network in parts."""

    reason = "no_parts"


@dataclass(frozen=True)
class Loaded:
    """A model on the device. works: each is a sample, of so many `calls`, in turn; count: samples of a batch

    facts: what the result tells of its inputs
    """

    works: Sequence[Work]
    calls: int
    count: int
    facts: dict[str, Any] = field(default_factory=dict)


class Visits:
    """Makes visits on one device; a subclass loads the models of a runtime."""

    runtime = ""

    def __init__(self, manifest: dict[str, Any], device: Cuda | Cpu, nvml: Nvml) -> None:
        self.manifest, self.device, self.nvml = manifest, device, nvml
        self._energy_known: set[str] = set()
        self._others: list[int] | None = None
        self._listed_ns: int | None = None

    def visit(self, name: str, path: Path) -> dict[str, Any]:
        """The fields of a `result`."""
        started = time.perf_counter_ns()
        loaded = self.loaded(name, path)
        place = 0

        def batch(meanwhile: Callable[[], None]) -> list[int]:
            nonlocal place
            place += loaded.count + 1
            works = [loaded.works[(place + i) % len(loaded.works)] for i in range(loaded.count + 1)]
            return self.device.timed(works, meanwhile)

        samples, watched = self._sampled(batch, started, self.manifest["rules"])
        return {
            **watched,
            "samples_ns": samples,
            "cpu_ns": None,
            "calls_per_sample": loaded.calls,
            **loaded.facts,
            **self._energy(name, loaded, statistics.median(samples)),
        }

    def visit_parts(self, paths: Sequence[Path]) -> dict[str, Any]:
        """The fields of a `result` of a network that runs part by part."""
        started = time.perf_counter_ns()
        parts = self.parts(paths)
        kept: list[list[int]] = []

        def batch(meanwhile: Callable[[], None]) -> list[int]:
            # the pass before is not timed: its last part keeps the GPU busy, and what it left is in the caches
            times = self.device.timed([*parts, *parts], meanwhile)[len(parts) - 1 :]
            kept.append(times)
            return [sum(times)]

        rules = self.manifest.get("parts_rules", self.manifest["rules"])
        samples, watched = self._sampled(batch, started, rules)
        timed = kept[-len(samples) :]
        return {
            **watched,
            "samples_ns": samples,
            "cpu_ns": None,
            "calls_per_sample": 1,
            "parts_ns": [list(times) for times in zip(*timed, strict=True)],
            "parts_cpu_ns": None,
        }

    def loaded(self, name: str, path: Path) -> Loaded:
        """A model on the device, ready to be timed."""
        raise NotImplementedError

    def parts(self, paths: Sequence[Path]) -> list[Work]:
        """The parts of a network, each a run on what the part before put out."""
        raise NoParts(f"runtime {self.runtime} runs no network in {len(paths)} parts here")

    def let_go(self) -> None:
        """Frees all memory. Raises if the device is of no more use."""
        self.device.free()

    def facts(self) -> dict[str, Any]:
        """Of the device and of the runtime's libraries."""
        return {**self.device.facts(), **self.nvml.facts()}

    def others(self) -> list[int] | None:
        """Ids of other processes on the GPU, listed at most once a second: a list may take milliseconds."""
        now = time.monotonic_ns()
        if self._listed_ns is None or now - self._listed_ns >= LIST_NS:
            self._others, self._listed_ns = self.nvml.other_processes(), now
        return self._others

    def sizes(self, run: Work, four_runs: Callable[[], Work], enough_ns: float) -> tuple[int, int]:
        """How many runs take `enough_ns`, for an event's own time must not count; and how many such samples a batch.

        four_runs: makes the work that is tried, once the first runs were made
        """
        # in the first runs libraries choose algorithms, and torch.compile compiles
        self.device.timed([run] * 3, lambda: None)
        trial = four_runs()
        each = self.run_ns(statistics.median(self.device.timed([trial] * 4, lambda: None)) / 4)
        calls = min(MAX_CALLS, max(1, math.ceil(enough_ns / each)))
        return calls, min(MOST, max(FEWEST, round(BATCH_NS / (calls * each))))

    def run_ns(self, each: float) -> float:
        """What a run takes; a runtime may know that it cannot be so."""
        return each

    def _sampled(
        self, batch: Callable[[Callable[[], None]], list[int]], started: int, rules: dict[str, Any]
    ) -> tuple[list[int], dict[str, Any]]:
        """Samples, and what was watched. batch: runs some, calling what it is given while the GPU works"""
        loaded = time.perf_counter_ns()
        clocks: list[float | None] = []
        throttling: list[list[str] | None] = []
        looked: int | None = None  # when; None: the warm-up needs the clock of every batch

        def look() -> None:
            # while the GPU works: idle, its clock and its reasons would be others
            nonlocal looked
            now = time.perf_counter_ns()
            if looked is None or now - looked >= LOOK_NS:
                clocks.append(self.nvml.clock_mhz())
                if looked is not None:
                    looked = now
                    throttling.append(self.nvml.throttling())

        facts = {"temperature_c_before": self.nvml.temperature_c(), "setup_ns": loaded - started}
        warm_up(lambda: batch(look), lambda: clocks[-1], rules)
        warm = time.perf_counter_ns()
        del clocks[:-1]
        looked = warm - LOOK_NS
        samples = take_samples(lambda: batch(look), rules)
        timed = time.perf_counter_ns()
        seen = [reasons for reasons in throttling if reasons is not None]
        return samples, {
            **facts,
            "warmup_ns": warm - loaded,
            "timed_ns": timed - warm,
            "involuntary_switches": None,
            "clock_mhz_before": clocks[0],
            "clock_mhz_after": clocks[-1],
            "temperature_c_after": self.nvml.temperature_c(),
            "throttling": sorted({reason for reasons in seen for reason in reasons}) if seen else None,
            "other_processes": self.others(),
        }

    def _energy(self, name: str, loaded: Loaded, sample_ns: float) -> dict[str, float | None]:
        """Energy of one run, once a model and agent: mean power over the window, times the median time of a run."""
        window_s = self.manifest.get("energy_seconds")
        if not window_s or name in self._energy_known:
            return {}
        self._energy_known.add(name)
        chunk = [loaded.works[i % len(loaded.works)] for i in range(max(1, round(BUSY_NS / sample_ns)))]
        found = power_mw(self.nvml.energy_mj, lambda: self.device.keep_busy(chunk), window_s)
        self.device.settle()
        if found is None:
            return {"energy_mj": None, "energy_error_mj": None}
        power, error, seconds = found
        run_s = sample_ns / loaded.calls / 1e9
        return {"energy_mj": power * run_s, "energy_error_mj": error * run_s, "energy_seconds": seconds}
