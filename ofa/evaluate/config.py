"""What `python -m ofa.evaluate` is asked for."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from ofa.cli.config import AtLeast, Input, Option, Output
from ofa.cli.options import (
    CHECKPOINT,
    CalibrationOptions,
    ImageOptions,
    OptionalCount,
    PrecisionOptions,
    ResultOptions,
    SamplingOptions,
    Seed,
    SpaceName,
)
from ofa.errors import UsageError
from ofa.reading.kinds import NET_CONFIG, ONNX, SUBNETS, TFLITE, WEIGHTS


@dataclass(frozen=True, kw_only=True)
class EvaluateConfig(ImageOptions, CalibrationOptions, SamplingOptions, PrecisionOptions, ResultOptions):
    """Measure the accuracy of a specialised network, or of sub-networks of a supernet, on images.

    Batch normalisation of a supernet's sub-networks is calibrated first. To divide the images among processes, use
    torchrun --nproc-per-node 4 -m ofa.evaluate ...
    """

    checkpoint: Annotated[Path, Input(kinds=(*WEIGHTS, ONNX, TFLITE)), CHECKPOINT]
    """a specialised network's folder, a supernet's file, an ONNX or TFLite file of ofa.export, or an id of ofa.zoo"""

    config: Annotated[Path | None, Input(kinds=(NET_CONFIG,)), Option(metavar="FILE")] = None
    """MIT's network config, if --checkpoint holds only the weights of a specialised network"""

    subnet: Annotated[Path | None, Input(kinds=SUBNETS), Option(metavar="FILE")] = None
    """sub-networks of the supernet: result.json of ofa.search, or a file with one sub-network"""

    random: OptionalCount = None
    """evaluate N random sub-networks of the supernet"""

    index: Annotated[int | None, AtLeast(0), Option(metavar="I")] = None
    """only this result of result.json, counted from 0 (default: all)"""

    space: SpaceName = None
    """the supernet's space, if no file names it, such as mbv3-w1.0"""

    num_classes: OptionalCount = None
    """number of classes that the checkpoint must have (default: any)"""

    resolution: Annotated[int | None, AtLeast(1), Option(metavar="R")] = None
    """side of the images in pixels (default: the network's own)"""

    seed: Seed = 0
    """seed of --random, --limit and the choice of calibration images"""

    out: Annotated[Path, Output(), Option(metavar="FILE")] = Path("out/evaluate/result.json")
    """where to write the result"""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.at_most_one("subnet", "random")
        if self.index is not None and self.subnet is None:
            raise UsageError("--index chooses among the results of --subnet FILE")
        if self.config is not None and (self.of_supernet or self.resolution is None):
            raise UsageError("--config is of a specialised network: give --resolution, and no --subnet or --random")

    @property
    def of_supernet(self) -> bool:
        """Whether sub-networks are asked for."""
        return self.subnet is not None or self.random is not None
