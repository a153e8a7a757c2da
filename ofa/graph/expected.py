"""Ranges of a graph's tensors that nobody has run: what its weights make of normal noise.

For timing, as random weights are: mean and variance of every channel are carried through the graph, as if its values
were independent and, before an activation, normal. Tensors of real networks differ, and take as long.

Random weights make values grow from block to block, a thousandfold within a network, where batch normalisation keeps
those of a real one. Then the steps are so large that an h-swish's zero point is 0, and OpenVINO has other kernels. So
what is timed is scaled first (`as_normalised`): then a block is quantised alike alone and in every place of a network.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from ofa.graph.graph import Graph, Node
from ofa.graph.int8 import Range, Ranges

Floats = NDArray[np.float64]

REACH = 4.0  # standard deviations on either side of the mean
_POINTS = np.linspace(-REACH, REACH, 33)
_DENSITY = np.exp(-(_POINTS**2) / 2)
_DENSITY /= _DENSITY.sum()

_ACTIVATIONS: dict[str, Callable[[Floats], Floats]] = {
    "relu": lambda x: np.maximum(x, 0),
    "relu6": lambda x: np.clip(x, 0, 6),
    "h_swish": lambda x: x * np.clip(x + 3, 0, 6) / 6,
    "hard_sigmoid": lambda x: np.clip(x + 3, 0, 6) / 6,
    "sigmoid": lambda x: 1 / (1 + np.exp(-x)),
    "swish": lambda x: x / (1 + np.exp(-x)),
}


@dataclass(frozen=True, eq=False)
class _Channels:
    """(C,) mean, variance, lowest and highest value of each channel."""

    mean: Floats
    variance: Floats
    low: Floats
    high: Floats

    @classmethod
    def normal(cls, mean: Floats, variance: Floats) -> _Channels:
        reach = REACH * np.sqrt(variance)
        return cls(mean, variance, mean - reach, mean + reach)

    @property
    def range(self) -> Range:
        return Range.over(self.low.min(), self.high.max())

    def through(self, activation: str) -> _Channels:
        """What an activation makes of normal values."""
        if activation == "none":
            return self
        deviation = np.sqrt(self.variance)[:, None]
        values = _ACTIVATIONS[activation](self.mean[:, None] + deviation * _POINTS)  # (C, points)
        mean = values @ _DENSITY
        # of sums, the extremes may lie further out than those of normal values
        ends = np.stack([_ACTIVATIONS[activation](end) for end in (self.low, self.high)])
        low, high = np.minimum(values.min(axis=1), ends.min(axis=0)), np.maximum(values.max(axis=1), ends.max(axis=0))
        return _Channels(mean, (values - mean[:, None]) ** 2 @ _DENSITY, low, high)


def as_normalised(graph: Graph) -> tuple[Graph, Ranges]:
    """The graph with its convolutions scaled as batch normalisation would, and the ranges to expect of it.

    Its input is normal noise of mean 0 and variance 1. Each channel that a convolution computes has variance 1, and its
    bias for a mean, if it has a bias.
    """
    channels = graph.input_shape[1]
    tensors = [_Channels.normal(np.zeros(channels), np.ones(channels))]
    scaled, before = Graph(graph.input_shape), []
    scaled.shapes = graph.shapes
    for node in graph.nodes:
        found = _computed(graph, node, [tensors[t] for t in node.inputs])
        if node.op == "conv":
            node, found = _normalised(node, found)
        scaled.nodes.append(node)
        before.append(found.range)
        tensors.append(found.through(node.activation))
    ranges = [of.range for of in tensors]
    return scaled, Ranges.of(graph, ranges[0], before, ranges[1:])


def _normalised(node: Node, found: _Channels) -> tuple[Node, _Channels]:
    """A convolution with results of variance 1, given what it computes."""
    assert node.weight is not None
    scale = 1 / np.sqrt(np.where(found.variance > 0, found.variance, 1))
    weight = node.weight * scale.astype(np.float32).reshape(-1, 1, 1, 1)
    if node.bias is None:
        return replace(node, weight=weight), _Channels.normal(found.mean * scale, found.variance * scale**2)
    bias = node.bias - (found.mean - node.bias) * scale
    return (
        replace(node, weight=weight, bias=bias.astype(np.float32)),
        _Channels.normal(node.bias.astype(np.float64), found.variance * scale**2),
    )


def _computed(graph: Graph, node: Node, inputs: list[_Channels]) -> _Channels:
    """A node's result before its activation."""
    x = inputs[0]
    if node.weight is not None:
        return _weighted(node, x)
    if node.op == "add":
        a, b = inputs
        mean = a.mean + b.mean
        low = mean - np.hypot(a.mean - a.low, b.mean - b.low)
        high = mean + np.hypot(a.high - a.mean, b.high - b.mean)
        return _Channels(mean, a.variance + b.variance, low, high)
    if node.op == "multiply":
        a, b = inputs
        ends = np.stack([a.low * b.low, a.low * b.high, a.high * b.low, a.high * b.high])
        variance = a.variance * b.variance + a.variance * b.mean**2 + b.variance * a.mean**2
        return _Channels(a.mean * b.mean, variance, ends.min(axis=0), ends.max(axis=0))
    if node.op == "global_pool":
        height, width = graph.shapes[node.inputs[0]][2:]
        pooled = _Channels.normal(x.mean, x.variance / (height * width))
        return _Channels(pooled.mean, pooled.variance, np.maximum(pooled.low, x.low), np.minimum(pooled.high, x.high))
    if node.op == "average_pool":
        return _Channels(x.mean, x.variance / 4, x.low, x.high)
    if node.op == "shuffle":
        order = np.arange(len(x.mean)).reshape(node.groups, -1).T.reshape(-1)
        return _Channels(x.mean[order], x.variance[order], x.low[order], x.high[order])
    return x


def _weighted(node: Node, x: _Channels) -> _Channels:
    assert node.weight is not None
    weight = node.weight.reshape(*node.weight.shape[:2], -1)  # (out, in / groups, k * k)
    if weight.shape[2] == 1:
        sums = weight[:, :, 0]
        squares = sums**2
    else:
        sums, squares = np.einsum("oik->oi", weight), np.einsum("oik,oik->oi", weight, weight)
    if weight.shape[1] == 1:  # a channel each: a matrix product of one number is slow
        each = len(weight) // node.groups
        mean, variance = (by[:, 0] * np.repeat(of, each) for by, of in ((sums, x.mean), (squares, x.variance)))
    else:
        # (groups, out, in): each group reads its own channels
        means, variances = (of.reshape(node.groups, -1, 1).astype(np.float32) for of in (x.mean, x.variance))
        mean, variance = (
            (by.reshape(node.groups, -1, by.shape[1]) @ of).reshape(-1).astype(np.float64)
            for by, of in ((sums, means), (squares, variances))
        )
    return _Channels.normal(mean if node.bias is None else mean + node.bias, variance)
