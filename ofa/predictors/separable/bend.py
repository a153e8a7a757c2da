"""The bend: the monotone curve from a network's sum of unit scores to its top-1.

Piecewise linear, every slope above 0, straight on beyond its ends. One bend serves all resolutions, so that a
higher sum is a higher accuracy whatever the resolution, and a search may compare sums.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ofa.predictors.mlp import plausible

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Bend:
    """knots: (K,) sums, ascending; values: (K,) their top-1, per cent, ascending; at least two of them."""

    knots: Floats
    values: Floats

    def __post_init__(self) -> None:
        if self.knots.shape != self.values.shape or len(self.knots) < 2:
            raise ValueError("a bend has as many values as knots, and at least two")
        if self.knots.ndim != 1 or not plausible(self.knots, self.values):
            raise ValueError("a bend's knots and values are finite, and no larger than weights")
        if (np.diff(self.knots) <= 0).any() or (np.diff(self.values) <= 0).any():
            raise ValueError("a bend rises from each knot to the next")

    def __call__(self, sums: Floats) -> Floats:
        """Top-1, per cent, of sums of any shape."""
        return _straight_on(sums, self.knots, self.values)

    def inverse(self, top1: Floats) -> Floats:
        """The sums whose top-1 these are."""
        return _straight_on(top1, self.values, self.knots)

    def slope(self, sums: Floats) -> Floats:
        """Per cent of top-1 for each unit of the sum."""
        slopes = np.diff(self.values) / np.diff(self.knots)
        segment = np.clip(np.searchsorted(self.knots, sums, side="right") - 1, 0, len(slopes) - 1)
        found: Floats = slopes[segment]
        return found


def _straight_on(x: Floats, knots: Floats, values: Floats) -> Floats:
    x = np.asarray(x, dtype=np.float64)
    segment = np.clip(np.searchsorted(knots, x, side="right") - 1, 0, len(knots) - 2)
    slopes = np.diff(values) / np.diff(knots)
    bent: Floats = values[segment] + slopes[segment] * (x - knots[segment])
    return bent
