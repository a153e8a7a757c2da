"""One network for several devices, under each one's limit: several costs of one exact search."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from ofa.errors import Infeasible, InputError
from ofa.predictors.separable.predictor import SeparablePredictor
from ofa.search.costs import Limit, exclusion, latency_cost, macs_cost, params_cost
from ofa.search.exact.search import Answer, ExactSearch
from ofa.search.specialise import DeviceSearch, Wanted, method_of, specialised
from ofa.search.specialised import Specialised


def search_together(
    searches: Mapping[str, DeviceSearch], limits_ms: Sequence[float]
) -> tuple[dict[str, list[Specialised]], int]:
    """For each device the same networks, and how many configurations of units were scored.

    searches: of one space, predictor and `Wanted`; resolutions that not all of them have are left out
    limits_ms: one a device, in the order of `searches`
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
    for cost, value in ((macs_cost, wanted.max_macs), (params_cost, wanted.max_params)):
        if value is not None:
            limits.append(Limit(cost(index), value))
    scores = [predictor.unit_scores(r) for r in index.resolutions]
    exact = ExactSearch(index, scores, np.stack([limit.cost.per_block for limit in limits]), wanted.allowed)
    whole = np.array([limit.cost.whole(limit.value) for limit in limits], dtype=np.int64)
    answers: list[Answer] = exact.different(whole, wanted.best, wanted.differ)
    if not answers:
        words = exclusion(index, limits, wanted.allowed) or " and ".join(map(str, limits))
        raise Infeasible(f"no sub-network of {first.space.name} keeps all limits: {words}; relax one of them")
    found: dict[str, list[Specialised]] = {}
    for (name, search), limit in zip(searches.items(), limits_ms, strict=True):
        found[name] = [
            specialised(search, limit, answer.genes, float(np.ptp(predictor.of_sums(_both(answer)))), rank)
            for rank, answer in enumerate(answers, 1)
        ]
    return found, sum(len(items.number) for chain in exact.chains for items in chain.units)


def _both(answer: Answer) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    return np.array([answer.score, answer.bound], dtype=np.int64)
