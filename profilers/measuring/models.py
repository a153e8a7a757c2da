"""The models that are timed: chains of blocks, written for a runtime."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from ofa.blocks import Block
from ofa.errors import InputError
from ofa.graph import Graph, network_graph
from ofa.optional_packages import MissingPackage

# runtime: (file ending, extra of this package that installs what the runtime and its writer need)
RUNTIMES = {
    "onnxruntime": (".onnx", "onnxruntime"),
    "tflite": (".tflite", "tflite"),
    "tflite-runtime": (".tflite", "tflite-runtime"),
    "torch": (".pt", None),
}


def write_models(chains: Mapping[str, tuple[Block, ...]], runtime: str, folder: Path, batch: int) -> dict[str, str]:
    """Writes the model of every id for the runtime; {id: file name}. Weights are random: they do not change the time.

    chains: {id: blocks, one after the other}; batch: images a run
    """
    ending, _ = RUNTIMES[runtime]
    write = _writer(runtime)
    files = {}
    for name, chain in chains.items():
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
        raise MissingPackage(f"runtime {runtime} needs {' and '.join(missing)}: {remedy}")
