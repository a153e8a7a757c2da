"""What a block costs in a network, from what it costs alone.

A profiler runs one block again and again: its weights stay in the fastest cache, and it reads and writes its input and
output in a layout that the runtime may not use between blocks. In a network every block's weights come from
further away, nothing is converted at the borders, and the runtime is called once for all of them. So the sum over
blocks is corrected by terms that `profilers.validate` fits on whole networks:

    scale * (sum of latencies, those of the head times `head`) + weights * (megabytes of weights)
    + borders * (megabytes passed on between blocks) + calls * (number of blocks) + constant

The head is what follows the last unit. All networks of a resolution have the same, so that its factor takes off what
all sums have too much. The constant is what an inference takes besides its blocks, such as handing it to a phone's GPU
and waiting for the answer: no term of the fit, but a fact of the device that its table states. It is counted with the
classifier, which every network has once. So each term is a sum over blocks too, and a corrected table is looked up like
any other. No term that is fitted today is below 0; older tables have such terms, and may have blocks that add less than
nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from ofa.blocks import Block
from ofa.blocks.costs import block_params
from ofa.errors import InputError
from ofa.reading.numbers import Bounds, short

SCALE = Bounds(0.01, 100, "times")  # a sum of blocks further off than that was not measured on this device
TERM = Bounds(-1e4, 1e4, "milliseconds")
CONSTANT = Bounds(0, 1e4, "milliseconds")
_BOUNDS = {"scale": SCALE, "head": SCALE, "constant": CONSTANT}
_MB_PER_VALUE = 4e-6  # of float32, for one image: other types and batches only change the unit of the fitted terms


@dataclass(frozen=True)
class SumCorrection:
    """scale, head: factors of all latencies, and of the head's besides; weights, borders: ms per megabyte of weights,
    of outputs passed on; calls: ms per block; constant: ms per network."""

    scale: float = 1.0
    weights: float = 0.0
    borders: float = 0.0
    calls: float = 0.0
    head: float = 1.0
    constant: float = 0.0

    def __post_init__(self) -> None:
        SCALE.check("scale", self.scale)
        SCALE.check("head", self.head)
        for field in ("weights", "borders", "calls"):
            TERM.check(field, getattr(self, field))
        CONSTANT.check("constant", self.constant)

    @classmethod
    def parse(cls, text: str, name: str = "latency table") -> SumCorrection:
        """Of a table's header: "scale=1.176 weights=0 borders=-0.391 (a remark)"; InputError, beginning with the
        table's name, if it is not that."""
        known = [field.name for field in fields(cls)]
        terms: dict[str, float] = {}
        try:
            for term in text.partition("(")[0].split():
                key, equals, value = term.partition("=")
                if not equals or key not in known or key in terms:
                    raise InputError(f"{short(term)} is there twice" if key in terms else f"{short(term)} is not known")
                terms[key] = _BOUNDS.get(key, TERM).decimal(key, value)
            return cls(**terms)
        except InputError as error:
            raise InputError(
                f"{name}: header sum_correction is {short(text)}, expected such as "
                f"'scale=1.05 weights=0.04 borders=-0.1 calls=0': {error}"
            ) from None

    def __str__(self) -> str:
        shown = [field.name for field in fields(self) if field.name != "constant" or self.constant]
        return " ".join(f"{name}={getattr(self, name):.5g}" for name in shown)

    @property
    def factors(self) -> NDArray[np.float64]:
        """(5,) what the columns of `block_terms` are multiplied by."""
        return np.array([self.scale, self.weights, self.borders, self.calls, self.scale * (self.head - 1)])

    def apply(self, blocks: Sequence[Block], latency_ms: NDArray[np.float64]) -> NDArray[np.float64]:
        """(N,) what each of N blocks adds to a network, milliseconds; a small block may add less than nothing."""
        corrected: NDArray[np.float64] = block_terms(blocks, latency_ms) @ self.factors
        corrected += self.constant * np.array([block.op == "linear" for block in blocks], dtype=bool)
        return corrected


def block_terms(blocks: Sequence[Block], latency_ms: NDArray[np.float64]) -> NDArray[np.float64]:
    """(N, 5): latency in ms, megabytes of weights, megabytes of the output, 1, latency again if it is of the head."""
    weights = [_MB_PER_VALUE * block_params(block) for block in blocks]
    passed_on = [_MB_PER_VALUE * block.out_size**2 * block.out_channels for block in blocks]
    head = np.where([_in_head(block) for block in blocks], latency_ms, 0.0)
    return np.stack([latency_ms, np.array(weights), np.array(passed_on), np.ones(len(weights)), head], axis=1)


def _in_head(block: Block) -> bool:
    """Whether it follows the last unit: pooling, classifier, and 1x1 convolutions that are no part of another."""
    return block.op in ("global_pool", "feature_mix", "linear") or (block.op == "conv" and block.kernel_size == 1)
