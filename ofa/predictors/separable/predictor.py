"""The separable predictor: accuracy is a table too, as latency is.

    top-1 = bend(level of the resolution + score of unit 1 + score of unit 2 + ...)

A unit's score depends on its configuration and the resolution; the bend is monotone, and one for all resolutions. So
the network with the highest sum is the one with the highest top-1, and sums are maximised exactly
(`ofa.search.exact`). Scores are whole millionths of a per cent: sums are exact in any order.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ofa.errors import InputError
from ofa.predictors.files import (
    choices_of,
    require_space,
    resolutions_stated,
    uncertainty_in,
    write_files,
)
from ofa.predictors.prediction import Floats, Prediction, Predictor, Uncertainty
from ofa.predictors.separable.bend import Bend
from ofa.predictors.separable.unit_networks import UnitNetworks, unit_features
from ofa.reading.numbers import short
from ofa.space import Genes, SearchSpace, Subnet
from ofa.space.description import space_record
from ofa.space.unit_choices import unit_choices

SCHEMA = "ofa-separable-predictor/1"
Ints = NDArray[np.int64]
PER_CENT = 1_000_000  # of the sum: a whole number for each millionth
_CHUNK = 2048


class SeparablePredictor(Predictor):
    """A predictor whose sum of unit scores decides: `unit_scores` is all that a search needs of it."""

    def __init__(
        self,
        space: SearchSpace,
        resolutions: Sequence[int],
        networks: UnitNetworks,
        bend: Bend,
        header: Mapping[str, Any],
        uncertainty: Uncertainty | None = None,
    ) -> None:
        super().__init__(space, resolutions, header, uncertainty)
        units, width = len(space.units), unit_features(space)[0].shape[1]
        expected = (units, width), (len(self.resolutions),)
        if (networks.choices.shape[1:3], networks.levels.shape[1:]) != expected:
            raise ValueError(f"tensors are not of {space.name} at {len(self.resolutions)} resolutions")
        self.networks, self.bend = networks, bend
        self._scores: dict[int, tuple[int, list[Ints]]] = {}

    def bootstrapped(self, rng: np.random.Generator) -> SeparablePredictor:
        chosen = rng.integers(self.networks.members, size=self.networks.members)
        networks = self.networks.of_members(chosen)
        return SeparablePredictor(self.space, self.resolutions, networks, self.bend, self.header, self.uncertainty)

    def unit_scores(self, resolution: int) -> tuple[int, list[Ints]]:
        """The level of a resolution, and for each unit (N,) the scores of its configurations, in `unit_choices`' order.

        Between two known resolutions both are interpolated, linearly in resolution^-2; the level so that a typical
        network's top-1 is, not its sum (which the bend would not leave on a line). InputError outside.
        """
        if resolution not in self._scores:
            at = np.array([[resolution]], dtype=np.uint16)
            self.require_covered(at)
            low, high, share = (
                part[resolution] for part in (self.between.below, self.between.above, self.between.share)
            )
            levels = np.rint(self.networks.levels.mean(axis=0) * PER_CENT)
            tables = [levels[:, None], *_tables(self.networks, self.space)]
            level, *scores = (np.rint(t[low] + share * (t[high] - t[low])).astype(np.int64) for t in tables)
            shift = round(float(self._level_shift(np.array([resolution]))[0]) * PER_CENT)
            self._scores[resolution] = int(level[0]) + shift, scores
        return self._scores[resolution]

    @cached_property
    def _typical(self) -> Floats:
        """(R,) the sum of a network whose every unit scores as the mean of its configurations."""
        means = np.sum([table.mean(axis=1) for table in _tables(self.networks, self.space)], axis=0) / PER_CENT
        typical: Floats = means + self.networks.levels.mean(axis=0)
        return typical

    def _level_shift(self, pixels: NDArray[Any]) -> Floats:
        """(N,) what an interpolated sum lacks at those resolutions for a typical top-1 on the line between its ends."""
        wanted = self.bend.inverse(self.between.mixed(self.bend(self._typical), pixels))
        return wanted - self.between.mixed(self._typical, pixels)

    def sums(self, genes: Genes) -> Ints:
        """(N,) what the bend makes an accuracy of."""
        self.require_covered(genes)
        total = np.empty(len(genes), dtype=np.int64)
        numbers = [part.numbers(genes) for part in unit_choices(self.space)]
        for resolution in np.unique(genes[:, 0]).tolist():
            rows = np.flatnonzero(genes[:, 0] == resolution)
            level, scores = self.unit_scores(resolution)
            total[rows] = level + sum(of[number[rows]] for of, number in zip(scores, numbers, strict=True))
        return total

    def of_sums(self, sums: Ints) -> Floats:
        """Top-1, per cent, of sums."""
        return self.bend(sums / PER_CENT)

    def predict(self, subnets: Subnet | Sequence[Subnet] | Genes) -> Prediction:
        genes = self.space.as_genes(subnets)
        top1 = self.of_sums(self.sums(genes))
        interpolated = self.between.share[genes[:, 0]] > 0
        if self.uncertainty is None:
            return Prediction(top1, np.full(len(genes), np.nan), interpolated)
        noise = self.between.mixed(np.array(self.uncertainty.noise), genes[:, 0])
        variance = noise**2 + self.uncertainty.scale**2 * self._members(genes).var(axis=0)
        variance[interpolated] += self.uncertainty.interpolation**2
        return Prediction(top1, np.sqrt(variance), interpolated)

    def top1(self, subnets: Subnet | Sequence[Subnet] | Genes) -> Floats:
        return self.of_sums(self.sums(self.space.as_genes(subnets)))

    def members(self, subnets: Subnet | Sequence[Subnet] | Genes) -> Floats:
        genes = self.space.as_genes(subnets)
        self.require_covered(genes)
        if self.between.share[genes[:, 0]].any():
            raise InputError(f"members are asked at the resolutions {', '.join(map(str, self.resolutions))} only")
        return self._members(genes)

    def _members(self, genes: Genes) -> Floats:
        """(members, N) per cent, each member's sum through the one bend."""
        features = unit_features(self.space)
        numbers = [part.numbers(genes) for part in unit_choices(self.space)]
        parts = [np.empty((self.networks.members, 0))]
        for start in range(0, len(genes), _CHUNK):
            here = slice(start, start + _CHUNK)
            pixels = genes[here, 0]
            read = np.stack([part[n[here]] for part, n in zip(features, numbers, strict=True)], axis=1)
            sums = self.networks.member_sums(read, self.between.below[pixels].astype(np.intp))
            share = self.between.share[pixels]
            if share.any():
                upper = self.networks.member_sums(read, self.between.above[pixels].astype(np.intp))
                sums = sums + share * (upper - sums) + self._level_shift(pixels)
            parts.append(self.bend(sums))
        return np.concatenate(parts, axis=1)

    def save(self, path: str | os.PathLike[str]) -> None:
        tensors = {name: getattr(self.networks, name) for name in _TENSORS}
        tensors |= {"bend.knots": self.bend.knots, "bend.values": self.bend.values}
        header = self.header | {
            "schema": SCHEMA,
            **space_record(self.space),
            "choices": choices_of(self.space),
            "resolutions": list(self.resolutions),
            "uncertainty": None if self.uncertainty is None else asdict(self.uncertainty),
        }
        write_files(Path(path), header, tensors)


