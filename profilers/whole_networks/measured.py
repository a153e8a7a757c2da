"""Whole networks measured on a table's device: each in several visits, apart in time, among the table's controls.

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
from profilers.measuring.statistics import by_cpu_time, summarise
from profilers.measuring.target import Target
from profilers.profiling.table_header import NOT_KNOWN, device_model
from profilers.whole_networks.choosing import Chosen, Control

# carries out a plan on a target by rules, with a seed; such as profilers.profiling.console.measure_shown
Measure = Callable[[VisitPlan, Target, Mapping[str, Any], int], Outcome]
# a machine that runs its blocks this much faster or slower than when the table was made cannot judge it
LARGEST_CHANGE_PCT = 5.0


@dataclass(frozen=True)
class MeasuredNetwork:
    """visits_ms: the median of every visit, in the order of time, at least one

    doubtful: the machine drifted beside every visit, or was busy throughout it
    by_cpu_time: visits that are told by the thread's CPU time, since something else ran in most of their samples
    """

    visits_ms: tuple[float, ...]
    doubtful: bool = False
    by_cpu_time: int = 0

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

    networks: in its order, None for one that failed; failed: {id: why}, of networks and controls
    blocks_pct, networks_pct: by how much the controls take longer now than the table says, the median of the single
        blocks and of the whole networks; None where there are none
    hello: what the agent last told of the device
    """

    networks: tuple[MeasuredNetwork | None, ...]
    failed: Mapping[str, str]
    blocks_pct: float | None
    networks_pct: float | None
    hello: Hello

    @property
    def machine_pct(self) -> float:
        """That of the two that changed more: what slows networks may leave single blocks in their fast cache alone."""
        return max((pct for pct in (self.blocks_pct, self.networks_pct) if pct is not None), key=abs, default=0.0)

    @property
    def same_machine(self) -> bool:
        """Whether the machine runs as it did when the table was made."""
        return abs(self.machine_pct) <= LARGEST_CHANGE_PCT

    def machine_words(self) -> str:
        """How the controls compare with the table."""
        parts = (("single blocks", self.blocks_pct), ("whole networks", self.networks_pct))
        return f"{', '.join(f'{what}: {pct:+} %' for what, pct in parts if pct is not None)} against the table"


def measure_networks(
    chosen: Chosen,
    target: Target,
    measure: Measure,
    *,
    visits: int,
    seed: int,
    rules: Mapping[str, Any] | None = None,
) -> MeasuredNetworks:
    """Visits every network so often, and the controls, in a random order, with a reference network between every few.

    measure: carries the plan out; rules: the protocol's (default: the target's for whole networks)
    """
    plan = make_plan(chosen.chains(), visits, seed, reference_among=range(chosen.count))
    return measured_of(chosen, plan, measure(plan, target, target.pace.whole if rules is None else rules, seed))


def measured_of(chosen: Chosen, plan: VisitPlan, outcome: Outcome) -> MeasuredNetworks:
    """What an outcome of the plan of `chosen.chains()` says of its networks; InputError where it says nothing."""
    if not outcome.results:
        raise InputError(f"no network could be measured: {reasons(outcome.failed)}")
    ids = list(plan.models)
    networks = tuple(_measured(outcome, name) for name in ids[: chosen.count])
    controls = list(zip(ids[chosen.count :], chosen.controls, strict=True))
    blocks, whole = ([pair for pair in controls if pair[1].is_network == kind] for kind in (False, True))
    return MeasuredNetworks(
        networks, outcome.failed, _changed_pct(blocks, outcome), _changed_pct(whole, outcome), outcome.greeted
    )


def reasons(failed: Mapping[str, str]) -> str:
    """Why models failed, each reason once, in words."""
    return "; ".join(dict.fromkeys(failed.values())) or "no reason is known"


def _measured(outcome: Outcome, name: str) -> MeasuredNetwork | None:
    if name not in outcome.results:
        return None
    results = outcome.results[name]
    by_cpu = sum(map(by_cpu_time, results))
    return MeasuredNetwork(summarise(results).visits_ms, name in outcome.without_good, by_cpu)


def _changed_pct(controls: Sequence[tuple[str, Control]], outcome: Outcome) -> float | None:
    """By how much controls, each with its id, take longer now than the table says: the median."""
    now = [
        summarise(outcome.results[name]).latency_ms / control.latency_ms - 1
        for name, control in controls
        if name in outcome.results
    ]
    return round(100 * float(np.median(now)), 2) if now else None


def require_measured(table: LatencyTable, done: str) -> None:
    """InputError for a table of which no device can be asked. done: what is done with it, such as "validated" """
    if table.provenance != "measured":
        raise InputError(
            f"{table.path} is {table.provenance}: only a measured table can be {done}, on its own device: measure one "
            "with profilers.cpu, gpu, android or linux"
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
