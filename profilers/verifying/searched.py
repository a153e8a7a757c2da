"""A search's result, read so that the same search can go on: with the same table, predictor and choices."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ofa.checkpoints.subnet_file import read_subnet
from ofa.cli.config import Free, fields_of
from ofa.cli.console import spelled
from ofa.errors import InputError
from ofa.predictors.accuracy import WEIGHTS
from ofa.reading.numbers import MILLISECONDS, cut, short
from ofa.reading.structured import need, read_json
from ofa.runs.files import sha256
from ofa.runs.settings import file_identity, first_difference
from ofa.search.config import SearchConfig
from ofa.search.run import open_searches
from ofa.search.specialise import DeviceSearch, specialised
from ofa.search.specialised import Specialised
from ofa.space import Subnet
from ofa.space.description import recorded_space
from ofa.tables import LatencyTable
from ofa.tables.margin import FACTOR
from profilers.verifying.verify_config import VerifyConfig

# what a result says of a table that must still be so
_SAME = ("device", "soc", "runtime", "batch", "threads", "dtype", "space")
# a sum, in ms, as result.json rounds it
_ROUNDING_MS = 2e-6
# fields of a search that a search for more of the same does not share
_OWN = (
    "table",
    "latency",
    "frontier",
    "predictor",
    "best",
    "differ",
    "together",
    "confidence",
    "sustained",
    "seed",
    "allow_emulated",
)


@dataclass(frozen=True, eq=False)
class Searched:
    """found: by limit, ms, the networks of the result, the most accurate first; () where the result has none

    search: of the table, as it was searched; content: the result file's own
    factor: limits are those that were asked for, divided by it, where they are to be kept on a hot device
    """

    path: Path
    content: Mapping[str, Any]
    search: DeviceSearch
    found: Mapping[float, tuple[Specialised, ...]]
    factor: float = 1.0

    @property
    def limits(self) -> tuple[float, ...]:
        return tuple(self.found)

    def within(self, limits_ms: Sequence[float], seed: int) -> list[Specialised]:
        """The best networks by the sums, once each; a limit below the least is the least."""
        limits = [max(limit, self.search.least) for limit in limits_ms]
        found, _ = self.search.run(limits, np.random.default_rng(seed)) if limits else ([], 0)
        return list({network.subnet: network for network in found}.values())


def read_searched(config: VerifyConfig, table: LatencyTable) -> Searched:
    """The result that the config names; InputError where it is of another table, or does not say how it was searched.

    Infeasible where the smallest sum of all is above a limit.
    """
    path = config.result
    content = read_json(path)
    if "verification" in content:
        raise InputError(f"{path} was verified: name the result.json that it was made of")
    results = need(content, "results", list, path)
    name = table_name(path, content, table)
    search = _search_again(config, table, content)
    own = [(i, r) for i, r in enumerate(_objects(path, results)) if r.get("table") == name]
    if given := _given_limits(path, content):
        limits = [MILLISECONDS.check(f"{path}: results[{i}].limit_ms", r.get("limit_ms")) for i, r in own]
        if lacking := [limit for limit in given if not any(math.isclose(limit, of) for of in limits)]:
            raise InputError(
                f"{path} was searched within {lacking[0]:g} ms, but its results have no network for that limit: "
                f"deleted or edited since; search again: {spelled('ofa.search', '--table', table.path)}"
            )
        if config.limits is not None:
            raise InputError(f"--limits is for a frontier: {path} was searched within limits of its own")
    elif config.limits is None:
        own, limits = [], []  # a frontier's are only places on it
    elif not own:
        again = spelled("ofa.search", "--table", table.path)
        raise InputError(f"{path} has no results of {table.path}: deleted or edited since; search again: {again}")
    else:
        own, limits = _spread(path, own, config.limits)
    found: dict[float, list[Specialised]] = {}
    for (i, result), limit in zip(own, limits, strict=True):
        subnet = read_subnet(path, index=i).subnet(search.space)
        network = specialised(search, limit, _genes(path, i, search, subnet))
        _check_sum(path, i, result, network, table)
        found.setdefault(limit, []).append(network)
    asked = list(dict.fromkeys(config.latency)) or list(found)
    if not asked:
        raise InputError(
            f"{path} was searched without latency limits: name them by --latency, or how many of its latencies to take "
            "as limits by --limits"
        )
    factor = _factor(path, content, name)
    verified = {_less(limit, factor): tuple(_nearest(found, limit)) for limit in asked}
    with _of(path):
        search.check_feasible(verified)
    return Searched(path, content, search, verified, factor)


def _factor(path: Path, content: Mapping[str, Any], name: str) -> float:
    """What a result's limits were divided by, since they are to be kept on a hot device; 1 where they were not."""
    if not need(content, "settings", dict, path).get("sustained"):
        return 1.0
    where = f"{path}: tables.{cut(ascii(name))}.sustained_factor"
    return FACTOR.decimal(where, str(need(content, "tables", dict, path)[name].get("sustained_factor")))


def _less(limit_ms: float, factor: float) -> float:
    """A limit of short visits, whole nanoseconds as sums are."""
    return limit_ms if factor == 1 else math.floor(limit_ms / factor * 1e6) / 1e6


def _objects(path: Path, results: Sequence[Any]) -> Sequence[Mapping[str, Any]]:
    for i, result in enumerate(results):
        if not isinstance(result, dict):
            raise InputError(f"{path}: results[{i}] is {short(result)}, expected what ofa.search writes")
    return results


Numbered = tuple[int, Mapping[str, Any]]


