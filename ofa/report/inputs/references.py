"""Published networks, as profilers.baselines measured them on a table's device, and the found ones beside them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ofa.errors import InputError
from ofa.reading.numbers import MILLISECONDS, PERCENT, SPREAD_MS, Bounds
from ofa.report.inputs.files import RunFile
from ofa.report.inputs.searched import FoundNetwork, MeasuredWhole, SearchRun, network_of, space_of
from ofa.report.inputs.values import number_of, number_or_none, object_of, objects_of, plain, text_of
from ofa.space import Subnet

FACTOR, POINTS = Bounds(0, 1e6, "times"), Bounds(-100, 100, "points")


@dataclass(frozen=True)
class RecipeGain:
    """What the found networks gain on a published one, under one recipe; None where that is not known.

    faster: how many times, at equal accuracy; better: points of top-1, at equal latency
    at_least_faster, at_least_better: the comparison ends at the fastest, or the slowest, found network
    """

    faster: float | None
    better: float | None
    at_least_faster: bool
    at_least_better: bool


@dataclass(frozen=True)
class ReferenceNetwork:
    """One published network.

    error_ms: standard error of its latency; top1, advantages: by recipe, such as "paper" and "timm": never mixed
    """

    name: str
    latency_ms: float
    error_ms: float | None
    doubtful: bool
    top1: Mapping[str, float]
    advantages: Mapping[str, RecipeGain]


@dataclass(frozen=True)
class ReferenceRun:
    """found: the networks of a search that were measured beside them"""

    path: Path
    table: str
    device: str
    when: str
    command: str
    networks: tuple[ReferenceNetwork, ...]
    found: SearchRun


def read_references(file: RunFile) -> ReferenceRun:
    """InputError names file and field of what is not as profilers.baselines writes it."""
    path, content = file.path, file.content
    table = text_of(content, "table", path).removesuffix(".csv")
    return ReferenceRun(
        path=path,
        table=table,
        device=text_of(content, "device", path),
        when=text_of(content, "when", path),
        command=text_of(content, "command", path),
        networks=tuple(_network(fields, where) for where, fields in objects_of(content, "baselines", path)),
        found=_found(content, table, path),
    )


def _network(fields: Mapping[str, Any], where: str) -> ReferenceNetwork:
    published, gains = object_of(fields, "published", where), object_of(fields, "found_networks", where)
    name = text_of(fields, "name", where)
    if not name:
        raise InputError(f"{where}: name is missing, expected a text")
    return ReferenceNetwork(
        name=name,
        latency_ms=number_of(fields, "latency_ms", MILLISECONDS, where),
        error_ms=number_or_none(fields, "standard_error_ms", SPREAD_MS, where),
        doubtful=fields.get("doubtful") is True,
        top1={plain(key, 40): number_of(published, key, PERCENT, f"{where}: published") for key in published},
        advantages={
            plain(key, 40): _recipe_gain(object_of(gains, key, f"{where}: found_networks"), f"{where}: found_networks")
            for key in gains
        },
    )


def _recipe_gain(fields: Mapping[str, Any], where: str) -> RecipeGain:
    return RecipeGain(
        faster=number_or_none(fields, "times_faster", FACTOR, where),
        better=number_or_none(fields, "points_better", POINTS, where),
        at_least_faster=fields.get("at_least_faster") is True,
        at_least_better=fields.get("at_least_better") is True,
    )


def _found(content: Mapping[str, Any], table: str, path: Path) -> SearchRun:
    """The networks of the search, as a search's result that was measured."""
    space = space_of(content, path)
    networks: list[FoundNetwork] = []
    whole: dict[tuple[str, Subnet], MeasuredWhole] = {}
    for where, fields in objects_of(content, "found", path):
        latency = number_of(fields, "latency_ms", MILLISECONDS, where)
        error = number_or_none(fields, "standard_error_ms", SPREAD_MS, where)
        visits = fields.get("visits_ms")
        measured = {
            "measured_ms": latency,
            "standard_error_pct": None if error is None else 100 * error / latency,
            "visits": len(visits) if isinstance(visits, list) else 0,
            "limit_ms": None,  # of a frontier: no limit that anybody asked for
        }
        network = network_of({**fields, **measured, "table": table}, space, where)
        networks.append(network)
        if network.measured is not None:
            whole[table, network.subnet] = network.measured
    batch = content.get("batch", 1)
    facts = {"device": text_of(content, "device", path), "runtime": text_of(content, "runtime", path)}
    predictor = object_of(content, "predictor", path)
    return SearchRun(
        path=path,
        space=space,
        facts={table: {**facts, "batch": plain(batch)}},
        networks=tuple(networks),
        whole=whole,
        not_kept=(),
        predictor=text_of(predictor, "description", f"{path}: predictor"),
        predictor_id="",
        scale={},
        verification={"same_machine": content.get("same_machine") is not False},
        settings={},
        of_energy=False,
    )
