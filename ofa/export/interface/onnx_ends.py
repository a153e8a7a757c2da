"""The ends of an ONNX model made others: integers in and out, or pixels in."""

from __future__ import annotations

from typing import Any

import numpy as np

from ofa.errors import InputError
from ofa.model_files.ends import Interface, Pixels, Quantised


def integer_ends(model: bytes) -> tuple[bytes, Interface]:
    """A quantised model whose first QuantizeLinear and last DequantizeLinear are taken off; what it takes and gives."""
    import onnx

    loaded = onnx.load_from_string(model)
    graph = loaded.graph
    constants = {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in graph.initializer}
    (source,), (result,) = graph.input, graph.output
    readers = [node for node in graph.node if source.name in node.input]
    (last,) = (node for node in graph.node if result.name in node.output)
    if [node.op_type for node in (*readers, last)] != ["QuantizeLinear", "DequantizeLinear"]:
        raise InputError("--int8-io: the quantiser left the input or the output in float32: leave --int8-io out")
    (first,) = readers
    found = Interface(_quantised(first, constants), _quantised(last, constants))
    _read_instead(graph, first.output[0], source.name)
    inside = last.input[0]
    (before,) = (node for node in graph.node if inside in node.output)
    before.output[list(before.output).index(inside)] = result.name
    _read_instead(graph, inside, result.name)
    graph.node.remove(first)
    graph.node.remove(last)
    for entry, quantised in ((source, found.given), (result, found.wanted)):
        assert isinstance(quantised, Quantised)
        entry.type.tensor_type.elem_type = onnx.helper.np_dtype_to_tensor_dtype(np.dtype(quantised.dtype))
    _without_unused(graph)
    serialised: bytes = loaded.SerializeToString(deterministic=True)
    return serialised, found


def pixels_in(model: bytes, pixels: Pixels) -> bytes:
    """The model with its images' preparation before it: "input" is uint8 (N, R, R, 3)."""
    import onnx
    from onnx import helper

    loaded = onnx.load_from_string(model)
    graph = loaded.graph
    (source,) = graph.input
    batch, channels, *sides = source.type.tensor_type.shape.dim
    shape = [dim.dim_param or dim.dim_value for dim in (batch, *sides, channels)]
    std = np.array(pixels.std)
    for name, values in (("pixel_scale", 1 / (255 * std)), ("pixel_shift", -np.array(pixels.mean) / std)):
        array = values.astype(np.float32).reshape(1, 3, 1, 1)
        graph.initializer.append(onnx.numpy_helper.from_array(array, name))
    _read_instead(graph, source.name, "prepared")
    before = [
        helper.make_node("Transpose", [source.name], ["pixels_nchw"], name="Pixels_nchw", perm=[0, 3, 1, 2]),
        helper.make_node("Cast", ["pixels_nchw"], ["pixels_float"], name="Pixels_float", to=onnx.TensorProto.FLOAT),
        helper.make_node("Mul", ["pixels_float", "pixel_scale"], ["pixels_scaled"], name="Pixels_scaled"),
        helper.make_node("Add", ["pixels_scaled", "pixel_shift"], ["prepared"], name="Pixels_prepared"),
    ]
    for node in reversed(before):
        graph.node.insert(0, node)
    source.CopyFrom(helper.make_tensor_value_info(source.name, onnx.TensorProto.UINT8, shape))
    serialised: bytes = loaded.SerializeToString(deterministic=True)
    return serialised


def _quantised(node: Any, constants: dict[str, np.ndarray[Any, Any]]) -> Quantised:
    scale, zero_point = constants[node.input[1]], constants[node.input[2]]
    return Quantised(float(scale), int(zero_point), zero_point.dtype.name)


def _read_instead(graph: Any, name: str, other: str) -> None:
    """Has every node that reads a tensor read another."""
    for node in graph.node:
        for i, read in enumerate(node.input):
            if read == name:
                node.input[i] = other


def _without_unused(graph: Any) -> None:
    """Takes constants off that no node reads any more, and what is said of tensors that are gone."""
    read = {name for node in graph.node for name in node.input}
    made = {name for node in graph.node for name in node.output}
    for entries, used in ((graph.initializer, read), (graph.value_info, read & made)):
        for entry in [entry for entry in entries if entry.name not in used]:
            entries.remove(entry)
