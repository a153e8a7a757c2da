"""The ends of a TFLite model: what its integers stand for, and pixels in."""

from __future__ import annotations

from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from ofa.errors import InputError
from ofa.graph.tflite import packed, unpacked
from ofa.model_files.ends import Interface, Pixels, Quantised

_OPS, _OPTIONS = schema.BuiltinOperator, schema.BuiltinOptions
_TYPES = {schema.TensorType.INT8: "int8", schema.TensorType.UINT8: "uint8"}


def integer_interface(model: bytes) -> Interface:
    """What the integers of a quantised model's input and output stand for; InputError where they are none."""
    loaded = unpacked(model)
    (graph,) = loaded.subgraphs
    found = []
    for (number,) in (graph.inputs, graph.outputs):
        tensor = graph.tensors[number]
        if tensor.type not in _TYPES or tensor.quantization is None:
            raise InputError("--int8-io: the quantiser left the input or the output in float32: leave --int8-io out")
        scale, zero_point = float(tensor.quantization.scale[0]), int(tensor.quantization.zeroPoint[0])
        found.append(Quantised(scale, zero_point, _TYPES[tensor.type]))
    return Interface(*found)


def pixels_in(model: bytes, pixels: Pixels) -> bytes:
    """The model with its images' preparation before it: "input" is uint8 (N, R, R, 3)."""
    loaded = unpacked(model)
    (graph,) = loaded.subgraphs
    (prepared,) = graph.inputs
    before = graph.tensors[prepared]
    name, before.name = before.name, "prepared"
    std = np.array(pixels.std)
    ends = _Ends(loaded, graph)
    given = ends.tensor(before, name, schema.TensorType.UINT8)
    floats = ends.tensor(before, "pixels_float", schema.TensorType.FLOAT32)
    scaled = ends.tensor(before, "pixels_scaled", schema.TensorType.FLOAT32)
    scale = ends.constant(1 / (255 * std), "pixel_scale")
    shift = ends.constant(-np.array(pixels.mean) / std, "pixel_shift")
    cast, multiply, add = schema.CastOptionsT(), schema.MulOptionsT(), schema.AddOptionsT()
    cast.inDataType, cast.outDataType = schema.TensorType.UINT8, schema.TensorType.FLOAT32
    graph.operators[:0] = [
        ends.operator(_OPS.CAST, [given], floats, _OPTIONS.CastOptions, cast),
        ends.operator(_OPS.MUL, [floats, scale], scaled, _OPTIONS.MulOptions, multiply),
        ends.operator(_OPS.ADD, [scaled, shift], prepared, _OPTIONS.AddOptions, add),
    ]
    graph.inputs = [given]
    for signature in loaded.signatureDefs or []:
        for entry in signature.inputs:
            entry.tensorIndex = given
    return packed(loaded)


class _Ends:
    """Adds tensors and operators to a model that is there."""

    def __init__(self, model: Any, graph: Any) -> None:
        self.model, self.graph = model, graph

    def tensor(self, like: Any, name: str, kind: int) -> int:
        """A tensor of another's shape, and its number."""
        tensor = schema.TensorT()
        tensor.shape, tensor.shapeSignature, tensor.hasRank = like.shape, like.shapeSignature, like.hasRank
        tensor.name, tensor.type, tensor.buffer = name, kind, 0
        self.graph.tensors.append(tensor)
        return len(self.graph.tensors) - 1

    def constant(self, values: np.ndarray[Any, Any], name: str) -> int:
        """A number for each channel, and its tensor's number."""
        buffer = schema.BufferT()
        buffer.data = values.astype(np.float32).view(np.uint8)
        self.model.buffers.append(buffer)
        tensor = schema.TensorT()
        tensor.shape, tensor.name, tensor.type = [len(values)], name, schema.TensorType.FLOAT32
        tensor.buffer = len(self.model.buffers) - 1
        self.graph.tensors.append(tensor)
        return len(self.graph.tensors) - 1

    def operator(self, code: int, inputs: list[int], output: int, kind: int, options: Any) -> Any:
        entry = schema.OperatorCodeT()
        entry.builtinCode, entry.deprecatedBuiltinCode, entry.version = code, min(code, 127), 1
        self.model.operatorCodes.append(entry)
        operator = schema.OperatorT()
        operator.opcodeIndex, operator.inputs, operator.outputs = len(self.model.operatorCodes) - 1, inputs, [output]
        operator.builtinOptionsType, operator.builtinOptions = kind, options
        return operator
