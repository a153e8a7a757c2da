"""Whole networks measured on a table's device: each in several visits, apart in time, among single blocks of the table.

    chosen = Chosen(space, genes, controls_of(table))
    measured = measure_networks(chosen, of_table(target_of(table, 60.0), table), measure, visits=6, seed=0)
    measured.networks[0].odd_ms, measured.networks[0].even_ms

What is chosen by the odd visits is judged by the even ones: the same noise does not choose and flatter.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from ofa.errors import InputError
from ofa.reading.numbers import cut
from ofa.tables import LatencyTable
from profilers.measuring.events import Event, Hello
from profilers.measuring.judge import Outcome
from profilers.measuring.plan import VisitPlan, make_plan
from profilers.measuring.statistics import summarise
from profilers.measuring.target import Target
from profilers.profiling.table_header import NOT_KNOWN, device_model
from profilers.whole_networks.choosing import Chosen

# carries out a plan on a target by rules, with a seed; such as profilers.profiling.console.measure_shown
Measure = Callable[[VisitPlan, Target, Mapping[str, Any], int], Outcome]
# a machine that runs its blocks this much faster or slower than when the table was made cannot judge it
LARGEST_CHANGE_PCT = 5.0


@dataclass(frozen=True)
class MeasuredNetwork:
    """visits_ms: the median of every visit, in the order of time, at least one

    doubtful: the machine drifted beside every visit, or was busy throughout it
    """

    visits_ms: tuple[float, ...]
    doubtful: bool = False

    @property
    def latency_ms(self) -> float:
        """The median over all visits."""
        return float(np.median(self.visits_ms))

    @property
    def odd_ms(self) -> float:
        """The median over the first, third, ... visit."""
        return float(np.median(self.visits_ms[0::2]))

    @property
    def even_ms(self) -> float | None:
        """The median over the second, fourth, ... visit; None where there was one visit."""
        return float(np.median(self.visits_ms[1::2])) if len(self.visits_ms) > 1 else None


@dataclass(frozen=True)
class MeasuredNetworks:
    """What was measured of a `Chosen`.

    networks: in its order, None for one that failed; failed: {id: why}, of networks and control blocks
    machine_pct: by how much the control blocks take longer now than the table says, the median
    hello: what the agent last told of the device
    """

    networks: tuple[MeasuredNetwork | None, ...]
    failed: Mapping[str, str]
    machine_pct: float
    hello: Hello

    @property
    def same_machine(self) -> bool:
        """Whether the machine runs as it did when the table was made."""
        return abs(self.machine_pct) <= LARGEST_CHANGE_PCT


def measure_networks(
    chosen: Chosen,
    target: Target,
    measure: Measure,
    *,
    visits: int,
    seed: int,
    rules: Mapping[str, Any] | None = None,
) -> MeasuredNetworks:
    """Visits every network so often, and the control blocks, in a random order, with a reference between every few.

    measure: carries the plan out; rules: the protocol's (default: the target's for whole networks)
    """
    plan = make_plan(chosen.chains(), visits, seed)
    return measured_of(chosen, plan, measure(plan, target, target.pace.whole if rules is None else rules, seed))


def measured_of(chosen: Chosen, plan: VisitPlan, outcome: Outcome) -> MeasuredNetworks:
    """What an outcome of the plan of `chosen.chains()` says of its networks; InputError where it says nothing."""
    if not outcome.results:
        raise InputError(f"no network could be measured: {outcome.failed}")
    ids = list(plan.models)
    networks = tuple(
        MeasuredNetwork(summarise(outcome.results[name]).visits_ms, name in outcome.without_good)
        if name in outcome.results
        else None
        for name in ids[: len(chosen.genes)]
    )
    return MeasuredNetworks(
        networks, outcome.failed, _machine_pct(chosen, ids[len(chosen.genes) :], outcome), outcome.greeted
    )


def _machine_pct(chosen: Chosen, ids: Sequence[str], outcome: Outcome) -> float:
    """By how much the control blocks, of these ids, take longer now than the table says: the median."""
    now = [
        summarise(outcome.results[name]).latency_ms / (row.warm_ms or row.latency_ms) - 1
        for name, row in zip(ids, chosen.controls, strict=True)
        if name in outcome.results
    ]
    return round(100 * float(np.median(now)), 2) if now else 0.0


def require_measured(table: LatencyTable, done: str) -> None:
    """InputError for a table of which no device can be asked. done: what is done with it, such as "validated" """
    if table.provenance != "measured":
        raise InputError(
            f"{table.path} is {table.provenance}: only a table measured on this machine can be {done} on it"
        )


def of_table(target: Target, table: LatencyTable) -> Target:
    """The target; its agents raise InputError, before a visit, where runtime or device are not those of the table."""

    def start(folder: Path, manifest: Mapping[str, Any]) -> Iterator[Event]:
        for event in target.start(folder, manifest):
            if isinstance(event, Hello):
                check_device(event, table)
            yield event

    return replace(target, start=start)


def check_device(hello: Hello, table: LatencyTable) -> None:
    """InputError where runtime or processor are not those of the table."""
    if hello.runtime != table.header["runtime"]:
        raise InputError(f"{table.path} was made with {cut(table.header['runtime'])}, installed is {hello.runtime}")
    there, here = table.header.get("soc", NOT_KNOWN), device_model(hello.device)
    if NOT_KNOWN not in (there, here) and there != here:
        raise InputError(f"{table.path} was measured on {there}, this is {here}: measure a table of this device")
