"""A graph's ranges as images show them, and int8 as PyTorch can compute it: in float, rounded where int8 files round.

ranges = observed_ranges(graph, images)
logits = fake_int8(graph, ranges)(images)
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from ofa.graph.graph import Graph
from ofa.graph.int8 import GATE, HARD_SIGMOID_REACH, HIGHEST, LOWEST, Range, Ranges, int8_weights, rounds_before
from ofa.graph.torch import build_torch

# images whose extremes count as one observation. Those of all images are set by a few of them, and make steps coarse
TOGETHER = 10


def observed_ranges(graph: Graph, batches: Iterable[Tensor]) -> Ranges:
    """Of each tensor the mean, over every ten images, of its extremes among them.

    batches: of images (N, C, H, W), at least one; the last ten may be fewer
    """
    lows: dict[tuple[int, str], list[Tensor]] = {}
    highs: dict[tuple[int, str], list[Tensor]] = {}

    def watch(i: int, what: str, x: Tensor) -> Tensor:
        flat = x.flatten(1)
        lows.setdefault((i, what), []).append(flat.amin(1))
        highs.setdefault((i, what), []).append(flat.amax(1))
        return x

    module = build_torch(graph, watch)
    with torch.inference_mode():
        for images in batches:
            module(images)

    def found(i: int, what: str) -> Range:
        low, high = (torch.split(torch.cat(of[i, what]), TOGETHER) for of in (lows, highs))
        return Range.over(
            torch.stack([of.min() for of in low]).mean().item(), torch.stack([of.max() for of in high]).mean().item()
        )

    numbers = range(len(graph.nodes))
    return Ranges.of(
        graph, found(-1, "given"), [found(i, "before") for i in numbers], [found(i, "after") for i in numbers]
    )


def fake_int8(graph: Graph, ranges: Ranges) -> torch.nn.Module:
    """An nn.Module that computes what int8 files of the graph do, but for the order of additions and the last step."""

    def watch(i: int, what: str, x: Tensor) -> Tensor:
        values = _rounded_to(graph, ranges, i, what)
        if values is None:
            return x
        return rounded(x, values)

    return build_torch(_rounded(graph, ranges), watch)


def rounded(x: Tensor, values: Range) -> Tensor:
    """The nearest values that int8 has of a range.

    What torch.fake_quantize_per_tensor_affine computes, bit for bit, in a fraction of the time: that is written for
    training, and also keeps which values were beyond the range.
    """
    scale, lowest, highest = values.scale, LOWEST - values.zero_point, HIGHEST - values.zero_point
    return x.mul(float(np.float32(1) / scale)).round_().clamp_(lowest, highest).mul_(float(scale))


def _rounded_to(graph: Graph, ranges: Ranges, i: int, what: str) -> Range | None:
    if what == "given":
        return ranges.given
    if what == "gate":
        return GATE
    if what == "after":
        return ranges.after[i]
    if not rounds_before(graph.nodes[i]):
        return None
    before = ranges.before[i]
    return (
        before.within(-HARD_SIGMOID_REACH, HARD_SIGMOID_REACH)
        if graph.nodes[i].activation == "hard_sigmoid"
        else before
    )


def _rounded(graph: Graph, ranges: Ranges) -> Graph:
    """The same graph, its weights and biases rounded."""
    result = Graph(graph.input_shape)
    result.shapes = list(graph.shapes)
    for node in graph.nodes:
        if node.weight is not None:
            given = ranges.tensor(node.inputs[0])
            weights = int8_weights(node, given)
            bias = None if weights.bias is None else (weights.bias * given.scale * weights.scales).astype("float32")
            node = replace(node, weight=weights.as_float(), bias=bias)
        result.nodes.append(node)
    return result
