"""A graph as an ONNX model: opset 18, one node an operation, activations as nodes of their own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from ofa import __version__
from ofa.errors import InputError
from ofa.graph.graph import Array, Graph, Node

OPSET = 18
IR_VERSION = 9

_ACTIVATIONS: dict[str, tuple[str, dict[str, float]]] = {
    "relu": ("Relu", {}),
    "h_swish": ("HardSwish", {}),
    "hard_sigmoid": ("HardSigmoid", {"alpha": 1 / 6, "beta": 0.5}),
}


def write_onnx(graph: Graph, metadata: Mapping[str, str] | None = None) -> bytes:
    """The serialised model: "input" in NCHW to "output"; `metadata` becomes its metadata properties.

    Raises InputError if onnx is not installed.
    """
    try:
        from onnx import TensorProto, helper
    except ImportError:
        raise InputError("writing ONNX models needs onnx: pip install 'ofa-latency[onnxruntime]'") from None

    # filled in place: assembling a model from its parts would copy the weights at every step
    model = helper.make_model(
        helper.make_graph(
            [],
            "ofa",
            [helper.make_tensor_value_info("input", TensorProto.FLOAT, graph.input_shape)],
            [helper.make_tensor_value_info("output", TensorProto.FLOAT, graph.output_shape)],
        ),
        opset_imports=[helper.make_opsetid("", OPSET)],
        ir_version=IR_VERSION,
        producer_name="ofa-latency",
        producer_version=__version__,
    )
    initializers, nodes = model.graph.initializer, model.graph.node
    names = ["input"]

    def constant(array: Array) -> str:
        name = f"constant{len(initializers)}"
        initializers.add(
            name=name, data_type=TensorProto.FLOAT, dims=array.shape, raw_data=array.astype("<f4", copy=False).tobytes()
        )
        return name

    def emit(op: str, inputs: list[str], **attributes: Any) -> str:
        name = f"{op.lower()}{len(nodes)}"
        nodes.append(helper.make_node(op, inputs, [name], name=f"{op}_{len(nodes)}", **attributes))
        return name

    def activate(name: str, activation: str) -> str:
        if activation == "none":
            return name
        if activation == "relu6":
            return emit("Clip", [name, constant(np.zeros((), np.float32)), constant(np.full((), 6, np.float32))])
        op, attributes = _ACTIVATIONS[activation]
        return emit(op, [name], **attributes)

    def translate(node: Node) -> str:
        inputs = [names[tensor] for tensor in node.inputs]
        if node.op in ("conv", "linear"):
            assert node.weight is not None
            inputs.append(constant(node.weight))
            if node.bias is not None:
                inputs.append(constant(node.bias))
        if node.op == "conv":
            assert node.weight is not None
            kernel = node.weight.shape[2]
            return emit(
                "Conv",
                inputs,
                kernel_shape=[kernel, kernel],
                strides=[node.stride] * 2,
                pads=[kernel // 2] * 4,
                group=node.groups,
            )
        if node.op == "linear":
            return emit("Gemm", inputs, transB=1)
        if node.op == "max_pool":
            return emit("MaxPool", inputs, kernel_shape=[3, 3], strides=[2, 2], pads=[1] * 4)
        if node.op == "average_pool":
            odd = graph.shapes[node.inputs[0]][2] % 2
            # padding that does not count stands for PyTorch's ceil_mode
            return emit("AveragePool", inputs, kernel_shape=[2, 2], strides=[2, 2], pads=[0, 0, odd, odd])
        plain = {"add": "Add", "multiply": "Mul", "global_pool": "GlobalAveragePool", "flatten": "Flatten"}
        return emit(plain[node.op], inputs)

    for node in graph.nodes:
        names += [activate(translate(node), node.activation)]
    nodes[-1].output[0] = "output"
    if metadata:
        helper.set_model_props(model, dict(metadata))
    serialised: bytes = model.SerializeToString(deterministic=True)
    return serialised
