"""A model file that is to be used: what it takes, what it gives, and what its metadata says of both."""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ofa.errors import InputError
from ofa.export.runtimes import Runner, in_batches, onnx_session, run_onnx, run_tflite, tflite_interpreter
from ofa.optional_packages import explained
from ofa.reading.numbers import cut, short

# what the keys of the metadata mean is one thing in this version: a file that says another is of a later one
KNOWN = {"channels": "RGB", "scale": "pixel / 255", "task": "image classification, logits"}
PRODUCER = "ofa-latency "
MOST_PIXELS, MOST_CLASSES, MOST_BATCH = 4096, 10**6, 65_536


@dataclass(frozen=True, eq=False)
class ModelFile:
    """A classifier of square images.

    format: "onnx" or "tflite"
    resolution: side of its images, pixels; classes: how many outputs; batch: images in a call, of any number that
        `run` is given
    run: images (N, 3, R, R) to outputs (N, classes)
    metadata: what ofa.export wrote, empty where another program made the file
    """

    path: Path
    format: str
    resolution: int
    classes: int
    batch: int
    run: Runner
    metadata: Mapping[str, str]


def open_model(path: Path) -> ModelFile:
    """Reads an ONNX or TFLite model; InputError where it is damaged, or no classifier of square images of one size.

    MissingPackage where its runtime is not installed.
    """
    if not path.is_file():
        raise InputError(f"{path}: no such file")
    content = path.read_bytes()
    tflite = content[4:8] == b"TFL3"
    try:
        return _tflite(path, content) if tflite else _onnx(path, content)
    except InputError:
        raise
    except ImportError as error:
        raise explained(error) or error from None
    except Exception as error:  # runtimes raise what they like
        kind = "a TFLite model" if tflite else "an ONNX model"
        reason = cut(" ".join(str(error).split()), 200)
        raise InputError(f"{path} cannot be read as {kind}: {reason}") from None


def _onnx(path: Path, content: bytes) -> ModelFile:
    session = onnx_session(content, path.resolve().parent)
    given, wanted = session.get_inputs(), session.get_outputs()
    _check_one(path, given, wanted)
    kinds = [given[0].type, wanted[0].type]
    if kinds != ["tensor(float)"] * 2:
        raise InputError(f"{path}: input and output are {' and '.join(kinds)}, expected tensor(float)")
    sizes = _sizes(path, "NCHW", given[0].shape, wanted[0].shape)
    metadata = dict(session.get_modelmeta().custom_metadata_map)
    return _checked(path, "onnx", sizes, in_batches(run_onnx(session), sizes[2]), metadata)


def _tflite(path: Path, content: bytes) -> ModelFile:
    interpreter = tflite_interpreter(content)
    given, wanted = interpreter.get_input_details(), interpreter.get_output_details()
    _check_one(path, given, wanted)
    kinds = [detail["dtype"].__name__ for detail in (given[0], wanted[0])]
    if kinds != ["float32"] * 2:
        raise InputError(f"{path}: input and output are {' and '.join(kinds)}, expected float32")
    shapes = [[int(n) for n in detail["shape"]] for detail in (given[0], wanted[0])]
    sizes = _sizes(path, "NHWC", *shapes)
    return _checked(path, "tflite", sizes, in_batches(run_tflite(interpreter), sizes[2]), tflite_metadata(content))


def tflite_metadata(content: bytes) -> dict[str, str]:
    """The metadata buffers of a TFLite model that are text; other programs put flatbuffers there."""
    from ai_edge_litert import schema_py_generated as schema

    model = schema.Model.GetRootAs(content, 0)
    found: dict[str, str] = {}
    for i in range(model.MetadataLength()):
        try:
            entry = model.Metadata(i)
            data = model.Buffers(entry.Buffer()).DataAsNumpy()
            found[entry.Name().decode()] = "" if isinstance(data, int) else bytes(data).decode()
        except (UnicodeDecodeError, AttributeError, struct.error, IndexError):
            continue
    return found


def _check_one(path: Path, inputs: Sequence[Any], outputs: Sequence[Any]) -> None:
    if (len(inputs), len(outputs)) != (1, 1):
        raise InputError(
            f"{path} has {len(inputs)} inputs and {len(outputs)} outputs, expected one of each: a classifier"
        )


def _sizes(path: Path, layout: str, given: Sequence[Any], wanted: Sequence[Any]) -> tuple[int, int, int]:
    """(resolution, classes, batch) of a model; a batch of any size counts as 1."""
    expected = "(batch, 3, R, R)" if layout == "NCHW" else "(batch, R, R, 3)"
    if len(given) != 4 or given[layout.index("C")] != 3:
        raise InputError(f"{path}: its input is {_shape(given)}, expected {expected}")
    height, width = given[layout.index("H")], given[layout.index("W")]
    if height != width or not _is_count(height, MOST_PIXELS):
        raise InputError(f"{path}: its input is {_shape(given)}, expected {expected} with one R, fixed in the file")
    if len(wanted) != 2 or not _is_count(wanted[1], MOST_CLASSES):
        raise InputError(f"{path}: its output is {_shape(wanted)}, expected (batch, classes)")
    batch = given[0] if _is_count(given[0], MOST_BATCH) else 1
    return height, wanted[1], batch


def _is_count(value: object, most: int) -> bool:
    return type(value) is int and 1 <= value <= most


def _shape(dimensions: Sequence[Any]) -> str:
    return cut(f"({', '.join(str(n) for n in dimensions)})", 80)


def _checked(
    path: Path, format_name: str, sizes: tuple[int, int, int], run: Callable[..., Any], metadata: dict[str, str]
) -> ModelFile:
    """The model, its metadata compared with what it is; another program's words may mean anything."""
    resolution, classes, batch = sizes
    if not metadata.get("producer", "").startswith(PRODUCER):
        metadata = {}
    layout = {"onnx": "NCHW", "tflite": "NHWC"}[format_name]
    for key, expected in {**KNOWN, "layout": layout, "resolution": str(resolution)}.items():
        if metadata.get(key, expected) != expected:
            raise InputError(f"{path}: its metadata says {key} {short(metadata[key])}, expected {expected}")
    return ModelFile(path, format_name, resolution, classes, batch, run, metadata)
