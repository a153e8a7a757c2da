"""A graph or network as the bytes of a model file, metadata included, and back: what its metadata says.

Files are written in one step: an interrupted export leaves no half-written model.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from ofa.errors import InputError
from ofa.graph import Graph
from ofa.networks.plain import PlainNetwork
from ofa.runs.files import replace_file

LAYOUTS = {"coreml": "NCHW", "onnx": "NCHW", "tflite": "NHWC", "torchscript": "NCHW", "safetensors": "NCHW"}


def float_model(
    format_name: str,
    graph: Graph,
    metadata: Mapping[str, str] | None = None,
    *,
    opset: int | None = None,
    any_batch: bool = False,
) -> bytes:
    """The serialised float32 model of a graph, in one of onnx, tflite, torchscript and coreml.

    opset: of onnx, None: the usual one; any_batch: whether the batch size is left open, as torchscript always does
    """
    if format_name == "onnx":
        from ofa.graph.onnx import OPSET, write_onnx

        return write_onnx(graph, metadata, opset=opset or OPSET, any_batch=any_batch)
    if format_name == "tflite":
        from ofa.graph.tflite import write_tflite

        return write_tflite(graph, metadata, any_batch=any_batch)
    if format_name == "coreml":
        from ofa.graph.coreml import write_coreml

        return write_coreml(graph, metadata)
    from ofa.graph.torch import write_torchscript

    return write_torchscript(graph, metadata)


def with_metadata(format_name: str, model: bytes, metadata: Mapping[str, str]) -> bytes:
    """The same ONNX or TFLite model with metadata added: metadata_props, or metadata buffers."""
    if format_name == "onnx":
        import onnx

        loaded = onnx.load_from_string(model)
        onnx.helper.set_model_props(loaded, dict(metadata))
        serialised: bytes = loaded.SerializeToString(deterministic=True)
        return serialised
    from ofa.graph.tflite import add_metadata

    return add_metadata(model, metadata)


def safetensors_model(network: PlainNetwork, metadata: Mapping[str, str]) -> bytes:
    """The network's own weights, batch normalisation not folded: `ofa.checkpoints.weights.load_network` reads them.

    network.spec must be sized for the resolution to export.
    """
    from safetensors.torch import save

    config = network.spec.to_dict()
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in network.state_dict().items()}
    return save(tensors, {**metadata, "format": config["format"], "config": json.dumps(config)})


def write_file(path: Path, content: bytes) -> None:
    """Writes to a temporary file in the same folder, then renames it."""
    try:
        replace_file(path, lambda temporary: temporary.write_bytes(content))
    except OSError as error:
        raise InputError(f"--out {path} cannot be written: {error.strerror}") from None
