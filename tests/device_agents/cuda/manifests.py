"""What the tests of the GPU agent ask it to do, on models of one small block."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch

from ofa.blocks import Block
from ofa.graph import network_graph
from ofa.graph.torch import write_torchscript

BLOCK = Block("mbconv", 7, 8, 24, 8, 3, 1, "h_swish", True, True)
RULES = {
    "warmup_runs": 1, "warmup_seconds": 0, "warmup_max_seconds": 0.2, "settle": 0.5, "min_runs": 4, "max_runs": 12,
    "max_seconds": 5, "target_error": 0, "min_sample_us": 50,
}  # fmt: skip


def write_model(folder: Path, name: str, blocks: tuple[Block, ...] = (BLOCK,), batch: int = 2) -> None:
    graph = network_graph(blocks, batch=batch)
    (folder / f"{name}.pt").write_bytes(write_torchscript(graph))
    (folder / f"{name}.json").write_text(json.dumps({"input_shape": graph.input_shape}))


def manifest_of(**changes: object) -> dict:
    return {
        "protocol": 1, "runtime": "torch", "device": "cpu", "dtype": "fp32", "mode": "graph", "seed": 0,
        "memory_format": "channels-last", "inputs": "cold", "rules": RULES, "visits": ["a", "b", "a"],
        "models": [{"id": "a", "path": "a.pt"}, {"id": "b", "path": "b.pt"}], "something_newer": 1, **changes,
    }  # fmt: skip


def tf32_flags() -> tuple[bool, bool]:
    """Whether torch rounds convolutions and matrix products to TF32."""
    return torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32


@contextmanager
def tf32_set_to(allowed: bool) -> Iterator[None]:
    """Both flags so, and in the end as they were: they take no deletion, with which monkeypatch puts things back."""
    before = tf32_flags()
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = allowed
    try:
        yield
    finally:
        torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32 = before
