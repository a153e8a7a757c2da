"""The file of a model as the user asked for its input and output."""

from __future__ import annotations

from ofa.export.config import ExportConfig
from ofa.export.metadata import Preprocessing
from ofa.model_files.ends import Interface, Pixels


def with_ends(
    config: ExportConfig, model: bytes, preprocessing: Preprocessing, *, int8: bool
) -> tuple[bytes, Interface]:
    """A model with the input and output that the config asks for, and what they are.

    int8: whether the model is quantised; the ends of TFLite files are then as they are to be
    """
    if config.with_preprocessing:
        pixels = Pixels(preprocessing.mean, preprocessing.std)
        if config.format == "onnx":
            from ofa.export.interface.onnx_ends import pixels_in
        else:
            from ofa.export.interface.tflite_ends import pixels_in
        return pixels_in(model, pixels), Interface(pixels)
    if not (int8 and config.int8_io):
        return model, Interface()
    if config.format == "onnx":
        from ofa.export.interface.onnx_ends import integer_ends

        return integer_ends(model)
    from ofa.export.interface.tflite_ends import integer_interface

    return model, integer_interface(model)
