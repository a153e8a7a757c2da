"""A graph as a PyTorch module, and as TorchScript."""

from __future__ import annotations

import io
import warnings
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

import numpy as np

from ofa.graph.graph import Graph, Node

if TYPE_CHECKING:
    import torch

    Watch = Callable[[int, str, torch.Tensor], torch.Tensor]


def build_torch(graph: Graph, watch: Watch | None = None) -> torch.nn.Module:
    """An nn.Module in evaluation mode, (N, C, H, W) to the graph's output.

    watch: is given every tensor, and the module goes on with what it returns: the input ("given", of node -1), what
        each node computes before its activation ("before"), the sigmoid inside a swish ("gate"), and the result
        ("after")
    """
    import torch
    from torch.nn import functional as F

    activations: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {
        "relu": F.relu,
        "relu6": F.relu6,
        "h_swish": F.hardswish,
        "swish": F.silu,
        "sigmoid": torch.sigmoid,
        "hard_sigmoid": F.hardsigmoid,
        "none": lambda x: x,
    }

    def seen(x: torch.Tensor, i: int, what: str) -> torch.Tensor:
        return x if watch is None else watch(i, what, x)

    def activated(x: torch.Tensor, i: int, activation: str) -> torch.Tensor:
        if activation == "swish" and watch is not None:
            return x * watch(i, "gate", torch.sigmoid(x))
        return activations[activation](x)

    class GraphModule(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            for i, node in enumerate(graph.nodes):
                for kind, array in (("weight", node.weight), ("bias", node.bias)):
                    if array is not None:
                        self.register_buffer(f"{kind}{i}", torch.from_numpy(np.array(array, dtype=np.float32)))

        def forward(self, images: torch.Tensor) -> torch.Tensor:
            tensors = [seen(images, -1, "given")]
            for i, node in enumerate(graph.nodes):
                weights = [getattr(self, f"{kind}{i}", None) for kind in ("weight", "bias")]
                result = seen(_computed(node, [tensors[t] for t in node.inputs], *weights), i, "before")
                tensors.append(seen(activated(result, i, node.activation), i, "after"))
            return tensors[-1]

    return GraphModule().eval()


def _computed(
    node: Node, inputs: list[torch.Tensor], weight: torch.Tensor | None, bias: torch.Tensor | None
) -> torch.Tensor:
    """What a node computes, before its activation."""
    import torch
    from torch.nn import functional as F

    x = inputs[0]
    if weight is not None:
        if node.op == "linear":
            return F.linear(x, weight, bias)
        return F.conv2d(x, weight, bias, node.stride, weight.shape[2] // 2, groups=node.groups)
    if node.op == "add":
        return x + inputs[1]
    if node.op == "multiply":
        return x * inputs[1]
    if node.op == "shuffle":
        return F.channel_shuffle(x, node.groups)
    if node.op == "max_pool":
        return F.max_pool2d(x, 3, 2, 1)
    if node.op == "average_pool":
        return F.avg_pool2d(x, 2, 2, ceil_mode=True)
    if node.op == "global_pool":
        return x.mean((2, 3), keepdim=True)
    return torch.flatten(x, 1)


def write_torchscript(graph: Graph, metadata: Mapping[str, str] | None = None, *, dtype: str = "fp32") -> bytes:
    """The traced graph, weights as constants, as `torch.jit.load` reads it; `metadata` becomes its extra files.

    dtype: of weights and images: fp32, bf16 or fp16
    """
    import torch

    kind = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}[dtype]
    module = build_torch(graph).to(kind)
    with warnings.catch_warnings(), torch.inference_mode(False), torch.no_grad():
        # TorchScript is in maintenance, but the one format that needs no Python source at the other end
        warnings.filterwarnings("ignore", message=r".*torch\.jit.*", category=DeprecationWarning)
        warnings.filterwarnings("ignore", message=r".*torch\.jit.*", category=FutureWarning)
        # no operation depends on the sizes, so a single pixel is enough to trace, and costs nothing to compute
        example = torch.zeros(1, graph.input_shape[1], 1, 1, dtype=kind)
        # a traced function holds its weights as constants, as a frozen module does, at two thirds of the time
        traced = torch.jit.trace(lambda images: module.forward(images), example, check_trace=False)  # type: ignore[no-untyped-call]
        buffer = io.BytesIO()
        torch.jit.save(traced, buffer, _extra_files=dict(metadata or {}))
    return buffer.getvalue()
