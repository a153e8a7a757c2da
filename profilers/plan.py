"""What to measure, and in which order."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ofa.blocks import Block
from ofa.blocks.costs import block_macs
from ofa.errors import InputError
from ofa.graph import Graph, network_graph

# runtime: (file ending, extra of this package that installs what the runtime and its writer need)
RUNTIMES = {
    "onnxruntime": (".onnx", "onnxruntime"),
    "tflite": (".tflite", "tflite"),
    "tflite-runtime": (".tflite", "tflite-runtime"),
    "torch": (".pt", None),
}


@dataclass(frozen=True)
class Visit:
    """One timing of one model.

    segment: visits of segment s lie between the reference visits of segments s - 1 and s
    is_reference: made to see the machine drift, beside the reference block's own turns
    """

    number: int
    model: str
    segment: int
    is_reference: bool


@dataclass(frozen=True)
class Plan:
    """models: the chain of blocks behind every id, one block or a whole network

    reference: the id that is timed again and again, to see the machine drift
    """

    models: dict[str, tuple[Block, ...]]
    reference: str
    visits: tuple[Visit, ...]


def make_plan(chains: Sequence[tuple[Block, ...]], rounds: int, reference_every: int, seed: int) -> Plan:
    """Every chain once a round, each round in another order, the reference between every few and at both ends.

    The rounds lie apart in time, so that no passing disturbance hits all of them. The reference is the chain of
    median MACs.
    """
    models = {f"b{i:05d}": chain for i, chain in enumerate(chains)}
    by_macs = sorted(models, key=lambda name: sum(map(block_macs, models[name])))
    reference = by_macs[len(by_macs) // 2]
    rng = np.random.default_rng(seed)
    order = [name for _ in range(rounds) for name in rng.permutation(list(models)).tolist()]
    return Plan(models, reference, with_reference(order, reference, reference_every))


def with_reference(order: Sequence[str], reference: str, every: int) -> tuple[Visit, ...]:
    """The visits of an order, with the reference before, after, and between every few of them."""
    visits = [Visit(0, reference, 0, True)]
    for segment, start in enumerate(range(0, len(order), every), start=1):
        for name in order[start : start + every]:
            visits.append(Visit(len(visits), name, segment, False))
        visits.append(Visit(len(visits), reference, segment, True))
    return tuple(visits)


def write_models(plan: Plan, runtime: str, folder: Path, batch: int) -> dict[str, str]:
    """Writes every model for the runtime; {id: file name}. Weights are random: they do not change the time."""
    ending, _ = RUNTIMES[runtime]
    write = _writer(runtime)
    files = {}
    for name, chain in plan.models.items():
        graph = network_graph(chain, batch=batch)
        files[name] = name + ending
        (folder / files[name]).write_bytes(write(graph))
        if runtime == "torch":  # TorchScript does not tell the shape of its input
            (folder / name).with_suffix(".json").write_text(json.dumps({"input_shape": graph.input_shape}))
    return files


def _writer(runtime: str) -> Callable[[Graph], bytes]:
    if runtime == "onnxruntime":
        from ofa.graph.onnx import write_onnx

        return write_onnx
    if runtime == "torch":
        from ofa.graph.torch import write_torchscript

        return write_torchscript
    from ofa.graph.tflite import write_tflite

    return write_tflite


def check_runtime(runtime: str) -> None:
    """InputError if the runtime is unknown or not installed."""
    from importlib.util import find_spec

    if runtime not in RUNTIMES:
        raise InputError(f"unknown runtime {runtime!r}, expected one of {', '.join(RUNTIMES)}")
    needed: Iterable[str] = {
        "onnxruntime": ("onnxruntime", "onnx"),
        "tflite": ("ai_edge_litert", "flatbuffers"),
        "tflite-runtime": ("tflite_runtime", "ai_edge_litert", "flatbuffers"),
        "torch": ("torch",),
    }[runtime]
    missing = [package for package in needed if find_spec(package) is None]
    if missing:
        extra = RUNTIMES[runtime][1]
        remedy = f"pip install 'ofa-latency[{extra}]'" if extra else "pip install torch"
        raise InputError(f"runtime {runtime} needs {' and '.join(missing)}: {remedy}")
