"""Limits that are kept with a probability: `--confidence`.

A measured table tells how much longer whole networks took than their sums (`ofa.tables.margin`): limits are divided by
that. An estimated table tells how surely it knows each network (`ofa.tables.uncertainty`): each has a margin of its
own, and its latency with that is to be within the limit. Such latencies do not add up over blocks. But each is the
greatest of many sums, its tangents, so that the search is exact all the same: it searches within one tangent, adds
that of a network that is found to be beyond the limit, and searches again, until none is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace

import numpy as np

from ofa.cli.console import spelled
from ofa.errors import Infeasible, InputError
from ofa.reading.numbers import short
from ofa.search.config import SearchConfig
from ofa.search.costs import Cost, least
from ofa.search.exact.limits import TooLong, TooMany, bounded
from ofa.search.specialise import DeviceSearch
from ofa.search.specialised import Specialised
from ofa.space import Genes, SearchSpace
from ofa.tables import LatencyTable
from ofa.tables.margin import Margin, Margins, SustainedFactor
from ofa.tables.uncertainty import UncertainLatencies

MOST_TANGENTS = 40  # of one limit; two to five were enough
MOST_PAIRS = 100_000_000  # that searches within tangents look at; of shipped tables the TX2's needs 16 million


@dataclass(frozen=True)
class Allowance:
    """What each network is given beyond its sum, by how surely an estimated table knows it.

    deviations: so many standard deviations; confidence: per cent, that `networks` keep their limits all at once
    """

    deviations: float
    confidence: float
    networks: int


def kept_with(
    tables: Mapping[str, LatencyTable], config: SearchConfig, space: SearchSpace, limits: Mapping[str, Sequence[float]]
) -> tuple[dict[str, Margin], dict[str, Allowance]]:
    """What `--confidence` divides each table's limits, ms, by, or gives each network; none without it.

    InputError where a table tells neither.
    """
    margins: dict[str, Margin] = {}
    allowances: dict[str, Allowance] = {}
    if config.confidence is None:
        return margins, allowances
    # limits on several tables are all kept where none is broken: each may be with its share of what is left
    each = 100 - (100 - config.confidence) / len(tables) if config.together else config.confidence
    for name, table in tables.items():
        if table.provenance == "estimated" and table.uncertainty is not None:
            allowances[name] = _allowance(table, each, config.best * len(set(limits[name])))
            continue
        held = _held_margins(table, space)
        try:
            measure = spelled("profilers.margin", "--table", table.path)
            margins[name] = held.margin(limits[name], each, config.best, measure)
        except InputError as error:
            raise InputError(f"{table.path}: {error}") from None
    return margins, allowances


def _allowance(table: LatencyTable, confidence: float, networks: int) -> Allowance:
    assert table.uncertainty is not None
    if table.deviations_changed:
        raise InputError(
            f"{table.path}: rows or sum_correction were changed after its uncertainty was found, which so promises "
            "nothing: put them back, estimate it again (its header has the command), or leave --confidence out"
        )
    return Allowance(table.uncertainty.quantile(100 - (100 - confidence) / networks), confidence, networks)


def _held_margins(table: LatencyTable, space: SearchSpace) -> Margins:
    """The table's, which are of its rows as they are, and of networks of the space; InputError where they are not."""
    margins, measure = table.margins, spelled("profilers.margin", "--table", table.path)
    # margins that stand in an imported or estimated table were measured for another one
    if margins is None or table.provenance != "measured":
        raise InputError(_no_margin(table))
    if not margins.sums:
        raise InputError(
            f"{table.path}: the header does not record which rows its margin is of: measure it again ({measure} "
            f"--overwrite), or, if no row was changed since, add the line '# margin_sums: {table.sums}'"
        )
    if margins.sums != table.sums:
        raise InputError(
            f"{table.path}: rows or sum_correction were changed after its margin was measured, which so promises "
            f"nothing: put them back, measure it again ({measure} --overwrite), or leave --confidence out"
        )
    if margins.space not in ("", space.name):
        named = "--space", space.source or space.name
        measure = spelled("profilers.margin", "--table", table.path, *named, "--overwrite")
        raise InputError(
            f"{table.path}: its margin is of networks of {short(margins.space)}, not of {space.name}: measure that "
            f"({measure}), or leave --confidence out"
        )
    return margins


def _no_margin(table: LatencyTable) -> str:
    way = f"{spelled('profilers.margin', '--table', table.path)} measures those that searches find"
    if table.provenance != "measured":
        way = "measure a table on the device"
    if table.provenance == "estimated":
        way += ", or estimate this one, from at least two networks, again (its header has the command)"
    return (
        f"--confidence rests on networks that were measured whole, and {table.path} ({table.provenance}) has "
        f"no such networks: {way}, or leave --confidence out"
    )


