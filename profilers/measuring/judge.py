"""Judges the visits of a ledger: which are good, which are doubtful, what is to be made again."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from profilers.measuring.events import Hello
from profilers.measuring.ledger import Ledger, Settled
from profilers.measuring.plan import VisitPlan
from profilers.measuring.statistics import disturbed_throughout, drifted, slowness

# a reference visit this far from the median of all: what was timed beside it is doubtful
DRIFT_THRESHOLD = 0.05
# unless its neighbours tell how slow the machine was, which was not more than this: the visit is used over that
KNOWN_SLOWNESS = 0.10
# and the reference visit, over the same, is not as far off as this: what lasts for seconds only, neighbours do not tell
SPELL = 0.15
# in so short a run the neighbours, 24 of a visit, are a good part of all, and do not tell now from usual
SHORT = 100
# a clock limited to less than this share of the highest limit seen was cut
CLOCK_LIMIT = 0.99


@dataclass
class Outcome:
    """plan: what was timed, with the pieces of networks in parts that do not run whole

    results: the undisturbed visits of every model, each with the machine's `slowness` at the time
    failed: what was said of models that could not be timed
    settled: networks in parts that do not run whole, and what was timed in their place
    no_parts: why no network runs in parts on this device, "" if some do
    hello: what the agent last told of the device; None: none ever spoke
    reference_ns: median of every visit of the reference block, in order
    slowness: of the machine around every visit, in order
    repeated: visits that were made again, because the machine drifted, was busy, or a block had failed
    doubtful: visits beside which the machine drifted, or that something disturbed throughout, used for want of better
    without_good: the models that have only such visits
    """

    plan: VisitPlan
    results: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)
    settled: dict[str, Settled] = field(default_factory=dict)
    no_parts: str = ""
    hello: Hello | None = None
    reference_ns: list[float] = field(default_factory=list)
    slowness: list[float] = field(default_factory=list)
    repeated: int = 0
    doubtful: int = 0
    without_good: set[str] = field(default_factory=set)

    @property
    def greeted(self) -> Hello:
        """The hello of a measurement that has results."""
        assert self.hello is not None, "results come after a hello"
        return self.hello


def judge(ledger: Ledger) -> Outcome:
    """The outcome so far. A doubtful visit, maybe off by a factor, is used only for a model without a good one."""
    made, around = list(ledger.results.values()), _slowness(ledger)
    factor = {turn: 1.0 if np.isnan(slow) else slow for turn, slow in around.items()}
    outcome = Outcome(ledger.plan, hello=ledger.hello, slowness=list(factor.values()))
    outcome.settled, outcome.no_parts = dict(ledger.settled), ledger.no_parts
    plan = ledger.plan
    # networks that others stand for, and pieces that were only tried
    unused = plan.cuts.keys() - ledger.in_parts
    unsaid = plan.cuts.keys() if ledger.no_parts else unused
    outcome.failed = {model: why for model, why in ledger.failed.items() if model not in unsaid}
    good, doubtful = _good_and_doubtful(ledger, around)
    with_limits = _with_clock_limits(made)
    for model in (name for name in plan.models if name not in unused):
        # a network in parts that failed once has told enough when it ran before
        if (model in plan.cuts or model not in ledger.failed) and (model in good or model in doubtful):
            used = good.get(model) or doubtful[model]
            outcome.results[model] = [{**with_limits(r), "slowness": factor[r["pass"], r["number"]]} for r in used]
            if model not in good:
                outcome.doubtful += len(used)
                outcome.without_good.add(model)
    outcome.reference_ns = [visit.median_ns for visit in _reference_visits(ledger)]
    outcome.repeated = sum(
        not v.is_reference and v.model not in ledger.plan.pieces and (number, v.number) in ledger.results
        for number, visits in enumerate(ledger.passes[1:], start=1)
        for v in visits
    )
    return outcome


def lacking(ledger: Ledger) -> list[str]:
    """The models to visit again, once for every good visit that they lack, a model's own turns far apart."""
    good, _ = good_and_doubtful(ledger)
    lacks = {m: n - len(good.get(m, ())) for m, n in ledger.turns().items() if m not in ledger.failed}
    return [model for turn in range(max(lacks.values(), default=0)) for model in lacks if lacks[model] > turn]


