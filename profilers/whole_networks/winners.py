"""Networks that searches find: within limits drawn log-uniformly, each by a predictor whose members are drawn anew."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ofa.errors import InputError
from ofa.predictors.prediction import Predictor
from ofa.reading.numbers import MILLISECONDS
from ofa.search.specialise import DeviceSearch
from ofa.search.specialised import Specialised
from ofa.space import Genes, SearchSpace, Subnet
from ofa.tables.margin import Margins

# limits that are drawn for each network of a check: near the ends many find the same one
DRAWS = 20


@dataclass(frozen=True)
class Winner:
    """The network that a search found within a limit of the whole device, and its sum."""

    limit_ms: float
    predicted_ms: float
    subnet: Subnet

    @classmethod
    def of(cls, limit_ms: float, found: Specialised) -> Winner:
        return cls(float(limit_ms), found.latency_ms, found.subnet)

    def to_dict(self) -> dict[str, Any]:
        return {"limit_ms": self.limit_ms, "predicted_ms": self.predicted_ms, "subnet": self.subnet.to_dict()}

    @classmethod
    def from_dict(cls, stated: Any, space: SearchSpace, name: str) -> Winner:
        """InputError, beginning with `name`, where it is none."""
        if not isinstance(stated, dict):
            raise InputError(f"{name} is no network")
        limit, predicted = (
            MILLISECONDS.check(f"{name}: {key}", stated.get(key)) for key in ("limit_ms", "predicted_ms")
        )
        return cls(limit, predicted, space.subnet_from_dict(stated.get("subnet") or {}))


@dataclass(frozen=True)
class Winners:
    """fast: as many as slow, of limits up to split_ms, as drawn; slow: of those above

    Where both are walked together, one predictor found the two.
    """

    split_ms: float
    fast: tuple[Winner, ...]
    slow: tuple[Winner, ...]

    @property
    def all(self) -> tuple[Winner, ...]:
        return self.fast + self.slow


SearchBy = Callable[[Predictor], DeviceSearch]


def draw_winners(search_by: SearchBy, predictor: Predictor, count: int, rng: np.random.Generator) -> Winners:
    """`count` networks of each half of the latency range."""
    low, high = latency_range(search_by(predictor))
    split = float(np.sqrt(low * high))
    fast: list[Winner] = []
    slow: list[Winner] = []
    for _ in range(count):
        search = search_by(predictor.bootstrapped(rng))
        limits = log_uniform(rng, low, split, 1)[0], log_uniform(rng, split, high, 1)[0]
        found, _ = search.run(limits, rng)
        for of, limit, network in zip((fast, slow), limits, found, strict=True):
            of.append(Winner.of(limit, network))
    return Winners(split, tuple(fast), tuple(slow))


def log_uniform(rng: np.random.Generator, low: float, high: float, count: int) -> NDArray[np.float64]:
    """(count,) ms, whole nanoseconds, as sums are."""
    drawn = np.floor(np.exp(rng.uniform(np.log(low), np.log(high), count)) * 1e6) / 1e6
    found: NDArray[np.float64] = np.clip(drawn, low, high)
    return found


def latency_range(search: DeviceSearch) -> tuple[float, float]:
    """Of the fastest network and, beyond which no limit finds another, of the most accurate, ms."""
    whole = search.frontier()
    return search.least, search.frontier_limits()[-1] if whole is None else float(whole.cost[-1])


@dataclass(frozen=True)
class Checked:
    """A network that was found with a margin, and what that costs: top-1, per cent, against the limit without."""

    winner: Winner
    costs_top1: float


def draw_checks(
    search: DeviceSearch,
    margins: Margins,
    confidence: float,
    count: int,
    known: Sequence[Winner],
    rng: np.random.Generator,
) -> list[Checked]:
    """`count` different networks that are not among the known, within limits less their margin of the whole range.

    The predictor searches as it is. Fewer where so many limits do not find so many.
    """
    low, high = latency_range(search)
    limits = log_uniform(rng, low * margins.margin([low], confidence).ratio, high, DRAWS * count)
    seen = {winner.subnet for winner in known}
    drawn: list[Checked] = []
    for limit in limits:
        ratio = margins.margin([limit], confidence).ratio
        within = max(search.least, limit / ratio)
        (found,), _ = search.run([within], rng)
        if found.subnet in seen:
            continue
        seen.add(found.subnet)
        (without,), _ = search.run([float(limit)], rng)
        drawn.append(Checked(Winner.of(limit, found), without.predicted_top1 - found.predicted_top1))
        if len(drawn) == count:
            break
    return drawn


def genes_of_winners(space: SearchSpace, winners: Sequence[Winner]) -> tuple[Genes, NDArray[np.intp]]:
    """(M, genes) of the different networks, and for each winner which of them it is."""
    numbers: dict[Subnet, int] = {}
    at = [numbers.setdefault(winner.subnet, len(numbers)) for winner in winners]
    return space.encode(list(numbers)), np.array(at, dtype=np.intp)
