"""int8, as all writers of this package quantise: what is rounded, to which steps, and what stays float.

- Weights: symmetric, a scale for each output channel, -127 to 127. Biases: int32, in steps of input times weight.
- Activations: asymmetric, one scale a tensor, -128 to 127. A ReLU or ReLU6 is part of what computes it: its range is
  that of the result. Other activations round before and after, since runtimes compute them apart.
- Poolings by choice (max, 2 x 2 average), reshapes and shuffles keep the steps of their input: they make no new values.
- onnxruntime has no int8 kernel of h-swish and hard sigmoid: there these compute in float, between two roundings.

The same rules as onnxruntime's `quantize_static` (QDQ, per channel) and ai-edge-quantizer's `static_wi8_ai8`, which
tests compare: here in a millisecond a block, for profiles, exported files and training alike.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ofa.graph.graph import Array, Graph, Node

LOWEST, HIGHEST = -128, 127
_STEPS = HIGHEST - LOWEST
# operations that make no new values, so that output and input have the same steps
KEEPS_STEPS = ("max_pool", "average_pool", "flatten", "shuffle")
# activations that are part of the operation before: it is rounded once, after them
_PART_OF_IT = ("none", "relu", "relu6")
IMAGE_CHANNELS = 3
# a bias is at most so many steps, far within int32, however small the channel's weights are
_LARGEST_BIAS = 2.0**24


@dataclass(frozen=True)
class Range:
    """The values that a tensor takes; 0 is always among them, for padding must be exact.

    low <= 0 <= high
    """

    low: float
    high: float

    def __post_init__(self) -> None:
        if not self.low <= 0 <= self.high or not np.isfinite(self.high - self.low):
            raise ValueError(f"range {self.low} to {self.high} is not finite, or does not hold 0")

    @classmethod
    def over(cls, low: float, high: float) -> Range:
        """The smallest range that holds these values and 0."""
        return cls(min(0.0, float(low)), max(0.0, float(high)))

    @property
    def scale(self) -> np.float32:
        """The size of a step; 1 where there is nothing but 0."""
        scale = np.float32((self.high - self.low) / _STEPS)
        return scale if scale >= np.finfo(np.float32).tiny else np.float32(1)

    @property
    def zero_point(self) -> int:
        """The int8 that stands for 0."""
        return round(min(max(LOWEST - self.low / float(self.scale), LOWEST), HIGHEST))

    def within(self, low: float, high: float) -> Range:
        """What of it lies between two values, one on either side of 0."""
        return Range(max(self.low, low), min(self.high, high))


# of a sigmoid, as TFLite demands it
GATE = Range(0.0, 255 / 256)
# beyond these, a hard sigmoid is 0 or 1
HARD_SIGMOID_REACH = 3.0


@dataclass(frozen=True)
class Ranges:
    """Of every tensor of a graph.

    given: of its input; before: of what each node computes, before its activation; after: after it
    """

    given: Range
    before: tuple[Range, ...]
    after: tuple[Range, ...]

    @classmethod
    def of(cls, graph: Graph, given: Range, before: Sequence[Range], after: Sequence[Range]) -> Ranges:
        """Those that were found for a graph, made to keep the rules."""
        tensors = [given]
        for node, found in zip(graph.nodes, after, strict=True):
            if node.op in KEEPS_STEPS:
                found = tensors[node.inputs[0]]
            elif node.activation == "sigmoid":
                found = GATE
            tensors.append(found)
        return cls(given, tuple(before), tuple(tensors[1:]))

    def tensor(self, number: int) -> Range:
        """Of a tensor by its number in the graph: 0 is the input."""
        return self.after[number - 1] if number else self.given


def rounds_before(node: Node) -> bool:
    """Whether a node's result is also rounded before its activation."""
    return node.activation not in _PART_OF_IT


@dataclass(frozen=True)
class Borders:
    """float_input, float_output: whether the file takes and gives float32, which it quantises itself, or int8."""

    float_input: bool = True
    float_output: bool = True


def borders_of(graph: Graph) -> Borders:
    """Those of a part of a network: images and logits are float32, all between int8.

    So parts one after the other compute what the whole network does, and no quantisation more.
    """
    last = graph.nodes[-1] if graph.nodes else None
    return Borders(graph.input_shape[1] == IMAGE_CHANNELS, last is not None and last.op == "linear")


@dataclass(frozen=True, eq=False)
class Int8Weights:
    """values: int8, of the node's shape; scales: (out,) float32; bias: (out,) int32 in steps of input times weight"""

    values: NDArray[np.int8]
    scales: Array
    bias: NDArray[np.int32] | None

    def as_float(self) -> Array:
        """The float32 that the values stand for."""
        result: Array = self.values * self.scales.reshape(-1, *[1] * (self.values.ndim - 1))
        return result


def int8_weights(node: Node, given: Range, extra_bias: float = 0.0) -> Int8Weights:
    """Of a conv or linear node on a tensor of that range. extra_bias: is added to every channel's"""
    weight, bias = node.weight, node.bias
    assert weight is not None
    largest = np.abs(weight).reshape(len(weight), -1).max(axis=1).astype(np.float64)
    wanted = np.zeros(len(weight)) if bias is None else bias.astype(np.float64)
    wanted = wanted + extra_bias
    least = np.abs(wanted) / (float(given.scale) * _LARGEST_BIAS)
    scales = np.maximum(largest / HIGHEST, least)
    scales = np.where(scales < np.finfo(np.float32).tiny, 1.0, scales).astype(np.float32)
    steps = weight / scales.reshape(-1, *[1] * (weight.ndim - 1))  # -HIGHEST to HIGHEST, by the choice of the scales
    np.rint(steps, out=steps)
    whole = np.rint(wanted / (float(given.scale) * scales.astype(np.float64))).astype(np.int32)
    has_bias = bias is not None or extra_bias != 0
    return Int8Weights(steps.astype(np.int8), scales, whole if has_bias else None)
