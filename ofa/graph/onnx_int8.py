"""A graph as a quantised ONNX model: the float model's nodes between QuantizeLinear and DequantizeLinear (QDQ).

Runtimes make integer kernels of a node and the pairs around it. Activations are uint8, the same steps as int8 with a
zero point of 128 more: of int8, onnxruntime 1.32 leaves convolutions and sums beside a shortcut in float on x86.

Where a part of a network takes or gives uint8, it is NHWC: so do onnxruntime's integer convolutions compute, and
between two of them a network has no transposition.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ofa.graph.graph import Graph, Node
from ofa.graph.int8 import GATE, HARD_SIGMOID_REACH, LOWEST, Borders, Range, Ranges, int8_weights, rounds_before
from ofa.graph.onnx import OPSET, OnnxWriter, empty_model, serialised

CHANNEL_SCALES_SINCE = 13  # before, QuantizeLinear has one scale for all channels


def write_onnx_int8(
    graph: Graph,
    ranges: Ranges,
    *,
    borders: Borders | None = None,
    opset: int = OPSET,
    any_batch: bool = False,
    for_openvino: bool = False,
) -> bytes:
    """The serialised model, as `ofa.graph.onnx.write_onnx` writes it, quantised.

    borders: float32 at both ends, if not given; else "input" or "output" is uint8, (N, H, W, C)
    opset: CHANNEL_SCALES_SINCE or newer
    for_openvino: the uint8 of parts is written so that OpenVINO 2026.4 computes as in the whole network. Given uint8 is
        dequantised before it is transposed: else it makes copies, and computes the first convolution in float32. What
        is handed on is rounded once more, which changes no value: else its transposition is free behind a convolution,
        but makes two copies behind one that adds.
    """
    borders = borders or Borders()
    given, wanted = ("FLOAT" if at_end else "UINT8" for at_end in (borders.float_input, borders.float_output))
    model = empty_model(graph, given, wanted, opset=opset, any_batch=any_batch)
    for border, shape, is_float in (
        (model.graph.input[0], graph.input_shape, borders.float_input),
        (model.graph.output[0], graph.output_shape, borders.float_output),
    ):
        if not is_float and len(shape) == 4:
            for place, size in zip(border.type.tensor_type.shape.dim[1:], [*shape[2:], shape[1]], strict=True):
                place.dim_value = size
    return serialised(model, _QdqWriter(graph, model.graph, ranges, borders, opset, any_batch, for_openvino))


class _QdqWriter(OnnxWriter):
    """names: of every tensor so far, as dequantised."""

    def __init__(
        self,
        graph: Graph,
        onnx_graph: Any,
        ranges: Ranges,
        borders: Borders,
        opset: int,
        any_batch: bool,
        for_openvino: bool,
    ) -> None:
        super().__init__(graph, onnx_graph, opset, any_batch, for_openvino=for_openvino)
        self.ranges, self.borders = ranges, borders
        if borders.float_input:
            self.names = [self.rounded("input", ranges.given)]
        else:
            steps, to_nchw = self.steps_of(ranges.given), {"perm": [0, 3, 1, 2]}
            if for_openvino:
                self.names = [self.emit("Transpose", [self.dequantised("input", steps)], **to_nchw)]
            else:
                self.names = [self.dequantised(self.emit("Transpose", ["input"], **to_nchw), steps)]

    def node(self, number: int) -> str:
        node = self.graph.nodes[number]
        before, after = self.ranges.before[number], self.ranges.after[number]
        y, activation = self.translate(node), node.activation
        if activation == "hard_sigmoid":
            before = before.within(-HARD_SIGMOID_REACH, HARD_SIGMOID_REACH)
        if rounds_before(node):
            y = self.rounded(y, before)
            if activation == "swish":
                y = self.emit("Mul", [y, self.rounded(self.emit("Sigmoid", [y]), GATE)])
            else:
                y = self.activate(y, activation)
        # a ReLU needs no node: what lies outside its range is clipped as it is rounded
        if number == len(self.graph.nodes) - 1 and not self.borders.float_output:
            if self.for_openvino:
                y = self.rounded(y, after)
            result = self.quantised(y, self.steps_of(after))
            return self.emit("Transpose", [result], perm=[0, 2, 3, 1]) if len(self.graph.output_shape) == 4 else result
        return self.rounded(y, after)

    def moved(self, node: Node, x: str) -> str:
        return self.rounded(x, self.ranges.tensor(node.inputs[0]))

    def rounded(self, name: str, values: Range) -> str:
        steps = self.steps_of(values)
        return self.dequantised(self.quantised(name, steps), steps)

    def quantised(self, name: str, steps: list[str]) -> str:
        return self.emit("QuantizeLinear", [name, *steps])

    def dequantised(self, name: str, steps: list[str]) -> str:
        return self.emit("DequantizeLinear", [name, *steps])

    def steps_of(self, values: Range) -> list[str]:
        """Scale and zero point, two new constants.

        Tensors of the same range do not share them: OpenVINO 2026.4 fuses what follows a DequantizeLinear with what is
        before it if an earlier one has the same zero point. Then a block's kernels would depend on the blocks before.
        """
        return [
            self.constant(np.array(values.scale)),
            self.constant(np.array(values.zero_point - LOWEST, np.uint8)),
        ]

    def weights(self, node: Node) -> list[str]:
        if node.weight is None:
            return []
        given = self.ranges.tensor(node.inputs[0])
        weights = int8_weights(node, given)
        found = [self.by_channel(weights.values, weights.scales)]
        if weights.bias is not None:
            scales = given.scale * weights.scales
            if self.is_apart(node):  # as the runtime dequantises it, before it runs
                found.append(self.constant((weights.bias.astype(np.float32) * scales).reshape(1, -1, 1, 1)))
            else:
                found.append(self.by_channel(weights.bias, scales))
        return found

    def by_channel(self, values: Any, scales: Any) -> str:
        inputs = [self.constant(values), self.constant(scales)]
        if not self.for_openvino:  # which takes 0 for what is not given, and is sooner done with it
            inputs.append(self.constant(np.zeros(len(scales), values.dtype)))
        return self.emit("DequantizeLinear", inputs, axis=0)
