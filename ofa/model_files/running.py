"""Running ONNX and TFLite files on images, in one thread."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from ofa.graph import Array
from ofa.model_files.ends import Interface, Pixels

# images (N, 3, R, R) to logits (N, classes)
Runner: TypeAlias = Callable[[Array], Array]
FLOATS = Interface()


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


def run_onnx(session: Any, ends: Interface = FLOATS) -> Runner:
    """A function that runs a session of one input and one output on prepared images."""
    (given,), (wanted,) = session.get_inputs(), session.get_outputs()

    def run(images: Array) -> Array:
        return ends.read(session.run([wanted.name], {given.name: ends.fed(images)})[0])

    return run


def tflite_interpreter(model: bytes) -> Any:
    """LiteRT's interpreter of a model, with one thread."""
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_content=model, num_threads=1)
    interpreter.allocate_tensors()
    return interpreter


def run_tflite(interpreter: Any, ends: Interface = FLOATS) -> Runner:
    """A function that runs an interpreter whose input is NHWC, on prepared images, which are NCHW."""
    (given,), (wanted,) = interpreter.get_input_details(), interpreter.get_output_details()
    sizes = [int(given["shape"][0])]

    def run(images: Array) -> Array:
        fed = ends.fed(images)
        if not isinstance(ends.given, Pixels):
            fed = fed.transpose(0, 2, 3, 1)
        if len(fed) != sizes[0]:
            interpreter.resize_tensor_input(given["index"], fed.shape)
            interpreter.allocate_tensors()
            sizes[0] = len(fed)
        interpreter.set_tensor(given["index"], np.ascontiguousarray(fed))
        interpreter.invoke()
        return ends.read(interpreter.get_tensor(wanted["index"]))

    return run
