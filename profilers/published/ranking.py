"""Published and found networks as they were measured: what a run leaves in its file."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from ofa import __version__
from ofa.published.accuracies import Recipe
from ofa.runs.settings import identity_of
from ofa.search.specialised import Specialised
from profilers.devices.phone.words import shareable
from profilers.measuring.statistics import standard_error_of_few
from profilers.profiling.table_header import device_model
from profilers.published.advantage import Advantage, Point, advantage, frontier_of
from profilers.published.config import BaselinesConfig
from profilers.published.entrants import Contest, Entrant
from profilers.whole_networks.measured import MeasuredNetwork, MeasuredNetworks

HOW = (
    "latencies: medians of visits, all measured in one run, found and published networks in a random order; top-1 of "
    "found networks: predicted; of published ones: published; compared by straight lines between neighbouring found "
    "networks, over the logarithm of the latency, and not beyond the fastest and the slowest"
)


@dataclass(frozen=True, eq=False)
class MeasuredEntrant:
    """advantage: by recipe, of the found networks over it"""

    entrant: Entrant
    times: MeasuredNetwork
    advantage: Mapping[Recipe, Advantage]


@dataclass(frozen=True, eq=False)
class Ranking:
    """What was measured of a contest.

    published, found: those that could be measured, from fast to slow; failed: {what: why} of the others
    """

    contest: Contest
    published: Sequence[MeasuredEntrant]
    found: Sequence[tuple[Specialised, MeasuredNetwork]]
    failed: Mapping[str, str]
    measured: MeasuredNetworks


def error_of(times: MeasuredNetwork) -> float:
    """Standard error of a latency, ms; NaN where there was one visit."""
    return standard_error_of_few(times.visits_ms) if len(times.visits_ms) > 1 else math.nan


def ranking_of(contest: Contest, measured: MeasuredNetworks) -> Ranking:
    """measured: of the contest's plan"""
    count = len(contest.found)
    times_found, times_published = measured.networks[:count], measured.networks[count:]
    found = [(one, times) for one, times in zip(contest.found, times_found, strict=True) if times is not None]
    found.sort(key=lambda pair: pair[1].latency_ms)
    frontier = frontier_of(_point(times, network.predicted_top1) for network, times in found)
    published = [
        MeasuredEntrant(
            entrant,
            times,
            {recipe: advantage(frontier, _point(times, one.top1)) for recipe, one in entrant.top1.items() if frontier},
        )
        for entrant, times in zip(contest.published, times_published, strict=True)
        if times is not None
    ]
    published.sort(key=lambda one: one.times.latency_ms)
    return Ranking(contest, published, found, _failed(contest, measured), measured)


def _point(times: MeasuredNetwork, top1: float) -> Point:
    return Point(times.latency_ms, error_of(times) / times.latency_ms, top1)


def _failed(contest: Contest, measured: MeasuredNetworks) -> dict[str, str]:
    names = [f"found network {i}" for i in range(1, len(contest.found) + 1)]
    names += [entrant.label for entrant in contest.published]
    names += [f"control {i}" for i in range(1, len(contest.plan.controls) + 1)]
    ids = [f"b{i:05d}" for i in range(len(names))]
    return {name: measured.failed[which] for name, which in zip(names, ids, strict=True) if which in measured.failed}


def to_json(ranking: Ranking, config: BaselinesConfig, command: str, when: datetime) -> dict[str, Any]:
    """Everything that was found, for a program to read."""
    search, measured = ranking.contest.search, ranking.measured
    table = search.table
    assert table.path is not None
    return {
        "table": table.path.name,
        "device": table.device,
        "soc": device_model(measured.hello.device),
        "runtime": measured.hello.runtime,
        "batch": table.batch,
        "machine": dict(measured.hello.device),
        "command": shareable(command),
        "when": when.isoformat(timespec="seconds"),
        "tool": f"ofa-latency {__version__}",
        "how": HOW,
        "space": search.space.name,
        "resolutions": list(search.resolutions),
        "predictor": {
            "path": str(config.predictor or "default"),
            "description": search.predictor.description,
        },
        "machine_pct": measured.machine_pct,
        "same_machine": measured.same_machine,
        "baselines": [_entrant_dict(one) for one in ranking.published],
        "found": [_found_dict(network, times) for network, times in ranking.found],
        "failed": dict(ranking.failed),
        "settings": identity_of(config, version=__version__),
    }


def _times_dict(times: MeasuredNetwork) -> dict[str, Any]:
    error = error_of(times)
    return {
        "latency_ms": round(times.latency_ms, 6),
        "standard_error_ms": None if math.isnan(error) else round(error, 6),
        "visits_ms": list(times.visits_ms),
        "doubtful": times.doubtful,
    }


def _entrant_dict(one: MeasuredEntrant) -> dict[str, Any]:
    network, top1 = one.entrant.network, one.entrant.top1
    return {
        "name": one.entrant.label,
        "network": network.name,
        "resolution": one.entrant.resolution,
        "macs_millions": network.macs / 1e6,
        "params_millions": network.params / 1e6,
        **_times_dict(one.times),
        "published": {recipe: stated.top1 for recipe, stated in top1.items()},
        "weights": {recipe: stated.weights for recipe, stated in top1.items()},
        "source": network.source,
        "found_networks": {recipe: gain.to_dict() for recipe, gain in one.advantage.items()},
    }


def _found_dict(network: Specialised, times: MeasuredNetwork) -> dict[str, Any]:
    return {**network.to_dict(), "predicted_ms": round(network.latency_ms, 6), **_times_dict(times)}
