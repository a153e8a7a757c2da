"""A graph as an ONNX model: opset 18 or another, one node an operation, activations as nodes of their own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ofa import __version__
from ofa.graph.graph import Graph, Node, Shape
from ofa.optional_packages import missing_package

OPSET = 18
IR_VERSION = 9
OLDEST_OPSET = 11  # before, Clip had its limits as attributes
HARD_SWISH_SINCE = 14

_ACTIVATIONS: dict[str, tuple[str, dict[str, float]]] = {
    "relu": ("Relu", {}),
    "h_swish": ("HardSwish", {}),
    "sigmoid": ("Sigmoid", {}),
    "hard_sigmoid": ("HardSigmoid", {"alpha": 1 / 6, "beta": 0.5}),
}


def write_onnx(
    graph: Graph,
    metadata: Mapping[str, str] | None = None,
    *,
    opset: int = OPSET,
    any_batch: bool = False,
    half: bool = False,
    for_openvino: bool = False,
) -> bytes:
    """The serialised model: "input" in NCHW to "output"; `metadata` becomes its metadata properties.

    opset: OLDEST_OPSET to the newest that onnx knows; what it lacks is written by operators that it has
    any_batch: whether N is left open; half: float16 in place of float32, at both ends too
    for_openvino: written so that OpenVINO 2026.4 compiles it sooner, to the same operations (`OnnxWriter`)
    Raises MissingPackage if onnx is not installed.
    """
    ends = ("FLOAT16", "FLOAT16") if half else ("FLOAT", "FLOAT")
    model = empty_model(graph, *ends, opset=opset, any_batch=any_batch)
    return serialised(model, OnnxWriter(graph, model.graph, opset, any_batch, half, for_openvino), metadata)


def empty_model(
    graph: Graph, given: str = "FLOAT", wanted: str = "FLOAT", *, opset: int = OPSET, any_batch: bool = False
) -> Any:
    """A model of the graph's input and output, without a node. given, wanted: their types, as ONNX calls them"""
    try:
        from onnx import TensorProto, helper
    except ImportError:
        raise missing_package("onnx", "writing ONNX models") from None

    def open_batch(shape: Shape) -> list[int | str]:
        return ["batch" if any_batch else shape[0], *shape[1:]]

    # filled in place: assembling a model from its parts would copy the weights at every step
    return helper.make_model(
        helper.make_graph(
            [],
            "ofa",
            [helper.make_tensor_value_info("input", getattr(TensorProto, given), open_batch(graph.input_shape))],
            [helper.make_tensor_value_info("output", getattr(TensorProto, wanted), open_batch(graph.output_shape))],
        ),
        opset_imports=[helper.make_opsetid("", opset)],
        ir_version=IR_VERSION if opset == OPSET else helper.find_min_ir_version_for([helper.make_opsetid("", opset)]),
        producer_name="ofa-latency",
        producer_version=__version__,
    )


def serialised(model: Any, writer: OnnxWriter, metadata: Mapping[str, str] | None = None) -> bytes:
    """The model with all nodes of the writer's graph."""
    from onnx import helper

    for number in range(len(writer.graph.nodes)):
        writer.names.append(writer.node(number))
    writer.nodes[-1].output[0] = "output"
    if metadata:
        helper.set_model_props(model, dict(metadata))
    content: bytes = model.SerializeToString(deterministic=True)
    return content


