"""A network with random weights as a model file: to be timed, by any tool that runs such files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ofa import __version__
from ofa.blocks import Block
from ofa.graph.graph import Graph, network_graph

UNTRAINED = "untrained: its weights are random, so its outputs mean nothing; it is for timing"
FORMATS = ("onnx", "tflite", "torchscript")


def untrained_model(
    format_name: str, blocks: Sequence[Block], facts: Mapping[str, str], *, batch: int = 1, seed: int = 0
) -> bytes:
    """The file of a network, in one of `FORMATS`. facts: its name and so on, for the metadata, which says what it is.

    InputError for a block that no graph computes, MissingPackage where the format's writer is not installed.
    """
    graph = network_graph(blocks, batch=batch, seed=seed)
    metadata = {
        "producer": f"ofa-latency {__version__}",
        "task": "timing: no task was learnt",  # so that ofa.predict refuses it
        "weights": f"random, seed {seed}",
        "marks": UNTRAINED,
        "resolution": str(graph.input_shape[-1]),
        "layout": "NHWC" if format_name == "tflite" else "NCHW",
        **facts,
        "blocks": "\n".join(map(str, blocks)),
    }
    return _write(format_name, graph, metadata)


def _write(format_name: str, graph: Graph, metadata: Mapping[str, str]) -> bytes:
    if format_name == "onnx":
        from ofa.graph.onnx import write_onnx

        return write_onnx(graph, metadata)
    if format_name == "tflite":
        from ofa.graph.tflite import write_tflite

        return write_tflite(graph, metadata)
    from ofa.graph.torch import write_torchscript

    return write_torchscript(graph, metadata)
