"""What `python -m ofa.finetune` is asked for."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, ClassVar

from ofa.cli.config import Above, AtLeast, Config, Free, Input, Option, Output, Part, Share
from ofa.cli.options import (
    CHECKPOINT,
    CalibratingOptions,
    Count,
    DeviceOptions,
    OptionalCount,
    ReadingOptions,
    RunOptions,
    Seed,
    SpaceName,
)
from ofa.errors import UsageError
from ofa.reading.kinds import SUBNETS, WEIGHTS


@dataclass(frozen=True, kw_only=True)
class StartOptions(Config):
    """Which network a fine-tuning begins with."""

    PANEL: ClassVar[str] = "Network"

    network: Annotated[Path | None, Input(kinds=WEIGHTS), CHECKPOINT] = None
    """a specialised network: a folder by save_network, ofa.finetune or MIT, or an id of ofa.zoo"""

    checkpoint: Annotated[Path | None, Input(kinds=WEIGHTS), CHECKPOINT] = None
    """a supernet's checkpoint, or an id of ofa.zoo; needs --subnet"""

    subnet: Annotated[Path | None, Input(kinds=SUBNETS), Option(metavar="FILE")] = None
    """result.json of ofa.search, or a file with one sub-network"""

    index: Annotated[int | None, AtLeast(0), Option(metavar="I")] = None
    """which result of result.json, counted from 0 (default: the first)"""

    space: SpaceName = None
    """the supernet's space, if no file names it"""

    resolution: Annotated[int | None, AtLeast(1), Option(metavar="R")] = None
    """side of the images in pixels (default: the network's own)"""

    def __post_init__(self) -> None:
        super().__post_init__()
        if (self.network is None) == (self.checkpoint is None):
            raise UsageError("give either --network FOLDER, or --checkpoint SUPERNET with --subnet FILE")
        if self.checkpoint is not None and self.subnet is None:
            raise UsageError("--checkpoint needs --subnet FILE (a specialised network is given with --network FOLDER)")

    @property
    def source(self) -> Path:
        """The file or folder of weights."""
        path = self.network or self.checkpoint
        assert path is not None  # one is given
        return path


@dataclass(frozen=True, kw_only=True)
class DataOptions(ReadingOptions):
    """Which images are trained on, and which the network is validated with."""

    PANEL: ClassVar[str] = "Images"

    val_data: Annotated[Path | None, Input(images=True), Option(metavar="DIR|ZIP")] = None
    """validation images (default: val of --data, if there is one)"""

    held_out: Annotated[int | None, AtLeast(0), Option(metavar="N")] = None
    """number of training images to validate with, if there are no others (default: as many as the supernet's training
    held out, else a tenth)"""

    new_classes: bool = False
    """draw a new classifier, for the class folders of --data"""

    smallest_crop: Annotated[float | None, Share(), Option(metavar="A")] = None
    """smallest part of an image that a crop takes (default: as in the network's training, else 0.08)"""

    limit: OptionalCount = None
    """use only N training images, chosen at random by --seed"""

    val_limit: OptionalCount = None
    """use only N validation images, chosen at random by --seed"""

    batch_size: Annotated[int, AtLeast(2, "batch normalisation needs several images"), Option(metavar="N")] = 64
    """images in a step; the learning rate scales with it"""

    workers: Annotated[int, AtLeast(0), Option(metavar="N"), Free()] = 0
    """extra processes that prepare images"""

    seed: Seed = 0
    """seed of every random choice"""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.new_classes and self.classes:
            raise UsageError("--new-classes numbers the class folders in sorted order: leave --classes out")


@dataclass(frozen=True, kw_only=True)
class FinetuneConfig(StartOptions, DataOptions, CalibratingOptions, DeviceOptions, RunOptions):
    """Fine-tune a specialised network, or one sub-network of a supernet.

    If a run is stopped (Ctrl-C, SIGTERM) or killed, --resume continues it to the same weights.
    """

    epochs: Count = 25
    """passes over the images"""

    learning_rate: Annotated[float | None, Above(0), Option(metavar="LR")] = None
    """peak of the learning rate (default: 0.0025 for every 64 images of a batch)"""

    warmup_epochs: Annotated[float | None, AtLeast(0), Option(metavar="N")] = None
    """epochs of linear increase of the learning rate (default: a tenth of the epochs, at most 1)"""

    label_smoothing: Annotated[float, Part(), Option(metavar="S")] = 0.1
    """share of each label that is spread over all classes"""

    weight_decay: Annotated[float, AtLeast(0), Option(metavar="D")] = 3e-5
    """weight decay, not applied to biases and normalisation"""

    out: Annotated[Path, Output(folder=True), Option(metavar="RUN")]
    """folder for checkpoint, metrics.jsonl and the network"""

    resume: Annotated[bool, Free()] = False
    """continue the run in --out"""