@contextmanager
def effort(searches: Mapping[str, DeviceSearch], allowances: Mapping[str, Allowance]) -> Iterator[None]:
    """Searches within tangents end: InputError where they would have to look at more than `MOST_PAIRS`.

    It names the table that knows its latencies least: where that is next to nothing, tangents exclude little.
    """
    uncertain = {name: searches[name].uncertain for name in allowances}
    if not uncertain:
        yield
        return
    try:
        with bounded(MOST_PAIRS):
            yield
    except (TooLong, TooMany):
        known = {name: of.usual_sd_pct() for name, of in uncertain.items() if of is not None}
        name = max(known, key=lambda of: known[of])
        raise InputError(
            f"{searches[name].table.path}: its latencies are known too little to find the best network that keeps its "
            f"limit with {allowances[name].confidence:g} % (standard deviation of random networks {known[name]:,.0f} "
            "%): estimate it again from more networks (its header has the command), ask for a wider limit, or leave "
            "--confidence out"
        ) from None


@contextmanager
def divided(margin: Margin | None, factor: SustainedFactor | None, allowance: Allowance | None) -> Iterator[None]:
    """A limit that cannot be met says what was taken off it."""
    try:
        yield
    except Infeasible as error:
        taken = [
            *([] if margin is None else [f"{margin.ratio:g}, the margin of --confidence {margin.confidence:g}"]),
            *([] if factor is None else [f"{factor.factor:g}, the factor of --sustained"]),
        ]
        words = [f"limits were divided by {', and by '.join(taken)}"] if taken else []
        if allowance is not None:
            words.append(f"with the margin of its own that --confidence {allowance.confidence:g} gives each network")
        if not words:
            raise
        raise Infeasible(f"{error} ({'; '.join(words)})") from None


def search_surely(
    search: DeviceSearch,
    allowance: Allowance,
    limits: Sequence[float],
    rng: np.random.Generator,
    progress: Callable[[float], None] | None = None,
) -> tuple[list[Specialised], int]:
    """As `DeviceSearch.run`, of networks that keep the limits with their own margins."""
    uncertain = search.uncertain
    assert uncertain is not None  # else there is no allowance
    results: list[Specialised] = []
    evaluations = 0
    for n, limit in enumerate(limits):
        with effort({search.name: search}, {search.name: allowance}):
            found, count = _within(search, uncertain, allowance, limit, rng)
        results += found
        evaluations += count
        if progress:
            progress((n + 1) / len(limits))
    return results, evaluations


def _within(
    search: DeviceSearch, uncertain: UncertainLatencies, allowance: Allowance, limit: float, rng: np.random.Generator
) -> tuple[list[Specialised], int]:
    space, batch = search.space, search.table.batch
    tangents = [tangent(uncertain, allowance, search.fastest, batch)]
    fastest, _ = least(search.index, tangents[0], search.wanted.allowed)
    most = float(uncertain.most_ms(fastest, allowance.deviations)[0])
    if tangents[0].whole(limit) < round(float(search.index.total(fastest, tangents[0].per_block)[0])):
        raise Infeasible(
            f"no sub-network of {space.name} runs within {tangents[0].words(limit)} on {search.table.device}: the "
            f"fastest may take {tangents[0].words(most, '.3f')}"
        )
    evaluations = 0
    for _ in range(MOST_TANGENTS):
        found, count = search.within(tangents, limit).run([limit], rng)
        evaluations += count
        genes = space.as_genes([each.subnet for each in found])
        most_ms = uncertain.most_ms(genes, allowance.deviations)
        beyond = most_ms > limit
        if not beyond.any():
            return [replace(each, surely_ms=float(ms)) for each, ms in zip(found, most_ms, strict=True)], evaluations
        tangents += [tangent(uncertain, allowance, genes[i : i + 1], batch) for i in np.flatnonzero(beyond)[:2]]
    raise Infeasible(
        f"found no sub-network of {space.name} that runs within {tangents[0].words(limit)} on "
        f"{search.table.device}, in {MOST_TANGENTS} searches: ask for a wider limit, or less --confidence"
    )


def tangent(uncertain: UncertainLatencies, allowance: Allowance, genes: Genes, batch: int, of: str = "") -> Cost:
    """What touches the latency with its margin at one network, (1, genes): as a cost that can be limited."""
    return Cost(uncertain.tangent_ns(genes, allowance.deviations), "ms", batch=batch, of=of)
