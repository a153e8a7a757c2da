"""What a block makes a device do, counted: the terms of cost models, which any space's blocks have.

The first eleven tell most devices apart. The others were chosen on what others published: phones read a convolution's
weights from further away than its activations, an FPGA's engines work on sixteen channels and on a row of pixels at a
time, pooling a large map is no operator of theirs, and maps that their memory does not hold are written to another one.
Phones' GPUs run full convolutions of many channels far faster, for each MAC, than the first one, of an image
(docs/results/transfer.md). Tables name terms, so that a name keeps its meaning.
"""

from __future__ import annotations

from math import prod

from ofa.blocks.block import Block
from ofa.blocks.costs import step_sides
from ofa.blocks.operators import steps_of

TERMS = (
    "pointwise",  # MACs of 1x1 convolutions
    "dense",  # MACs of full convolutions
    "depthwise3",  # MACs of depthwise convolutions, by kernel size
    "depthwise5",
    "depthwise7",
    "values",  # activations that convolutions and shuffles read and write
    "gated",  # activations that squeeze-and-excite reads and scales
    "swish",  # activations that h-swish or swish is applied to
    "weights",  # of layers on flat features
    "pooled",  # activations that pooling reads
    "operators",  # run one after another
)
MORE_TERMS = (
    "pointwise",
    "dense_wide",  # MACs of full convolutions that read at least a few channels
    *TERMS[2:],
    "dense_thin",  # MACs of those that read fewer, as a network's first does
    "kernels",  # weights of convolutions
    "rows",  # of pixels that 1x1 and full convolutions write
    "padded",  # their MACs, with channels rounded up to a multiple of 16
    "gates",  # squeeze-and-excites
    "wide_gates",  # activations that they read, times the pixels of their map
    "gate_channels",  # channels that they have
    "high_gates",  # activations that they read, times the rows of their map, where it is more than a small buffer holds
    "large_gates",  # activations that they read of maps of more pixels than are pooled at once
    "spilled_channelwise",  # activations of maps, of depthwise convolutions and gates, that no large buffer holds
    "added",  # activations that a residual connection adds
    "inferences",  # 1: what is not of blocks
)
_CHANNELS = 16
_FEW_CHANNELS = 16
# values: as found on the ZCU102 (small) and the VCK190 (large), whose values are bytes
_SMALL_BUFFER, _LARGE_BUFFER = 2**18, 2**20
_POOLED = 32**2  # pixels: the VCK190's pools 28 x 28 at a third of what a value of 56 x 56 takes


def cost_terms(block: Block) -> tuple[float, ...]:
    """How much of each of `TERMS` one block asks for, for one image."""
    t = dict.fromkeys(TERMS, 0.0)
    steps = steps_of(block)
    sides = [block.in_size, *step_sides(block, steps)]
    for step, side in zip(steps, sides[1:], strict=True):
        read = sides[step.inputs[0]] ** 2 * step.in_channels
        written = side**2 * step.channels
        t["operators"] += 4 if step.kind == "squeeze_excite" else 1  # pooling, two convolutions, a product
        if step.kind == "conv":
            name = "pointwise" if step.kernel_size == 1 else "dense"
            if step.depthwise:
                name = f"depthwise{max(3, step.kernel_size)}"
            t[name] += side**2 * prod(step.weight_shape)
            t["values"] += read + written
            t["swish"] += written * (step.activation in ("h_swish", "swish"))
        elif step.kind in ("mix", "linear"):
            t["weights"] += step.in_channels * step.channels
        elif step.kind == "squeeze_excite":
            t["gated"] += 2 * written
        elif step.kind == "shuffle":
            t["values"] += read + written
        elif step.kind.endswith("_pool"):
            t["pooled"] += read
    return tuple(float(t[name]) for name in TERMS)


def more_terms(block: Block) -> tuple[float, ...]:
    """How much of each of `MORE_TERMS` one block asks for; of inferences none."""
    t = dict.fromkeys(MORE_TERMS[len(TERMS) : -1], 0.0)
    steps = steps_of(block)
    t["added"] = float(block.skip * block.out_size**2 * block.out_channels)
    for step, side in zip(steps, step_sides(block, steps), strict=True):
        values = side**2 * step.channels
        if (step.kind == "squeeze_excite" or step.depthwise) and values > _LARGE_BUFFER:
            t["spilled_channelwise"] += values
        if step.kind == "squeeze_excite":
            t["gates"] += 1
            t["wide_gates"] += side**2 * values
            t["gate_channels"] += step.channels
            if values > _SMALL_BUFFER:
                t["high_gates"] += side * values
            if side**2 > _POOLED:
                t["large_gates"] += values
        elif step.kind == "conv":
            weights = prod(step.weight_shape)
            t["kernels"] += weights
            if not step.depthwise:
                t["rows"] += side
                t["padded"] += side**2 * weights * _padded(step.channels) * _padded(step.in_channels)
                if step.kernel_size > 1 and step.in_channels < _FEW_CHANNELS:
                    t["dense_thin"] += side**2 * weights
    pointwise, dense, *others = cost_terms(block)
    return (pointwise, dense - t["dense_thin"], *others, *t.values(), 0.0)


def _padded(channels: int) -> float:
    """The factor by which channels become more."""
    return -(-channels // _CHANNELS) * _CHANNELS / channels
