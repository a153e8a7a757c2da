"""More terms of a cost model, for devices that eleven do not tell apart, and the constant of an inference.

They were chosen on what others published: phones read a convolution's weights from further away than its activations,
an FPGA's engines work on sixteen channels and on a row of pixels at a time, and pooling a large map is no operator of
theirs (docs/results/transfer.md).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from math import prod

import numpy as np
from numpy.typing import NDArray

from ofa.blocks import Block, steps_of
from ofa.blocks.costs import step_sides
from profilers.estimating.cost_model import TERMS, cost_terms

Floats = NDArray[np.float64]

MORE_TERMS = (
    *TERMS,
    "kernels",  # weights of convolutions
    "rows",  # of pixels that 1x1 and full convolutions write
    "padded",  # their MACs, with channels rounded up to a multiple of 16
    "gates",  # squeeze-and-excites
    "wide_gates",  # activations that they read, times the pixels of their map
    "inferences",  # 1: what is not of blocks
)
_CHANNELS = 16


def more_terms(block: Block) -> tuple[float, ...]:
    """How much of each of `MORE_TERMS` one block asks for; of inferences none."""
    t = dict.fromkeys(MORE_TERMS[len(TERMS) : -1], 0.0)
    steps = steps_of(block)
    for step, side in zip(steps, step_sides(block, steps), strict=True):
        if step.kind == "squeeze_excite":
            t["gates"] += 1
            t["wide_gates"] += side**4 * step.channels
        elif step.kind == "conv":
            weights = prod(step.weight_shape)
            t["kernels"] += weights
            if not step.depthwise:
                t["rows"] += side
                t["padded"] += side**2 * weights * _padded(step.channels) * _padded(step.in_channels)
    return (*cost_terms(block), *t.values(), 0.0)


def _padded(channels: int) -> float:
    """The factor by which channels become more."""
    return -(-channels // _CHANNELS) * _CHANNELS / channels


def more_terms_of(blocks: Iterable[Block]) -> Floats:
    """(N, terms) of N blocks."""
    return np.array([more_terms(block) for block in blocks]).reshape(-1, len(MORE_TERMS))


def terms_of_networks(networks: Sequence[Sequence[Block]]) -> Floats:
    """(N, terms) of N whole networks, each a list of blocks."""
    known: dict[Block, Floats] = {}
    result = np.zeros((len(networks), len(MORE_TERMS)))
    for row, blocks in zip(result, networks, strict=True):
        for block in blocks:
            if block not in known:
                known[block] = np.array(more_terms(block))
            row += known[block]
        row[-1] = 1.0
    return result
