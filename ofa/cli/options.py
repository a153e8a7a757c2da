"""Options that several commands share, and the parsers of their values.

A command's config takes a group by being a subclass of it, and says a field again where its default or its words
differ. A function that needs the group alone takes the group's type: every such config is one.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, ClassVar, Literal

from ofa.cli.config import AtLeast, Config, Free, Input, Option, Output
from ofa.reading.kinds import PREDICTORS, SPACE
from ofa.reading.numbers import plain_whole, short
from ofa.space import space_file
from ofa.space.description import described_in
from ofa.zoo_files import file_or_fetched

MOST_PIXELS, MOST_PARTS = 10_000, 10_000


def resolutions(text: str) -> tuple[int, ...]:
    """ "160,192" or "128:224:4" (first:last:step, the last included), or both, ascending."""
    found: set[int] = set()
    for part in text.split(","):
        numbers = [plain_whole(number) for number in part.split(":")[:4]]
        # beyond any resolution, so that a range of them is a short list: who takes them says which there are
        plain = [n for n in numbers if n is not None and abs(n) <= MOST_PIXELS]
        if len(plain) == len(numbers) == 1:
            found.add(plain[0])
        elif len(plain) == len(numbers) == 3 and plain[2] > 0 and plain[0] <= plain[1]:
            found.update(range(plain[0], plain[1] + 1, plain[2]))
        else:
            raise ValueError(f"{short(text)} is not a list such as 160,192,224 or 128:224:4")
    return tuple(sorted(found))


def shard(text: str) -> tuple[int, int]:
    """ "2/4": the second of four parts."""
    part, _, parts = text.partition("/")
    first, last = plain_whole(part), plain_whole(parts)
    if first is None or last is None or not 1 <= first <= last <= MOST_PARTS:
        raise ValueError(f"{short(text)} is not I/N, such as 1/4 to 4/4")
    return first, last


def file_or_name(text: str) -> Path | None:
    """The file that an option names, None where it is a name of ours."""
    return Path(text) if Path(text).is_file() else None


CHECKPOINT = Option(metavar="W", parse=file_or_fetched)  # a file, a folder, or an id of ofa.zoo
PredictorFile = Annotated[
    Path | None, Input(beside=".json", kinds=PREDICTORS), Option(metavar="P", parse=file_or_fetched)
]
Resolutions = Annotated[tuple[int, ...] | None, Option(metavar="R", parse=resolutions)]
Shard = Annotated[tuple[int, int] | None, Option(metavar="I/N", parse=shard)]
# a name of ours, or the file of a description: what identifies a run is what that says, not how
SPACE_FILE = Input(find=space_file, kinds=(SPACE,), content=described_in)
SpaceName = Annotated[str | None, SPACE_FILE, Option(metavar="S")]
Space = Annotated[str, SPACE_FILE, Option(metavar="S")]
Spaces = Annotated[tuple[str, ...], SPACE_FILE, Option(metavar="S", each=True)]
Count = Annotated[int, AtLeast(1), Option(metavar="N")]
OptionalCount = Annotated[int | None, AtLeast(1), Option(metavar="N")]
Seed = Annotated[int, AtLeast(0), Option(metavar="N")]


@dataclass(frozen=True, kw_only=True)
class PreparationOptions(Config):
    """How images become numbers, where that should not be as the checkpoint's file says."""

    PANEL: ClassVar[str] = "Images"

    mean: Annotated[str | None, Option(metavar="M")] = None
    """mean of red, green and blue: imagenet, half, or numbers such as 0.5,0.5,0.5 (default: the checkpoint's, else
    ImageNet's)"""

    std: Annotated[str | None, Option(metavar="S")] = None
    """standard deviation, written like --mean (default: the checkpoint's, or the one that goes with --mean)"""

    override_preprocessing: bool = False
    """use --mean and --std even if the checkpoint was trained with others, and mark the result"""


