"""A graph as a Core ML model: a neural network of iOS 13 and macOS 10.15, a single .mlmodel file."""

from __future__ import annotations

import contextlib
import io
import logging
from collections.abc import Iterator, Mapping
from typing import Any

from ofa.graph.graph import Graph, Node
from ofa.optional_packages import missing_package


def write_coreml(graph: Graph, metadata: Mapping[str, str] | None = None) -> bytes:
    """The serialised model: "input" in NCHW to "output"; `metadata` becomes what its author has defined.

    Raises MissingPackage if coremltools is not installed.
    """
    with coremltools_quiet():
        try:
            from coremltools.models import datatypes
            from coremltools.models.neural_network import NeuralNetworkBuilder
        except ImportError:
            raise missing_package("coremltools", "writing Core ML models") from None
        builder = NeuralNetworkBuilder(
            [("input", datatypes.Array(*graph.input_shape))],
            [("output", datatypes.Array(*graph.output_shape))],
            disable_rank5_shape_mapping=True,
            use_float_arraytype=True,
        )
        writer = _Writer(graph, builder)
        for number, node in enumerate(graph.nodes):
            writer.node(node, last=number == len(graph.nodes) - 1)
    description = builder.spec.description
    description.metadata.userDefined.update(metadata or {})
    serialised: bytes = builder.spec.SerializeToString(deterministic=True)
    return serialised


@contextlib.contextmanager
def coremltools_quiet() -> Iterator[None]:
    """On import it says what it cannot run here, and which torch it was tested with: neither concerns us."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            yield
    finally:
        logging.disable(before)


class _Writer:
    """names: of every tensor so far."""

    def __init__(self, graph: Graph, builder: Any) -> None:
        self.graph, self.builder = graph, builder
        self.names = ["input"]
        self.layers = 0

    def node(self, node: Node, *, last: bool) -> None:
        """Writes a node; the last one's tensor is the output."""
        inputs = [self.names[tensor] for tensor in node.inputs]
        final = "output" if last else None
        name = self.translate(node, inputs, None if node.activation != "none" else final)
        self.names.append(self.activate(name, node.activation, final))

    def layer(self, add: Any, inputs: list[str], output: str | None, **how: Any) -> str:
        """Adds a layer, and returns the name of what it puts out."""
        self.layers += 1
        output = output or f"tensor{self.layers}"
        given = {"input_names": inputs} if len(inputs) > 1 else {"input_name": inputs[0]}
        add(name=f"layer{self.layers}", output_name=output, **given, **how)
        return output

    def activate(self, name: str, activation: str, output: str | None) -> str:
        build = self.builder
        if activation == "none":
            return name
        if activation == "relu6":
            return self.layer(build.add_clip, [name], output, min_value=0.0, max_value=6.0)
        if activation in ("h_swish", "swish"):
            gate = self.activate(name, {"h_swish": "hard_sigmoid", "swish": "sigmoid"}[activation], None)
            return self.layer(build.add_multiply_broadcastable, [name, gate], output)
        kind, params = {
            "relu": ("RELU", None),
            "sigmoid": ("SIGMOID", None),
            "hard_sigmoid": ("SIGMOID_HARD", [1 / 6, 0.5]),
        }[activation]
        return self.layer(build.add_activation, [name], output, non_linearity=kind, params=params)

    def translate(self, node: Node, inputs: list[str], output: str | None) -> str:
        build = self.builder
        if node.op == "conv":
            return self.conv(node, inputs, output)
        if node.op == "linear":
            assert node.weight is not None
            rows, columns = node.weight.shape[1], node.weight.shape[0]
            return self.layer(
                self.matmul, inputs, output,
                weight_matrix_rows=rows, weight_matrix_columns=columns, W=node.weight.T, bias=node.bias,
            )  # fmt: skip
        if node.op == "max_pool":
            return self.pool(inputs, output, "MAX", 3, (1, 1))
        if node.op == "average_pool":
            return self.pool(inputs, output, "AVERAGE", 2, (0, self.graph.shapes[node.inputs[0]][2] % 2))
        if node.op == "global_pool":
            return self.layer(build.add_reduce_mean, inputs, output, axes=[2, 3], keepdims=True)
        if node.op == "flatten":
            return self.layer(build.add_flatten_to_2d, inputs, output, axis=1)
        if node.op == "shuffle":
            n, channels, h, w = self.graph.shapes[node.inputs[0]]
            sizes = (n, node.groups, channels // node.groups, h, w)
            apart = self.layer(build.add_reshape_static, inputs, None, output_shape=sizes)
            mixed = self.layer(build.add_transpose, [apart], None, axes=[0, 2, 1, 3, 4])
            return self.layer(build.add_reshape_static, [mixed], output, output_shape=(n, channels, h, w))
        add = {"add": build.add_add_broadcastable, "multiply": build.add_multiply_broadcastable}[node.op]
        return self.layer(add, inputs, output)

    def matmul(self, input_name: str, **how: Any) -> None:
        """Core ML's multiplication of matrices takes a list of inputs."""
        self.builder.add_batched_mat_mul(input_names=[input_name], **how)

    def conv(self, node: Node, inputs: list[str], output: str | None) -> str:
        assert node.weight is not None
        out, inside, kernel, _ = node.weight.shape
        side = kernel // 2
        return self.layer(
            self.builder.add_convolution, inputs, output,
            kernel_channels=inside, output_channels=out, height=kernel, width=kernel,
            stride_height=node.stride, stride_width=node.stride, border_mode="valid", groups=node.groups,
            W=node.weight.transpose(2, 3, 1, 0), b=node.bias, has_bias=node.bias is not None,
            padding_top=side, padding_bottom=side, padding_left=side, padding_right=side,
        )  # fmt: skip

    def pool(self, inputs: list[str], output: str | None, kind: str, size: int, borders: tuple[int, int]) -> str:
        """A pooling of stride 2. borders: before and after"""
        before, after = borders
        return self.layer(
            self.builder.add_pooling, inputs, output,
            height=size, width=size, stride_height=2, stride_width=2, layer_type=kind, padding_type="VALID",
            exclude_pad_area=True,
            padding_top=before, padding_bottom=after, padding_left=before, padding_right=after,
        )  # fmt: skip
