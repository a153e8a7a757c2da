"""A model file that is to be used: what it takes, what it gives, and what its metadata says of both."""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ofa.errors import InputError
from ofa.images.facts import ImageFacts, facts_of_metadata
from ofa.model_files.ends import IN_FILE, PIXEL_255, Interface, Pixels, Quantised, interface_of
from ofa.model_files.lacking import not_taken
from ofa.model_files.running import Runner, in_batches, onnx_session, run_onnx, run_tflite, tflite_interpreter
from ofa.optional_packages import explained
from ofa.reading.numbers import cut, short
from ofa.reading.structured import content_of

# what the keys of the metadata mean is one thing in this version: a file that says another is of a later one
KNOWN = {"channels": "RGB", "task": "image classification, logits"}
PREPARATION = ("mean", "std", "crop_ratio")  # said by keys of their own, for other programs, and in `images`
PRODUCER = "ofa-latency "
ONNX_TYPES = {"float32": "tensor(float)", "int8": "tensor(int8)", "uint8": "tensor(uint8)"}
UNCALIBRATED = "the batch normalisation of this network was never calibrated: most of its accuracy may be lost"
MOST_PIXELS, MOST_CLASSES, MOST_BATCH = 4096, 10**6, 65_536
MOST_BYTES = 2**31  # of a model: what a protobuf message or a flatbuffer can hold


@dataclass(frozen=True, eq=False)
class ModelFile:
    """A classifier of square images.

    format: "onnx" or "tflite"
    resolution: side of its images, pixels; classes: how many outputs; batch: images in a call, of any number that
        `run` is given
    run: images (N, 3, R, R) to outputs (N, classes)
    metadata: what ofa.export wrote, empty where another program made the file
    ends: what the file itself takes and gives; `run` translates
    """

    path: Path
    format: str
    resolution: int
    classes: int
    batch: int
    run: Runner
    metadata: Mapping[str, str]
    ends: Interface

    @property
    def facts(self) -> ImageFacts | None:
        """What it says of its images, marked; None where it says nothing. InputError where that is damaged."""
        known = facts_of_metadata(self.metadata, self.path)
        uncalibrated = self.metadata.get("batch_norm_calibrated") == "false"
        return known.marked(UNCALIBRATED if uncalibrated else None) if known is not None else None

    def check_preparation(self, override: bool) -> None:
        """InputError where images are to be prepared in another way, but the file prepares them itself."""
        if override and isinstance(self.ends.given, Pixels):
            raise InputError(f"{self.path} prepares its images itself: leave --override-preprocessing out")


def open_model(path: Path) -> ModelFile:
    """Reads an ONNX or TFLite model; InputError where it is damaged, or no classifier of square images of one size.

    MissingPackage where its runtime is not installed.
    """
    content = content_of(path, MOST_BYTES)
    tflite = content[4:8] == b"TFL3"
    try:
        return _tflite(path, content) if tflite else _onnx(path, content)
    except InputError:
        raise
    except ImportError as error:
        raise explained(error) or error from None
    except Exception as error:  # runtimes raise what they like
        if why := not_taken(error, "tflite" if tflite else "onnx"):
            raise InputError(f"{path} does not run here: {why}") from None
        kind = "a TFLite model" if tflite else "an ONNX model"
        reason = cut(" ".join(str(error).split()), 200)
        raise InputError(f"{path} cannot be read as {kind}: {reason}") from None


def _onnx(path: Path, content: bytes) -> ModelFile:
    session = onnx_session(content, path.resolve().parent)
    given, wanted = session.get_inputs(), session.get_outputs()
    _check_one(path, given, wanted)
    metadata = _ours(session.get_modelmeta().custom_metadata_map)
    ends = interface_of(metadata, path)
    _check_types(path, [entry.type for entry in (given[0], wanted[0])], [ONNX_TYPES[name] for name in ends.dtypes])
    layout = "NHWC" if isinstance(ends.given, Pixels) else "NCHW"
    sizes = _sizes(path, layout, given[0].shape, wanted[0].shape)
    _check_metadata(path, layout, sizes, ends, metadata)
    run = in_batches(run_onnx(session, ends), sizes[2])
    return ModelFile(path, "onnx", *sizes, run, metadata, ends)