def good_and_doubtful(ledger: Ledger) -> tuple[dict[str, list[dict[str, Any]]], dict[str, list[dict[str, Any]]]]:
    """Every model's results. Doubtful: something disturbed the visit, or the reference drifted beside it, and either
    the machine was off by more than `KNOWN_SLOWNESS`, or for seconds only, or nobody knows by how much.

    To throw away all visits beside a drift costs more than it saves where a machine is never quiet: half of them went,
    and networks repeated themselves within 1.9 to 2.8 % instead of 1.3 to 1.7 (docs/results/measuring.md). It loses
    where a part of the models alone is slowed, the reference among them: neighbours of both kinds do not tell that.
    """
    return _good_and_doubtful(ledger, _slowness(ledger))


def _good_and_doubtful(
    ledger: Ledger, slow: Mapping[tuple[int, int], float]
) -> tuple[dict[str, list[dict[str, Any]]], dict[str, list[dict[str, Any]]]]:
    """slow: as `_slowness` tells it"""
    reference = _reference_visits(ledger)
    drifts, spells = _drifts_and_spells(reference, slow)
    with_limits = _with_clock_limits(list(ledger.results.values()))

    def is_doubtful(turn: tuple[int, int], segment: tuple[int, int]) -> bool:
        unknown = (
            segment in spells or len(slow) < SHORT or not abs(slow[turn] - 1) <= KNOWN_SLOWNESS
        )  # nan is unknown, too
        return (segment in drifts and unknown) or disturbed_throughout(with_limits(ledger.results[turn]))

    good: dict[str, list[dict[str, Any]]] = {}
    doubtful: dict[str, list[dict[str, Any]]] = {}
    for number, visits in enumerate(ledger.passes):
        for v in visits:
            if not v.is_reference and (number, v.number) in ledger.results:
                result = ledger.results[number, v.number]
                kind = doubtful if is_doubtful((number, v.number), (number, v.segment)) else good
                kind.setdefault(v.model, []).append(result)
    return good, doubtful


def _slowness(ledger: Ledger) -> dict[tuple[int, int], float]:
    """How slow the machine was around every visit, by (pass, number), in the order of time; nan: not known."""
    models = [result["id"] for result in ledger.results.values()]
    slow = slowness(models, [ledger.median_ns(turn) for turn in ledger.results])
    return dict(zip(ledger.results, slow.tolist(), strict=True))


def _with_clock_limits(results: Sequence[dict[str, Any]]) -> Callable[[dict[str, Any]], dict[str, Any]]:
    """Adds to a result's `throttling` that its core's clock was limited to less than it was at another time.

    An agent does not know what later visits, or the next agent, will see: only all results tell.
    """
    limits = [result["clock_limit_mhz"] for result in results if result.get("clock_limit_mhz") is not None]
    highest = max(limits, default=0.0)

    def with_limits(result: dict[str, Any]) -> dict[str, Any]:
        limit = result.get("clock_limit_mhz")
        if limit is None and limits:  # it could not be read just then: the clocks tell as much
            clocks = [result.get(key) for key in ("clock_mhz_before", "clock_mhz_after")]
            limit = max((mhz for mhz in clocks if mhz is not None), default=None)
        if limit is None or limit >= CLOCK_LIMIT * highest:
            return result
        return {**result, "throttling": [*(result.get("throttling") or ()), "clock limit lowered"]}

    return with_limits


@dataclass(frozen=True)
class _Reference:
    """A visit of the reference. turn: (pass, number); segment: (pass, segment) that it ends"""

    turn: tuple[int, int]
    segment: tuple[int, int]
    median_ns: float


def _reference_visits(ledger: Ledger) -> list[_Reference]:
    return [
        _Reference((number, v.number), (number, v.segment), ledger.median_ns((number, v.number)))
        for number, visits in enumerate(ledger.passes)
        for v in visits
        if v.is_reference and (number, v.number) in ledger.results
    ]


def _drifts_and_spells(
    reference: Sequence[_Reference], slow: Mapping[tuple[int, int], float]
) -> tuple[set[tuple[int, int]], set[tuple[int, int]]]:
    """The (pass, segment)s beside a reference visit that drifted, and those where neighbours do not tell why."""
    if not reference:
        return set(), set()
    off = drifted([visit.median_ns for visit in reference], DRIFT_THRESHOLD)
    # of those of which nobody knows how slow the machine was, visits are doubtful anyway
    spells = drifted([visit.median_ns / np.nan_to_num(slow[visit.turn], nan=1.0) for visit in reference], SPELL)
    return _beside(reference, off), _beside(reference, off & spells)


def _beside(reference: Sequence[_Reference], which: NDArray[np.bool_]) -> set[tuple[int, int]]:
    """The segments before and after these of the reference's visits."""
    ends = [visit.segment for visit, is_one in zip(reference, which, strict=True) if is_one]
    return {*ends, *((number, segment + 1) for number, segment in ends)}
