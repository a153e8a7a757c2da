"""What `python -m ofa.train` is asked for."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, ClassVar, Literal

from ofa.cli.config import Above, AtLeast, Config, Free, Input, Option, Part, Share
from ofa.cli.options import CHECKPOINT, Count, DeviceOptions, OptionalCount, RunOptions, Seed, Space
from ofa.cli.options import resolutions as resolution_list
from ofa.errors import UsageError
from ofa.reading.kinds import SUBNETS, WEIGHTS
from ofa.space import RESOLUTIONS
from ofa.space.families import default_resolutions
from ofa.training.recipe import RECIPES


@dataclass(frozen=True, kw_only=True)
class LearningOptions(Config):
    """How weights are changed."""

    PANEL: ClassVar[str] = "How"

    batch_size: Annotated[int | None, AtLeast(2, "batch normalisation needs several"), Option(metavar="N")] = None
    """images in a step of each process; learning rates are proportional to it (default: 256 on GPUs if an epoch has 32
    such steps or more, else 64)"""

    learning_rate_scale: Annotated[float, Above(0), Option(metavar="X")] = 1.0
    """factor on all learning rates"""

    weight_decay: Annotated[float, AtLeast(0), Option(metavar="D")] = 3e-5
    """weight decay, not applied to biases, normalisation and kernel matrices"""

    label_smoothing: Annotated[float | None, Part(), Option(metavar="S")] = None
    """share of each label that is spread over all classes (default: 0.1; 0 with --recipe short)"""

    class_weights: bool = False
    """weight images so that every class counts the same, however many images it has"""

    dropout: Annotated[float | None, Part(), Option(metavar="P")] = None
    """dropout before the classifier; none in sandwich (default: 0.1; 0 with --recipe short)"""

    distill: Annotated[float | None, AtLeast(0), Option(metavar="L")] = None
    """weight of the loss against the teacher's outputs; the labels' loss has weight 1, and the weighted mean of both is
    used (default: 1)"""

    clip_norm: Annotated[float, AtLeast(0), Option(metavar="G")] = 0.0
    """scale gradients down to this norm (0: do not)"""

    ema: Annotated[float, Part(), Option(metavar="M")] = 0.0
    """the result is a moving average of the weights with this factor, such as 0.999 (0: no average)"""

    precision: Annotated[Literal["auto", "fp32", "bf16", "fp16"], Option(metavar="P")] = "auto"
    """auto (bf16 on GPUs, else fp32), fp32, bf16 or fp16"""

    memory_format: Annotated[Literal["auto", "channels-last", "contiguous"], Free()] = "auto"
    """layout of weights and images (auto: channels-last, but contiguous on GPUs without Triton)"""

    graphs: Annotated[Literal["auto", "on", "off"], Free()] = "auto"
    """replay each block as a CUDA graph, which is faster and takes more memory (auto: on a GPU, in one process)"""

    bn: Literal["local", "sync"] = "local"
    """normalise by the batch of each process (as in the paper), or by those of all processes"""

    seed: Seed = 0
    """seed of every random choice"""


@dataclass(frozen=True, kw_only=True)
class PhotoOptions(Config):
    """Which images are trained on and checked with, and how they are cut."""

    PANEL: ClassVar[str] = "Images"

    limit: OptionalCount = None
    """train on only N images, chosen at random"""

    held_out: Annotated[int | None, AtLeast(0), Option(metavar="N")] = None
    """number of training images to hold out, which are never trained on (default: a tenth, at most 10,000)"""

    check_images: Count = 2000
    """how many held-out images to check accuracy on"""

    check_every: Count = 1
    """epochs between checks of accuracy"""

    calibration_images: Count = 500
    """images that calibrate batch normalisation before a check"""

    smallest_crop: Annotated[float, Share(), Option(metavar="A")] = 0.08
    """smallest part of an image that a crop takes"""

    cache: Literal["auto", "device", "memory", "off"] = "auto"
    """device or memory: decode once and keep the pixels there; off: decode in every epoch; auto: device if the pixels
    fit in 4 GiB, else off"""

    workers: Annotated[int | None, AtLeast(0), Free(), Option(metavar="N")] = None
    """extra processes that decode images (default: 0; on GPUs without a cache one for each CPU, at most 8)"""

    mean: Annotated[str, Option(metavar="M")] = "imagenet"
    """mean of red, green and blue: imagenet, half, or numbers such as 0.5,0.5,0.5"""

    std: Annotated[str | None, Option(metavar="S")] = None
    """standard deviation, written like --mean (default: the one that goes with --mean)"""

    strict: Annotated[bool, Free()] = False
    """stop at a broken image instead of skipping it"""


@dataclass(frozen=True, kw_only=True)
class TrainConfig(LearningOptions, PhotoOptions, DeviceOptions, RunOptions):
    """Train a supernet, from which networks for any device can be cut.

    For several processes, use torchrun --nproc-per-node 8 -m ofa.train ... If a run is stopped (Ctrl-C, SIGTERM) or
    killed, --resume continues it to the same weights.
    """

    data: Annotated[Path, Input(images=True), Option(metavar="DIR|ZIP")]
    """training images in class folders, also below train; or CIFAR-10 or -100, binary version"""

    space: Space = "mbv3-w1.0"
    """mbv3-w<width>, proxyless-w<width>, resnet50d, or the file of a description, such as my-space.toml"""

    resolutions: Annotated[tuple[int, ...], Option(metavar="LIST", parse=resolution_list)] = ()
    """sides of the images in pixels, such as 64,96 or 128:224:4; each step draws one (default: those of the space's
    file, else 128:224:4)"""

    method: Literal["shrinking", "uniform", "sandwich", "alone"] = "shrinking"
    """shrinking: stage after stage; uniform: everything elastic at once; sandwich: the same, with the largest and the
    smallest in every step; alone: one sub-network"""

    recipe: Annotated[str, Free(), Option(metavar="NAME|FILE")] = "paper"  # its stages identify the run
    """paper; short: everything elastic from the start, for an --epochs-scale below about 0.2; or a JSON list of stages
    of your own"""

    epochs_scale: Annotated[float, Above(0), Option(metavar="X")] = 1.0
    """factor on all epochs, which are 605 in the paper's recipe"""

    epochs: OptionalCount = None
    """epochs of uniform, sandwich or alone; alone needs it (default: as many as make the arithmetic of shrinking)"""

    subnets_per_step: Annotated[int | None, AtLeast(1), Option(metavar="K")] = None
    """sub-networks in a step of uniform or sandwich (default: 4)"""

    subnet: Annotated[Path | None, Input(kinds=SUBNETS), Option(metavar="FILE")] = None
    """with --method alone: the sub-network to train"""

    index: Annotated[int | None, AtLeast(0), Option(metavar="I")] = None
    """which result of result.json, counted from 0 (default: the first)"""

    start: Annotated[Path | None, Input(kinds=WEIGHTS), CHECKPOINT] = None
    """a supernet checkpoint, or an id of ofa.zoo, to begin with; its largest network replaces the first stage of
    shrinking"""

    new_classes: bool = False
    """the classes of --data differ from those of --start: draw a new classifier, and keep all other weights"""

    teacher: Annotated[Path | None, Input(kinds=WEIGHTS), CHECKPOINT] = None
    """a supernet checkpoint to distil from (default: --start, or the result of the first stage; none for uniform and
    alone; the largest network itself for sandwich)"""

    tensorboard: Annotated[bool, Free()] = False
    """also write metrics for TensorBoard, into RUN/tensorboard"""

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.resolutions:
            object.__setattr__(self, "resolutions", default_resolutions(self.space, RESOLUTIONS))
        alone = self.method == "alone"
        if alone != (self.subnet is not None):
            raise UsageError("--method alone needs --subnet FILE" if alone else "--subnet is for --method alone")
        if alone and self.epochs is None:
            raise UsageError("--method alone needs --epochs N")
        if self.index is not None and not alone:
            raise UsageError("--index chooses among the results of --subnet FILE")
        if alone and self.graphs == "on":
            raise UsageError("--graphs on is for supernets, not for --method alone")
        if self.method != "shrinking" and self.recipe != "paper":
            raise UsageError(f"--recipe {self.recipe} is a recipe of shrinking, not of --method {self.method}")
        if self.new_classes and self.start is None:
            raise UsageError("--new-classes keeps the weights of --start W: without one all classes are new")
        self._lengths()
        self._teachers()

    def _lengths(self) -> None:
        """UsageError for options of length that the method would not look at."""
        if self.epochs is not None and self.method == "shrinking":
            raise UsageError("--epochs is for uniform, sandwich and alone: shrinking has stages, see --epochs-scale")
        if self.epochs is not None and not math.isclose(self.epochs_scale, 1):
            raise UsageError("--epochs and --epochs-scale both set the length: give one of them")
        if self.subnets_per_step is not None and self.method not in ("uniform", "sandwich"):
            raise UsageError(f"--subnets-per-step is for --method uniform and sandwich, not {self.method}")

    def _teachers(self) -> None:
        """UsageError for options of distillation that the method would not look at."""
        if self.method == "sandwich":
            for name in ("teacher", "distill"):
                if getattr(self, name) is not None:
                    raise UsageError(f"--{name} is not for sandwich: there the largest sub-network teaches the others")
        if self.recipe not in RECIPES and self.distill is not None:
            raise UsageError(f"--recipe {self.recipe} states itself what each stage distils: leave --distill out")
        untaught = self.method != "shrinking" or self.recipe == "short"
        if self.distill is not None and self.teacher is None and untaught:
            raise UsageError("--distill needs --teacher W: without one there is nothing to distil from")
