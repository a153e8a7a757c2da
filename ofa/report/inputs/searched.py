"""What ofa.search found and profilers.verify measured: networks of a device, from result.json and verified.json."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ofa.errors import InputError
from ofa.reading.numbers import MILLIJOULES, MILLISECONDS, PERCENT, Bounds
from ofa.report.inputs.files import RunFile
from ofa.report.inputs.values import number_of, number_or_none, object_of, objects_of, plain, text_of
from ofa.space import SearchSpace, Subnet
from ofa.space.description import recorded_space

AMOUNT = Bounds(0, 1e9, "millions")
SD = Bounds(0, 100, "per cent")
VISITS = Bounds(0, 1e6, "visits")


@dataclass(frozen=True)
class MeasuredWhole:
    """What a network took on its device, as a whole.

    error_pct: standard error of that; None where one visit was made
    keeps: whether it keeps the limit that it stands for; None where it is not the network of one
    doubtful: most visits were beside drift, or the machine was busy
    """

    latency_ms: float
    error_pct: float | None
    visits: int
    doubtful: bool
    keeps: bool | None = None


@dataclass(frozen=True)
class FoundNetwork:
    """A network that a search found.

    limit: ms, or mJ where energies are limited; None on a frontier
    sum_ms: what the blocks of the table add up to
    top1, top1_sd: predicted, per cent; sd: None where the predictor has none
    measured_top1, images: per cent of so many images; None, 0 where nobody measured it
    """

    table: str
    subnet: Subnet
    limit: float | None
    sum_ms: float
    energy_mj: float | None
    top1: float
    top1_sd: float | None
    macs: float | None
    params: float | None
    interpolated: bool
    measured: MeasuredWhole | None = None
    measured_top1: float | None = None
    images: int = 0


@dataclass(frozen=True)
class SearchRun:
    """One result.json, or verified.json.

    facts: of each table, by its name: its path and its header
    whole: every network that was measured, by table and sub-network
    not_kept: limits that no network keeps, ms
    of_energy: whether accuracy is traded for energy, rather than for latency
    """

    path: Path
    space: SearchSpace
    facts: Mapping[str, Mapping[str, str]]
    networks: tuple[FoundNetwork, ...]
    whole: Mapping[tuple[str, Subnet], MeasuredWhole]
    not_kept: tuple[float, ...]
    predictor: str
    predictor_id: str
    scale: Mapping[str, Any]
    verification: Mapping[str, Any]
    settings: Mapping[str, Any]
    of_energy: bool


def read_search(file: RunFile) -> SearchRun:
    """InputError names file and field of what is not as the commands write it."""
    path, content = file.path, file.content
    space = space_of(content, path)
    tables = object_of(content, "tables", path)
    facts = {plain(name): _facts(object_of(tables, name, f"{path}: tables")) for name in tables}
    networks, whole = [], dict[tuple[str, Subnet], MeasuredWhole]()
    limited = object_of(content, "settings", path)
    of_energy = limited.get("frontier") == "energy" or limited.get("max_energy") is not None
    for where, result in objects_of(content, "results", path):
        network = network_of(result, space, where)
        if network.table not in facts:
            raise InputError(f"{where}: table is {network.table!r}, which tables does not list")
        networks.append(network)
        if network.measured is not None:
            whole[network.table, network.subnet] = network.measured
        found = object_of(result, "found", where)
        if found:
            subnet = _subnet(found, space, f"{where}: found")
            whole.setdefault((network.table, subnet), _measured(found, f"{where}: found"))
    verification = object_of(content, "verification", path)
    for where, measured in objects_of(verification, "networks", f"{path}: verification"):
        for table in facts:  # a verification is of one table
            whole.setdefault((table, _subnet(measured, space, where)), _measured(measured, where))
    predictor = object_of(content, "predictor", path)
    return SearchRun(
        path=path,
        space=space,
        facts=facts,
        networks=tuple(networks),
        whole=whole,
        not_kept=tuple(number_of(of, "limit_ms", MILLISECONDS, w) for w, of in objects_of(content, "not_kept", path)),
        predictor=text_of(predictor, "description", f"{path}: predictor"),
        predictor_id=text_of(predictor, "sha256", f"{path}: predictor"),
        scale=object_of(content, "scale", path),
        verification=verification,
        settings=limited,
        of_energy=of_energy,
    )


def space_of(content: Mapping[str, Any], path: Path) -> SearchSpace:
    """The space that a file names, of as many classes as it says."""
    classes = content.get("num_classes", 1000)
    if isinstance(classes, bool) or not isinstance(classes, int):
        raise InputError(f"{path}: num_classes is of another kind, expected a whole number")
    try:
        return recorded_space(content, path, classes)
    except InputError as error:
        text = str(error)
        raise InputError(text if text.startswith(str(path)) else f"{path}: {text}") from None


def _facts(table: Mapping[str, Any]) -> dict[str, str]:
    """A table's header, as texts; lists as "128, 160"."""
    return {
        plain(key): plain(", ".join(map(str, value)) if isinstance(value, list) else value, 2000)
        for key, value in table.items()
        if not isinstance(value, dict) and value is not None
    }


def _subnet(fields: Mapping[str, Any], space: SearchSpace, where: str) -> Subnet:
    try:
        return space.subnet_from_dict(object_of(fields, "subnet", where))
    except InputError as error:
        text = str(error)
        raise InputError(text if text.startswith(where) else f"{where}: subnet: {text}") from None


def network_of(result: Mapping[str, Any], space: SearchSpace, where: str) -> FoundNetwork:
    """One of the results: of a search, or with `measured_ms` of a verification."""
    measured = _measured(result, where) if "measured_ms" in result else None
    limit = number_or_none(result, "limit_mj", MILLIJOULES, where)
    if limit is None:
        limit = number_or_none(result, "limit_ms", MILLISECONDS, where)
    latency = number_of(result, "latency_ms", MILLISECONDS, where)
    if measured is not None:
        # latency_ms is then that of the visits that did not choose the network
        keeps = None if limit is None else latency <= limit
        measured = MeasuredWhole(latency, measured.error_pct, measured.visits, measured.doubtful, keeps)
        latency = number_of(result, "predicted_ms", MILLISECONDS, where)
    return FoundNetwork(
        table=text_of(result, "table", where),
        subnet=_subnet(result, space, where),
        limit=limit,
        sum_ms=latency,
        energy_mj=number_or_none(result, "energy_mj", MILLIJOULES, where),
        top1=number_of(result, "predicted_top1", Bounds(-100, 200, "per cent"), where),
        top1_sd=number_or_none(result, "predicted_top1_std", SD, where),
        macs=number_or_none(result, "macs_millions", AMOUNT, where),
        params=number_or_none(result, "params_millions", AMOUNT, where),
        interpolated=result.get("latency_interpolated") is True,
        measured=measured,
        measured_top1=number_or_none(result, "measured_top1", PERCENT, where),
    )


def _measured(fields: Mapping[str, Any], where: str) -> MeasuredWhole:
    return MeasuredWhole(
        latency_ms=number_of(fields, "measured_ms", MILLISECONDS, where),
        error_pct=number_or_none(fields, "standard_error_pct", Bounds(0, 1e6, "per cent"), where),
        visits=int(number_or_none(fields, "visits", VISITS, where) or 0),
        doubtful=fields.get("doubtful") is True,
    )
