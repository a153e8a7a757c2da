"""What `python -m ofa.export` is asked for."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from ofa.cli.config import Above, AtLeast, Free, Input, Option, Output
from ofa.cli.options import (
    CHECKPOINT,
    CalibratingOptions,
    Count,
    OptionalCount,
    PreparationOptions,
    Seed,
    SpaceName,
    file_or_name,
)
from ofa.errors import UsageError
from ofa.reading.kinds import SUBNETS, WEIGHTS
from ofa.reading.numbers import plain_whole, short

# of no meaning for a network with random weights, which is there to be timed
_OF_TRAINED = (
    *("checkpoint", "subnet", "space", "int8", "calibration", "evaluate", "labels", "mean", "std"),
    *("int8_io", "with_preprocessing", "opset"),
)
DYNAMIC = "dynamic"
SUFFIXES = {
    "onnx": ".onnx",
    "tflite": ".tflite",
    "torchscript": ".pt",
    "safetensors": ".safetensors",
    "coreml": ".mlmodel",
}


def batch_size(text: str) -> int | None:
    """ "4"; None for "dynamic"."""
    if text == DYNAMIC:
        return None
    size = plain_whole(text)
    if size is None:
        raise ValueError(f"{short(text)} is no whole number, and not {DYNAMIC}")
    return size


@dataclass(frozen=True, kw_only=True)
class ExportConfig(PreparationOptions, CalibratingOptions):
    """Turn a search's result and a trained supernet into a model file to deploy.

    example, from a search to a phone:
      python -m ofa.search --table note10 --latency 20 --out out/search
      python -m ofa.export --subnet out/search/result.json --checkpoint ofa_mbv3_d234_e346_k357_w1.2 \\
          --format tflite --int8 --calibration imagenet/train --labels labels.txt --out out/note10-20ms.tflite

    exit codes: 0 written, 2 wrong input, or no result meets --limit, 130 stopped
    """

    checkpoint: Annotated[Path | None, Input(kinds=WEIGHTS), CHECKPOINT] = None
    """a supernet (ours or MIT's), a specialised network (its folder or .safetensors), or an id of ofa.zoo (default: the
    supernet that is shipped for the sub-network's space)"""

    format: Literal["onnx", "tflite", "torchscript", "coreml", "safetensors"]
    """format of the file to write"""

    subnet: Annotated[Path | None, Input(kinds=SUBNETS), Option(metavar="FILE")] = None
    """which sub-network of the supernet: result.json of ofa.search, a sub-network as JSON, or MIT's dict"""

    network: Annotated[str | None, Input(find=file_or_name), Option(metavar="NETWORK")] = None
    """instead of both: a named network such as mobilenet_v2, or a file with a list of blocks; weights are random, and
    the file is marked so: for timing"""

    index: Annotated[int | None, AtLeast(0), Option(metavar="N")] = None
    """which result of result.json, counted from 0 (default: 0)"""

    limit: Annotated[float | None, Above(0), Option(metavar="MS")] = None
    """the result for this latency limit"""

    space: SpaceName = None
    """the search space, if no file names it, such as mbv3-w1.0"""

    out: Annotated[Path | None, Output(), Option(metavar="FILE")] = None
    """the file to write (default: out/export/<space>-<format, resolution>)"""

    batch: Annotated[int | None, AtLeast(1), Option(metavar="N|dynamic", parse=batch_size)] = 1
    """images in a call, fixed in the file; or dynamic (in Python None): any number"""

    resolution: OptionalCount = None
    """side of the images in pixels (default: the sub-network's)"""

    calibration: Annotated[Path | None, Input(images=True), Option(metavar="DIR")] = None
    """folder or zip of images that calibrate batch normalisation and int8 (default: synthetic images, if the supernet's
    file holds any)"""

    calibration_images: Count = 2000
    """how many images calibrate batch normalisation; int8 uses the first 200"""

    int8: bool = False
    """quantise statically to int8 (onnx and tflite)"""

    int8_io: bool = False
    """with --int8: input and output are integers too; their scales and zero points are in the metadata"""

    with_preprocessing: bool = False
    """take uint8 images (N, R, R, 3), and normalise them in the file (onnx and tflite)"""

    opset: Annotated[int | None, AtLeast(1), Option(metavar="N")] = None
    """of an ONNX file: 11 to the newest (default: 18)"""

    evaluate: Annotated[Path | None, Input(images=True), Option(metavar="DIR")] = None
    """images on which file and network are compared (default: images of --calibration that do not calibrate)"""

    evaluate_images: Count = 500
    """how many images to compare on"""

    labels: Annotated[Path | None, Input(), Option(metavar="FILE")] = None
    """class names in the order of the logits, one a line or as JSON (default: the checkpoint's, if it has any)"""

    strict: Annotated[bool, Free()] = False
    """stop at a broken image instead of skipping it"""

    seed: Seed = 0
    """seed of the choice of images, and of the random weights of --network"""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.at_most_one("index", "limit")
        other = next((name for name, suffix in SUFFIXES.items() if self.out and self.out.suffix == suffix), self.format)
        if other != self.format:
            raise UsageError(f"--out is {self.out}, the name of a file of {other}, but --format is {self.format}")
        self.at_most_one("int8_io", "with_preprocessing")
        if self.int8_io and not self.int8:
            raise UsageError("--int8-io is of int8 files: add --int8 and --calibration DIR, or leave it out")
        if self.with_preprocessing and self.format not in ("onnx", "tflite"):
            raise UsageError(
                f"--with-preprocessing is for onnx and tflite, but --format is {self.format}: leave it out"
            )
        if self.opset is not None and self.format != "onnx":
            raise UsageError(f"--opset is of ONNX files, but --format is {self.format}: leave it out")
        if self.batch is None and self.format == "coreml":
            raise UsageError("--batch dynamic is not for coreml: give a number")
        if self.format == "safetensors" and self.batch != 1:
            raise UsageError("--batch is of files that run, --format safetensors holds weights alone: leave it out")
        if self.subnet is None and (self.index is not None or self.limit is not None):
            raise UsageError("--index and --limit choose from a result.json: give it with --subnet")
        if self.network is not None:
            self._check_untrained()
        if self.resolution is not None and not 32 <= self.resolution <= 1024:
            raise UsageError(f"--resolution is {self.resolution}, expected 32 to 1024 pixels")

    def _check_untrained(self) -> None:
        """UsageError for what is of trained networks alone."""
        self.at_most_one("network", *_OF_TRAINED)
        if self.batch is None:
            raise UsageError("--batch dynamic is not allowed with --network: give a number")
        if self.format in ("safetensors", "coreml"):
            raise UsageError(
                f"--network has random weights, which --format {self.format} is not for: take onnx or tflite"
            )
