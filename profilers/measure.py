"""Drives an agent through a plan: journals every visit, survives what kills the agent, repeats what drifted."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ofa.errors import InputError
from profilers.agent_session import PROTOCOL, AgentFailed, ConnectionLost, Event
from profilers.journal import Journal
from profilers.plan import Plan, Visit, with_reference
from profilers.statistics import disturbed_throughout, drifted, slowness, visit_median_ns

# a reference visit this far from the median of all: what was timed beside it is timed again
DRIFT_THRESHOLD = 0.05
REPEATS = 2
# an agent that dies on so many blocks in a row will die on the next
DEATHS_IN_A_ROW = 5
# a device that is lost so often, with nothing measured in between, is not looked for again
LOSSES_IN_A_ROW = 5


@dataclass
class Outcome:
    """results: the undisturbed visits of every model, each with the machine's `slowness` at the time
    failed: what was said of models that could not be timed

    hello: what the agent last told of the device
    reference_ns: median of every visit of the reference block, in order
    slowness: of the machine around every visit, in order
    repeated: visits that were made again, because the machine drifted, was busy, or a block had failed
    doubtful: visits beside which the machine drifted, or that something disturbed throughout, used for want of better
    without_good: the models that have only such visits
    """

    results: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)
    hello: dict[str, Any] = field(default_factory=dict)
    reference_ns: list[float] = field(default_factory=list)
    slowness: list[float] = field(default_factory=list)
    repeated: int = 0
    doubtful: int = 0
    without_good: set[str] = field(default_factory=set)


class Measurement:
    """A plan being carried out. `files` names the model file of every id, relative to where the agent looks.

    It goes in passes: the plan's visits, then those that are to be made again, and so on. The journal holds the
    order of every later pass, so that a resumed measurement credits each result to the visit it was made for.
    """

    def __init__(
        self,
        plan: Plan,
        files: Mapping[str, str],
        manifest: Mapping[str, Any],
        start: Callable[[Mapping[str, Any]], Iterator[Event]],
        journal: Journal,
        *,
        reference_every: int,
        progress: Callable[[int, int], None],
        tries: int = 1,
    ) -> None:
        """manifest: the protocol's fields but models and visits; start: an agent, which yields what it says.

        tries: a model at which agents died, or the device was lost, so often in a row is given up
        """
        self.plan, self.files, self.manifest, self.start = plan, files, manifest, start
        self.journal, self.progress, self.reference_every = journal, progress, reference_every
        self.tries = tries
        self.outcome = Outcome()
        self.passes = [plan.visits]
        # (pass, visit number): its result
        self.done: dict[tuple[int, int], dict[str, Any]] = {}
        self._at: Visit | None = None
        self._deaths = self._losses = 0
        self._ends: Counter[str] = Counter()
        for record in journal.records:
            if record.get("kind") == "hello":
                self.outcome.hello = record
            elif record.get("kind") == "pass":
                self.passes.append(with_reference(record["order"], plan.reference, reference_every))
            elif record.get("kind") == "result":
                number, turn = record["pass"], record["number"]
                if number >= len(self.passes) or self.passes[number][turn].model != record["id"]:
                    raise InputError(f"{journal.path} is not of this plan: start anew with --overwrite")
                self.done[number, turn] = record

    def run(self) -> Outcome:
        """Makes every visit, then again those that drifted or were disturbed throughout, at most twice."""
        self._make()
        for _ in range(REPEATS):
            again = self._lacking()
            if not again:
                break
            self.journal.append({"kind": "pass", "number": len(self.passes), "order": again})
            self.passes.append(with_reference(again, self.plan.reference, self.reference_every))
            self._make()
        return self.judged()

    def _lacking(self) -> list[str]:
        """The models to visit again, once for every good visit that they lack, a model's own turns far apart."""
        good, _ = self._good_and_doubtful()
        turns = Counter(v.model for v in self.plan.visits if not v.is_reference)
        lacks = {m: n - len(good.get(m, ())) for m, n in turns.items() if m not in self.outcome.failed}
        return [model for turn in range(max(lacks.values(), default=0)) for model in lacks if lacks[model] > turn]

    def judged(self) -> Outcome:
        """The outcome so far. A doubtful visit, maybe off by a factor, is used only for a model without a good one."""
        outcome = self.outcome
        # in the order of time: a journal's records, then those made now
        made = list(self.done.values())
        slow = slowness([result["id"] for result in made], [visit_median_ns(result) for result in made]).tolist()
        factor = dict(zip(self.done, slow, strict=True))
        outcome.slowness = slow
        good, doubtful = self._good_and_doubtful()
        for model in self.plan.models:
            if model not in outcome.failed and (model in good or model in doubtful):
                used = good.get(model) or doubtful[model]
                outcome.results[model] = [{**r, "slowness": factor[r["pass"], r["number"]]} for r in used]
                if model not in good:
                    outcome.doubtful += len(used)
                    outcome.without_good.add(model)
        outcome.reference_ns = [median for _, _, median in self._reference_visits()]
        outcome.repeated = sum(
            not v.is_reference and (number, v.number) in self.done
            for number, visits in enumerate(self.passes[1:], start=1)
            for v in visits
        )
        return outcome

    def _reference_visits(self) -> list[tuple[int, int, float]]:
        """(pass, segment, median in ns) of every visit of the reference block."""
        return [
            (number, v.segment, visit_median_ns(self.done[number, v.number]))
            for number, visits in enumerate(self.passes)
            for v in visits
            if v.is_reference and (number, v.number) in self.done
        ]

    def _good_and_doubtful(self) -> tuple[dict[str, list[dict[str, Any]]], dict[str, list[dict[str, Any]]]]:
        """Every model's results. Doubtful: the reference drifted beside the visit, or something disturbed it."""
        reference = self._reference_visits()
        bad: set[tuple[int, int]] = set()
        if reference:
            off = drifted([median for _, _, median in reference], DRIFT_THRESHOLD)
            ends = [(number, s) for (number, s, _), is_off in zip(reference, off, strict=True) if is_off]
            bad = {*ends, *((number, s + 1) for number, s in ends)}
        good: dict[str, list[dict[str, Any]]] = {}
        doubtful: dict[str, list[dict[str, Any]]] = {}
        for number, visits in enumerate(self.passes):
            for v in visits:
                if not v.is_reference and (number, v.number) in self.done:
                    result = self.done[number, v.number]
                    kind = doubtful if (number, v.segment) in bad or disturbed_throughout(result) else good
                    kind.setdefault(v.model, []).append(result)
        return good, doubtful

    def _pending(self, closed: set[int]) -> list[Visit]:
        """The last pass's visits that are still to be made."""
        number = len(self.passes) - 1
        return [
            v
            for v in self.passes[number]
            if (number, v.number) not in self.done and v.model not in self.outcome.failed and v.segment not in closed
        ]

    def _make(self) -> None:
        """Makes the visits of the last pass that the journal does not hold, starting agents as often as they die."""
        number = len(self.passes) - 1
        # a segment whose last reference visit is made takes no more visits: what failed there gets a pass of its own
        closed = {v.segment for v in self.passes[number] if v.is_reference and (number, v.number) in self.done}
        while pending := self._pending(closed):
            self.progress(len(self.done), len(self.done) + len(pending))
            made, self._at = len(self.done), None
            try:
                self._converse(number, pending)
            except AgentFailed as failure:
                self._survive(failure, len(self.done) > made)
        self.progress(len(self.done), len(self.done))

    def _survive(self, failure: AgentFailed, got_on: bool) -> None:
        """Blames the visit at which an agent ended, if there was one; InputError where another would do no better."""
        if self._at is None:
            # an agent that dies between visits has no block to blame: another goes on, if it got anywhere
            if not got_on and not isinstance(failure, ConnectionLost):
                raise InputError(f"the agent cannot start: {failure}") from None
            self._losses = 0 if got_on else self._losses + 1
            if self._losses >= LOSSES_IN_A_ROW:
                raise InputError(f"{failure}, {self._losses} times in a row{self._kept()}") from None
            return
        self._ends[self._at.model] += 1
        if self._ends[self._at.model] < self.tries:
            return
        self._fail(self._at, str(failure))
        self._deaths += 1
        if self._deaths >= DEATHS_IN_A_ROW:
            raise InputError(
                f"the agent died on {self._deaths} blocks in a row, at last: {failure}{self._kept()}"
            ) from None

    def _kept(self) -> str:
        return f"; what was measured before is in {self.journal.path}, and --resume goes on with it"

    def _converse(self, number: int, pending: Sequence[Visit]) -> None:
        """One agent's life; `_at` is the visit it is at, None between visits."""
        used = sorted({v.model for v in pending})
        manifest = {
            **self.manifest,
            "protocol": PROTOCOL,
            "models": [{"id": name, "path": self.files[name]} for name in used],
            "visits": [v.model for v in pending],
        }
        turn, total = 0, len(self.done) + len(pending)
        for event in self.start(manifest):
            kind = event["type"]
            if kind == "hello":
                self._greet(event)
            elif kind == "visit":
                self._expect(event, turn, pending)
                self._at = pending[turn]
            elif kind == "error" and event.get("id") is None:
                raise InputError(f"the agent cannot start: {event.get('message')}")
            elif kind == "done":
                if turn < len(pending):
                    raise AgentFailed(f"the agent was done after {turn} of {len(pending)} visits")
            else:
                self._expect(event, turn, pending)
                v, self._at = pending[turn], None
                turn += 1
                if kind == "error":
                    self._fail(v, str(event.get("message")))
                else:
                    record = {"kind": "result", "pass": number, "number": v.number, **event}
                    self.journal.append(record)
                    self.done[number, v.number] = record
                    self._deaths = self._losses = self._ends[v.model] = 0
                self.progress(len(self.done), total)

    @staticmethod
    def _expect(event: Mapping[str, Any], turn: int, pending: Sequence[Visit]) -> None:
        """Visits are made one by one, in the manifest's order."""
        if turn >= len(pending) or (event.get("visit"), event.get("id")) != (turn, pending[turn].model):
            due = f"visit {turn} of {pending[turn].model!r} was due" if turn < len(pending) else "all visits were made"
            raise AgentFailed(f"the agent spoke of visit {event.get('visit')!r} of {event.get('id')!r}, but {due}")

    def _greet(self, hello: dict[str, Any]) -> None:
        """Journals the device's facts; a journal of another device or runtime is not gone on with."""
        before = self.outcome.hello
        told = before.get("device", {})
        for what, old, new in (
            ("runtime", before.get("runtime"), hello["runtime"]),
            *(("device", told.get(key), hello["device"].get(key)) for key in ("cpu_model", "soc", "gpu")),
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
