"""From a config to the best sub-networks: one search for every table, by one predictor."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from ofa import __version__
from ofa.errors import InputError
from ofa.predictors.accuracy import WEIGHTS, AccuracyPredictor
from ofa.predictors.prediction import Predictor
from ofa.runs.settings import file_identity, identity_of
from ofa.search.confidence import Allowance, divided, effort, kept_with, search_surely
from ofa.search.config import SearchConfig
from ofa.search.exact.chain import allowed_choices
from ofa.search.report import table_facts
from ofa.search.specialise import DeviceSearch, Frontier, Wanted, shared_resolutions
from ofa.search.specialised import Axis, Specialised
from ofa.search.sustained import factors_of
from ofa.search.together import search_together
from ofa.space import SearchSpace
from ofa.space.description import require_same, space_record
from ofa.tables import LatencyTable, find_table
from ofa.tables.header import INT8
from ofa.tables.margin import Margin, SustainedFactor


@dataclass(frozen=True)
class SearchResult:
    """What was found, and by what.

    searches, found: by the tables' names; found: one sub-network a limit, or the frontier from the cheapest up
    frontiers: by the tables' names, where no limit was given and the search is exact: every network that no other
        beats: gene rows, ms or mJ, per cent
    evaluations: how many sub-networks the predictor was asked for; of an exact search, how many configurations of units
    margins, factors: by the tables' names, what `--confidence` and `--sustained` divided limits by; empty without
    allowances: likewise, what `--confidence` gives each network of an estimated table
    """

    config: SearchConfig
    space: SearchSpace
    predictor: Predictor
    searches: Mapping[str, DeviceSearch]
    found: Mapping[str, Sequence[Specialised]]
    frontiers: Mapping[str, Frontier]
    evaluations: int
    seconds: float
    margins: Mapping[str, Margin]
    factors: Mapping[str, SustainedFactor]
    allowances: Mapping[str, Allowance]

    @property
    def axis(self) -> Axis:
        return axis_of(self.config)

    def to_dict(self) -> dict[str, Any]:
        """The content of result.json."""
        tables = {
            name: table_facts(
                s.table,
                s.resolutions,
                any(r.latency_interpolated for r in self.found[name]),
                self.margins.get(name) or self.allowances.get(name),
            )
            for name, s in self.searches.items()
        }
        return {
            **space_record(self.space),
            "num_classes": self.space.num_classes,
            "tables": tables,
            # of the images behind the predicted accuracies: classes, mean and std, data set
            **({"images": self.predictor.header["images"]} if "images" in self.predictor.header else {}),
            "predictor": {
                "path": str(self.config.predictor or "default"),
                "sha256": self._predictor_file["sha256"],
                "description": self.predictor.description,
                **({"dtype": "int8"} if self.predictor.dtype == "int8" else {}),
            },
            "results": [result.to_dict() for found in self.found.values() for result in found],
            "evaluations": self.evaluations,
            "seconds": round(self.seconds, 3),
            "seed": self.config.seed,
            "method": next(iter(self.searches.values())).method,
            "scale": None if self.predictor.scale is None else asdict(self.predictor.scale),
            "settings": identity_of(self.config, version=__version__, predictor=self._predictor_file),
        }

    @property
    def _predictor_file(self) -> dict[str, str]:
        """Which predictor, by content: the shipped one too, which another version may replace."""
        shipped = WEIGHTS / f"{self.space.name}.safetensors"
        return file_identity(self.config.predictor or shipped, beside=".json")


def search_subnets(config: SearchConfig, progress: Callable[[str, float], None] | None = None) -> SearchResult:
    """The most accurate sub-network within each limit, for every table; without limits the frontier.

    progress: called with a table's name and the share of its search that is done
    Writes nothing. Raises Infeasible for a limit that no sub-network meets, InputError for what is wrong or missing.
    """
    predictor, searches = open_searches(config)
    axis, tables = axis_of(config), {name: search.table for name, search in searches.items()}
    asked = {name: limits_of(config, position) for position, name in enumerate(tables)}
    factors = factors_of(tables) if config.sustained else {}
    limits = {name: factors[name].less(asked[name]) if name in factors else asked[name] for name in tables}
    margins, allowances = kept_with(tables, config, predictor.space, limits)
    limits = {name: margins[name].less(limits[name]) if name in margins else limits[name] for name in tables}
    for name, search in searches.items():
        with divided(margins.get(name), factors.get(name), allowances.get(name)):
            search.check_feasible(limits[name])

    found: dict[str, Sequence[Specialised]] = {}
    frontiers: dict[str, Frontier] = {}
    evaluations, started = 0, time.perf_counter()
    if config.together:
        first = next(iter(searches))
        with divided(margins.get(first), factors.get(first), allowances.get(first)), effort(searches, allowances):
            together, evaluations = search_together(searches, [only for (only,) in limits.values()], allowances)
        found.update(together)
    for name, search in ({} if config.together else searches).items():
        # one generator a device: its result does not depend on which others are searched
        rng = np.random.default_rng(config.seed)
        shown = None if progress is None else partial(progress, name)
        with divided(margins.get(name), factors.get(name), allowances.get(name)):
            if name in allowances:
                results, count = search_surely(search, allowances[name], limits[name], rng, shown)
            else:
                results, count = search.run(limits[name] or search.frontier_limits(), rng, progress=shown)
        found[name] = results if config.latency else undominated(results, axis)
        evaluations += count
        if not config.latency and (whole := search.frontier()) is not None:
            frontiers[name] = whole
    seconds = time.perf_counter() - started
    for name in {**margins, **factors}:
        whole_limit: dict[float | None, float] = dict(zip(limits[name], asked[name], strict=True))
        hot = factors[name].factor if name in factors else None
        found[name] = [
            replace(
                r,
                limit_ms=whole_limit[r.limit_ms],
                searched_ms=r.limit_ms,
                sustained_ms=None if hot is None else hot * r.latency_ms,
            )
            for r in found[name]
        ]
    return SearchResult(
        *(config, predictor.space, predictor, searches, found, frontiers),
        *(evaluations, seconds, margins, factors, allowances),
    )


def limits_of(config: SearchConfig, position: int) -> list[float]:
    """Of the table at that position, ms: all that are given, or with --together its own."""
    given = config.latency
    return [given[position if len(given) > 1 else 0]] if config.together else list(given)


def open_searches(config: SearchConfig, space: SearchSpace | None = None) -> tuple[Predictor, dict[str, DeviceSearch]]:
    """What the config searches by, bound to the space, and each table's search, by its name; nothing is searched yet.

    space: where it is known already; else it is the config's, or the tables'
    InputError for what is wrong or missing, or does not fit together.
    """
    tables = load_tables(config.table, config.allow_emulated)
    preferred = () if config.predictor else AccuracyPredictor.shipped()
    classes = next(iter(tables.values())).num_classes if config.num_classes is None else config.num_classes
    name = config.space or common_space(tables, preferred)
    space = space_of(name, tables, classes) if space is None else space
    predictor = load_predictor(config.predictor, space)
    if config.predictor is None and all(table.header.get("dtype") == INT8 for table in tables.values()):
        predictor = predictor.in_int8() or predictor
    first = next(iter(tables))
    require_classes(predictor, classes, first, known=config.num_classes or tables[first].stated_classes)
    return predictor, {name: _device_search(name, table, predictor, config) for name, table in tables.items()}


def axis_of(config: SearchConfig) -> Axis:
    """What accuracy is traded for."""
    return "energy" if config.frontier == "energy" else "latency"


def _device_search(name: str, table: LatencyTable, predictor: Predictor, config: SearchConfig) -> DeviceSearch:
    return DeviceSearch(
        name,
        table,
        predictor,
        predictor.space,
        shared_resolutions(table, predictor, predictor.space, config.resolutions),
        Wanted(
            axis=axis_of(config),
            method=config.method,
            max_macs=config.max_macs,
            max_params=config.max_params,
            max_energy_mj=config.max_energy,
            allowed=allowed_choices(predictor.space, config.kernel_sizes, config.expand_ratios, config.depths),
            best=config.best,
            differ=config.differ,
        ),
    )


class OtherClasses(InputError):
    """Accuracies and latencies are of networks of different numbers of classes."""


def require_classes(predictor: Predictor, classes: int, table: str, *, known: int | None) -> None:
    """InputError where the predictor's accuracies are of another number of classes than the classifier.

    known: `classes` where the user or the table says so, None where neither does
    """
    stated = predictor.stated_classes
    if stated is not None and stated != classes:
        if known is None:
            raise InputError(
                f"{table} does not list one classifier, so {classes} classes are assumed, but the predictor's "
                f"accuracies are of {stated}: add --num-classes {stated}"
            )
        raise OtherClasses(
            f"the predictor's accuracies are of {stated} classes, but the classifier of {table} has {classes}: take a "
            f"table of {stated} classes (--num-classes of the profiler), or a predictor of your own accuracies "
            "(python -m ofa.predictors.collect, then python -m ofa.predictors.fit)"
        )


def load_predictor(path: Path | None, space: SearchSpace) -> Predictor:
    """The predictor of a file, or the shipped one, bound to the space."""
    return AccuracyPredictor.default(space) if path is None else AccuracyPredictor.load(path, space)


def load_tables(names: Sequence[str], allow_emulated: bool) -> dict[str, LatencyTable]:
    """Tables by the name they are shown under: the file's, without .csv."""
    tables: dict[str, LatencyTable] = {}
    for given in names:
        path = find_table(given)
        if path.stem in tables:
            raise InputError(f"--table {given}: a table named {path.stem} is already given")
        table = LatencyTable.load(path)
        if table.emulated and not allow_emulated:
            raise InputError(
                f"{path} was measured on an emulated device: its latencies mean nothing; to try the search all the "
                "same, add --allow-emulated"
            )
        tables[path.stem] = table
    return tables