def _tflite(path: Path, content: bytes) -> ModelFile:
    interpreter = tflite_interpreter(content)
    given, wanted = interpreter.get_input_details(), interpreter.get_output_details()
    _check_one(path, given, wanted)
    metadata = _ours(tflite_metadata(content))
    stated, found = interface_of(metadata, path), [_quantised(detail) for detail in (given[0], wanted[0])]
    ends = Interface(stated.given if isinstance(stated.given, Pixels) else found[0], found[1])
    if metadata and stated != ends:
        raise InputError(f"{path}: its metadata has other scales of input and output than its tensors")
    _check_types(path, [detail["dtype"].__name__ for detail in (given[0], wanted[0])], ends.dtypes)
    shapes = [[int(n) for n in detail["shape"]] for detail in (given[0], wanted[0])]
    sizes = _sizes(path, "NHWC", *shapes)
    _check_metadata(path, "NHWC", sizes, ends, metadata)
    run = in_batches(run_tflite(interpreter, ends), sizes[2])
    return ModelFile(path, "tflite", *sizes, run, metadata, ends)


def _quantised(detail: Mapping[str, Any]) -> Quantised | None:
    """What the integers of a TFLite tensor stand for, None where they are no quantised ones."""
    scale, zero_point = detail["quantization"]
    kind = detail["dtype"].__name__
    return Quantised(float(scale), int(zero_point), kind) if scale and kind in ("int8", "uint8") else None


def _ours(metadata: Mapping[str, str]) -> dict[str, str]:
    """Metadata that ofa.export wrote; another program's words may mean anything."""
    return dict(metadata) if metadata.get("producer", "").startswith(PRODUCER) else {}


def _check_types(path: Path, kinds: Sequence[str], expected: Sequence[str]) -> None:
    """InputError unless input and output are of the types that are known of them."""
    if list(kinds) != list(expected):
        raise InputError(
            f"{path}: input and output are {' and '.join(kinds)}, expected {' and '.join(dict.fromkeys(expected))}, "
            "as its metadata states no others"
        )


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


def _check_metadata(
    path: Path, layout: str, sizes: tuple[int, int, int], ends: Interface, metadata: Mapping[str, str]
) -> None:
    """InputError where the metadata says of the model what it is not, or two things of how images are prepared."""
    scale = IN_FILE if isinstance(ends.given, Pixels) else PIXEL_255
    stated = {"scale": scale, "layout": layout, "resolution": str(sizes[0]), "num_classes": str(sizes[1])}
    for key, expected in {**KNOWN, **stated}.items():
        if metadata.get(key, expected) != expected:
            raise InputError(f"{path}: its metadata has {key} {short(metadata[key])}, expected {expected}")
    facts = facts_of_metadata(metadata, path)
    plain = facts_of_metadata({key: metadata[key] for key in PREPARATION if key in metadata}, path)
    if facts is None or plain is None:
        return
    for key in PREPARATION:
        if key in metadata and getattr(plain, key) != getattr(facts, key):
            raise InputError(
                f"{path}: its metadata has {key} {short(metadata[key])}, but {getattr(facts, key)} in its key images"
            )


def probabilities(model: ModelFile, images: NDArray[np.float32]) -> NDArray[np.float64]:
    """(N, classes), of images (N, 3, R, R). InputError where the model gives numbers that are none.

    The outputs of ofa.export's models are logits. Those of other models count as probabilities where each row adds up
    to 1 without a negative number, else as logits.
    """
    try:
        outputs = model.run(images).astype(np.float64)
    except Exception as error:  # runtimes raise what they like: of operators that they lack, shapes that do not fit
        reason = " ".join(str(error).split())[:200]
        raise InputError(f"{model.path} cannot be run: {reason}") from None
    if outputs.shape != (len(images), model.classes) or not np.isfinite(outputs).all():
        raise InputError(f"{model.path}: its output is not {model.classes} finite numbers an image")
    if not model.metadata and outputs.min() >= 0 and np.allclose(outputs.sum(1), 1, atol=1e-3):
        return outputs
    powers = np.exp(outputs - outputs.max(1, keepdims=True))
    shares: NDArray[np.float64] = powers / powers.sum(1, keepdims=True)
    return shares