@lru_cache(maxsize=8)  # a process that searches several times opens the same predictor anew
def _tables(networks: UnitNetworks, space: SearchSpace) -> tuple[Floats, ...]:
    """For each unit (R, N) scores at the known resolutions, in whole numbers."""
    tables = [np.rint(networks.unit_table(part, u) * PER_CENT) for u, part in enumerate(unit_features(space))]
    for table in tables:
        table.flags.writeable = False
    return tuple(tables)


_TENSORS = ("choices", "resolutions", "hidden", "outputs", "levels")


def separable_from(
    path: Path, header: dict[str, Any], tensors: Mapping[str, NDArray[Any]], space: SearchSpace
) -> SeparablePredictor:
    """The predictor of a file that was read; InputError where it is damaged, or for another space."""
    try:
        require_space(path, header, space)
        networks = UnitNetworks(*(tensors[name] for name in _TENSORS))
        bend = Bend(tensors["bend.knots"], tensors["bend.values"])
        return SeparablePredictor(space, resolutions_stated(header), networks, bend, header, uncertainty_in(header))
    except InputError as error:
        beside = path.with_suffix(".json")
        raise error if str(path) in str(error) else InputError(f"{beside}: damaged: {error}") from None
    except (KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
        raise InputError(f"{path.with_suffix('.json')}: damaged: {short(error)}") from None
