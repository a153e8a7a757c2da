"""What the tests of the GPU agent ask it to do, on models of one small block."""

import json
from pathlib import Path

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
