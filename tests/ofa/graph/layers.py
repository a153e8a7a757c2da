"""Blocks, how each runtime computes them, and the same blocks written with PyTorch's own layers."""

import io
import warnings
from collections.abc import Callable
from typing import ClassVar

import numpy as np
import pytest
import torch
from torch import nn

from ofa.blocks import Block
from ofa.graph import Graph, RandomWeights
from ofa.graph.onnx import write_onnx
from ofa.graph.tflite import write_tflite
from ofa.graph.torch import build_torch, write_torchscript

TOLERANCE = 1e-5  # of the largest output


def images(graph: Graph, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=graph.input_shape).astype(np.float32)


def run_onnx(graph: Graph, x: np.ndarray) -> np.ndarray:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(write_onnx(graph), options, providers=["CPUExecutionProvider"])
    return session.run(["output"], {"input": x})[0]


def run_tflite(interpreter_of: Callable, graph: Graph, x: np.ndarray) -> np.ndarray:
    interpreter = interpreter_of(model_content=write_tflite(graph), num_threads=1)
    interpreter.allocate_tensors()
    (given,), (wanted,) = interpreter.get_input_details(), interpreter.get_output_details()
    interpreter.set_tensor(given["index"], np.ascontiguousarray(x.transpose(0, 2, 3, 1)))
    interpreter.invoke()
    y = interpreter.get_tensor(wanted["index"])
    return y.transpose(0, 3, 1, 2) if y.ndim == 4 else y


def run_litert(graph: Graph, x: np.ndarray) -> np.ndarray:
    from ai_edge_litert.interpreter import Interpreter

    return run_tflite(Interpreter, graph, x)


def run_tflite_runtime(graph: Graph, x: np.ndarray) -> np.ndarray:
    module = pytest.importorskip("tflite_runtime.interpreter", reason="tflite-runtime has wheels up to Python 3.11")
    return run_tflite(module.Interpreter, graph, x)


def run_torch(graph: Graph, x: np.ndarray) -> np.ndarray:
    with torch.no_grad():
        return build_torch(graph)(torch.from_numpy(x)).numpy()


def run_torchscript(graph: Graph, x: np.ndarray) -> np.ndarray:
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore", DeprecationWarning)  # torch.jit is in maintenance
        return torch.jit.load(io.BytesIO(write_torchscript(graph)))(torch.from_numpy(x)).numpy()


RUNTIMES = {
    "onnxruntime": run_onnx,
    "ai-edge-litert": run_litert,
    "tflite-runtime": run_tflite_runtime,
    "torch": run_torch,
    "torchscript": run_torchscript,
}


def error(y: np.ndarray, expected: np.ndarray) -> float:
    assert y.shape == expected.shape
    return float(np.abs(y - expected).max() / np.abs(expected).max())


# ---- the same blocks, written with PyTorch's layers: an opinion that is independent of ofa.graph


