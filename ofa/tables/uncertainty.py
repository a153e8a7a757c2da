"""How surely an estimated table knows each network: by how much its cost model may be off, and which terms together.

An estimated table's latencies are sums of a cost model's terms (`ofa.blocks.terms`), whose weights are known with a
covariance. The header has K independent directions: by how many milliseconds a unit of each term a standard deviation
in that direction moves the weights. What moves in one direction moves together, so that it adds up over a network's
blocks as latencies do; directions are independent of each other. So a network's latency has the standard deviation

    sqrt(|sum over its blocks, and the inference, of terms * directions|^2 + (noise * latency)^2)

where noise is what no weights explain. A network like those that were timed has little of the first part; one far
from them has much.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from ofa.blocks import Block
from ofa.blocks.terms import MORE_TERMS, more_terms
from ofa.errors import InputError
from ofa.reading.numbers import Bounds
from ofa.space import Genes
from ofa.tables.lookup import LatencyLookup

Floats = NDArray[np.float64]

UNCERTAINTY = "uncertainty_"  # what its header keys begin with
_KEYS = ("noise_pct", "freedom", "terms", "directions", "rests_on", "sums")
UNCERTAINTY_KEYS = tuple(UNCERTAINTY + key for key in _KEYS)
_NOISE, _FREEDOM, _TERMS, _DIRECTIONS, _RESTS_ON, _SUMS = UNCERTAINTY_KEYS
NOISE = Bounds(0, 1000, "per cent")
FREEDOM = Bounds(3, 1e9, "degrees of freedom")
DIRECTION = Bounds(-1e7, 1e7, "milliseconds")
MOST_DIRECTIONS = len(MORE_TERMS)
_RANDOM = 200  # networks of a space, of which is asked how surely they are known


@dataclass(frozen=True, eq=False)
class LatencyUncertainty:
    """What an estimated table knows of its errors, network by network.

    noise: relative, a standard deviation, of what no weights explain
    freedom: degrees of freedom of Student's t that errors in terms of their standard deviation follow
    directions: (K, terms) milliseconds a unit of each of `MORE_TERMS`
    rests_on: in words, with how often it was right of networks that were left out
    sums: of table and directions, the only ones that it holds for
    """

    noise: float
    freedom: float
    directions: Floats
    rests_on: str
    sums: str = ""

    @classmethod
    def parse(cls, header: Mapping[str, str], name: str) -> LatencyUncertainty | None:
        """Of a table's header; None where it has none, or one of terms that this version does not know.

        InputError, beginning with `name`, where it is damaged.
        """
        there = [key for key in UNCERTAINTY_KEYS if key in header]
        if not there:
            return None
        if lacking := [key for key in UNCERTAINTY_KEYS if not header.get(key)]:
            raise InputError(f"{name}: header has {there[0]}, but no {lacking[0]}: put that line back, or take all out")
        terms = header[_TERMS].split()
        rows = [row.split() for row in header[_DIRECTIONS].split("|")]
        if len(rows) > MOST_DIRECTIONS or any(len(row) != len(terms) for row in rows) or len(set(terms)) < len(terms):
            raise InputError(
                f"{name}: header {_DIRECTIONS} is {len(rows)} lists of {', '.join(str(len(row)) for row in rows[:3])} "
                f"numbers, expected at most {MOST_DIRECTIONS} with one number for each of {len(terms)} {_TERMS}"
            )
        numbers = [[DIRECTION.decimal(f"{name}: header {_DIRECTIONS}", text) for text in row] for row in rows]
        noise = NOISE.decimal(f"{name}: header {_NOISE}", header[_NOISE]) / 100
        freedom = FREEDOM.decimal(f"{name}: header {_FREEDOM}", header[_FREEDOM])
        if not set(terms) <= set(MORE_TERMS):
            return None
        directions = np.zeros((len(rows), len(MORE_TERMS)))
        directions[:, [MORE_TERMS.index(term) for term in terms]] = numbers
        return cls(noise, freedom, directions, header[_RESTS_ON], header[_SUMS])

    def to_header(self) -> dict[str, str]:
        """The lines of a table's header: numbers to two digits, of terms that have one."""
        there = np.flatnonzero(np.abs(self.directions).max(axis=0) > 0)
        numbers = "|".join(" ".join(map(_brief, row)) for row in self.directions[:, there].tolist())
        terms = " ".join(MORE_TERMS[i] for i in there)
        values = (f"{100 * self.noise:.4g}", f"{self.freedom:g}", terms, numbers, self.rests_on, self.sums)
        return dict(zip(UNCERTAINTY_KEYS, values, strict=True))

    def identity(self, sums: str) -> str:
        """Of a table's sums (`LatencyTable.sums`) and what is said of their errors."""
        stated = [value for key, value in self.to_header().items() if key not in (_SUMS, _RESTS_ON)]
        return hashlib.sha256("\n".join([sums, *stated]).encode()).hexdigest()[:16]

    def of_blocks(self, blocks: Sequence[Block]) -> Floats:
        """(K, U) milliseconds of U blocks; the inference's are the classifier's, which every network has once."""
        terms = np.array([more_terms(block) for block in blocks]).reshape(-1, len(MORE_TERMS))
        terms[:, -1] = [block.op == "linear" for block in blocks]
        found: Floats = self.directions @ terms.T
        return found

    def latencies(self, lookup: LatencyLookup) -> UncertainLatencies:
        """Of the networks of a look-up of its table."""
        of_blocks = self.of_blocks(lookup.index.blocks)
        return UncertainLatencies(lookup, np.vstack([of_blocks, self.noise * lookup.block_ms]))

    def quantile(self, confidence: float) -> float:
        """By how many standard deviations a latency is exceeded with 100 - `confidence` per cent, on one side."""
        return student_quantile(confidence / 100, self.freedom)