@dataclass(frozen=True, kw_only=True)
class ReadingOptions(PreparationOptions):
    """Which images, what their classes are, and how they are read."""

    PANEL: ClassVar[str] = "Images"

    data: Annotated[Path, Input(images=True), Option(metavar="DIR|ZIP")]
    """images in class folders, also below train and val"""

    classes: Annotated[str | None, Input(find=file_or_name), Option(metavar="FILE")] = None
    """file with the number of each class folder, or imagenette (default: matched by the checkpoint's class names)"""

    batch_size: Count = 64
    """images in a batch"""

    workers: Annotated[int, AtLeast(0), Option(metavar="N"), Free()] = 0
    """extra processes that decode images"""

    strict: Annotated[bool, Free()] = False
    """stop at a broken image instead of skipping it"""


@dataclass(frozen=True, kw_only=True)
class ImageOptions(ReadingOptions):
    """Which images a network is evaluated on, and how they become numbers."""

    PANEL: ClassVar[str] = "Images"

    split: Annotated[str | None, Option(metavar="NAME")] = None
    """train, val or test; held-out: the images that training held out; all: every image, if there are no such folders
    (default: val if there is one, held-out if the network was trained on these images, else all)"""

    allow_training_images: bool = False
    """also evaluate on images that the network was trained on, and mark the result"""


@dataclass(frozen=True, kw_only=True)
class CalibratingOptions(Config):
    """How batch normalisation is calibrated."""

    PANEL: ClassVar[str] = "Calibration"

    calibration_batch: Count = 64
    """images in a batch while batch normalisation is calibrated"""

    allow_poor_calibration: bool = False
    """accept fewer than 64 images, or batches under 16, and mark the result"""


@dataclass(frozen=True, kw_only=True)
class CalibrationOptions(CalibratingOptions):
    """Batch normalisation's statistics of a sub-network, from training images."""

    PANEL: ClassVar[str] = "Calibration"

    calibration: Annotated[Path | None, Input(images=True), Option(metavar="DIR|ZIP")] = None
    """training images to calibrate with (default: train of --data, or its images that were not held out)"""

    calibration_images: Count = 2000
    """how many images to calibrate with"""


@dataclass(frozen=True, kw_only=True)
class SamplingOptions(Config):
    """What is drawn at random."""

    PANEL: ClassVar[str] = "Sampling"

    seed: Seed = 0
    """seed of every random choice"""

    limit: OptionalCount = None
    """use only N images, chosen at random by --seed"""


@dataclass(frozen=True, kw_only=True)
class DeviceOptions(Config):
    """Where torch computes."""

    PANEL: ClassVar[str] = "Device"

    device: Annotated[str, Free()] = "auto"
    """auto (the GPU if there is one), cpu, cuda or cuda:1"""


@dataclass(frozen=True, kw_only=True)
class PrecisionOptions(DeviceOptions):
    """Where torch computes networks that are only evaluated, and how exactly."""

    PANEL: ClassVar[str] = "Device"

    # Free, because runs of before there was a choice are continued: `half_precision` joins their settings instead
    precision: Annotated[Literal["fp32", "bf16", "fp16"], Free()] = "fp32"
    """fp32, or bf16 or fp16 on a GPU (bf16 also on a CPU), which is faster; weights and statistics stay in fp32"""

    @property
    def half_precision(self) -> str | None:
        """The precision, where it is not fp32."""
        return None if self.precision == "fp32" else self.precision


@dataclass(frozen=True, kw_only=True)
class RunOptions(Config):
    """A long run's files, which a killed run leaves and a resumed one takes up."""

    PANEL: ClassVar[str] = "Run"

    out: Annotated[Path, Output(folder=True), Option(metavar="RUN")]
    """folder for all of the run's files"""

    resume: Annotated[bool, Free()] = False
    """continue a run that was stopped or killed"""


@dataclass(frozen=True, kw_only=True)
class ResultOptions(RunOptions):
    """A long run that keeps a journal beside the one file that it writes."""

    PANEL: ClassVar[str] = "Run"

    overwrite: Annotated[bool, Free()] = False
    """start again, throwing away what an interrupted run has measured"""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.at_most_one("resume", "overwrite")
