"""What a block costs in a network, from what it costs alone.

A profiler runs one block again and again: its weights stay in the fastest cache, and it reads and writes its input and
output in a layout that the runtime may not use between blocks. In a network every block's weights come from
further away, and nothing is converted at the borders. So the sum over blocks is corrected by three terms, fitted on
whole networks by `profilers.validate`:

    scale * (sum of latencies) + weights * (megabytes of weights) + borders * (megabytes passed on between blocks)

Each is a sum over blocks too, so a corrected table is looked up like any other.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import astuple, dataclass

import numpy as np
from numpy.typing import NDArray

from ofa.blocks import Block
from ofa.errors import InputError
from ofa.predictors.costs import block_params

_MB_PER_VALUE = 4e-6  # of float32, for one image: other types and batches only change the unit of the fitted terms


@dataclass(frozen=True)
class SumCorrection:
    """scale: a factor; weights, borders: milliseconds per megabyte of weights, of outputs passed on."""

    scale: float = 1.0
    weights: float = 0.0
    borders: float = 0.0

    @classmethod
    def parse(cls, text: str) -> SumCorrection:
        """Of a table's header: "scale=1.176 weights=0 borders=-0.391 (a remark)"; InputError if it is not that."""
        try:
            terms = (term.partition("=") for term in text.partition("(")[0].split())
            correction = cls(**{name: float(value) for name, _, value in terms})
        except (TypeError, ValueError):
            correction = cls(math.nan)
        if not (correction.scale > 0 and all(map(math.isfinite, astuple(correction)))):
            raise InputError(
                f"header sum_correction is {text!r}, expected such as 'scale=1.05 weights=0.04 borders=-0.1' "
                "with a scale above 0"
            )
        return correction

    def __str__(self) -> str:
        return f"scale={self.scale:.5g} weights={self.weights:.5g} borders={self.borders:.5g}"

    def apply(self, blocks: Sequence[Block], latency_ms: NDArray[np.float64]) -> NDArray[np.float64]:
        """(N,) what each of N blocks adds to a network, milliseconds; a small block may add less than nothing."""
        corrected: NDArray[np.float64] = block_terms(blocks, latency_ms) @ (self.scale, self.weights, self.borders)
        return corrected


def block_terms(blocks: Sequence[Block], latency_ms: NDArray[np.float64]) -> NDArray[np.float64]:
    """(N, 3): latency alone in ms, megabytes of weights, megabytes of the output."""
    weights = [_MB_PER_VALUE * block_params(block) for block in blocks]
    passed_on = [_MB_PER_VALUE * block.out_size**2 * block.out_channels for block in blocks]
    return np.stack([latency_ms, np.array(weights), np.array(passed_on)], axis=1)
