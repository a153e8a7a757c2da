"""What `python -m ofa.publish` is asked for."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from ofa.cli.config import Input, Option, Output
from ofa.cli.options import CHECKPOINT, CalibratingOptions
from ofa.errors import UsageError
from ofa.reading.kinds import WEIGHTS


@dataclass(frozen=True)
class OrMore:
    """At least so many."""

    least: int

    def fault(self, value: int) -> str | None:
        return None if value >= self.least else f"expected {self.least} or more"


@dataclass(frozen=True, kw_only=True)
class PublishConfig(CalibratingOptions):
    """Store a supernet in half precision, with a few synthetic images that calibrate its sub-networks nearly as well as
    the photographs it was trained on. ofa.export then needs no photographs.
    """

    checkpoint: Annotated[Path, Input(kinds=WEIGHTS), CHECKPOINT]
    """a supernet that ofa.train made"""

    data: Annotated[Path, Input(images=True), Option(metavar="DIR|ZIP")]
    """the images it was trained on: train to calibrate with; val, or what training held out, to compare on"""

    images: Annotated[int, OrMore(2), Option(metavar="N")] = 64
    """number of synthetic images"""

    steps: Annotated[int, OrMore(1), Option(metavar="N")] = 2000
    """steps of gradient descent"""

    subnets: Annotated[int, OrMore(2), Option(metavar="N")] = 20
    """sub-networks that the synthetic images are fitted to"""

    calibration_images: Annotated[int, OrMore(2), Option(metavar="N")] = 1000
    """photographs to calibrate each sub-network with"""

    check_subnets: Annotated[int, OrMore(1), Option(metavar="N")] = 10
    """other sub-networks, to compare real and synthetic images on"""

    check_images: Annotated[int, OrMore(1), Option(metavar="N")] = 1000
    """photographs to compare on"""

    seed: Annotated[int, OrMore(0), Option(metavar="N")] = 0
    """seed of every random choice"""

    out: Annotated[Path, Output(), Option(metavar="W")]
    """the file to write, .safetensors"""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.out.suffix != ".safetensors":
            raise UsageError(f"--out is {self.out}, expected a name that ends in .safetensors")