@dataclass(frozen=True, eq=False)
class UncertainLatencies:
    """The latencies of a look-up's networks, and how surely they are known.

    parts_ms: (K + 1, U) of each block: its deviations, and what noise makes of it
    """

    lookup: LatencyLookup
    parts_ms: Floats

    def deviations_ms(self, genes: Genes) -> Floats:
        """(K + 1, N) of N networks."""
        return np.stack([self.lookup.index.total(genes, part) for part in self.parts_ms])

    def most_ms(self, genes: Genes, deviations: float) -> Floats:
        """(N,) what N networks take with so many standard deviations more; 0: as a search adds up."""
        sums = self.lookup.index.total(genes, self.lookup.block_ns) / 1e6
        most: Floats = sums + deviations * np.linalg.norm(self.deviations_ms(genes), axis=0)
        return most

    def relative_sd(self, genes: Genes) -> Floats:
        """(N,) the standard deviation of each, as a share of its latency."""
        return self.most_ms(genes, 1.0) / self.most_ms(genes, 0.0) - 1

    def usual_sd_pct(self) -> float:
        """The median standard deviation of random networks, per cent."""
        index = self.lookup.index
        genes = index.space.sample(np.random.default_rng(0), _RANDOM, resolutions=index.resolutions)
        return 100 * float(np.median(self.relative_sd(genes)))

    def tangent_ns(self, genes: Genes, deviations: float) -> NDArray[np.int64]:
        """(U,) whole nanoseconds of each block: they sum up to `most_ms` of one network, and at most to that of others.

        A length is the greatest of its projections: the deviations of every network are projected on those of this one.
        What is rounded up is a nanosecond a block.
        """
        own = self.deviations_ms(genes)[:, 0]
        length = float(np.linalg.norm(own))
        along = own / length if length > 0 else own
        whole: Floats = np.ceil(np.round(self.lookup.block_ns + 1e6 * deviations * (along @ self.parts_ms), 3))
        return whole.astype(np.int64)


def _brief(value: float) -> str:
    """To two digits, which change a standard deviation by less than two per cent."""
    return f"{value:.2g}".replace("e-0", "e-")


def student_quantile(probability: float, freedom: float) -> float:
    """Of Student's t, to four digits from three degrees of freedom on.

    Hill's approximation (Algorithm 396, Communications of the ACM, 1970), without scipy, so that a search starts at
    once.
    """
    if probability == 0.5:
        return 0.0
    tail = 2 * min(probability, 1 - probability)
    a = 1 / (freedom - 0.5)
    b = 48 / a**2
    c = ((20700 * a / b - 98) * a - 16) * a + 96.36
    d = ((94.5 / (b + c) - 3) / b + 1) * math.sqrt(a * math.pi / 2) * freedom
    x = d * tail
    y = x ** (2 / freedom)
    if y > 0.05 + a:
        x = NormalDist().inv_cdf(tail / 2)
        y = x * x
        if freedom < 5:
            c += 0.3 * (freedom - 4.5) * (x + 0.6)
        c = (((0.05 * d * x - 5) * x - 7) * x - 2) * x + b + c
        y = (((((0.4 * y + 6.3) * y + 36) * y + 94.5) / c - y - 3) / b + 1) * x
        y = math.expm1(a * y * y)
    else:
        z = (1 / (((freedom + 6) / (freedom * y) - 0.089 * d - 0.822) * (freedom + 2) * 3) + 0.5 / (freedom + 4)) * y
        y = (z - 1) * (freedom + 1) / (freedom + 2) + 1 / y
    return math.copysign(math.sqrt(freedom * y), probability - 0.5)
