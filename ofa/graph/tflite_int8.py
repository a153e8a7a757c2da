"""A graph as a quantised TFLite flatbuffer: the float model's operators, on int8 tensors.

The data lie within the flatbuffer, unlike ai-edge-quantizer's, and operator versions are the oldest that suffice: the
file also runs in tflite-runtime 2.14.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ofa.graph.graph import Graph, Node
from ofa.graph.int8 import GATE, LOWEST, Borders, Range, Ranges, int8_weights, rounds_before
from ofa.graph.tflite import TfliteWriter, is_positive, nhwc, schema

_OPS = schema.BuiltinOperator
# the first version of an operator that takes int8; 1 for the others
_VERSIONS = {
    _OPS.CONV_2D: 3,
    _OPS.DEPTHWISE_CONV_2D: 3,
    _OPS.FULLY_CONNECTED: 4,
    _OPS.ADD: 2,
    _OPS.MUL: 2,
    _OPS.LOGISTIC: 2,
    _OPS.MEAN: 2,
    _OPS.PAD: 2,
    _OPS.PADV2: 2,
    _OPS.AVERAGE_POOL_2D: 2,
    _OPS.MAX_POOL_2D: 2,
    _OPS.TRANSPOSE: 2,
    _OPS.DEQUANTIZE: 2,
}
_WEIGHTED = (_OPS.CONV_2D, _OPS.DEPTHWISE_CONV_2D, _OPS.FULLY_CONNECTED)
# operators whose output must have the steps of their input
_KEEP = (_OPS.PAD, _OPS.PADV2, _OPS.RESHAPE, _OPS.TRANSPOSE, _OPS.MAX_POOL_2D, _OPS.AVERAGE_POOL_2D)
# a hard sigmoid is relu6(x + 3) / 6
_SHIFT, _SIXTH = 3.0, Range(0.0, 1 / 6)


def write_tflite_int8(
    graph: Graph,
    ranges: Ranges,
    *,
    borders: Borders | None = None,
    any_batch: bool = False,
) -> bytes:
    """The serialised model, as `ofa.graph.tflite.write_tflite` writes it, quantised.

    borders: float32 at both ends, if not given
    """
    borders = borders or Borders()
    writer = _Int8Writer(ranges, any_batch)
    source = given = writer.tensor(nhwc(graph.input_shape), "input")
    if borders.float_input:
        given = writer.operator(_OPS.QUANTIZE, [source], nhwc(graph.input_shape))
    writer.make_int8(given, ranges.given)
    tensors = [given]
    for number, node in enumerate(graph.nodes):
        tensors.append(writer.int8_node(number, node, [tensors[t] for t in node.inputs], is_positive(graph, node)))
    result = tensors[-1]
    if borders.float_output:
        result = writer.operator(_OPS.DEQUANTIZE, [result], tuple(writer.tensors[result].shape))
    for code, (_, entry) in writer.codes.items():
        entry.version = _VERSIONS.get(code, 1)
    return writer.finish(source, result)


class _Int8Writer(TfliteWriter):
    """Writes a node in float, then makes what it wrote int8."""

    def __init__(self, ranges: Ranges, any_batch: bool) -> None:
        super().__init__(any_batch)
        self.ranges = ranges

    def make_int8(self, tensor: int, values: Range) -> None:
        quantisation = schema.QuantizationParametersT()
        quantisation.scale, quantisation.zeroPoint = [float(values.scale)], [values.zero_point]
        self.tensors[tensor].type, self.tensors[tensor].quantization = schema.TensorType.INT8, quantisation

    def int8_node(self, number: int, node: Node, inputs: list[int], positive: bool) -> int:
        """Translates a node as `node` does, to int8."""
        first = len(self.operators)
        output = self.node(node, inputs, positive)
        codes = {index: code for code, (index, _) in self.codes.items()}
        for operator in self.operators[first:]:
            self._make_int8(codes[operator.opcodeIndex], operator, number, node)
        return output

    def _make_int8(self, code: int, operator: Any, number: int, node: Node) -> None:
        x, y = operator.inputs[0], operator.outputs[0]
        if code in _KEEP:
            kept = self.tensors[x].quantization
            self.tensors[y].type, self.tensors[y].quantization = schema.TensorType.INT8, kept
            if code == _OPS.PADV2:
                self._replace(operator.inputs[2], np.array(LOWEST, np.int8), kept.scale, kept.zeroPoint)
            return
        if code in _WEIGHTED:
            self._make_weights_int8(code, operator, node)
        elif code == _OPS.MUL and self.tensors[operator.inputs[1]].buffer:  # of a hard sigmoid, by a constant
            sixth = operator.inputs[1]
            self._replace(sixth, np.array(127, np.int8), [float(_SIXTH.scale)], [_SIXTH.zero_point])
        self.make_int8(y, self._values(code, number, node))

    def _values(self, code: int, number: int, node: Node) -> Range:
        """The range of the output of an operator of a node."""
        before, after = self.ranges.before[number], self.ranges.after[number]
        if code == _OPS.LOGISTIC:
            return GATE
        if code not in (*_WEIGHTED, _OPS.ADD) or not rounds_before(node):
            return after
        if node.activation == "hard_sigmoid":
            return Range.over(*np.clip([before.low + _SHIFT, before.high + _SHIFT], 0, 6))
        return before

    def _make_weights_int8(self, code: int, operator: Any, node: Node) -> None:
        given = self.ranges.tensor(node.inputs[0])
        weights = int8_weights(node, given, _SHIFT if node.activation == "hard_sigmoid" else 0.0)
        values, axis = weights.values, 0
        if code == _OPS.DEPTHWISE_CONV_2D:
            values, axis = np.transpose(values[:, 0], (1, 2, 0))[None], 3
        elif code == _OPS.CONV_2D:
            values = np.transpose(values, (0, 2, 3, 1))
        zeros = [0] * len(weights.scales)
        self._replace(operator.inputs[1], values, weights.scales.tolist(), zeros, axis)
        bias = np.zeros(len(zeros), np.int32) if weights.bias is None else weights.bias
        self._replace(operator.inputs[2], bias, (given.scale * weights.scales).tolist(), zeros)

    def _replace(self, tensor: int, values: NDArray[Any], scales: Any, zeros: Any, axis: int = 0) -> None:
        """Gives a constant other values, and their steps."""
        entry, quantisation = self.tensors[tensor], schema.QuantizationParametersT()
        entry.type = schema.TensorType.INT32 if values.dtype == np.int32 else schema.TensorType.INT8
        self.buffers[entry.buffer].data = np.ascontiguousarray(values).view(np.uint8).reshape(-1)
        quantisation.scale, quantisation.zeroPoint, quantisation.quantizedDimension = scales, zeros, axis
        entry.quantization = quantisation