def space_of(name: str, tables: Mapping[str, LatencyTable], num_classes: int) -> SearchSpace:
    """The space that all tables agree on; InputError by what differs where it is described otherwise in one of them."""
    holding = [table for table in tables.values() if name in table.spaces]
    found = (holding or list(tables.values()))[0].space(name, num_classes)
    for table in tables.values():
        if found.name in table.spaces:
            require_same(found, table.space(found.name, num_classes), table.path)
    return found


def common_space(tables: dict[str, LatencyTable], preferred: Sequence[str] = ()) -> str:
    """The one space that all tables were made for, of several the one preferred; InputError asks for --space."""
    shared = [space for space in next(iter(tables.values())).spaces if all(space in t.spaces for t in tables.values())]
    if len(shared) > 1:
        shared = [space for space in shared if space in preferred] or shared
    if len(shared) != 1:
        stated = "; ".join(f"{name}: {', '.join(table.spaces)}" for name, table in tables.items())
        raise InputError(f"the tables do not name one space in common ({stated}): choose with --space")
    return shared[0]


def undominated(found: Sequence[Specialised], axis: Axis) -> list[Specialised]:
    """The frontier proper: without those that a faster, or thriftier, network already beats."""
    kept: list[Specialised] = []
    for result in sorted(found, key=lambda r: (r.cost(axis), -r.predictor_top1)):
        if not kept or result.predictor_top1 > kept[-1].predictor_top1:
            kept.append(result)
    return kept
