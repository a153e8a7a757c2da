"""int8 models: static post-training quantisation by the runtimes' own tools, ranges taken from real images.

Weights are int8 with a scale a channel, activations int8 with a scale a tensor.
"""

from __future__ import annotations

import contextlib
import importlib
import importlib.metadata
import importlib.util
import io
import logging
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from ofa.errors import InputError
from ofa.graph import Array
from ofa.optional_packages import MissingPackage
from ofa.runs.places import temporary_folder

TFLITE_BATCH = 10  # images whose extremes count as one observation

QUANTIZERS = {
    "onnx": ("onnxruntime", "pip install 'ofa-latency[onnxruntime]'"),
    "tflite": ("ai_edge_quantizer", "pip install 'ofa-latency[int8]'"),
}


def check_quantizer(format_name: str) -> None:
    """Raises InputError, before any work is done, where the format has no int8 or its tool is not installed."""
    if format_name not in QUANTIZERS:
        raise InputError(f"--int8 is for {' and '.join(QUANTIZERS)}, not {format_name}")
    module, install = QUANTIZERS[format_name]
    if importlib.util.find_spec(module) is None:
        raise MissingPackage(f"--int8 for {format_name} needs {module}: {install}")


def quantizer_version(format_name: str) -> str:
    """The tool that quantises for a format, such as "onnxruntime 1.32.0"."""
    name = QUANTIZERS[format_name][0].replace("_", "-")
    return f"{name} {importlib.metadata.version(name)}"


def quantize(
    format_name: str, write: Callable[[int | None], bytes], images: Array, batch: int | None, *, integers: bool = False
) -> bytes:
    """The int8 model of batch size `batch`; its input and output are float32 in ONNX and TFLite alike.

    write: the float model of a batch size, without metadata (it may be lost); of None, one for any
    images: (N, 3, R, R), prepared as for the model; N >= batch
    integers: input and output of TFLite are int8
    """
    together = min(TFLITE_BATCH, len(images))
    if len(images) < (batch or 1):
        raise InputError(f"int8 needs at least one batch of {batch} images to calibrate with, found {len(images)}")
    if format_name == "onnx":
        return _onnx(write(batch), _batches(images, batch or together))
    # ai-edge-quantizer averages the batches' extremes: of single images, that is far from the extremes of all
    return _tflite(write(batch), write(together), _batches(images, together), integers)


def _batches(images: Array, batch: int) -> list[Array]:
    """Full batches with every image; the last overlaps the one before, where the number does not divide."""
    starts = (min(i, len(images) - batch) for i in range(0, len(images), batch))
    return [images[i : i + batch] for i in starts]


def _onnx(model: bytes, batches: list[Array]) -> bytes:
    import onnx
    from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static

    class Reader(CalibrationDataReader):  # type: ignore[misc]
        def __init__(self) -> None:
            self._rest: Iterator[Array] = iter(batches)

        def get_next(self) -> dict[str, Array] | None:
            images = next(self._rest, None)
            return None if images is None else {"input": images}

    with temporary_folder("export") as folder, _quiet():
        source, target = folder / "float.onnx", folder / "int8.onnx"
        # shapes of all tensors: without them the tool warns, and asks for another pass
        onnx.save(onnx.shape_inference.infer_shapes(onnx.load_from_string(model)), source)
        quantize_static(
            source,
            target,
            Reader(),
            quant_format=QuantFormat.QDQ,
            per_channel=True,
            # of int8, onnxruntime 1.32 leaves convolutions and sums beside a shortcut in float on x86
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
        )
        return target.read_bytes()


def _tflite(model: bytes, observed: bytes, batches: list[Array], integers: bool) -> bytes:
    """observed: the same model at the batches' size, whose tensors have the same names."""
    # by name, for it has no types, and is not there for every check of them
    tool: Any = importlib.import_module("ai_edge_quantizer")
    recipes: Any = importlib.import_module("ai_edge_quantizer.recipe")

    data = [{"input": np.ascontiguousarray(images.transpose(0, 2, 3, 1))} for images in batches]
    with _quiet():
        observer = tool.Quantizer(bytearray(observed), recipes.static_wi8_ai8())
        found: Any = observer.calibrate({"serving_default": data}, num_threads=1)
        quantizer = tool.Quantizer(bytearray(model), recipes.static_wi8_ai8())
        ends = (tool.qtyping.TFLOperationName.INPUT, tool.qtyping.TFLOperationName.OUTPUT)
        for operation in () if integers else ends:
            # float32 outside, as the float model: int8's own scales are then nobody else's business
            quantizer.update_quantization_recipe(".*", operation, algorithm_key="no_quantize")
        result = quantizer.quantize(found, enable_progress_bar=False, enable_progress_report=False)
    return bytes(result.quantized_model)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """The tools print advice and progress of their own; errors still raise."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with contextlib.ExitStack() as stack:
            stack.enter_context(contextlib.redirect_stdout(io.StringIO()))
            stack.enter_context(contextlib.redirect_stderr(io.StringIO()))
            stack.enter_context(warnings.catch_warnings())
            # calibrating has to keep every tensor; LiteRT says that this is for debugging
            warnings.filterwarnings("ignore", message=r".*experimental_preserve_all_tensors", category=UserWarning)
            yield
    finally:
        logging.disable(before)
