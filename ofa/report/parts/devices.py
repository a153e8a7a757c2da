"""Everything that was given about one device and one space, put together: one plot, one slider."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ofa.errors import InputError
from ofa.report.inputs.evaluated import EvaluationRun
from ofa.report.inputs.searched import FoundNetwork, MeasuredWhole, SearchRun
from ofa.report.inputs.values import plain
from ofa.space import SearchSpace, Subnet
from ofa.tables import LatencyTable
from ofa.tables.shipped import shipped_tables

MOST_NETWORKS = 200  # on one slider
WITHIN = 1.0  # per cent: what is given up for speed where nobody named a limit


@dataclass(frozen=True, eq=False)
class DeviceFindings:
    """N networks of one table and one space.

    networks: cheapest first; limit: that is shown first; chosen: the most accurate within it, and why that
    facts: the table's header, as the search read it; table: None where it is not to be had, then `lacking` says why
    line: the whole frontier, (cost, predicted top-1), where the search wrote it
    asked: whether limits were named; not_kept: limits that no network keeps, ms
    unit: of what accuracy is traded for, "ms" or "mJ"
    left: how many networks are not shown
    """

    name: str
    space: SearchSpace
    facts: Mapping[str, str]
    table: LatencyTable | None
    lacking: str
    networks: tuple[FoundNetwork, ...]
    limit: float
    chosen: int
    why_chosen: str
    line: tuple[tuple[float, float], ...]
    asked: bool
    not_kept: tuple[float, ...]
    unit: str
    left: int
    runs: tuple[SearchRun, ...]

    @property
    def device(self) -> str:
        return self.facts.get("device", self.name)

    @property
    def kept(self) -> bool:
        """Whether a network keeps its limit, as measured."""
        return any(network.measured is not None and network.measured.keeps for network in self.networks)

    @property
    def batch(self) -> int:
        text = self.facts.get("batch", "1")
        return int(text) if text.isascii() and text.isdecimal() and len(text) < 7 else 1

    def cost(self, network: FoundNetwork) -> float:
        """What a limit holds for: measured ms where there are, else the sum; mJ of a search that limits them."""
        return cost_of(network, self.unit)


def cost_of(network: FoundNetwork, unit: str) -> float:
    """ms or mJ of a network."""
    if unit == "mJ":
        return network.sum_ms if network.energy_mj is None else network.energy_mj
    return network.sum_ms if network.measured is None else network.measured.latency_ms


def devices_of(
    searches: Sequence[SearchRun],
    lines: Mapping[tuple[Path, str], tuple[tuple[float, float], ...]],
    tables: Sequence[LatencyTable],
    evaluations: Sequence[EvaluationRun],
) -> list[DeviceFindings]:
    """One for each table, device, runtime, type, space and predictor, in the order that they are met in.

    lines: whole frontiers, by the folder that they lie in and the table's name; tables: that were given
    """
    groups: dict[tuple[Any, ...], list[SearchRun]] = {}
    for run in searches:
        for name, facts in run.facts.items():
            # tables of several occasions may have one name
            table = (name, facts.get("device"), run.space, run.of_energy)
            key = (*table, facts.get("runtime"), facts.get("dtype"), run.predictor_id, facts.get("when"))
            if not run.predictor_id:  # networks beside published ones: of whatever search there is
                key = next((other for other in groups if other[:4] == table), key)
            groups.setdefault(key, []).append(run)
    found = []
    for (name, *_), runs in groups.items():
        if any(network.table == name for run in runs for network in run.networks):
            found.append(_findings(name, runs, lines, tables, evaluations))
    return found


def _findings(
    name: str,
    runs: Sequence[SearchRun],
    lines: Mapping[tuple[Path, str], tuple[tuple[float, float], ...]],
    tables: Sequence[LatencyTable],
    evaluations: Sequence[EvaluationRun],
) -> DeviceFindings:
    space, unit = runs[0].space, "mJ" if runs[0].of_energy else "ms"
    facts = max((run.facts[name] for run in runs), key=len)
    table, lacking = _table_of(name, facts, [run.path for run in runs], tables)
    networks = _resummed(_merged(name, runs), runs, table)
    networks = [_with_accuracy(network, space, evaluations) for network in networks]
    networks.sort(key=lambda network: (cost_of(network, unit), -network.top1))
    kept = _thinned(networks)
    asked = any(run.settings.get("latency") for run in runs)
    limit, chosen, why = _chosen(kept, asked, unit)
    line = next((lines[key] for run in runs if (key := (run.path.parent, name)) in lines), ())
    return DeviceFindings(
        name=name,
        space=space,
        facts=facts,
        table=table,
        lacking=lacking,
        networks=tuple(kept),
        limit=limit,
        chosen=chosen,
        why_chosen=why,
        line=line,
        asked=asked,
        not_kept=tuple(sorted({limit for run in runs for limit in run.not_kept})),
        unit=unit,
        left=len(networks) - len(kept),
        runs=tuple(runs),
    )


def _merged(name: str, runs: Sequence[SearchRun]) -> list[FoundNetwork]:
    """Each sub-network once, as the first run found it, with what any measured; a verified one's limit is its own."""
    whole: dict[Subnet, MeasuredWhole] = {}
    found: dict[Subnet, FoundNetwork] = {}
    for run in runs:
        whole |= {subnet: measured for (table, subnet), measured in run.whole.items() if table == name}
        for network in run.networks:
            if network.table == name:
                before = found.setdefault(network.subnet, network)
                if network.measured is not None:
                    limit = before.limit if network.measured.keeps is None else network.limit
                    found[network.subnet] = replace(before, measured=network.measured, limit=limit)
    return [
        network if network.measured is not None else replace(network, measured=whole.get(network.subnet))
        for network in found.values()
    ]


