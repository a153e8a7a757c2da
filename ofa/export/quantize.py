"""int8 models of trained networks: ranges taken from real images, written as profilers write blocks in int8."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ofa.errors import InputError
from ofa.graph import Graph
from ofa.graph.int8 import Borders
from ofa.optional_packages import require

if TYPE_CHECKING:
    from torch import Tensor

# formats that can be int8, and the packages that write and run them
INT8_FORMATS = {"onnx": ("onnx", "onnxruntime"), "tflite": ("flatbuffers", "ai_edge_litert")}


def check_int8(format_name: str) -> None:
    """Raises InputError, before any work is done, where the format has no int8 or its packages are not installed."""
    if format_name not in INT8_FORMATS:
        raise InputError(f"--int8 is for {' and '.join(INT8_FORMATS)}, not {format_name}")
    for module in INT8_FORMATS[format_name]:
        require(module, f"--int8 for {format_name}")


def quantised(
    format_name: str,
    graph: Graph,
    images: Sequence[Tensor],
    *,
    opset: int | None = None,
    any_batch: bool = False,
    integers: bool = False,
) -> bytes:
    """The int8 model of a graph, without metadata; its input and output are float32 in ONNX and TFLite alike.

    images: batches (N, 3, R, R), prepared as for the model, that show the ranges
    opset, any_batch: as of `ofa.export.model_file.float_model`; integers: input and output of TFLite are int8
    """
    from ofa.graph.fake_int8 import observed_ranges

    try:
        ranges = observed_ranges(graph, images)
    except ValueError as error:
        raise InputError(f"--int8: values of the network are not finite on the images to calibrate: {error}") from None
    if format_name == "onnx":
        from ofa.graph.onnx import OPSET
        from ofa.graph.onnx_int8 import write_onnx_int8

        return write_onnx_int8(graph, ranges, opset=opset or OPSET, any_batch=any_batch)
    from ofa.graph.tflite_int8 import write_tflite_int8

    return write_tflite_int8(graph, ranges, borders=Borders(not integers, not integers), any_batch=any_batch)