class ByHand(nn.Module):
    """A block out of nn.Conv2d and so on, with the weights of a `RandomWeights`."""

    ACTIVATIONS: ClassVar = {
        "relu": nn.ReLU,
        "relu6": nn.ReLU6,
        "h_swish": nn.Hardswish,
        "swish": nn.SiLU,
        "none": nn.Identity,
    }

    def __init__(self, block: Block) -> None:
        super().__init__()
        self.b, self.random = block, RandomWeights(0)
        b, mid = block, block.mid_channels
        self.act = self.ACTIVATIONS[b.activation]()
        if b.op in ("mbconv", "mbconv_se_in"):
            if mid != b.in_channels:
                self.expand = self.conv("expand", b.in_channels, mid)
            self.depthwise = self.conv("depthwise", mid, mid, b.kernel_size, b.stride, groups=mid)
            if b.squeeze_excite:
                hidden = b.se_channels if b.op == "mbconv" else max(1, b.in_channels // 4)
                self.reduce = self.conv("se_reduce", mid, hidden)
                self.restore = self.conv("se_expand", hidden, mid)
            self.project = self.conv("project", mid, b.out_channels)
        elif b.op == "separable_conv":
            self.steps = nn.Sequential(
                self.conv("depthwise", b.in_channels, b.in_channels, b.kernel_size, b.stride, b.in_channels),
                self.act,
                self.conv("pointwise", b.in_channels, b.out_channels),
                self.act,
            )
        elif b.op == "uib_g2":
            self.steps = nn.Sequential(
                self.conv("expand", b.in_channels, mid, groups=2),
                self.act,
                nn.ChannelShuffle(2),
                self.conv("depthwise", mid, mid, b.kernel_size, b.stride, mid),
                self.act,
                self.conv("project", mid, b.out_channels, groups=2),
            )
        elif b.op.startswith("uib"):
            start = int(b.op[3:] or 0)
            last = "inside" if b.kernel_size > 1 else "start" if start else "expand"  # has the stride
            strides = {name: b.stride if name == last else 1 for name in ("start", "expand", "inside")}
            steps = [
                start and self.conv("start", b.in_channels, b.in_channels, start, strides["start"], b.in_channels),
                self.conv("expand", b.in_channels, mid, 1, strides["expand"]),
                self.act,
                b.kernel_size > 1 and self.conv("depthwise", mid, mid, b.kernel_size, b.stride, mid),
                b.kernel_size > 1 and self.act,
                self.conv("project", mid, b.out_channels),
            ]
            self.steps = nn.Sequential(*[step for step in steps if step])
        elif b.op == "basic":
            self.conv1 = self.conv("conv1", b.in_channels, b.out_channels, b.kernel_size, b.stride)
            self.conv2 = self.conv("conv2", b.out_channels, b.out_channels, b.kernel_size)
            if not b.skip:
                self.shortcut = self.conv("downsample", b.in_channels, b.out_channels, 1, b.stride)
        elif b.op in ("bottleneck", "bottleneck_b"):
            self.conv1 = self.conv("conv1", b.in_channels, mid)
            self.conv2 = self.conv("conv2", mid, mid, b.kernel_size, b.stride)
            self.conv3 = self.conv("conv3", mid, b.out_channels)
            if not b.skip:
                pooled = b.op == "bottleneck" and b.stride == 2
                pool = nn.AvgPool2d(2, 2, ceil_mode=True) if pooled else nn.Identity()
                stride = 1 if pooled else b.stride
                self.shortcut = nn.Sequential(pool, self.conv("downsample", b.in_channels, b.out_channels, 1, stride))
        elif b.op in ("conv", "feature_mix", "feature_mix_bias"):
            bias = b.op != "feature_mix"
            self.only = self.conv("conv", b.in_channels, b.out_channels, b.kernel_size, b.stride, bias=bias)
        elif b.op == "linear":
            self.linear = nn.Linear(b.in_channels, b.out_channels)
            self.fill(self.linear, "linear", True)

    def conv(
        self, layer: str, inside: int, out: int, kernel: int = 1, stride: int = 1, groups: int = 1, bias: bool = True
    ) -> nn.Conv2d:
        module = nn.Conv2d(inside, out, kernel, stride, kernel // 2, groups=groups, bias=bias)
        self.fill(module, layer, bias)
        return module

    def fill(self, module: nn.Module, layer: str, bias: bool) -> None:
        weight, biases = self.random(f"0.{layer}", tuple(module.weight.shape), bias)
        module.weight.data = torch.from_numpy(weight)
        if bias:
            module.bias.data = torch.from_numpy(biases)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        b = self.b
        if b.op in ("mbconv", "mbconv_se_in"):
            y = self.act(self.expand(x)) if b.mid_channels != b.in_channels else x
            y = self.act(self.depthwise(y))
            if b.squeeze_excite:
                own = b.op == "mbconv"
                hidden = (torch.relu if own else self.act)(self.reduce(y.mean((2, 3), keepdim=True)))
                y = y * (nn.functional.hardsigmoid if own else torch.sigmoid)(self.restore(hidden))
            y = self.project(y)
            return x + y if b.skip else y
        if b.op.startswith(("uib", "separable")):
            y = self.steps(x)
            return x + y if b.skip else y
        if b.op == "basic":
            y = self.conv2(self.act(self.conv1(x)))
            return self.act(y + (x if b.skip else self.shortcut(x)))
        if b.op in ("bottleneck", "bottleneck_b"):
            y = self.conv3(self.act(self.conv2(self.act(self.conv1(x)))))
            return self.act(y + (x if b.skip else self.shortcut(x)))
        if b.op in ("conv", "feature_mix", "feature_mix_bias"):
            y = self.act(self.only(x))
            return x + y if b.skip else y
        if b.op == "linear":
            return self.linear(x.flatten(1))
        return nn.MaxPool2d(3, 2, 1)(x) if b.op == "max_pool" else x.mean((2, 3), keepdim=True)


BLOCKS = [
    Block("conv", 33, 3, 0, 16, 3, 2, "h_swish", False, False),
    Block("conv", 12, 8, 0, 8, 3, 1, "relu", False, True),
    Block("conv", 7, 16, 0, 40, 1, 1, "relu6", False, False),
    Block("mbconv", 14, 16, 16, 16, 3, 1, "relu", False, True),
    Block("mbconv", 14, 16, 16, 24, 3, 1, "relu6", False, False),
    Block("mbconv", 25, 8, 24, 16, 7, 2, "h_swish", True, False),
    Block("mbconv", 9, 16, 48, 24, 5, 2, "relu", False, False),
    Block("mbconv", 10, 16, 96, 16, 5, 1, "h_swish", True, True),
    Block("mbconv", 10, 16, 64, 16, 7, 1, "relu6", False, True),
    Block("bottleneck", 11, 16, 8, 32, 3, 2, "relu", False, False),
    Block("bottleneck", 8, 16, 8, 32, 3, 2, "relu", False, False),
    Block("bottleneck", 7, 16, 8, 32, 3, 1, "relu", False, False),
    Block("bottleneck", 7, 32, 8, 32, 3, 1, "relu", False, True),
    Block("bottleneck", 7, 32, 8, 32, 5, 1, "h_swish", False, True),
    Block("bottleneck", 9, 16, 8, 32, 3, 2, "relu6", False, False),
    Block("conv", 9, 8, 0, 8, 5, 1, "none", False, True),
    Block("mbconv_se_in", 9, 16, 96, 24, 5, 2, "swish", True, False),
    Block("uib", 8, 16, 16, 16, 3, 1, "relu", False, True),
    Block("uib3", 9, 16, 64, 16, 1, 1, "relu", False, True),
    Block("uib5", 9, 16, 48, 24, 5, 2, "relu", False, False),
    Block("uib_g2", 9, 16, 48, 24, 5, 2, "relu", False, False),
    Block("uib_g2", 6, 2, 2, 2, 3, 1, "relu", False, True),
    Block("separable_conv", 9, 8, 0, 16, 3, 2, "relu6", False, False),
    Block("basic", 9, 16, 0, 32, 3, 2, "relu", False, False),
    Block("bottleneck_b", 9, 16, 8, 32, 3, 2, "relu", False, False),
    Block("feature_mix_bias", 1, 24, 0, 40, 1, 1, "h_swish", False, False),
    Block("feature_mix", 1, 24, 0, 40, 1, 1, "h_swish", False, False),
    Block("max_pool", 25, 8, 0, 8, 3, 2, "none", False, False),
    Block("max_pool", 16, 8, 0, 8, 3, 2, "none", False, False),
    Block("global_pool", 7, 24, 0, 24, 1, 1, "none", False, False),
    Block("linear", 1, 24, 0, 10, 1, 1, "none", False, False),
]
