"""A device whose latencies are known: it is driven as any other, and no model is written or run."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from ofa.blocks import Block
from ofa.runs.journal import Journal
from profilers.measuring.drive import Driver
from profilers.measuring.events import Begins, Done, Error, Event, Hello, Result
from profilers.measuring.judge import Outcome
from profilers.measuring.ledger import Ledger
from profilers.measuring.plan import VisitPlan
from profilers.measuring.run import carry_out
from profilers.measuring.target import Target

RUNTIME, SOC = "onnxruntime 1", "planted"


class PlantedDevice:
    """latency_ms: of a chain of blocks; noise: the sd of a visit's relative error; fails: chains that cannot be run

    busy: for so many visits something else has the CPU half of the time, and networks take three times as long
    visits: how many were made so far
    """

    def __init__(
        self,
        latency_ms: Callable[[Sequence[Block]], float],
        noise: float = 0.0,
        seed: int = 0,
        fails: Callable[[Sequence[Block]], bool] = lambda _: False,
        hello: Hello | None = None,
        busy: int = 0,
    ) -> None:
        self.latency_ms, self.noise, self.fails = latency_ms, noise, fails
        self.rng = np.random.default_rng(seed)
        self.hello = hello or Hello("planted", RUNTIME, {"cpu_model": SOC})
        self.busy, self.visits = busy, 0

    def target(self) -> Target:
        return Target("onnxruntime", 1, {}, self._agent, {})

    def measure(
        self, plan: VisitPlan, target: Target, rules: Mapping[str, Any], seed: int, *, journal: Journal
    ) -> Outcome:
        """A `Measure`, once the journal is bound; closes it as a command does. target: this device's, or round it."""
        self._plan, manifest = plan, {**target.manifest, "seed": seed, "rules": rules}
        start = partial(target.start, Path())
        try:
            files = dict.fromkeys(plan.models, "")
            return carry_out(Driver(Ledger(plan, journal), files, manifest, start, progress=lambda *_: None))
        finally:
            journal.close()

    def _agent(self, _folder: Path, manifest: Mapping[str, Any]) -> Iterator[Event]:
        yield self.hello
        for visit, name in enumerate(manifest["visits"]):
            yield Begins(visit, name)
            yield self._visit(visit, name, self._plan.models[name])
        yield Done()

    def _visit(self, visit: int, name: str, chain: Sequence[Block]) -> Event:
        if self.fails(chain):
            return Error(visit, name, "planted failure")
        self.visits += 1
        once = self.latency_ms(chain) * (1 + self.noise * self.rng.standard_normal())
        busy = self.visits <= self.busy
        samples = [max(1, round(once * (3 if busy else 1) * 1e6))] * 3
        return Result(visit, name, samples, [sample // (2 if busy else 1) for sample in samples], 1)


def new_journal(folder: Path) -> Journal:
    return Journal.create(folder / "journal.jsonl", {})
