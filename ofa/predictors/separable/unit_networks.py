"""The members of a separable predictor: for every unit a small network from its configuration to a score.

A unit's network reads the one-hot choices of its live layers, its widths, and the resolution, has one hidden layer,
and puts out one number. A network's score is the sum over its units and a level of the resolution. In numpy, for
predicting; `ofa.predictors.separable.training` makes them.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np
from numpy.typing import NDArray

from ofa.predictors.mlp import plausible
from ofa.space import SearchSpace
from ofa.space.unit_choices import unit_choices

Float32 = NDArray[np.float32]
_AT_ONCE = 1 << 10  # configurations: what is made on the way, a KB for each, stays in the processor's cache


@dataclass(frozen=True, eq=False)
class UnitNetworks:
    """The networks of M members and U units, at R known resolutions; equal where all their weights are.

    choices: (M, U, F, H) weights of the one-hot choices; resolutions: (M, U, R, H), of the resolution
    hidden: (M, U, H) biases; outputs: (M, U, H) weights of the hidden layer
    levels: (M, R) added to the sum
    """

    choices: Float32
    resolutions: Float32
    hidden: Float32
    outputs: Float32
    levels: NDArray[np.float64]

    def __post_init__(self) -> None:
        m, u, _, h = self.choices.shape
        r = self.levels.shape[-1]
        shapes = (self.resolutions.shape, self.hidden.shape, self.outputs.shape, self.levels.shape)
        if shapes != ((m, u, r, h), (m, u, h), (m, u, h), (m, r)):
            raise ValueError(f"tensors of shapes {self.choices.shape}, {shapes} do not belong together")
        tensors = (self.choices, self.resolutions, self.hidden, self.outputs, self.levels)
        if not plausible(*tensors):
            raise ValueError("weights are not finite, or beyond what a fit leaves")
        if not m or not h:
            raise ValueError("there are no members, or nothing in them")

    @cached_property
    def _identity(self) -> bytes:
        found = hashlib.sha256()
        for tensor in (self.choices, self.resolutions, self.hidden, self.outputs, self.levels):
            found.update(f"{tensor.shape} {tensor.dtype}".encode() + tensor.tobytes())
        return found.digest()

    def __eq__(self, other: object) -> bool:
        return isinstance(other, UnitNetworks) and self._identity == other._identity

    def __hash__(self) -> int:
        return hash(self._identity)

    @property
    def members(self) -> int:
        return len(self.choices)

    def of_members(self, chosen: NDArray[np.intp]) -> UnitNetworks:
        """Those of some members, in that order; one may be there more than once."""
        return UnitNetworks(
            self.choices[chosen],
            self.resolutions[chosen],
            self.hidden[chosen],
            self.outputs[chosen],
            self.levels[chosen],
        )

    def unit_table(self, features: Float32, u: int) -> NDArray[np.float64]:
        """(R, N) the members' mean score of N configurations of a unit, given their (N, F) features."""
        if len(features) > _AT_ONCE:
            parts = (features[start : start + _AT_ONCE] for start in range(0, len(features), _AT_ONCE))
            return np.concatenate([self.unit_table(part, u) for part in parts], axis=1)
        m, _, _, h = self.choices.shape
        weights = self.choices[:, u].transpose(1, 0, 2).reshape(-1, m * h)
        read = features @ weights + self.hidden[:, u].reshape(m * h)  # (N, M H)
        by_resolution = self.resolutions[:, u].transpose(1, 0, 2).reshape(-1, m * h)
        out = self.outputs[:, u].reshape(m * h) / np.float32(m)
        room = np.empty_like(read)
        table = np.empty((len(by_resolution), len(read)))
        for r, shift in enumerate(by_resolution):
            np.add(read, shift, out=room)
            np.maximum(room, 0, out=room)
            table[r] = room @ out
        return table

    def member_sums(self, features: Float32, resolution: NDArray[np.intp]) -> NDArray[np.float64]:
        """(M, N) every member's sum of N networks: features (N, U, F), and the index of the resolution, (N,)."""
        read = np.einsum("nuf,mufh->mnuh", features, self.choices) + self.hidden[:, None]
        read += self.resolutions[:, :, resolution].transpose(0, 2, 1, 3)
        scores = np.einsum("mnuh,muh->mn", np.maximum(read, 0), self.outputs)
        sums: NDArray[np.float64] = scores.astype(np.float64) + self.levels[:, resolution]
        return sums


@lru_cache(maxsize=16)
def unit_features(space: SearchSpace) -> tuple[Float32, ...]:
    """For each unit (N, F): the one-hot choices of its N configurations; F is that of the widest unit.

    A unit's depth shows in which layers are all zero, and is a feature only where there are no layers (ResNet50D's
    stem).
    """
    found = []
    for unit, choices in zip(space.units, unit_choices(space), strict=True):
        first = 0 if unit.num_layers == 0 else 1
        columns = [
            choices.marked[:, i] == value
            for i in range(first, len(choices.columns))
            for value in range(len(space.choices[choices.columns[i]]))
        ]
        found.append(np.stack(columns, axis=1).astype(np.float32))
    width = max(features.shape[1] for features in found)
    return tuple(np.pad(features, ((0, 0), (0, width - features.shape[1]))) for features in found)