def _resummed(
    networks: Sequence[FoundNetwork], runs: Sequence[SearchRun], table: LatencyTable | None
) -> list[FoundNetwork]:
    """Networks that only stand beside published ones, with the sums of the table that is shown: theirs may be older."""
    searched = {network.subnet for run in runs if run.predictor_id for network in run.networks}
    others = [network for network in networks if network.subnet not in searched]
    if table is None or not searched or not others:
        return list(networks)
    try:
        sums = table.latency_ms(runs[0].space, [network.subnet for network in others]).tolist()
    except InputError:  # whoever draws their blocks says so
        return list(networks)
    now = {network.subnet: replace(network, sum_ms=ms) for network, ms in zip(others, sums, strict=True)}
    return [now.get(network.subnet, network) for network in networks]


def _with_accuracy(network: FoundNetwork, space: SearchSpace, evaluations: Sequence[EvaluationRun]) -> FoundNetwork:
    """With the accuracy that an evaluation of the same sub-network, of as many classes, counted."""
    fields = network.subnet.to_dict()
    for run in evaluations:
        for row in run.networks:
            if run.classes == space.num_classes and row.subnet == fields:
                return replace(network, measured_top1=row.top1, images=row.images)
    return network


def _thinned(networks: Sequence[FoundNetwork]) -> list[FoundNetwork]:
    """At most MOST_NETWORKS, measured ones before others, the others evenly spread."""
    if len(networks) <= MOST_NETWORKS:
        return list(networks)
    first = [i for i, network in enumerate(networks) if network.measured is not None][:MOST_NETWORKS]
    others = [i for i in range(len(networks)) if i not in set(first)]
    room = MOST_NETWORKS - len(first)
    spread = {others[i * (len(others) - 1) // max(1, room - 1)] for i in range(room)} if room else set()
    return [networks[i] for i in sorted(spread | set(first))]


def _chosen(networks: Sequence[FoundNetwork], asked: bool, unit: str) -> tuple[float, int, str]:
    """The limit that is shown first, ms or mJ; the most accurate network within it; and why that one, in words."""
    costs = [cost_of(network, unit) for network in networks]
    limits = [network.limit for network in networks if network.limit is not None]
    kept = [n.limit for n in networks if n.limit is not None and n.measured is not None and n.measured.keeps]
    best = max(network.top1 for network in networks)
    if kept:
        limit = max(kept)
        why = f"the most accurate network that keeps {limit:g} {unit}, as measured"
    elif asked and limits:
        limit = max(limits)
        why = f"the most accurate network within {limit:g} {unit}"
    else:
        limit = min(cost for cost, network in zip(costs, networks, strict=True) if network.top1 >= best - WITHIN)
        why = f"the {'fastest' if unit == 'ms' else 'thriftiest'} network within {WITHIN:g} point of the best"
    if not any(cost <= limit for cost in costs):  # none keeps it, as measured
        limit, why = min(costs), "the fastest network: none that was measured keeps a limit"
    within = [i for i, cost in enumerate(costs) if cost <= limit]
    return limit, max(within, key=lambda i: (networks[i].top1, -costs[i])), why


def _table_of(
    name: str, facts: Mapping[str, str], results: Sequence[Path], tables: Sequence[LatencyTable]
) -> tuple[LatencyTable | None, str]:
    """The table of a search, and where there is none, why: given, where the search read it, beside it, or shipped.

    Of several of that name the one that was measured when the search's was; else the first.
    """
    device, runtime, dtype, when = (facts.get(key) for key in ("device", "runtime", "dtype", "when"))
    given = [t for t in tables if t.path is not None and plain(t.path.stem) == name]
    of = (device, runtime, dtype)
    given = [t for t in given if (t.device, t.header["runtime"], t.header.get("dtype", dtype)) == of]
    if given:
        return next((t for t in given if t.header.get("when") == when), given[0]), ""
    path = Path(facts.get("path", f"{name}.csv"))
    places = [path, *(result.parent / path.name for result in results), *(r.parent.parent / path.name for r in results)]
    if name in shipped_tables():
        places.append(shipped_tables()[name])
    other = None
    for place in places:
        try:
            if not place.is_file():
                continue
            table = LatencyTable.load(place)
        except (InputError, OSError, ValueError) as error:
            return None, f"the table {place} cannot be read ({error})"
        if (table.device, table.header.get("dtype", dtype)) == (device, dtype):
            if table.header.get("when") == when:
                return table, ""
            other = other or table
    return other, "" if other else f"the table {path.name} is not where the search read it: name it too"
