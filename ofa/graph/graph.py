"""What a block computes, as a small graph of primitive operations that every runtime has.

One description serves all: profilers write the graph of a single block, exports that of a whole
network, and each writer (ONNX, TFLite, TorchScript) only translates nodes. So what was timed is what ships.
Tensors are float32 in NCHW order; batch normalisation is folded into the convolutions.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from ofa.blocks import Block, steps_of
from ofa.blocks.operator import Step
from ofa.blocks.operators import check_block

Array: TypeAlias = NDArray[np.float32]
Shape: TypeAlias = tuple[int, ...]


@dataclass(frozen=True, eq=False)
class Node:
    """One operation; its output is the tensor of the same number in `Graph.shapes`.

    op: "conv": weight (out, in / groups, k, k), padding k // 2 on every side, then the activation
        "linear": weight (out, in), on (N, in)
        "add": the sum of both inputs, then the activation; "multiply": (N, C, H, W) by (N, C, 1, 1)
        "shuffle": channel i * C / groups + j becomes j * groups + i
        "max_pool": 3 x 3, stride 2, padding 1; "global_pool": average to (N, C, 1, 1)
        "average_pool": 2 x 2, stride 2, at odd sizes over what is there of the last row and column
        "flatten": (N, C, 1, 1) to (N, C)
    inputs: tensor numbers
    activation: none, relu, relu6, h_swish or swish of a conv or add; hard_sigmoid or sigmoid of a conv
    """

    op: str
    inputs: tuple[int, ...]
    weight: Array | None = None
    bias: Array | None = None
    stride: int = 1
    groups: int = 1
    activation: str = "none"


class Weights(Protocol):
    """Where a graph's weights come from: random ones for timing, a trained network's for export."""

    def __call__(self, layer: str, shape: Shape, bias: bool) -> tuple[Array, Array | None]:
        """Weight of that shape, and the bias of shape[:1] if there is one, batch normalisation folded in.

        layer: the block's position and the layer in it, such as "3.depthwise" (see `Graph.block`)
        """
        ...


class Graph:
    """A chain of blocks. Tensor 0 is the input, the last node's tensor the output.

    nodes: in order of execution; node i computes tensor i + 1
    shapes: of every tensor, NCHW
    """

    def __init__(self, input_shape: Shape) -> None:
        self.nodes: list[Node] = []
        self.shapes: list[Shape] = [input_shape]

    @property
    def input_shape(self) -> Shape:
        """(N, C, H, W)."""
        return self.shapes[0]

    @property
    def output_shape(self) -> Shape:
        """(N, C, H, W), or (N, classes) after a classifier."""
        return self.shapes[-1]

    def block(self, block: Block, weights: Weights, prefix: str = "") -> None:
        """Appends a block to the output so far.

        Its layers are called as the steps of its operator: "expand", "depthwise", "project" of a mbconv; and
        "se_reduce", "se_expand" for a squeeze-and-excite "se".
        Raises InputError for a block that no op computes, ValueError for one that does not fit the output so far.
        """
        check_block(block)
        x = len(self.shapes) - 1
        if self.shapes[x][1:] != (block.in_channels, block.in_size, block.in_size):
            raise ValueError(f"block {block} does not fit on a tensor of shape {self.shapes[x]}")
        tensors = [x]
        for step in steps_of(block):
            tensors.append(self._step(step, [tensors[i] for i in step.inputs], weights, prefix))

    def _step(self, step: Step, inputs: list[int], weights: Weights, prefix: str) -> int:
        """Appends the nodes of a step and returns its output's tensor number."""
        x, channels = inputs[0], step.channels
        if step.kind in ("conv", "mix"):
            w, bias = weights(prefix + step.name, step.weight_shape, step.kind == "conv" or step.bias)
            groups = channels if step.depthwise else step.groups
            return self._append(
                Node("conv", (x,), w, bias, step.stride, groups, step.activation), channels, step.stride
            )
        if step.kind == "squeeze_excite":
            return self._squeeze_excite(step, x, weights, prefix)
        if step.kind == "linear":
            w, bias = weights(prefix + step.name, step.weight_shape, True)
            flat = self._append_flat(Node("flatten", (x,)), step.in_channels)
            return self._append_flat(Node("linear", (flat,), w, bias), channels)
        if step.kind == "add":
            return self._append(Node("add", tuple(inputs), activation=step.activation), channels)
        if step.kind == "global_pool":
            return self._append(Node("global_pool", (x,)), channels, size=1)
        if step.kind == "shuffle":
            return self._append(Node("shuffle", (x,), groups=step.groups), channels)
        return self._append(Node(step.kind, (x,), stride=step.stride), channels, step.stride)

    def _squeeze_excite(self, step: Step, x: int, weights: Weights, prefix: str) -> int:
        y = self._append(Node("global_pool", (x,)), step.channels, size=1)
        for name, out, inside, activation in (
            ("reduce", step.hidden, step.channels, step.activation),
            ("expand", step.channels, step.hidden, step.gate),
        ):
            w, bias = weights(f"{prefix}{step.name}_{name}", (out, inside, 1, 1), True)
            y = self._append(Node("conv", (y,), w, bias, activation=activation), out)
        return self._append(Node("multiply", (x, y)), step.channels)

    def _append_flat(self, node: Node, channels: int) -> int:
        self.nodes.append(node)
        self.shapes.append((self.shapes[0][0], channels))
        return len(self.shapes) - 1

    def _append(self, node: Node, channels: int, stride: int = 1, size: int | None = None) -> int:
        """Appends a node with an NCHW output and returns the output's tensor number."""
        batch, _, before, _ = self.shapes[node.inputs[0]]
        side = -(-before // stride) if size is None else size
        self.nodes.append(node)
        self.shapes.append((batch, channels, side, side))
        return len(self.shapes) - 1


class RandomWeights:
    """Weights for timing: uniform, of He's variance, so that activations neither vanish nor overflow.

    The same seed, layer and shape give the same weights.
    """

    def __init__(self, seed: int = 0) -> None:
        self.seed = seed

    def __call__(self, layer: str, shape: Shape, bias: bool) -> tuple[Array, Array | None]:
        rng = np.random.default_rng([self.seed, zlib.crc32(layer.encode()), *shape])
        reach = np.float32(np.sqrt(6 / np.prod(shape[1:])))
        weight = rng.random(shape, dtype=np.float32)
        weight *= 2  # in place: ResNet50D's blocks have millions of weights
        weight -= 1
        weight *= reach
        return weight, rng.random(shape[0], dtype=np.float32) - np.float32(0.5) if bias else None


def block_graph(block: Block, *, batch: int = 1, seed: int = 0, weights: Weights | None = None) -> Graph:
    """The graph of one block on (batch, in_channels, in_size, in_size)."""
    return network_graph([block], batch=batch, seed=seed, weights=weights)


def network_graph(blocks: Sequence[Block], *, batch: int = 1, seed: int = 0, weights: Weights | None = None) -> Graph:
    """The graph of blocks one after the other, a whole network (`ofa.blocks.blocks_of`) for instance.

    Layers are called "<position>.<layer>"; without `weights` they are random. ValueError if two do not fit.
    """
    source = weights or RandomWeights(seed)
    first = blocks[0]
    graph = Graph((batch, first.in_channels, first.in_size, first.in_size))
    for position, block in enumerate(blocks):
        graph.block(block, source, f"{position}.")
    return graph
