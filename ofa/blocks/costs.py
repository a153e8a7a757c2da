"""Analytic costs of a sub-network: MACs, parameters, peak activation memory.

Each is defined per block and combined over a sub-network's blocks by `BlockIndex`, for one
sub-network (a plain number) or N at once (an (N,) array). MACs count multiply-accumulates of
convolutions and linear layers, as the paper does; parameters count weights, biases and batch
normalisation's scale and shift.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from math import prod
from typing import Any, overload

import numpy as np
from numpy.typing import NDArray

from ofa.blocks.block import Block
from ofa.blocks.index import BlockIndex, index_of
from ofa.blocks.operator import Step
from ofa.blocks.operators import steps_of
from ofa.space import Genes, SearchSpace, Subnet


def block_macs(block: Block, tile: int = 1) -> int:
    """Multiply-accumulates of one run on one image; with the pixels of each map rounded up to a multiple of `tile`."""
    steps = steps_of(block)
    total = 0
    for step, side in zip(steps, step_sides(block, steps), strict=True):
        if step.kind == "squeeze_excite":
            total += 2 * step.channels * step.hidden
        elif step.name:
            total += -(-side * side // tile) * tile * _weights(step)
    return total


def block_params(block: Block) -> int:
    """Trainable parameters: weights, biases, batch normalisation's scale and shift."""
    total = 0
    for step in steps_of(block):
        if step.kind == "squeeze_excite":
            total += (2 * step.channels + 1) * step.hidden + step.channels
        elif step.name:
            total += _weights(step) + (_PER_CHANNEL[step.kind] + step.bias) * step.channels
    return total


_PER_CHANNEL = {"conv": 2, "mix": 0, "linear": 1}  # parameters beside the weights: scale and shift, or a bias


def _weights(step: Step) -> int:
    return prod(step.weight_shape)


def step_sides(block: Block, steps: Sequence[Step]) -> list[int]:
    """Side of every step's output, pixels."""
    sides = [block.in_size]
    for step in steps:
        one_pixel = step.kind in ("global_pool", "linear")
        sides.append(1 if one_pixel else -(-sides[step.inputs[0]] // step.stride))
    return sides[1:]


def block_peak_elements(block: Block) -> int:
    """Activation values alive at the block's worst moment, for one image.

    Steps run one at a time, with batch normalisation and activation fused into convolutions and a shortcut as late
    as it can; alive are the step's inputs and its output, and whatever a later step still reads.
    """
    steps = steps_of(block)
    sides = step_sides(block, steps)
    values = [block.in_size**2 * block.in_channels]
    values += [side * side * step.channels for step, side in zip(steps, sides, strict=True)]
    peak, needed = 0, {len(steps)}
    for number in reversed(_shortcut_last(steps)):
        needed |= {number, *steps[number - 1].inputs}
        peak = max(peak, sum(values[i] for i in needed))
        needed.discard(number)
    return peak


def _shortcut_last(steps: Sequence[Step]) -> list[int]:
    """The numbers of the steps' values, those of a shortcut just before they are read."""
    shortcut = [number for number, step in enumerate(steps, 1) if step.shortcut]
    order: list[int] = []
    for number, step in enumerate(steps, 1):
        if not step.shortcut:
            if shortcut and shortcut[-1] in step.inputs:
                order += shortcut
            order.append(number)
    return order


@lru_cache(maxsize=64)
def _per_block(index: BlockIndex, cost: Callable[[Block], int]) -> NDArray[np.int64]:
    return np.array([cost(block) for block in index.blocks], dtype=np.int64)


def _total(space: SearchSpace, subnets: Any, cost: Callable[[Block], int]) -> Any:
    """What adds up over blocks."""
    genes = space.as_genes(subnets)
    index = index_of(space, genes)
    totals = index.total(genes, _per_block(index, cost))
    return int(totals[0]) if isinstance(subnets, Subnet) else totals


@overload
def count_macs(space: SearchSpace, subnets: Subnet) -> int: ...
@overload
def count_macs(space: SearchSpace, subnets: Sequence[Subnet] | Genes) -> NDArray[np.int64]: ...
def count_macs(space: SearchSpace, subnets: Any) -> Any:
    """Multiply-accumulates for one image: an int for a Subnet, else (N,)."""
    return _total(space, subnets, block_macs)


@overload
def count_params(space: SearchSpace, subnets: Subnet) -> int: ...
@overload
def count_params(space: SearchSpace, subnets: Sequence[Subnet] | Genes) -> NDArray[np.int64]: ...
def count_params(space: SearchSpace, subnets: Any) -> Any:
    """Parameters of the extracted network: an int for a Subnet, else (N,)."""
    return _total(space, subnets, block_params)


@overload
def peak_activation_bytes(space: SearchSpace, subnets: Subnet, bytes_per_value: int = 4) -> int: ...
@overload
def peak_activation_bytes(
    space: SearchSpace, subnets: Sequence[Subnet] | Genes, bytes_per_value: int = 4
) -> NDArray[np.int64]: ...
def peak_activation_bytes(space: SearchSpace, subnets: Any, bytes_per_value: int = 4) -> Any:
    """Bytes of activations alive at the worst moment for one image (see `block_peak_elements`)."""
    genes = space.as_genes(subnets)
    index = index_of(space, genes)
    peaks = index.peak(genes, _per_block(index, block_peak_elements)) * bytes_per_value
    return int(peaks[0]) if isinstance(subnets, Subnet) else peaks
