"""Judges the visits of a ledger: which are good, which are doubtful, what is to be made again."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from profilers.measuring.events import Hello
from profilers.measuring.ledger import Ledger, Settled
from profilers.measuring.plan import VisitPlan
from profilers.measuring.statistics import disturbed_throughout, drifted, slowness, visit_median_ns

# a reference visit this far from the median of all: what was timed beside it is timed again
DRIFT_THRESHOLD = 0.05
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
    made = list(ledger.results.values())
    slow = slowness([result["id"] for result in made], [visit_median_ns(result) for result in made]).tolist()
    factor = dict(zip(ledger.results, slow, strict=True))
    outcome = Outcome(ledger.plan, hello=ledger.hello, slowness=slow)
    outcome.settled, outcome.no_parts = dict(ledger.settled), ledger.no_parts
    plan = ledger.plan
    # networks that others stand for, and pieces that were only tried
    unused = plan.cuts.keys() - ledger.in_parts
    unsaid = plan.cuts.keys() if ledger.no_parts else unused
    outcome.failed = {model: why for model, why in ledger.failed.items() if model not in unsaid}
    good, doubtful = good_and_doubtful(ledger)
    with_limits = _with_clock_limits(made)
    for model in (name for name in plan.models if name not in unused):
        # a network in parts that failed once has told enough when it ran before
        if (model in plan.cuts or model not in ledger.failed) and (model in good or model in doubtful):
            used = good.get(model) or doubtful[model]
            outcome.results[model] = [{**with_limits(r), "slowness": factor[r["pass"], r["number"]]} for r in used]
            if model not in good:
                outcome.doubtful += len(used)
                outcome.without_good.add(model)
    outcome.reference_ns = [median for _, _, median in _reference_visits(ledger)]
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
    """Every model's results. Doubtful: the reference drifted beside the visit, or something disturbed it."""
    reference = _reference_visits(ledger)
    bad: set[tuple[int, int]] = set()
    if reference:
        off = drifted([median for _, _, median in reference], DRIFT_THRESHOLD)
        ends = [(number, s) for (number, s, _), is_off in zip(reference, off, strict=True) if is_off]
        bad = {*ends, *((number, s + 1) for number, s in ends)}
    with_limits = _with_clock_limits(list(ledger.results.values()))
    good: dict[str, list[dict[str, Any]]] = {}
    doubtful: dict[str, list[dict[str, Any]]] = {}
    for number, visits in enumerate(ledger.passes):
        for v in visits:
            if not v.is_reference and (number, v.number) in ledger.results:
                result = ledger.results[number, v.number]
                kind = doubtful if (number, v.segment) in bad or disturbed_throughout(with_limits(result)) else good
                kind.setdefault(v.model, []).append(result)
    return good, doubtful


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


def _reference_visits(ledger: Ledger) -> list[tuple[int, int, float]]:
    """(pass, segment, median in ns) of every visit of the reference block."""
    return [
        (number, v.segment, visit_median_ns(ledger.results[number, v.number]))
        for number, visits in enumerate(ledger.passes)
        for v in visits
        if v.is_reference and (number, v.number) in ledger.results
    ]
