"""One network for several devices, under each one's limit: several costs of one exact search."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from ofa.errors import Infeasible, InputError
from ofa.predictors.separable.predictor import SeparablePredictor
from ofa.search.confidence import MOST_TANGENTS, Allowance, tangent
from ofa.search.costs import Limit, exclusion, latency_cost, macs_cost, params_cost
from ofa.search.exact.search import Answer, ExactSearch
from ofa.search.specialise import DeviceSearch, Wanted, method_of, specialised
from ofa.search.specialised import Specialised
from ofa.tables.lookup import LatencyLookup
from ofa.tables.uncertainty import UncertainLatencies


def search_together(
    searches: Mapping[str, DeviceSearch],
    limits_ms: Sequence[float],
    allowances: Mapping[str, Allowance] = MappingProxyType({}),
) -> tuple[dict[str, list[Specialised]], int]:
    """For each device the same networks, and how many configurations of units were scored.

    searches: of one space, predictor and `Wanted`; resolutions that not all of them have are left out
    limits_ms: one a device, in the order of `searches`; allowances: of those that give each network a margin of its own
    Raises Infeasible, naming two limits that exclude each other where there are such.
    """
    first = next(iter(searches.values()))
    predictor, wanted = first.predictor, first.wanted
    method_of(predictor, Wanted(method="exact"))
    assert isinstance(predictor, SeparablePredictor)
    shared = [r for r in first.resolutions if all(r in other.resolutions for other in searches.values())]
    if not shared:
        stated = "; ".join(f"{name}: {', '.join(map(str, search.resolutions))}" for name, search in searches.items())
        raise InputError(f"the tables share no resolution ({stated}): name --resolutions that all of them hold")
    lookups = {name: search.table.lookup(first.space, shared) for name, search in searches.items()}
    index = lookups[first.name].index
    limits = [
        Limit(latency_cost(lookups[name], search.table.batch, of=name), limit)
        for (name, search), limit in zip(searches.items(), limits_ms, strict=True)
    ]
    for of_index, value in ((macs_cost, wanted.max_macs), (params_cost, wanted.max_params)):
        if value is not None:
            limits.append(Limit(of_index(index), value))
    scores = [predictor.unit_scores(r) for r in index.resolutions]
    uncertain = {name: _uncertain(searches[name], lookups[name]) for name in allowances}
    for _ in range(MOST_TANGENTS):
        exact = ExactSearch(index, scores, np.stack([limit.cost.per_block for limit in limits]), wanted.allowed)
        whole = np.array([limit.cost.whole(limit.value) for limit in limits], dtype=np.int64)
        answers: list[Answer] = exact.different(whole, wanted.best, wanted.differ)
        if not answers:
            words = exclusion(index, limits, wanted.allowed) or " and ".join(map(str, limits))
            raise Infeasible(f"no sub-network of {first.space.name} keeps all limits: {words}; relax one of them")
        genes = np.concatenate([answer.genes for answer in answers])
        most_ms = {name: of.most_ms(genes, allowances[name].deviations) for name, of in uncertain.items()}
        further = [
            Limit(tangent(uncertain[name], allowances[name], genes[over], search.table.batch, of=name), limit_ms)
            for (name, search), limit_ms in zip(searches.items(), limits_ms, strict=True)
            for over in ([np.flatnonzero(most_ms[name] > limit_ms)[:1]] if name in most_ms else [])
            if len(over)
        ]
        limits += further
        if not further:
            break
    else:
        raise Infeasible(f"found no sub-network that keeps all limits surely, in {MOST_TANGENTS} searches: relax one")
    found: dict[str, list[Specialised]] = {}
    for (name, search), limit_ms in zip(searches.items(), limits_ms, strict=True):
        found[name] = [
            specialised(search, limit_ms, answer.genes, float(np.ptp(predictor.of_sums(_both(answer)))), rank)
            for rank, answer in enumerate(answers, 1)
        ]
        if name in most_ms:
            found[name] = [replace(r, surely_ms=float(ms)) for r, ms in zip(found[name], most_ms[name], strict=True)]
    return found, _configurations(exact)


def _configurations(exact: ExactSearch) -> int:
    return sum(len(items.number) for chain in exact.chains for items in chain.units)


def _uncertain(search: DeviceSearch, lookup: LatencyLookup) -> UncertainLatencies:
    """Of the resolutions that all devices share."""
    known = search.table.uncertainty
    assert known is not None  # else there is no allowance
    return known.latencies(lookup)


def _both(answer: Answer) -> NDArray[np.int64]:
    return np.array([answer.score, answer.bound], dtype=np.int64)
