"""Drives agents through the last pass of a ledger: survives what kills them, gives up what kills them again."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from ofa.errors import InputError
from profilers.measuring.events import (
    PROTOCOL,
    AgentFailed,
    Begins,
    ConnectionLost,
    Done,
    Error,
    Event,
    Hello,
    Result,
)
from profilers.measuring.ledger import Ledger, check_parts
from profilers.measuring.models import Files
from profilers.measuring.plan import Visit, VisitPlan

# an agent that dies on so many blocks in a row will die on the next
DEATHS_IN_A_ROW = 5
# the word of an agent, or a runtime, that runs no network in parts
NO_PARTS = "no_parts"
# a device that is lost so often, with nothing measured in between, is not looked for again
LOSSES_IN_A_ROW = 5


class TooManyLost(Exception):
    """More agents ended over networks in parts than may."""


class Driver:
    """Makes visits by agents.

    files: the model file of every id, or the files of its parts, relative to where the agent looks
    lost: how many agents ended over networks in parts; most_lost: TooManyLost beyond it
    put_off: networks in parts that count as failed, and were never tried: so many others had failed in a row
    """

    def __init__(
        self,
        ledger: Ledger,
        files: Mapping[str, Files],
        manifest: Mapping[str, Any],
        start: Callable[[Mapping[str, Any]], Iterator[Event]],
        *,
        progress: Callable[[int, int], None],
        tries: int = 1,
        write: Callable[[VisitPlan, Sequence[str]], Mapping[str, Files]] | None = None,
    ) -> None:
        """manifest: the protocol's fields but models and visits; start: an agent, which yields what it says.

        progress: told how many visits are made, and how many there will be
        tries: a model at which agents died, or the device was lost, so often in a row is given up
        write: writes further models of a plan; None: networks in parts that fail are not cut into smaller pieces
        """
        self.ledger, self.files, self.manifest, self.start = ledger, dict(files), manifest, start
        self.progress, self.tries, self.write = progress, tries, write
        self.lost, self.most_lost = 0, math.inf
        self.put_off: set[str] = set()
        # the visit that an agent is at, None between visits
        self._at: Visit | None = None
        self._deaths = self._losses = self._lost_in_a_row = 0
        self._ends: Counter[str] = Counter()
        # whether this agent ran a network in parts; blocks that were given to another agent, because one had
        self._ran_parts = False
        self._elsewhere: set[str] = set()

    def make_pass(self) -> None:
        """Makes the visits of the last pass that the ledger lacks, starting agents as often as they die.

        InputError where another agent would do no better; TooManyLost.
        """
        made = self.ledger.results
        closed = self.ledger.closed_segments()
        while pending := self.ledger.pending(closed):
            self.progress(len(made), len(made) + len(pending))
            before, self._at = len(made), None
            try:
                self._converse(pending)
            except AgentFailed as failure:
                self._survive(failure, len(made) > before)
        self.progress(len(made), len(made))

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
        model = self._at.model
        self._ends[model] += 1
        if self._ends[model] < self.tries or self._given_to_another(model):
            return
        self.ledger.fail(self._at, str(failure))
        if model in self.ledger.plan.cuts:
            self._lose(str(failure))
            return
        self._deaths += 1
        if self._deaths >= DEATHS_IN_A_ROW:
            raise InputError(
                f"the agent died on {self._deaths} blocks in a row, at last: {failure}{self._kept()}"
            ) from None

    def _given_to_another(self, model: str) -> bool:
        """Whether a block that failed gets another agent first: a network may have left this one short of memory."""
        if model in self.ledger.plan.cuts or not self._ran_parts or model in self._elsewhere:
            return False
        self._elsewhere.add(model)
        return True

    def _lose(self, failure: str) -> None:
        """An agent ended over a network in parts: after some in a row the others are put off. TooManyLost."""
        self.lost, self._lost_in_a_row = self.lost + 1, self._lost_in_a_row + 1
        if self.lost > self.most_lost:
            raise TooManyLost
        if self._lost_in_a_row >= DEATHS_IN_A_ROW and self.most_lost == math.inf:
            self.put_off |= self._give_up_parts(f"not tried after {self._lost_in_a_row} others in a row: {failure}")

    def _give_up_parts(self, why: str) -> set[str]:
        """Fails the plan's networks in parts that were not tried, and returns them."""
        plan, done = self.ledger.plan, self.ledger.measured | self.ledger.failed.keys() | self.ledger.settled.keys()
        untried = plan.cuts.keys() - plan.pieces.keys() - done
        self.ledger.failed |= dict.fromkeys(sorted(untried), why)
        return untried

    def _kept(self) -> str:
        return f"; what was measured before is in {self.ledger.journal.path}, and --resume continues it"

    def _converse(self, pending: Sequence[Visit]) -> None:
        """One agent's life."""
        used = sorted({v.model for v in pending})
        manifest = {
            **self.manifest,
            "protocol": PROTOCOL,
            "models": [_model(name, self.files[name]) for name in used],
            "visits": [v.model for v in pending],
        }
        turn, total = 0, len(self.ledger.results) + len(pending)
        for event in self.start(manifest):
            if isinstance(event, Hello):  # a new agent, and not one that stayed
                self._ran_parts = False
                self.ledger.greet(event)
            elif isinstance(event, Begins):
                self._at = _due(event, turn, pending)
            elif isinstance(event, Done):
                if turn < len(pending):
                    raise AgentFailed(f"the agent was done after {turn} of {len(pending)} visits")
            elif isinstance(event, Result | Error):
                if isinstance(event, Error) and event.id is None:
                    raise InputError(f"the agent cannot start: {event.message}")
                if not self._end_visit(_due(event, turn, pending), event):
                    return
                turn += 1
                self.progress(len(self.ledger.results), total)

    def _end_visit(self, visit: Visit, event: Result | Error) -> bool:
        """Takes up what came of a visit. False where another agent is to go on: this one may lack memory now."""
        is_cut = visit.model in self.ledger.plan.cuts
        if isinstance(event, Result):
            check_parts(self.ledger.plan, event)
        self._at = None
        self._ran_parts |= is_cut
        if isinstance(event, Error):
            if self._given_to_another(visit.model):
                return False
            self.ledger.fail(visit, event.message)
            if is_cut and event.reason == NO_PARTS:
                self.ledger.no_parts = event.message
                self._give_up_parts(event.message)
            return not is_cut
        self.ledger.credit(visit, event)
        self._losses = self._ends[visit.model] = 0
        self._elsewhere.discard(visit.model)
        if is_cut:
            self._lost_in_a_row = 0
        else:
            self._deaths = 0
        return True


def _model(name: str, files: Files) -> dict[str, Any]:
    """A model as the manifest lists it."""
    return {"id": name, "path": files} if isinstance(files, str) else {"id": name, "parts": list(files)}


def _due(event: Begins | Result | Error, turn: int, pending: Sequence[Visit]) -> Visit:
    """The visit that an event is of: they are made one by one, in the manifest's order."""
    if turn >= len(pending) or (event.visit, event.id) != (turn, pending[turn].model):
        due = f"visit {turn} of {pending[turn].model!r} was due" if turn < len(pending) else "all visits were made"
        raise AgentFailed(f"the agent spoke of visit {event.visit!r} of {event.id!r}, but {due}")
    return pending[turn]
