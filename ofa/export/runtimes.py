"""Running an exported model on images: to compare it with the network it was made from, and to use it."""

from __future__ import annotations

import io
import itertools
import warnings

import numpy as np

from ofa.graph import Array
from ofa.model_files.ends import Interface
from ofa.model_files.running import FLOATS, Runner, in_batches, onnx_session, run_onnx, run_tflite, tflite_interpreter
from ofa.runs.system import MACOS

# what a file's marks say of it
NOT_RUN = "never run: Core ML runs only on macOS. Compare it with the network there, before it is deployed"
SIZES = (1, 2, 7, 32)  # batches in which a model that takes any is run


def runs_here(format_name: str) -> bool:
    """Whether this operating system has the format's runtime."""
    return format_name != "coreml" or MACOS


def runner(format_name: str, model: bytes, batch: int | None, ends: Interface = FLOATS) -> Runner:
    """A function from prepared images (N, 3, R, R), any N, to logits (N, classes), for a model of a batch size.

    Uses one thread. The last batch is filled up with zeros. A model of any batch size, None, is run in several.
    """
    if format_name == "onnx":
        run = run_onnx(onnx_session(model), ends)
    elif format_name == "tflite":
        run = run_tflite(tflite_interpreter(model), ends)
    elif format_name == "coreml":
        run = _coreml(model)
    else:
        run = _torchscript(model)
    return in_any_batches(run) if batch is None else in_batches(run, batch)


def in_any_batches(run: Runner) -> Runner:
    """A function that runs batches of several sizes, again and again: what takes any is to show it."""

    def logits(images: Array) -> Array:
        parts: list[Array] = []
        start = 0
        for size in itertools.cycle(SIZES):
            if start >= len(images):
                return np.concatenate(parts)
            parts.append(run(np.ascontiguousarray(images[start : start + size])))
            start += size
        raise AssertionError("a cycle does not end")

    return logits


def _coreml(model: bytes) -> Runner:
    """Core ML's own run of a model, which only macOS has."""
    from ofa.graph.coreml import coremltools_quiet

    with coremltools_quiet():
        from coremltools import ComputeUnit
        from coremltools.models import MLModel
        from coremltools.proto import Model_pb2

        spec = Model_pb2.Model()
        spec.ParseFromString(model)
        loaded = MLModel(spec, compute_units=ComputeUnit.CPU_ONLY)

    def run(images: Array) -> Array:
        result: Array = np.asarray(loaded.predict({"input": images})["output"], np.float32)
        return result

    return run


def _torchscript(model: bytes) -> Runner:
    import torch

    with warnings.catch_warnings():
        # TorchScript is in maintenance
        warnings.filterwarnings("ignore", message=r".*torch\.jit.*", category=DeprecationWarning)
        warnings.filterwarnings("ignore", message=r".*torch\.jit.*", category=FutureWarning)
        module = torch.jit.load(io.BytesIO(model), map_location="cpu")  # type: ignore[no-untyped-call]

    def run(images: Array) -> Array:
        with torch.no_grad():
            result: Array = module(torch.from_numpy(images)).numpy()
        return result

    return run