class OnnxWriter:
    """Nodes and constants of an ONNX graph. names: of every tensor so far.

    for_openvino: biases are added by a node of their own, and means taken over named axes. OpenVINO reads Conv's bias
        and GlobalAveragePool as ten nodes each, which work out shapes, and simplifies them until they are these
    """

    def __init__(
        self,
        graph: Graph,
        onnx_graph: Any,
        opset: int = OPSET,
        any_batch: bool = False,
        half: bool = False,
        for_openvino: bool = False,
    ) -> None:
        self.graph, self.opset, self.any_batch, self.half = graph, opset, any_batch, half
        self.for_openvino = for_openvino
        self.initializers, self.nodes = onnx_graph.initializer, onnx_graph.node
        self.names = ["input"]

    def constant(self, array: NDArray[Any]) -> str:
        from onnx import helper

        name = f"constant{len(self.initializers)}"
        if self.half and array.dtype == np.float32:
            array = array.astype(np.float16)
        little = array.astype(array.dtype.newbyteorder("<"), copy=False)
        kind = helper.np_dtype_to_tensor_dtype(array.dtype)
        self.initializers.add(name=name, data_type=kind, dims=array.shape, raw_data=little.tobytes())
        return name

    def emit(self, op: str, inputs: list[str], **attributes: Any) -> str:
        from onnx import helper

        name = f"{op.lower()}{len(self.nodes)}"
        self.nodes.append(helper.make_node(op, inputs, [name], name=f"{op}_{len(self.nodes)}", **attributes))
        return name

    def node(self, number: int) -> str:
        """The name of the tensor that the node of that number computes."""
        node = self.graph.nodes[number]
        return self.activate(self.translate(node), node.activation)

    def activate(self, name: str, activation: str) -> str:
        if activation == "none":
            return name
        if activation == "relu6":
            return self.emit(
                "Clip", [name, self.constant(np.zeros((), np.float32)), self.constant(np.full((), 6, np.float32))]
            )
        if activation == "swish":  # as exporters write it, and runtimes recognise it: the operator is of opset 24
            return self.emit("Mul", [name, self.emit("Sigmoid", [name])])
        if activation == "h_swish" and self.opset < HARD_SWISH_SINCE:
            return self.emit("Mul", [name, self.activate(name, "hard_sigmoid")])
        op, attributes = _ACTIVATIONS[activation]
        return self.emit(op, [name], **attributes)

    def weights(self, node: Node) -> list[str]:
        """The names of a node's weight and bias, as far as it has any."""
        bias = node.bias.reshape(1, -1, 1, 1) if node.bias is not None and self.is_apart(node) else node.bias
        return [self.constant(array) for array in (node.weight, bias) if array is not None]

    def is_apart(self, node: Node) -> bool:
        """Whether a node of its own adds a node's bias."""
        return self.for_openvino and node.op == "conv"

    def translate(self, node: Node) -> str:
        inputs = [*(self.names[tensor] for tensor in node.inputs), *self.weights(node)]
        if node.op == "conv":
            assert node.weight is not None
            kernel, bias = node.weight.shape[2], inputs[2:] if self.is_apart(node) else []
            y = self.emit(
                "Conv",
                inputs[:2] if bias else inputs,
                kernel_shape=[kernel, kernel],
                strides=[node.stride] * 2,
                pads=[kernel // 2] * 4,
                group=node.groups,
            )
            return self.emit("Add", [y, *bias]) if bias else y
        if node.op == "linear":
            return self.emit("Gemm", inputs, transB=1)
        if node.op == "max_pool":
            return self.emit("MaxPool", inputs, kernel_shape=[3, 3], strides=[2, 2], pads=[1] * 4)
        if node.op == "average_pool":
            odd = self.graph.shapes[node.inputs[0]][2] % 2
            # padding that does not count stands for PyTorch's ceil_mode
            return self.emit("AveragePool", inputs, kernel_shape=[2, 2], strides=[2, 2], pads=[0, 0, odd, odd])
        if node.op == "shuffle":
            return self.shuffle(node, inputs[0])
        if node.op == "global_pool" and self.for_openvino:
            return self.emit("ReduceMean", [*inputs, self.constant(np.array([2, 3]))], keepdims=1)
        plain = {"add": "Add", "multiply": "Mul", "global_pool": "GlobalAveragePool", "flatten": "Flatten"}
        return self.emit(plain[node.op], inputs)

    def shuffle(self, node: Node, x: str) -> str:
        n, channels, h, w = self.graph.shapes[node.inputs[0]]
        apart = self.moved(node, self.reshape(x, (n, node.groups, channels // node.groups, h, w)))
        mixed = self.moved(node, self.emit("Transpose", [apart], perm=[0, 2, 1, 3, 4]))
        return self.reshape(mixed, (n, channels, h, w))

    def reshape(self, x: str, sizes: Shape) -> str:
        first = -1 if self.any_batch else sizes[0]
        return self.emit("Reshape", [x, self.constant(np.array((first, *sizes[1:]), np.int64))])

    def moved(self, node: Node, x: str) -> str:
        """A tensor within a node that only moves values; for writers that say its type at every step."""
        del node
        return x
