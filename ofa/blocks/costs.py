"""Analytic costs of a sub-network: MACs, parameters, peak activation memory.

Each is defined per block and combined over a sub-network's blocks by `BlockIndex`, for one
sub-network (a plain number) or N at once (an (N,) array). MACs count multiply-accumulates of
convolutions and linear layers, as the paper does; parameters count weights, biases and batch
normalisation's scale and shift.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any, overload

import numpy as np
from numpy.typing import NDArray

from ofa.blocks.block import Block
from ofa.blocks.index import BlockIndex, index_of
from ofa.space import Genes, SearchSpace, Subnet


def block_macs(block: Block, tile: int = 1) -> int:
    """Multiply-accumulates of one run on one image; with the pixels of each map rounded up to a multiple of `tile`."""
    b = block
    inside, outside = (-(-size * size // tile) * tile for size in (b.in_size, b.out_size))
    kernel = b.kernel_size**2
    if b.op in ("max_pool", "global_pool"):
        return 0
    if b.op == "mbconv":
        expand = inside * b.in_channels * b.mid_channels if b.mid_channels != b.in_channels else 0
        squeeze = 2 * b.mid_channels * b.se_channels
        return expand + outside * b.mid_channels * kernel + squeeze + outside * b.mid_channels * b.out_channels
    if b.op == "bottleneck":
        main = inside * b.in_channels * b.mid_channels + outside * b.mid_channels * (
            b.mid_channels * kernel + b.out_channels
        )
        return main + (0 if b.skip else outside * b.in_channels * b.out_channels)
    return outside * b.in_channels * b.out_channels * kernel


def block_params(block: Block) -> int:
    """Trainable parameters: weights, biases, batch normalisation's scale and shift."""
    b, kernel = block, block.kernel_size**2
    if b.op in ("max_pool", "global_pool"):
        return 0
    if b.op == "mbconv":
        expand = b.mid_channels * (b.in_channels + 2) if b.mid_channels != b.in_channels else 0
        squeeze = (2 * b.mid_channels + 1) * b.se_channels + b.mid_channels if b.squeeze_excite else 0
        return expand + b.mid_channels * (kernel + 2) + squeeze + b.out_channels * (b.mid_channels + 2)
    if b.op == "bottleneck":
        main = b.mid_channels * (b.in_channels + 2) + b.mid_channels * (b.mid_channels * kernel + 2)
        main += b.out_channels * (b.mid_channels + 2)
        return main + (0 if b.skip else b.out_channels * (b.in_channels + 2))
    weights = b.in_channels * b.out_channels * kernel
    return weights + {"conv": 2 * b.out_channels, "feature_mix": 0, "linear": b.out_channels}[b.op]


def block_peak_elements(block: Block) -> int:
    """Activation values alive at the block's worst moment, for one image.

    Operators run one at a time with batch normalisation and activation fused into convolutions; alive are
    the operator's inputs and its output, and the block's input as long as a shortcut still needs it.
    """
    b, inside, outside = block, block.in_size**2, block.out_size**2
    read, written = inside * b.in_channels, outside * b.out_channels
    if b.op in ("mbconv", "bottleneck"):
        held = read if b.skip or b.op == "bottleneck" else 0  # the input, kept for the shortcut
        wide, narrow = inside * b.mid_channels, outside * b.mid_channels
        if b.op == "mbconv" and b.mid_channels == b.in_channels:
            moments = [read + narrow]  # no expansion: the depthwise convolution reads the input itself
        else:
            moments = [read + wide, held + wide + narrow]
        if b.squeeze_excite:
            moments.append(held + 2 * narrow)  # scaled into a new tensor
        moments.append(held + narrow + written)
        if b.skip:
            moments.append(read + 2 * written)
        elif b.op == "bottleneck":
            pooled = outside * b.in_channels if b.stride == 2 else 0
            moments += [held + pooled + written, pooled + 2 * written + (0 if pooled else held), 3 * written]
        return max(moments)
    return read + written


@lru_cache(maxsize=64)
def _per_block(index: BlockIndex, cost: Callable[[Block], int]) -> NDArray[np.int64]:
    return np.array([cost(block) for block in index.blocks], dtype=np.int64)


@overload
def count_macs(space: SearchSpace, subnets: Subnet) -> int: ...
@overload
def count_macs(space: SearchSpace, subnets: Sequence[Subnet] | Genes) -> NDArray[np.int64]: ...
def count_macs(space: SearchSpace, subnets: Any) -> Any:
    """Multiply-accumulates for one image: an int for a Subnet, else (N,)."""
    genes = space.as_genes(subnets)
    index = index_of(space, genes)
    totals = index.total(genes, _per_block(index, block_macs))
    return int(totals[0]) if isinstance(subnets, Subnet) else totals


@overload
def count_params(space: SearchSpace, subnets: Subnet) -> int: ...
@overload
def count_params(space: SearchSpace, subnets: Sequence[Subnet] | Genes) -> NDArray[np.int64]: ...
def count_params(space: SearchSpace, subnets: Any) -> Any:
    """Parameters of the extracted network: an int for a Subnet, else (N,)."""
    genes = space.as_genes(subnets)
    index = index_of(space, genes)
    totals = index.total(genes, _per_block(index, block_params))
    return int(totals[0]) if isinstance(subnets, Subnet) else totals


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
