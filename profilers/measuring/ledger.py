"""What was made of a plan so far, as its journal holds it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, TypeVar

from ofa.errors import InputError
from ofa.model_files.lacking import in_words
from ofa.runs.journal import Journal
from profilers.measuring.events import (
    AGENT_FACTS,
    HOST_FACTS,
    AgentFailed,
    Event,
    Hello,
    Result,
    event_of,
    shown,
)
from profilers.measuring.plan import Piece, Visit, VisitPlan
from profilers.measuring.statistics import visit_median_ns

# facts of the device that tell one from another
_SAME_DEVICE = ("cpu_model", "soc", "gpu")
_Kind = TypeVar("_Kind", Hello, Result)


@dataclass(frozen=True)
class Fault:
    """Blocks that run alone, but not in a network: one, or two that do not run together. blocks: in its chain

    in_parts: whether they run in the network where each is a part of its own
    """

    blocks: tuple[int, ...]
    message: str
    in_parts: bool


@dataclass(frozen=True)
class Settled:
    """What is timed of a network in parts that does not run whole. pieces: their ids; message: why it does not run"""

    pieces: tuple[str, ...]
    message: str
    faults: tuple[Fault, ...] = ()


class Ledger:
    """Passes, results, the device and what failed; whatever is added is in the journal before it is here.

    A measurement goes in passes: the plan's visits, then those that are to be made again, and so on. The journal holds
    the order of every later pass, so that a resumed measurement credits each result to the visit it was made for.

    plan: what was given, and the pieces that were cut out of its networks in parts since
    results: {(pass, number of the visit): its result as a protocol line, with the host's fields}, in the order of time
    hello: what the agent last told of the device; failed: {model: why}, which a resumed measurement tries again
    settled: networks in parts that do not run whole, and what is timed in their place
    no_parts: why no network runs in parts on this device at all, "" if one may
    """

    def __init__(self, plan: VisitPlan, journal: Journal) -> None:
        """InputError if the journal is of another plan."""
        self.plan, self.journal = plan, journal
        self.passes: list[tuple[Visit, ...]] = [plan.visits]
        self.results: dict[tuple[int, int], dict[str, Any]] = {}
        self.hello: Hello | None = None
        self.failed: dict[str, str] = {}
        self.settled: dict[str, Settled] = {}
        self.no_parts = ""
        self._medians_ns: dict[tuple[int, int], float] = {}
        for record in journal.records:
            try:
                self._restore(record)
            except (AgentFailed, KeyError, TypeError, IndexError, ValueError):
                raise InputError(f"{journal.path} is not of this plan: start again with --overwrite") from None

    def _restore(self, record: Mapping[str, Any]) -> None:
        """Takes up one record; raises where it is not of this plan."""
        if record.get("kind") == "hello":
            self.hello = _checked(record, Hello)
        elif record.get("kind") == "pass":
            self.passes.append(self.plan.later_pass([name for name in record["order"] if self.plan.models[name]]))
        elif record.get("kind") == "result":
            number, turn = record["pass"], record["number"]
            if min(number, turn) < 0 or self.passes[number][turn].model != record["id"]:
                raise ValueError(f"no visit {turn} of pass {number} is of {record['id']!r}")
            result = _checked(record, Result)
            check_parts(self.plan, result)
            self.results[number, turn] = _credited(result, number, turn)
        elif record.get("kind") == "pieces":
            pieces = {str(name): _piece(piece) for name, piece in record["pieces"].items()}
            self.plan = self.plan.with_pieces(pieces)
        elif record.get("kind") == "settled":
            pieces_of = tuple(name for name in record["pieces"] if self.plan.pieces[name].of == record["id"])
            faults = tuple(_fault(fault, self.plan.models[record["id"]]) for fault in record["faults"])
            self.settled[record["id"]] = Settled(pieces_of, str(record["message"]), faults)

    def median_ns(self, turn: tuple[int, int]) -> float:
        """Median time of one call in a visit that has a result, by (pass, number): worked out once."""
        if turn not in self._medians_ns:
            self._medians_ns[turn] = visit_median_ns(self.results[turn])
        return self._medians_ns[turn]

    @property
    def last_pass(self) -> int:
        return len(self.passes) - 1

    def pending(self, closed: set[int]) -> list[Visit]:
        """The last pass's visits that are still to be made, but those of the segments `closed`."""
        number = self.last_pass
        return [
            v
            for v in self.passes[number]
            if (number, v.number) not in self.results
            and v.model not in self.failed
            and v.model not in self.settled
            and v.segment not in closed
        ]

    def turns(self) -> dict[str, int]:
        """How many visits each model gets that is timed: of a settled network, its pieces get as many as it had."""
        turns = Counter(v.model for v in self.plan.visits if not v.is_reference)
        cut = {piece: turns[name] for name, settled in self.settled.items() for piece in settled.pieces}
        return {name: n for name, n in turns.items() if name not in self.settled} | cut

    def closed_segments(self) -> set[int]:
        """Segments of the last pass whose last reference visit is made: what failed there gets a pass of its own."""
        number = self.last_pass
        return {v.segment for v in self.passes[number] if v.is_reference and (number, v.number) in self.results}

    def begin_pass(self, order: Sequence[str]) -> None:
        """The models to visit again, in this order."""
        self.journal.append({"kind": "pass", "number": len(self.passes), "order": list(order)})
        self.passes.append(self.plan.later_pass(order))

    def greet(self, hello: Hello) -> None:
        """Takes up the device's facts; InputError where the journal was begun on another device or runtime."""
        if (before := self.hello) is not None:
            for what, old, new in (
                ("runtime", before.runtime, hello.runtime),
                *(("device", before.device.get(key), hello.device.get(key)) for key in _SAME_DEVICE),
            ):
                if old != new:
                    raise InputError(
                        f"{self.journal.path} was begun on {what} {shown(old)}, this is {shown(new)}: start again with "
                        "--overwrite"
                    )
        self.journal.append({"kind": "hello", **hello.record()})
        self.hello = hello

    def credit(self, visit: Visit, result: Result) -> None:
        """Takes up the result of a visit of the last pass."""
        record = _credited(result, self.last_pass, visit.number)
        self.journal.append(record)
        self.results[self.last_pass, visit.number] = record

    def fail(self, visit: Visit, message: str) -> None:
        """Gives up a model."""
        self.failed[visit.model] = in_words(message, self.hello.runtime if self.hello else "")
        self.journal.append({"kind": "failed", "id": visit.model, "message": message})

    @property
    def measured(self) -> set[str]:
        """The models that have a result."""
        return {result["id"] for result in self.results.values()}

    @property
    def in_parts(self) -> list[str]:
        """What is timed in parts: the plan's networks that are, or the pieces in their place."""
        return networks_in_parts(self.plan, self.settled)

    def cut_out(self, pieces: Sequence[Piece]) -> list[str]:
        """The ids of pieces, old or new: such as "b00105.2", the second piece that was cut out of b00105."""
        known = {piece: name for name, piece in self.plan.pieces.items()}
        counts = Counter(piece.of for piece in known)
        new: dict[str, Piece] = {}
        for piece in pieces:
            if piece not in known:
                counts[piece.of] += 1
                known[piece] = f"{piece.of}.{counts[piece.of]}"
                new[known[piece]] = piece
        if new:
            self.journal.append({"kind": "pieces", "pieces": {name: asdict(piece) for name, piece in new.items()}})
            self.plan = self.plan.with_pieces(new)
        return [known[piece] for piece in pieces]

    def settle(self, name: str, settled: Settled) -> None:
        """Decides what is timed of a network that does not run whole."""
        self.journal.append({"kind": "settled", "id": name, **asdict(settled)})
        self.settled[name] = settled


def networks_in_parts(plan: VisitPlan, settled: Mapping[str, Settled]) -> list[str]:
    """What is timed in parts: the plan's networks that are, or the pieces in their place."""
    given = [name for name in plan.cuts if name not in plan.pieces]
    return [model for name in given for model in (settled[name].pieces if name in settled else (name,))]


def check_parts(plan: VisitPlan, result: Result) -> None:
    """AgentFailed unless a result tells of as many parts as its model has, and of none where that is not cut."""
    timed = None if result.parts_ns is None else len(result.parts_ns)
    parts = len(plan.parts(result.id)) if result.id in plan.cuts else None
    if timed != parts:
        raise AgentFailed(f"the agent reported {timed or 'no'} parts of {result.id!r}, which has {parts or 'none'}")


def _credited(result: Result, number: int, turn: int) -> dict[str, Any]:
    """The journal's record of a result: the agent's fields, then those of the host, which nothing overrides."""
    own = {"kind": "result", "pass": number, "number": turn}
    return {**own, **result.record(), **own}


def _piece(record: Mapping[str, Any]) -> Piece:
    return Piece(str(record["of"]), tuple((int(first), int(end)) for first, end in record["parts"]))


def _fault(record: Mapping[str, Any], chain: Sequence[object]) -> Fault:
    blocks = tuple(int(block) for block in record["blocks"] if chain[block])
    return Fault(blocks, str(record["message"]), bool(record["in_parts"]))


def _checked(record: Mapping[str, Any], kind: type[_Kind]) -> _Kind:
    """What an agent said, from a journal, where the host has added its own facts."""
    event: Event = event_of(record, AGENT_FACTS | HOST_FACTS)
    if not isinstance(event, kind):
        raise TypeError(kind.__name__)
    return event
