"""What `python -m ofa.predict` is asked for."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from ofa.cli.config import Free, Input, Option, Output
from ofa.cli.options import Count, PreparationOptions
from ofa.errors import UsageError
from ofa.reading.kinds import ONNX, TFLITE


@dataclass(frozen=True, kw_only=True)
class PredictConfig(PreparationOptions):
    """Print the most probable classes of photographs, by a model file that ofa.export wrote.

    Images are prepared as the file's metadata states, and classes have the names in it. An ONNX or TFLite
    classifier from elsewhere needs --mean, --std and --labels.

    exit codes: 0 at least one image was read, 2 wrong input or no image could be read, 130 stopped
    """

    file: Annotated[tuple[Path, ...], Input(images=True), Option(positional=True)]
    """photographs; of folders and zips, all images in them"""

    model: Annotated[Path, Input(kinds=(ONNX, TFLITE)), Option(metavar="MODEL")]
    """an ONNX or TFLite model, float or int8"""

    top: Count = 3
    """how many classes to show, the most probable first"""

    json: Annotated[Path | None, Output(), Option(metavar="FILE")] = None
    """also write the result as JSON"""

    labels: Annotated[Path | None, Input(), Option(metavar="FILE")] = None
    """class names in the order of the model's outputs, one a line or as JSON (default: the model's)"""

    strict: Annotated[bool, Free()] = False
    """stop at a broken image instead of skipping it"""

    mean: Annotated[str | None, Option(metavar="M")] = None
    """mean of red, green and blue: imagenet, half, or numbers such as 0.5,0.5,0.5 (default: the model's)"""

    std: Annotated[str | None, Option(metavar="S")] = None
    """standard deviation, written like --mean (default: the model's, or the one that goes with --mean)"""

    override_preprocessing: bool = False
    """use --mean and --std even if the model states others, and mark the result"""

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.file:
            raise UsageError("FILE is needed: name photographs, or a folder of them")
        if self.json is not None and self.json.suffix != ".json":  # `--json *.jpg` would replace the first of them
            raise UsageError(f"--json is {self.json}, expected a file that ends in .json")
