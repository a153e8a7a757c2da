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
    """a specialised network: a folder of save_network, ofa.finetune or MIT, or an id of ofa.zoo"""

    checkpoint: Annotated[Path | None, Input(kinds=WEIGHTS), CHECKPOINT] = None
    """a supernet's checkpoint or an id of ofa.zoo, with --subnet"""

    subnet: Annotated[Path | None, Input(kinds=SUBNETS), Option(metavar="FILE")] = None
    """result.json of ofa.search, or one sub-network"""

    index: Annotated[int | None, AtLeast(0), Option(metavar="I")] = None
    """which result of result.json, from 0 (default: the first)"""

    space: SpaceName = None
    """the supernet's space, where no file says it"""

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
    """training images to validate with where there are no others (default: those that the supernet's training held
    out, else a tenth)"""

    new_classes: bool = False
    """a new classifier, for as many classes as --data has folders"""

    smallest_crop: Annotated[float | None, Share(), Option(metavar="A")] = None
    """least part of an image that a crop takes (default: as the network was trained, else 0.08)"""

    limit: OptionalCount = None
    """only N training images, chosen at random by --seed"""

    val_limit: OptionalCount = None
    """only N validation images, chosen at random by --seed"""

    batch_size: Annotated[int, AtLeast(2, "batch normalisation needs several images"), Option(metavar="N")] = 64
    """images a step; the learning rate follows"""

    workers: Annotated[int, AtLeast(0), Option(metavar="N"), Free()] = 0
    """processes that prepare images (0: none extra)"""

    seed: Seed = 0
    """of everything random"""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.new_classes and self.classes:
            raise UsageError("--new-classes numbers the class folders in sorted order: leave --classes out")


@dataclass(frozen=True, kw_only=True)
class FinetuneConfig(StartOptions, DataOptions, CalibratingOptions, DeviceOptions, RunOptions):
    """Fine-tune a specialised network, or one sub-network of a supernet.

    A run that is stopped (Ctrl-C, SIGTERM) or killed goes on with --resume, to the same weights.
    """

    epochs: Count = 25
    """how often the images are seen"""

    learning_rate: Annotated[float | None, Above(0), Option(metavar="LR")] = None
    """its peak (default: 0.0025 for every 64 images of a batch)"""

    warmup_epochs: Annotated[float | None, AtLeast(0), Option(metavar="N")] = None
    """linear increase of the learning rate (default: a tenth of the epochs, at most 1)"""

    label_smoothing: Annotated[float, Part(), Option(metavar="S")] = 0.1
    """share of the labels that is spread over all classes"""

    weight_decay: Annotated[float, AtLeast(0), Option(metavar="D")] = 3e-5
    """not of biases and normalisation"""

    out: Annotated[Path, Output(folder=True), Option(metavar="RUN")]
    """folder for checkpoint, metrics.jsonl and the network"""

    resume: Annotated[bool, Free()] = False
    """continue the run in --out"""
