"""Core ML files: their layers, computed one by one as the format's specification says, give what the graph gives."""

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from ofa.blocks import Block
from ofa.graph import block_graph, network_graph
from ofa.graph.torch import build_torch

from .layers import BLOCKS

pytest.importorskip("coremltools", reason="coremltools is not installed: pip install 'ofa-latency[coreml]'")

from ofa.graph.coreml import coremltools_quiet, write_coreml

with coremltools_quiet():
    from coremltools.proto import Model_pb2

CHAIN = [
    Block("conv", 33, 3, 0, 16, 3, 2, "h_swish", False, False),
    Block("mbconv", 17, 16, 48, 16, 5, 1, "h_swish", True, True),
    Block("mbconv", 17, 16, 48, 24, 7, 2, "relu", False, False),
    Block("global_pool", 9, 24, 0, 24, 1, 1, "none", False, False),
    Block("linear", 1, 24, 0, 10, 1, 1, "none", False, False),
]


def parsed(content: bytes) -> Model_pb2.Model:
    model = Model_pb2.Model()
    model.ParseFromString(content)
    return model


def borders(amounts) -> list[int]:
    """Left, right, top, bottom, as torch pads."""
    (top, left) = amounts
    return [left.startEdgeSize, left.endEdgeSize, top.startEdgeSize, top.endEdgeSize]


def computed(content: bytes, images: torch.Tensor) -> torch.Tensor:
    """What Core ML should make of images, by NeuralNetwork.proto."""
    known = {"input": images}
    for layer in parsed(content).neuralNetwork.layers:
        x, *rest = (known[name] for name in layer.input)
        kind = layer.WhichOneof("layer")
        p = getattr(layer, kind)
        if kind == "convolution":
            assert p.WhichOneof("ConvolutionPaddingType") == "valid"
            sides = (p.outputChannels, p.kernelChannels, *p.kernelSize)
            weight = torch.tensor(p.weights.floatValue).reshape(sides)
            bias = torch.tensor(p.bias.floatValue) if p.hasBias else None
            x = F.pad(x, borders(p.valid.paddingAmounts.borderAmounts))
            y = F.conv2d(x, weight, bias, tuple(p.stride), groups=p.nGroups)
        elif kind == "activation":
            chosen = p.WhichOneof("NonlinearityType")
            if chosen == "sigmoidHard":
                y = (p.sigmoidHard.alpha * x + p.sigmoidHard.beta).clamp(0, 1)
            else:
                y = {"ReLU": torch.relu, "sigmoid": torch.sigmoid}[chosen](x)
        elif kind == "clip":
            y = x.clamp(p.minVal, p.maxVal)
        elif kind == "addBroadcastable":
            y = x + rest[0]
        elif kind == "multiplyBroadcastable":
            y = x * rest[0]
        elif kind == "reduceMean":
            y = x.mean(tuple(p.axes), keepdim=p.keepDims)
        elif kind == "reshapeStatic":
            y = x.reshape(tuple(p.targetShape))
        elif kind == "transpose":
            y = x.permute(tuple(p.axes))
        elif kind == "flattenTo2D":
            y = x.flatten(p.axis)
        elif kind == "batchedMatmul":
            weight = torch.tensor(p.weights.floatValue).reshape(p.weightMatrixSecondDimension, -1)
            y = x @ weight.T + torch.tensor(p.bias.floatValue)
        elif kind == "pooling":
            assert p.type == p.MAX or p.avgPoolExcludePadding
            pad = borders(p.valid.paddingAmounts.borderAmounts)
            size, stride = tuple(p.kernelSize), tuple(p.stride)
            if p.type == p.MAX:
                y = F.max_pool2d(F.pad(x, pad, value=-np.inf), size, stride)
            else:
                counted = F.avg_pool2d(F.pad(torch.ones_like(x), pad), size, stride)
                y = F.avg_pool2d(F.pad(x, pad), size, stride) / counted
        else:
            raise AssertionError(f"an unknown layer: {kind}")
        (name,) = layer.output
        known[name] = y
    return known["output"]


KINDS = {(block.op, block.activation): block for block in BLOCKS}


@pytest.mark.parametrize("block", [*KINDS.values()], ids=str)
def test_every_operator(block: Block) -> None:
    graph = block_graph(block, batch=2)
    x = torch.randn(graph.input_shape, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(computed(write_coreml(graph), x), build_torch(graph)(x), atol=1e-4, rtol=1e-4)


def test_a_network_and_its_description() -> None:
    graph = network_graph(CHAIN)
    content = write_coreml(graph, {"labels": "cat\ndog"})
    x = torch.randn(graph.input_shape, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(computed(content, x), build_torch(graph)(x), atol=1e-4, rtol=1e-4)
    description = parsed(content).description
    assert [*description.input[0].type.multiArrayType.shape] == [1, 3, 33, 33]
    assert [*description.output[0].type.multiArrayType.shape] == [1, 10]
    assert description.metadata.userDefined["labels"] == "cat\ndog"
    assert write_coreml(graph, {"labels": "cat\ndog"}) == content
