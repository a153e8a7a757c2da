"""int8 models as the runtimes' own tools make them, of float models: what ours are compared with."""

import contextlib
import importlib
import io
import logging
import tempfile
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

Images = NDArray[np.float32]


def by_onnxruntime(model: bytes, batches: list[Images]) -> bytes:
    """By `quantize_static`. batches: as large as the model's"""
    import onnx
    from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static

    class Reader(CalibrationDataReader):
        def __init__(self) -> None:
            self._rest = iter(batches)

        def get_next(self) -> dict[str, Images] | None:
            images = next(self._rest, None)
            return None if images is None else {"input": images}

    with tempfile.TemporaryDirectory() as folder, quiet():
        source, target = Path(folder, "float.onnx"), Path(folder, "int8.onnx")
        # shapes of all tensors: without them the tool warns, and asks for another pass
        onnx.save(onnx.shape_inference.infer_shapes(onnx.load_from_string(model)), source)
        # of int8 activations, onnxruntime 1.32 leaves convolutions and sums beside a shortcut in float on x86
        types = {"activation_type": QuantType.QUInt8, "weight_type": QuantType.QInt8}
        quantize_static(source, target, Reader(), quant_format=QuantFormat.QDQ, per_channel=True, **types)
        return target.read_bytes()


def by_ai_edge_quantizer(model: bytes, observed: bytes, batches: list[Images]) -> bytes:
    """By `static_wi8_ai8`. observed: the same model at the batches' size, whose tensors have the same names"""
    tool: Any = importlib.import_module("ai_edge_quantizer")
    recipes: Any = importlib.import_module("ai_edge_quantizer.recipe")
    data = [{"input": np.ascontiguousarray(images.transpose(0, 2, 3, 1))} for images in batches]
    with quiet():
        observer = tool.Quantizer(bytearray(observed), recipes.static_wi8_ai8())
        found: Any = observer.calibrate({"serving_default": data}, num_threads=1)
        quantizer = tool.Quantizer(bytearray(model), recipes.static_wi8_ai8())
        for operation in (tool.qtyping.TFLOperationName.INPUT, tool.qtyping.TFLOperationName.OUTPUT):
            quantizer.update_quantization_recipe(".*", operation, algorithm_key="no_quantize")
        result = quantizer.quantize(found, enable_progress_bar=False, enable_progress_report=False)
    return bytes(result.quantized_model)


@contextlib.contextmanager
def quiet() -> Iterator[None]:
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
