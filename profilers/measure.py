"""Drives an agent through a plan: journals every visit, survives what kills the agent, repeats what drifted."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ofa.errors import InputError
from profilers.agent_session import PROTOCOL, AgentFailed, converse
from profilers.journal import Journal
from profilers.plan import Plan, Visit, with_reference
from profilers.statistics import drifted, visit_median_ns

# a reference visit this far from the median of all: what was timed beside it is timed again
DRIFT_THRESHOLD = 0.05
REPEATS = 2
# an agent that dies on so many blocks in a row will die on the next
DEATHS_IN_A_ROW = 5


@dataclass
class Outcome:
    """results: the undisturbed visits of every model; failed: what was said of models that could not be timed

    hello: what the agent last told of the device
    reference_ns: median of every visit of the reference block, in order
    repeated, drifting: visits that were made again, and those that drifted to the last
    """

    results: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)
    hello: dict[str, Any] = field(default_factory=dict)
    reference_ns: list[float] = field(default_factory=list)
    repeated: int = 0
    drifting: int = 0


class Measurement:
    """A plan being carried out. `folder` holds the model files, named in `files`."""

    def __init__(
        self,
        plan: Plan,
        files: Mapping[str, str],
        folder: Path,
        manifest: Mapping[str, Any],
        command: Sequence[str],
        journal: Journal,
        *,
        reference_every: int,
        timeout_s: float,
        progress: Callable[[int, int], None],
    ) -> None:
        """manifest: the protocol's fields but models and visits; command: the agent, to which the manifest is added."""
        self.plan, self.files, self.folder, self.manifest = plan, files, folder, manifest
        self.command, self.journal, self.progress = list(command), journal, progress
        self.reference_every, self.timeout_s = reference_every, timeout_s
        self.outcome = Outcome()
        self._at: Visit | None = None
        self._deaths = 0
        # (pass, visit number): its result; journalled ones first
        self.done: dict[tuple[int, int], dict[str, Any]] = {}
        for record in journal.records:
            if record["kind"] == "hello":
                self.outcome.hello = record
            elif record["kind"] == "result":
                self.done[record["pass"], record["number"]] = record

    def run(self) -> Outcome:
        """Makes every visit, then again those beside which the reference block drifted, at most twice."""
        outcome, visits = self.outcome, self.plan.visits
        good: dict[str, list[dict[str, Any]]] = {}
        for repeat in range(1 + REPEATS):
            self._make(repeat, visits)
            bad = self._drifted_segments(repeat, visits)
            again: list[str] = []
            for v in visits:
                result = self.done.get((repeat, v.number))
                if result is None or v.is_reference:
                    continue
                if v.segment in bad and repeat < REPEATS:
                    again.append(v.model)
                else:
                    good.setdefault(v.model, []).append(result)
                    outcome.drifting += v.segment in bad
            if not again:
                break
            outcome.repeated += len(again)
            visits = with_reference(again, self.plan.reference, self.reference_every)
        outcome.results = {name: results for name, results in good.items() if name not in outcome.failed}
        return outcome

    def _drifted_segments(self, repeat: int, visits: Sequence[Visit]) -> set[int]:
        """Segments with a drifted reference visit at either end, by the median of all reference visits so far."""
        reference = [v for v in visits if v.is_reference and (repeat, v.number) in self.done]
        self.outcome.reference_ns += [visit_median_ns(self.done[repeat, v.number]) for v in reference]
        if not reference:
            return set()
        off = drifted(self.outcome.reference_ns, DRIFT_THRESHOLD)[-len(reference) :]
        ends = {v.segment for v, is_off in zip(reference, off, strict=True) if is_off}
        return ends | {segment + 1 for segment in ends}

    def _make(self, repeat: int, visits: Sequence[Visit]) -> None:
        """Makes the visits of one pass that the journal does not hold, starting agents as often as they die."""
        while True:
            pending = [v for v in visits if (repeat, v.number) not in self.done and v.model not in self.outcome.failed]
            self.progress(len(visits) - len(pending), len(visits))
            if not pending:
                return
            self._at = None
            try:
                self._converse(repeat, pending, len(visits))
            except AgentFailed as failure:
                if self._at is None:
                    raise InputError(f"the agent cannot start: {failure}") from None
                self._fail(self._at, str(failure))
                self._deaths += 1
                if self._deaths >= DEATHS_IN_A_ROW:
                    raise InputError(f"the agent died on {self._deaths} blocks in a row, at last: {failure}") from None

    def _converse(self, repeat: int, pending: Sequence[Visit], total: int) -> None:
        """One agent's life; `_at` is the visit it has begun."""
        used = sorted({v.model for v in pending})
        manifest = {
            **self.manifest,
            "protocol": PROTOCOL,
            "models": [{"id": name, "path": self.files[name]} for name in used],
            "visits": [v.model for v in pending],
        }
        path = self.folder / "manifest.json"
        path.write_text(json.dumps(manifest), encoding="utf-8")
        for event in converse([*self.command, str(path)], self.timeout_s):
            kind = event["type"]
            if kind == "hello":
                self._greet(event)
            elif kind == "visit":
                self._at = self._asked_for(event, pending)
            elif kind == "error" and event.get("id") is None:
                raise InputError(f"the agent cannot start: {event.get('message')}")
            elif kind == "error":
                self._fail(self._asked_for(event, pending), str(event.get("message")))
            elif kind == "result":
                v = self._asked_for(event, pending)
                record = {"kind": "result", "pass": repeat, "number": v.number, **event}
                self.journal.append(record)
                self.done[repeat, v.number] = record
                self._deaths = 0
                self.progress(total - len(pending) + event["visit"] + 1, total)

    @staticmethod
    def _asked_for(event: Mapping[str, Any], pending: Sequence[Visit]) -> Visit:
        number = event.get("visit")
        if not isinstance(number, int) or not 0 <= number < len(pending) or pending[number].model != event.get("id"):
            raise AgentFailed(f"the agent spoke of visit {number!r} of {event.get('id')!r}, which it was not asked for")
        return pending[number]

    def _greet(self, hello: dict[str, Any]) -> None:
        """Journals the device's facts; a journal of another device or runtime is not gone on with."""
        before = self.outcome.hello
        for what, old, new in (
            ("runtime", before.get("runtime"), hello.get("runtime")),
            ("device", before.get("device", {}).get("cpu_model"), hello.get("device", {}).get("cpu_model")),
        ):
            if before and old != new:
                raise InputError(
                    f"{self.journal.path} was begun on {what} {old!r}, this is {new!r}: start anew with --overwrite"
                )
        record = {"kind": "hello", **hello}
        self.journal.append(record)
        self.outcome.hello = record

    def _fail(self, visit: Visit, message: str) -> None:
        self.outcome.failed[visit.model] = message
        self.journal.append({"kind": "failed", "id": visit.model, "message": message})
