"""Running an exported model on images: to compare it with the network it was made from, and to use it."""

from __future__ import annotations

import io
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from ofa.graph import Array

# images (N, 3, R, R) to logits (N, classes)
Runner: TypeAlias = Callable[[Array], Array]


def runner(format_name: str, model: bytes, batch: int) -> Runner:
    """A function from images (N, 3, R, R), any N, to logits (N, classes), for a model of a fixed batch size.

    Uses one thread. The last batch is filled up with zeros.
    """
    if format_name == "onnx":
        return in_batches(run_onnx(onnx_session(model)), batch)
    if format_name == "tflite":
        return in_batches(run_tflite(tflite_interpreter(model)), batch)
    return in_batches(_torchscript(model), batch)


def in_batches(run: Runner, batch: int) -> Runner:
    """A function that takes any number of images, made of one that takes `batch` of them."""

    def logits(images: Array) -> Array:
        parts = []
        for start in range(0, len(images), batch):
            part = images[start : start + batch]
            filled = np.zeros((batch, *images.shape[1:]), np.float32)
            filled[: len(part)] = part
            parts.append(run(filled)[: len(part)])
        return np.concatenate(parts)

    return logits


def onnx_session(model: bytes, folder: Path | None = None) -> Any:
    """onnxruntime's session of a model, with one thread.

    folder: where files of weights lie that the model names; without one it would take those of the working directory
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    if folder is not None:
        options.add_session_config_entry("session.model_external_initializers_file_folder_path", str(folder))
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])


def run_onnx(session: Any) -> Runner:
    """A function that runs a session of one input and one output."""
    (given,), (wanted,) = session.get_inputs(), session.get_outputs()

    def run(images: Array) -> Array:
        result: NDArray[np.float32] = session.run([wanted.name], {given.name: images})[0]
        return result

    return run


def tflite_interpreter(model: bytes) -> Any:
    """LiteRT's interpreter of a model, with one thread."""
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_content=model, num_threads=1)
    interpreter.allocate_tensors()
    return interpreter


def run_tflite(interpreter: Any) -> Runner:
    """A function that runs an interpreter whose input is NHWC, on images that are NCHW."""
    (given,), (wanted,) = interpreter.get_input_details(), interpreter.get_output_details()

    def run(images: Array) -> Array:
        interpreter.set_tensor(given["index"], np.ascontiguousarray(images.transpose(0, 2, 3, 1)))
        interpreter.invoke()
        result: Array = interpreter.get_tensor(wanted["index"])
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
