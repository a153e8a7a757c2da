"""What every accuracy predictor has in common: predictions with intervals, and what of them may be promised."""

from __future__ import annotations

import copy
import math
import os
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from ofa.errors import InputError, one_line
from ofa.reading.numbers import PERCENT, Bounds, short
from ofa.reading.structured import as_object
from ofa.space import Genes, SearchSpace, Subnet
from ofa.space.resolutions import MOST_RESOLUTION

Floats = NDArray[np.float64]

OFFSET = Bounds(-100, 100, "per cent")
# types of networks whose accuracies are measured, as tables and predictors state them
DTYPES = ("float32", "int8")


def stated_dtype(header: Mapping[str, Any]) -> str:
    """Of networks behind accuracies; float32 where nothing is said. InputError for a type that is none of DTYPES."""
    stated = header.get("dtype", DTYPES[0])
    if stated not in DTYPES:
        raise InputError(f"dtype is {short(stated)}, expected one of {', '.join(DTYPES)}")
    return str(stated)


@dataclass(frozen=True)
class Prediction:
    """Predictions of N sub-networks.

    top1: (N,) predicted top-1, per cent
    std: (N,) its standard deviation, per cent; NaN where the predictor does not know
    interpolated: (N,) whether the resolution lies between two that the predictor knows
    """

    top1: Floats
    std: Floats
    interpolated: NDArray[np.bool_]


def interval_95(top1: float, std: float) -> tuple[float, float] | None:
    """95 % of a normal distribution, per cent, as far as there are such accuracies; None where std is NaN."""
    if math.isnan(std):
        return None
    low, high = top1 - 1.96 * std, top1 + 1.96 * std
    return max(0.0, low), max(top1, min(100.0, high))


@dataclass(frozen=True)
class Uncertainty:
    """How an ensemble's spread becomes a standard deviation: sqrt(noise^2 + (scale * spread)^2).

    noise: per cent, one a known resolution: what no model explains of the accuracies measured there
    scale: what the members' spread is multiplied with; both are fitted on the calibration split
    interpolation: per cent, added in quadrature between two known resolutions
    """

    noise: tuple[float, ...]
    scale: float
    interpolation: float = 0.0


@dataclass(frozen=True)
class Scale:
    """Where a predictor's figures lie against measured accuracies.

    offset: added to its figures, per cent
    sd: what is left of the error of one network then, per cent
    checked: on what: shown beside every figure
    """

    offset: float
    sd: float
    checked: str

    def __post_init__(self) -> None:
        OFFSET.check("offset", self.offset)
        PERCENT.check("sd", self.sd)
        if not isinstance(self.checked, str):
            raise InputError(f"checked is {short(self.checked)}, expected text")


def _scale(stated: Any, key: str) -> Scale:
    """Of a header; InputError or TypeError for what is none."""
    return Scale(**as_object(stated, key))


@dataclass(frozen=True, eq=False)
class KnownAround:
    """For every number of pixels the known resolutions around it.

    below, above: (pixels,) their indices; share: how far it lies towards the upper, linear in resolution^-2, 0 where it
    is known, NaN outside
    """

    below: NDArray[np.uint8]
    above: NDArray[np.uint8]
    share: Floats

    @classmethod
    def of(cls, known: Sequence[int]) -> KnownAround:
        pixels = np.arange(MOST_RESOLUTION + 1)
        above = np.searchsorted(known, pixels, side="left")
        outside = above == len(known)
        above = np.minimum(above, len(known) - 1)
        exact = np.array(known)[above] == pixels
        below = np.where(exact, above, above - 1)
        outside |= below < 0
        below = np.maximum(below, 0)
        line = np.array(known, dtype=np.float64) ** -2
        with np.errstate(invalid="ignore", divide="ignore"):
            share = (pixels.astype(np.float64) ** -2 - line[below]) / (line[above] - line[below])
        share = np.where(outside, np.nan, np.where(exact, 0.0, share))
        # there are fewer known resolutions than a byte has values
        return cls(below.astype(np.uint8), above.astype(np.uint8), share)

    def mixed(self, values: Floats, pixels: NDArray[Any]) -> Floats:
        """(N,) at those pixels, of (R,) at the known resolutions."""
        low = values[self.below[pixels]]
        found: Floats = low + self.share[pixels] * (values[self.above[pixels]] - low)
        return found


