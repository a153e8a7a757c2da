"""A graph as a TFLite flatbuffer: the operations that the official converter emits for an NHWC model.

TFLite's SAME padding is not PyTorch's symmetric padding where the stride is 2, so there a PAD stands before
a VALID convolution. The file runs in ai-edge-litert and in tflite-runtime 2.14: operator versions are the
oldest that suffice.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ofa.graph.graph import Graph, Node, Shape
from ofa.optional_packages import MissingPackage

try:
    import flatbuffers
    from ai_edge_litert import schema_py_generated as schema
except ImportError:
    raise MissingPackage(
        "writing TFLite models needs flatbuffers and ai-edge-litert: pip install 'ofa-latency[tflite]'"
    ) from None

__all__ = ["TfliteWriter", "add_metadata", "is_positive", "nhwc", "schema", "write_tflite"]

_OPS = schema.BuiltinOperator
_OPTIONS = schema.BuiltinOptions
_FUSED = schema.ActivationFunctionType
# activations that a TFLite operator applies itself; the others are operators of their own
_FUSIBLE = {"none": _FUSED.NONE, "relu": _FUSED.RELU, "relu6": _FUSED.RELU6}


def write_tflite(graph: Graph, metadata: Mapping[str, str] | None = None, *, any_batch: bool = False) -> bytes:
    """The serialised model, with the signature "serving_default": "input" in NHWC to "output".

    A classifier's output is (N, classes), any other NHWC. `metadata` becomes the model's metadata buffers.
    any_batch: whether N may be changed where the model is loaded, by resizing the input
    """
    writer = TfliteWriter(any_batch)
    tensors = [writer.tensor(nhwc(graph.input_shape), "input")]
    for node in graph.nodes:
        tensors.append(writer.node(node, [tensors[t] for t in node.inputs], is_positive(graph, node)))
    return writer.finish(tensors[0], tensors[-1], metadata)


def add_metadata(model: bytes, metadata: Mapping[str, str]) -> bytes:
    """A model with metadata buffers added, whatever wrote it; those of the same name are replaced."""
    loaded = unpacked(model)
    loaded.metadata = [entry for entry in loaded.metadata or [] if entry.name.decode() not in metadata]
    for name, text in metadata.items():
        buffer = schema.BufferT()
        buffer.data = np.frombuffer(text.encode(), np.uint8)
        loaded.buffers.append(buffer)
        entry = schema.MetadataT()
        entry.name, entry.buffer = name, len(loaded.buffers) - 1
        loaded.metadata.append(entry)
    return packed(loaded)


def unpacked(model: bytes) -> Any:
    """A model's `ModelT`, whatever wrote it, with all data in its buffers."""
    loaded = schema.ModelT.InitFromPackedBuf(model)
    for buffer in loaded.buffers:
        if buffer.offset > 1:  # ai-edge-quantizer puts the data behind the flatbuffer, at an offset that may shift
            buffer.data = np.frombuffer(model, np.uint8, buffer.size, buffer.offset)
            buffer.offset = buffer.size = 0
    return loaded


def packed(model: Any) -> bytes:
    """The flatbuffer of a `ModelT`."""
    size = sum(len(buffer.data) for buffer in model.buffers if buffer.data is not None)
    builder = _Builder(size + 16 * len(model.buffers) + 65536)
    builder.Finish(model.Pack(builder), file_identifier=b"TFL3")
    return bytes(memoryview(builder.Bytes)[builder.Head() :])


class _Builder(flatbuffers.Builder):  # type: ignore[misc]
    """Starts the data of buffers at multiples of 16, as the schema demands (force_align) and Python's code forgets."""

    def CreateNumpyVector(self, x: NDArray[Any]) -> int:
        if x.dtype != np.uint8:
            offset: int = super().CreateNumpyVector(x)
            return offset
        self.StartVector(1, x.size, 16)
        self.head -= x.size
        self.Bytes[self.head : self.head + x.size] = np.ascontiguousarray(x).data
        self.vectorNumElems = x.size
        end: int = self.EndVector()
        return end


def nhwc(shape: Shape) -> Shape:
    return (shape[0], *shape[2:], shape[1]) if len(shape) == 4 else shape


def is_positive(graph: Graph, node: Node) -> bool:
    """Whether the node's first input cannot be negative: it comes out of a ReLU."""
    source = node.inputs[0]
    return source > 0 and graph.nodes[source - 1].activation in ("relu", "relu6")


