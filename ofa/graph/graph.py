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

from ofa.blocks import Block
from ofa.errors import InputError

Array: TypeAlias = NDArray[np.float32]
Shape: TypeAlias = tuple[int, ...]

# Fields that an op has no choice in. A key that claims otherwise would be timed as what it is not.
_ONE_BY_ONE: dict[str, object] = {"kernel_size": 1, "stride": 1, "squeeze_excite": False, "skip": False}
_FIXED: dict[str, dict[str, object]] = {
    "conv": {"squeeze_excite": False},
    "mbconv": {},
    "bottleneck": {"squeeze_excite": False},
    "feature_mix": _ONE_BY_ONE,
    "max_pool": {**_ONE_BY_ONE, "kernel_size": 3, "stride": 2, "activation": "none"},
    "global_pool": {**_ONE_BY_ONE, "activation": "none"},
    "linear": {**_ONE_BY_ONE, "in_size": 1, "activation": "none"},
}


@dataclass(frozen=True, eq=False)
class Node:
    """One operation; its output is the tensor of the same number in `Graph.shapes`.

    op: "conv": weight (out, in / groups, k, k), padding k // 2 on every side, then the activation
        "linear": weight (out, in), on (N, in)
        "add": the sum of both inputs, then the activation; "multiply": (N, C, H, W) by (N, C, 1, 1)
        "max_pool": 3 x 3, stride 2, padding 1; "global_pool": average to (N, C, 1, 1)
        "average_pool": 2 x 2, stride 2, at odd sizes over what is there of the last row and column
        "flatten": (N, C, 1, 1) to (N, C)
    inputs: tensor numbers
    activation: none, relu, relu6 or h_swish of a conv or add; hard_sigmoid of a conv
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

        Its layers are called: "conv" (conv, feature_mix); "expand", "depthwise", "se_reduce", "se_expand",
        "project" (mbconv); "conv1", "conv2", "conv3", "downsample" (bottleneck); "linear".
        Raises InputError for a block that no op computes, ValueError for one that does not fit the output so far.
        """
        _check(block)
        x = len(self.shapes) - 1
        if self.shapes[x][1:] != (block.in_channels, block.in_size, block.in_size):
            raise ValueError(f"block {block} does not fit on a tensor of shape {self.shapes[x]}")
        b, act, mid = block, block.activation, block.mid_channels

        def conv(layer: str, source: int, out: int, kernel: int = 1, stride: int = 1, activation: str = "none",
                 groups: int = 1, bias: bool = True) -> int:  # fmt: skip
            shape = (out, self.shapes[source][1] // groups, kernel, kernel)
            w, biases = weights(prefix + layer, shape, bias)
            return self._append(Node("conv", (source,), w, biases, stride, groups, activation), out, stride)

        if b.op == "conv":
            y = conv("conv", x, b.out_channels, b.kernel_size, b.stride, act)
            if b.skip:
                self._append(Node("add", (x, y)), b.out_channels)
        elif b.op == "mbconv":
            y = x if mid == b.in_channels else conv("expand", x, mid, activation=act)
            y = conv("depthwise", y, mid, b.kernel_size, b.stride, act, groups=mid)
            if b.squeeze_excite:
                pooled = self._append(Node("global_pool", (y,)), mid, size=1)
                squeezed = conv("se_reduce", pooled, b.se_channels, activation="relu")
                gate = conv("se_expand", squeezed, mid, activation="hard_sigmoid")
                y = self._append(Node("multiply", (y, gate)), mid, size=b.out_size)
            y = conv("project", y, b.out_channels)
            if b.skip:
                self._append(Node("add", (x, y)), b.out_channels)
        elif b.op == "bottleneck":
            shortcut = x
            if not b.skip:
                if b.stride == 2:
                    shortcut = self._append(Node("average_pool", (x,), stride=2), b.in_channels, 2)
                shortcut = conv("downsample", shortcut, b.out_channels)
            y = conv("conv1", x, mid, activation=act)
            y = conv("conv2", y, mid, b.kernel_size, b.stride, act)
            y = conv("conv3", y, b.out_channels)
            self._append(Node("add", (y, shortcut), activation=act), b.out_channels)
        elif b.op == "feature_mix":
            conv("conv", x, b.out_channels, activation=act, bias=False)
        elif b.op == "max_pool":
            self._append(Node("max_pool", (x,), stride=2), b.out_channels, 2)
        elif b.op == "global_pool":
            self._append(Node("global_pool", (x,)), b.out_channels, size=1)
        else:
            w, biases = weights(prefix + "linear", (b.out_channels, b.in_channels), True)
            self.nodes.append(Node("flatten", (x,)))
            self.shapes.append((self.shapes[x][0], b.in_channels))
            self.nodes.append(Node("linear", (x + 1,), w, biases))
            self.shapes.append((self.shapes[x][0], b.out_channels))

    def _append(self, node: Node, channels: int, stride: int = 1, size: int | None = None) -> int:
        """Appends a node with an NCHW output and returns the output's tensor number."""
        batch, _, before, _ = self.shapes[node.inputs[0]]
        side = -(-before // stride) if size is None else size
        self.nodes.append(node)
        self.shapes.append((batch, channels, side, side))
        return len(self.shapes) - 1


def _check(block: Block) -> None:
    fixed = dict(_FIXED[block.op])
    if block.op in ("max_pool", "global_pool"):
        fixed["out_channels"] = block.in_channels
    for field, only in fixed.items():
        if getattr(block, field) != only:
            raise InputError(f"block {block}: {field} is {getattr(block, field)}, but {block.op} has only {only}")


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