class Predictor(ABC):
    """Predicts top-1 of the sub-networks of one space. `AccuracyPredictor.default` and `.load` give one.

    space: what it is bound to; only `num_classes` may differ from what it was made for
    resolutions: those that it knows exactly, pixels, ascending; those between are interpolated
    header: where it comes from, what it was fitted on and how good it is
    scale: None where nobody compared its figures with measured accuracies of the whole data set
    """

    def __init__(
        self, space: SearchSpace, resolutions: Sequence[int], header: Mapping[str, Any], uncertainty: Uncertainty | None
    ) -> None:
        """Raises ValueError for a header whose figures do not fit the resolutions."""
        self.space, self.resolutions, self.header = space, tuple(resolutions), dict(header)
        self.uncertainty = uncertainty
        if uncertainty is not None and len(uncertainty.noise) != len(self.resolutions):
            raise ValueError("noise is expected to have one value a resolution")
        self.between = KnownAround.of(self.resolutions)
        stated = self.header.get("scale")
        self.scale = None if stated is None else _scale(stated, "scale")
        if "int8_scale" in self.header:
            _scale(self.header["int8_scale"], "int8_scale")
        for key in ("optimism", "source_sd"):
            self._per_resolution(key)
        stated_dtype(self.header)

    @property
    def description(self) -> str:
        """One line: origin and fidelity."""
        return one_line(str(self.header.get("description", "")))

    @property
    def dtype(self) -> str:
        """Type of the networks whose accuracies it predicts: "float32" or "int8"."""
        return stated_dtype(self.header)

    @property
    def stated_classes(self) -> int | None:
        """How many classes its accuracies are of, as it says; None where it does not."""
        facts = self.header.get("images") or {}
        return self.header.get("num_classes") or len(facts.get("classes") or ()) or None

    @property
    def optimism(self) -> Floats:
        """(R,) per cent: how much too well a search's optimum is predicted, by models of half the data."""
        return self._per_resolution("optimism")

    @property
    def source_sd(self) -> Floats:
        """(R,) per cent: of the level that all accuracies of a resolution share, as one sample of images gave them."""
        return self._per_resolution("source_sd")

    def _per_resolution(self, key: str) -> Floats:
        stated = as_object(self.header.get(key) or {}, key)
        return np.array([float(OFFSET.check(key, stated.get(str(r), 0.0))) for r in self.resolutions])

    def in_int8(self) -> Self | None:
        """The same for int8 networks, where the header states their scale beside float32 ones; else None.

        `int8_scale` is a `Scale`: its offset is what int8 costs in the mean, its sd that of one network.
        """
        stated = self.header.get("int8_scale")
        if stated is None or self.dtype != DTYPES[0]:
            return None
        scale = _scale(stated, "int8_scale")
        if self.scale is not None:
            offset, sd = self.scale.offset + scale.offset, math.hypot(self.scale.sd, scale.sd)
            scale = Scale(offset, sd, f"{self.scale.checked}; {scale.checked}")
        other = copy.copy(self)
        other.header = {**self.header, "dtype": "int8", "scale": asdict(scale)}
        other.scale = scale
        return other

    def with_uncertainty(self, uncertainty: Uncertainty) -> Self:
        """The same predictor, with intervals."""
        other = copy.copy(self)
        other.uncertainty = uncertainty
        return other

    def bootstrapped(self, rng: np.random.Generator) -> Predictor:
        """As if it had been fitted anew: its members are drawn with replacement. Of one member: itself."""
        del rng
        return self

    @abstractmethod
    def predict(self, subnets: Subnet | Sequence[Subnet] | Genes) -> Prediction:
        """Predicts one sub-network, several, or N rows of genes of `space`.

        Raises InputError for a sub-network of another space, or a resolution outside the known range.
        """

    @abstractmethod
    def members(self, subnets: Subnet | Sequence[Subnet] | Genes) -> Floats:
        """(members, N) what each member predicts, per cent, at resolutions that are known exactly."""

    @abstractmethod
    def save(self, path: str | os.PathLike[str]) -> None:
        """Writes `path` (.safetensors) and the header next to it (.json); each appears whole or not at all."""

    def top1(self, subnets: Subnet | Sequence[Subnet] | Genes) -> Floats:
        """(N,) predicted top-1 alone, per cent."""
        return self.predict(subnets).top1

    def promised(self, subnets: Subnet | Sequence[Subnet] | Genes) -> Prediction:
        """What may be promised of networks that a search chose by this predictor, on the scale of measured accuracies.

        A search ends where the predictor errs upwards: half of the optimism is taken off, and adds to the standard
        deviation, as do the level of the source and what the scale leaves over.
        """
        genes = self.space.as_genes(subnets)
        plain = self.predict(genes)
        half, level = (self.between.mixed(v, genes[:, 0]) / d for v, d in ((self.optimism, 2), (self.source_sd, 1)))
        variance = np.where(np.isnan(plain.std), np.nan, plain.std**2 + half**2 + level**2)
        top1 = plain.top1 - half
        if self.scale is not None:
            top1 = top1 + self.scale.offset
            variance = np.nan_to_num(variance, nan=0.0) + self.scale.sd**2
        return Prediction(top1, np.sqrt(variance), plain.interpolated)

    def require_covered(self, genes: Genes) -> None:
        """InputError, naming it, where a resolution is outside the known range."""
        outside = np.isnan(self.between.share[genes[:, 0]])
        if outside.any():
            raise InputError(
                f"resolution {genes[np.argmax(outside), 0]} is outside what the predictor covers: "
                f"{self.resolutions[0]} to {self.resolutions[-1]} px ({self.description})"
            )
