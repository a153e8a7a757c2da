"""A traced TorchScript file as a PyTorch module that can change its type, be captured and be compiled."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import torch
from torch import fx


def read_torchscript(path: Path) -> fx.GraphModule:
    """A traced TorchScript file as a module whose weights are buffers, and whose operators run one by one.

    TorchScript holds traced weights as constants, which cannot change their type; its own executor would fuse
    operators in the third run, and torch.compile does not look into it.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # TorchScript is in maintenance, which versions say in different ways
        traced = torch.jit.load(str(path), map_location="cpu").inlined_graph  # type: ignore[no-untyped-call]
    root, graph = torch.nn.Module(), fx.Graph()
    _, images = traced.inputs()
    values: dict[str, Any] = {images.debugName(): graph.placeholder("images")}
    for node in traced.nodes():
        name = node.output().debugName()
        inputs = [values[i.debugName()] for i in node.inputs()]
        if node.kind() == "prim::Constant":
            values[name] = node.output().toIValue()
            if isinstance(values[name], torch.Tensor):
                root.register_buffer(f"constant{len(values)}", values[name])
                values[name] = graph.get_attr(f"constant{len(values)}")
        elif node.kind() == "prim::ListConstruct":
            values[name] = inputs
        elif node.kind() == "aten::_convolution":
            # the same with four flags more, which torch.compile does not know
            values[name] = graph.call_function(torch.ops.aten.convolution.default, tuple(inputs[:9]))
        else:
            schema = torch._C.parse_schema(node.schema())
            operator = getattr(torch.ops.aten, schema.name.removeprefix("aten::"))
            given = list(zip(schema.arguments, inputs, strict=True))
            values[name] = graph.call_function(
                getattr(operator, schema.overload_name or "default"),
                tuple(value for argument, value in given if not argument.kwarg_only),
                {argument.name: value for argument, value in given if argument.kwarg_only},
            )
    (output,) = traced.outputs()
    graph.output(values[output.debugName()])
    return fx.GraphModule(root, graph)
