"""What a block costs in a network, from what it costs alone.

A profiler runs one block again and again: its weights stay in the fastest cache, and it reads and writes its input and
output in a layout that the runtime may not use between blocks. In a network every block's weights come from
further away, nothing is converted at the borders, and the runtime is called once for all of them. So the sum over
blocks is corrected by terms that `profilers.validate` fits on whole networks:

    scale * (sum of latencies) + weights * (megabytes of weights) + borders * (megabytes passed on between blocks)
    + calls * (number of blocks)

Each is a sum over blocks too, so a corrected table is looked up like any other.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import astuple, dataclass, fields

import numpy as np
from numpy.typing import NDArray

from ofa.blocks import Block
from ofa.blocks.costs import block_params
from ofa.errors import InputError

_MB_PER_VALUE = 4e-6  # of float32, for one image: other types and batches only change the unit of the fitted terms


@dataclass(frozen=True)
class SumCorrection:
    """scale: a factor; weights, borders: ms per megabyte of weights, of outputs passed on; calls: ms per block."""

    scale: float = 1.0
    weights: float = 0.0
    borders: float = 0.0
    calls: float = 0.0

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
                f"header sum_correction is {text!r}, expected such as 'scale=1.05 weights=0.04 borders=-0.1 calls=0' "
                "with a scale above 0"
            )
        return correction

    def __str__(self) -> str:
        return " ".join(f"{field.name}={getattr(self, field.name):.5g}" for field in fields(self))

    def apply(self, blocks: Sequence[Block], latency_ms: NDArray[np.float64]) -> NDArray[np.float64]:
        """(N,) what each of N blocks adds to a network, milliseconds; a small block may add less than nothing."""
        corrected: NDArray[np.float64] = block_terms(blocks, latency_ms) @ astuple(self)
        return corrected


def block_terms(blocks: Sequence[Block], latency_ms: NDArray[np.float64]) -> NDArray[np.float64]:
    """(N, 4): latency alone in ms, megabytes of weights, megabytes of the output, 1."""
    weights = [_MB_PER_VALUE * block_params(block) for block in blocks]
    passed_on = [_MB_PER_VALUE * block.out_size**2 * block.out_channels for block in blocks]
    return np.stack([latency_ms, np.array(weights), np.array(passed_on), np.ones(len(weights))], axis=1)