def _spread(path: Path, frontier: Sequence[Numbered], count: int) -> tuple[list[Numbered], list[float]]:
    """So many of a frontier's networks, evenly spread between its ends; their latencies, rounded up, as limits.

    Fewer where it has fewer.
    """
    latencies = {i: MILLISECONDS.check(f"{path}: results[{i}].latency_ms", r.get("latency_ms")) for i, r in frontier}
    ordered = sorted(frontier, key=lambda item: latencies[item[0]])
    places = np.unique(np.linspace(0, len(ordered) - 1, count + 2).round().astype(int)[1:-1])
    chosen = [ordered[place] for place in places]
    return chosen, [_rounded_up(latencies[i]) for i, _ in chosen]


def _rounded_up(ms: float) -> float:
    """To three digits."""
    digit = 10.0 ** (math.floor(math.log10(ms)) - 2)
    return float(f"{math.ceil(ms / digit - 1e-9) * digit:.12g}")


def _nearest(found: Mapping[float, Sequence[Specialised]], limit: float) -> Sequence[Specialised]:
    return next((networks for own, networks in found.items() if math.isclose(own, limit)), ())


def _genes(path: Path, i: int, search: DeviceSearch, subnet: Subnet) -> Any:
    if subnet.resolution not in search.resolutions:
        raise InputError(
            f"{path}: results[{i}] is of {subnet.resolution} px, which the table and the predictor do not share "
            f"({', '.join(map(str, search.resolutions))})"
        )
    return search.space.encode([subnet])


def table_name(path: Path, content: Mapping[str, Any], table: LatencyTable) -> str:
    """What a result calls the table; InputError where it is of others, or of this one as it was."""
    assert table.path is not None
    tables = need(content, "tables", dict, path)
    searched = need(content, "settings", dict, path).get("table")
    own = sha256(table.path)
    by_content = [
        Path(str(file.get("file"))).stem
        for file in (searched if isinstance(searched, list) else [])
        if isinstance(file, dict) and file.get("sha256") == own
    ]
    name = next((stem for stem in by_content if stem in tables), table.path.stem)
    if name not in tables or not isinstance(tables[name], dict):
        raise InputError(f"{path} is of {', '.join(map(ascii, tables)) or 'no table'}, not of {table.path}")
    for key in _SAME:
        then, now = tables[name].get(key), table.header.get(key)
        if then != now:
            raise InputError(
                f"{path} was searched in a table whose {key} is {short(then)}, that of {table.path} is {short(now)}: "
                f"search again: {spelled('ofa.search', '--table', table.path)}"
            )
    # results of before 2026-11-26 do not say: then the sums of their own networks are compared alone
    if tables[name].get("sums", table.sums) != table.sums:
        raise InputError(
            f"{path} was searched in other rows or by another sum_correction than {table.path} has now: measured, "
            f"validated or edited since; search again: {spelled('ofa.search', '--table', table.path)}"
        )
    return name


def _given_limits(path: Path, content: Mapping[str, Any]) -> list[float]:
    """The limits that were searched within, ms; [] of a frontier."""
    given = need(content, "settings", dict, path).get("latency") or []
    if not isinstance(given, list):
        raise InputError(f"{path}: settings.latency is {short(given)}, expected a list of milliseconds")
    return [MILLISECONDS.check(f"{path}: settings.latency[{i}]", limit) for i, limit in enumerate(given)]


def _check_sum(path: Path, i: int, result: Mapping[str, Any], network: Specialised, table: LatencyTable) -> None:
    """InputError where the table's sums are not what they were."""
    then = MILLISECONDS.check(f"{path}: results[{i}].latency_ms", result.get("latency_ms"))
    if abs(then - network.latency_ms) > _ROUNDING_MS:
        raise InputError(
            f"{path}: results[{i}] takes {then:.6g} ms, but {network.latency_ms:.6g} ms by {table.path} as it is now: "
            f"measured or validated again since; search again: {spelled('ofa.search', '--table', table.path)}"
        )


def _search_again(config: VerifyConfig, table: LatencyTable, content: Mapping[str, Any]) -> DeviceSearch:
    """The search of the result, by the same predictor and under the same choices; nothing is searched yet."""
    path = config.result
    settings = need(content, "settings", dict, path)
    if settings.get("together"):
        raise InputError(
            f"{path} holds one network for several tables: what is measured on one would change it for all; "
            "search without --together"
        )
    known = {
        field.name: settings[field.name]
        for field in fields_of(SearchConfig)
        if field.name in settings and field.name not in _OWN and not any(isinstance(m, Free) for m in field.marks)
    }
    known |= {"space": need(content, "space", str, path), "num_classes": need(content, "num_classes", int, path)}
    space = recorded_space(content, path, known["num_classes"])
    predictor = _predictor(config, content)
    with _of(path):
        _, searches = open_searches(SearchConfig(table=(str(table.path),), predictor=predictor, **known), space)
    (search,) = searches.values()
    used = file_identity(predictor or WEIGHTS / f"{search.space.name}.safetensors", beside=".json")
    if first_difference(settings.get("predictor"), used):
        raise InputError(
            f"{path} was searched by another predictor than {predictor or 'the one that is shipped'} is now: name "
            "that by --predictor, or search again"
        )
    return search


@contextmanager
def _of(path: Path) -> Iterator[None]:
    """What is wrong with a search is told of the result that asks for it."""
    try:
        yield
    except InputError as error:
        raise type(error)(f"{path}: {error}") from None


def _predictor(config: VerifyConfig, content: Mapping[str, Any]) -> Path | None:
    """The file of the predictor that was searched by; None: the shipped one."""
    stated = need(need(content, "predictor", dict, config.result), "path", str, config.result)
    if config.predictor is not None:
        return config.predictor
    if stated == "default":
        return None
    if not Path(stated).is_file():
        raise InputError(
            f"{config.result} was searched by the predictor {short(stated)}, which is not there: name it by --predictor"
        )
    return Path(stated)