class TfliteWriter:
    """Collects tensors and operators; shapes are NHWC."""

    def __init__(self, any_batch: bool = False) -> None:
        self.any_batch = any_batch
        self.buffers = [schema.BufferT()]  # buffer 0 is empty by convention
        self.tensors: list[Any] = []
        self.operators: list[Any] = []
        self.codes: dict[int, Any] = {}

    def tensor(self, shape: Shape, name: str | None = None) -> int:
        tensor = schema.TensorT()
        tensor.shape, tensor.type, tensor.buffer = list(shape), schema.TensorType.FLOAT32, 0
        tensor.name = name or f"tensor{len(self.tensors)}"
        self.tensors.append(tensor)
        return len(self.tensors) - 1

    def constant(self, array: NDArray[Any]) -> int:
        number = self.tensor(array.shape)
        if array.dtype == np.int32:
            self.tensors[number].type = schema.TensorType.INT32
        self.tensors[number].buffer = self.buffer(np.ascontiguousarray(array).view(np.uint8).reshape(-1))
        return number

    def buffer(self, data: NDArray[np.uint8]) -> int:
        buffer = schema.BufferT()
        buffer.data = data
        self.buffers.append(buffer)
        return len(self.buffers) - 1

    def operator(self, code: int, inputs: list[int], shape: Shape, kind: int = 0, options: Any = None) -> int:
        """Appends an operator and returns its output tensor."""
        if code not in self.codes:
            entry = schema.OperatorCodeT()
            entry.builtinCode, entry.deprecatedBuiltinCode, entry.version = code, min(code, 127), 1
            self.codes[code] = (len(self.codes), entry)
        operator = schema.OperatorT()
        operator.opcodeIndex, operator.inputs = self.codes[code][0], inputs
        output = self.tensor(shape)
        operator.outputs = [output]
        if options is not None:
            operator.builtinOptionsType, operator.builtinOptions = kind, options
        self.operators.append(operator)
        return output

    # ---- nodes

    def node(self, node: Node, inputs: list[int], positive: bool) -> int:
        """Translates a node and returns its output tensor."""
        x = inputs[0]
        n, *_ = shape = tuple(self.tensors[x].shape)
        if node.op == "conv":
            return self.conv(node, x)
        if node.op == "linear":
            return self.linear(node, x)
        if node.op == "add":
            options = schema.AddOptionsT()
            options.fusedActivationFunction = _FUSIBLE.get(node.activation, _FUSED.NONE)
            return self.activate(self.operator(_OPS.ADD, inputs, shape, _OPTIONS.AddOptions, options), node.activation)
        if node.op == "multiply":
            return self.multiply(*inputs)
        if node.op == "global_pool":
            return self.mean(x)
        if node.op == "flatten":
            return self.reshape(x, (n, shape[-1]))
        if node.op == "shuffle":
            return self.shuffle(x, node.groups)
        if node.op == "max_pool":
            # PAD's zeros win no maximum among values that are not negative; others need the lowest value
            return self.pool(
                _OPS.MAX_POOL_2D, self.pad(x, 1, 0.0 if positive else float(np.finfo(np.float32).min)), 3, "VALID"
            )
        # SAME pads odd sizes at the end, and does not count the padding: PyTorch's ceil_mode
        return self.pool(_OPS.AVERAGE_POOL_2D, x, 2, "SAME")

    def conv(self, node: Node, x: int) -> int:
        assert node.weight is not None
        weight, bias = node.weight, node.bias
        n, h, w, channels = self.tensors[x].shape
        kernel, depthwise = weight.shape[2], 1 < node.groups == channels == len(weight)
        same = node.stride == 1 or kernel == 1
        if not same:
            x = self.pad(x, kernel // 2, 0.0)
        if depthwise:
            filters = np.transpose(weight[:, 0], (1, 2, 0))[None]
            options, kind = schema.DepthwiseConv2DOptionsT(), _OPTIONS.DepthwiseConv2DOptions
            options.depthMultiplier = 1
        else:
            filters = np.transpose(weight, (0, 2, 3, 1))
            options, kind = schema.Conv2DOptionsT(), _OPTIONS.Conv2DOptions
        options.padding = schema.Padding.SAME if same else schema.Padding.VALID
        options.strideH = options.strideW = node.stride
        options.dilationHFactor = options.dilationWFactor = 1
        biases = np.zeros(len(weight), np.float32) if bias is None else bias
        activation = node.activation
        if activation == "hard_sigmoid":  # relu6(x + 3) / 6: the 3 goes into the bias
            biases, activation = biases + np.float32(3), "relu6"
        options.fusedActivationFunction = _FUSIBLE.get(activation, _FUSED.NONE)
        shape = (n, -(-h // node.stride), -(-w // node.stride), channels if depthwise else len(weight))
        code = _OPS.DEPTHWISE_CONV_2D if depthwise else _OPS.CONV_2D
        y = self.operator(code, [x, self.constant(filters), self.constant(biases)], shape, kind, options)
        if node.activation == "hard_sigmoid":
            return self.multiply(y, self.constant(np.array(1 / 6, np.float32)))
        return self.activate(y, node.activation)

    def activate(self, x: int, activation: str) -> int:
        """Appends the operators of an activation that is none of another operator's."""
        shape = tuple(self.tensors[x].shape)
        if activation == "h_swish":
            return self.operator(_OPS.HARD_SWISH, [x], shape, _OPTIONS.HardSwishOptions, schema.HardSwishOptionsT())
        if activation in ("sigmoid", "swish"):
            gate = self.operator(_OPS.LOGISTIC, [x], shape)
            return self.multiply(x, gate) if activation == "swish" else gate
        return x

    def linear(self, node: Node, x: int) -> int:
        assert node.weight is not None
        assert node.bias is not None
        options = schema.FullyConnectedOptionsT()
        options.fusedActivationFunction = _FUSIBLE[node.activation]
        inputs = [x, self.constant(node.weight), self.constant(node.bias)]
        shape = (self.tensors[x].shape[0], len(node.weight))
        return self.operator(_OPS.FULLY_CONNECTED, inputs, shape, _OPTIONS.FullyConnectedOptions, options)

    def multiply(self, x: int, factor: int) -> int:
        options = schema.MulOptionsT()
        options.fusedActivationFunction = _FUSED.NONE
        return self.operator(_OPS.MUL, [x, factor], tuple(self.tensors[x].shape), _OPTIONS.MulOptions, options)

    def reshape(self, x: int, shape: Shape) -> int:
        options = schema.ReshapeOptionsT()
        options.newShape = [-1 if self.any_batch else shape[0], *shape[1:]]
        sizes = self.constant(np.array(options.newShape, np.int32))
        return self.operator(_OPS.RESHAPE, [x, sizes], shape, _OPTIONS.ReshapeOptions, options)

    def shuffle(self, x: int, groups: int) -> int:
        n, h, w, channels = self.tensors[x].shape
        apart, mixed = (n, h, w, groups, channels // groups), (n, h, w, channels // groups, groups)
        order = self.constant(np.array([0, 1, 2, 4, 3], np.int32))
        options = schema.TransposeOptionsT()
        y = self.operator(_OPS.TRANSPOSE, [self.reshape(x, apart), order], mixed, _OPTIONS.TransposeOptions, options)
        return self.reshape(y, (n, h, w, channels))

    def mean(self, x: int) -> int:
        options = schema.ReducerOptionsT()
        options.keepDims = True
        n, _, _, channels = self.tensors[x].shape
        axes = self.constant(np.array([1, 2], np.int32))
        return self.operator(_OPS.MEAN, [x, axes], (n, 1, 1, channels), _OPTIONS.ReducerOptions, options)

    def pad(self, x: int, border: int, value: float) -> int:
        n, h, w, channels = self.tensors[x].shape
        shape = (n, h + 2 * border, w + 2 * border, channels)
        borders = self.constant(np.array([[0, 0], [border, border], [border, border], [0, 0]], np.int32))
        if value == 0:
            return self.operator(_OPS.PAD, [x, borders], shape, _OPTIONS.PadOptions, schema.PadOptionsT())
        inputs = [x, borders, self.constant(np.array(value, np.float32))]
        return self.operator(_OPS.PADV2, inputs, shape, _OPTIONS.PadV2Options, schema.PadV2OptionsT())

    def pool(self, code: int, x: int, size: int, padding: str) -> int:
        """A pooling of stride 2."""
        n, h, w, channels = self.tensors[x].shape
        options = schema.Pool2DOptionsT()
        options.padding = getattr(schema.Padding, padding)
        options.strideH = options.strideW = 2
        options.filterHeight = options.filterWidth = size
        options.fusedActivationFunction = _FUSED.NONE
        reach = 0 if padding == "SAME" else size - 1
        shape = (n, -(-(h - reach) // 2), -(-(w - reach) // 2), channels)
        return self.operator(code, [x], shape, _OPTIONS.Pool2DOptions, options)

    def finish(self, source: int, result: int, metadata: Mapping[str, str] | None = None) -> bytes:
        """The flatbuffer of all that was collected."""
        self.tensors[result].name = "output"
        if self.any_batch:
            for tensor in self.tensors:
                if tensor.buffer == 0:  # no constant
                    tensor.shapeSignature = [-1, *tensor.shape[1:]]
        subgraph = schema.SubGraphT()
        subgraph.tensors, subgraph.operators, subgraph.name = self.tensors, self.operators, "main"
        subgraph.inputs, subgraph.outputs = [source], [result]
        signature = schema.SignatureDefT()
        signature.signatureKey, signature.subgraphIndex = "serving_default", 0
        signature.inputs, signature.outputs = [_named("input", source)], [_named("output", result)]
        model = schema.ModelT()
        model.version, model.description = 3, "ofa-latency"
        model.metadata = []
        for name, text in (metadata or {}).items():
            entry = schema.MetadataT()
            entry.name, entry.buffer = name, self.buffer(np.frombuffer(text.encode(), np.uint8))
            model.metadata.append(entry)
        model.subgraphs, model.buffers, model.signatureDefs = [subgraph], self.buffers, [signature]
        model.operatorCodes = [entry for _, entry in self.codes.values()]
        return packed(model)


def _named(name: str, tensor: int) -> Any:
    entry = schema.TensorMapT()
    entry.name, entry.tensorIndex = name, tensor
    return entry
