"""What `python -m ofa.predictors.fit` is asked for."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from ofa.cli.config import Above, AtLeast, Config, Input, Option, Output
from ofa.cli.options import OptionalCount, PredictorFile, SpaceName
from ofa.errors import UsageError
from ofa.reading.kinds import ACCURACIES
from ofa.space import SearchSpace, space_file


@dataclass(frozen=True, kw_only=True)
class FitConfig(Config):
    """Fit an accuracy predictor on measured accuracies (--data), test it on rows that it was not fitted on, and
    write PATH.safetensors with PATH.json.

    4,000 rows take about half a minute. Ctrl-C leaves no file.
    """

    data: Annotated[tuple[Path, ...], Input(kinds=(ACCURACIES,)), Option(metavar="CSV")] = ()
    """files of ofa.predictors.collect, or CSVs with the columns resolution, depths, kernel_sizes,
    expand_ratios (lists separated by spaces, 0 for skipped layers), top1 in per cent; width_mults for resnet50d.
    Repeated sub-networks are averaged"""

    teacher: PredictorFile = None
    """a predictor to imitate: MIT's .pth, one of ours, or an id of ofa.zoo"""

    space: SpaceName = None
    """search space: mbv3-w1.0, proxyless-w1.3, resnet50d ..., or the file of its description (default: as the data
    or the teacher states)"""

    out: Annotated[Path | None, Output(), Option(metavar="PATH")] = None
    """the file to write (default: out/predictors/SPACE.safetensors)"""

    kind: Literal["separable", "ensemble"] = "separable"
    """separable: scores that add up over units, for the exact search; ensemble: networks that read the whole
    sub-network"""

    scale: Annotated[Path | None, Input(kinds=(ACCURACIES,)), Option(metavar="CSV")] = None
    """measured accuracies of the same supernet on all images, to put the predictor on their scale"""

    all_images: Annotated[int | None, AtLeast(1), Option(metavar="N")] = None
    """how many images the accuracies stand for, if they were measured on a sample (ImageNet's: 50000)"""

    num_classes: OptionalCount = None
    """number of classes behind the accuracies (default: as in the data or the teacher)"""

    samples: Annotated[int, AtLeast(1), Option(metavar="N")] = 16000
    """predictions to read from the teacher"""

    source: Annotated[str | None, Option(metavar="TEXT")] = None
    """where the accuracies come from; kept in the header"""

    note: Annotated[str | None, Option(metavar="TEXT")] = None
    """a caveat to show wherever the predictor is described"""

    members: OptionalCount = None
    """networks whose predictions are averaged (default: 8; with --teacher 4)"""

    epochs: OptionalCount = None
    """passes over the data (default: 60; with --teacher 20)"""

    batch_size: OptionalCount = None
    """rows in a step (default: 128; with --teacher 256)"""

    learning_rate: Annotated[float | None, Above(0), Option(metavar="N")] = None
    """peak of the one-cycle schedule (default: 0.01)"""

    weight_decay: Annotated[float | None, AtLeast(0), Option(metavar="N")] = None
    """weight decay of AdamW (default: 1.5; with --teacher 0.1)"""

    seed: Annotated[int | None, AtLeast(0), Option(metavar="N")] = None
    """the same seed gives the same files, bit for bit (default: 0)"""

    hidden: Annotated[tuple[int, ...], AtLeast(1), Option(metavar="N")] = ()
    """widths of the hidden layers; several only with --kind ensemble (default: 32; with --teacher 32)"""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.exactly_one("data", "teacher")
        if self.out is not None and self.out.suffix != ".safetensors":
            raise UsageError(f"--out is {self.out}, expected a name that ends in .safetensors")

    def path_for(self, space: SearchSpace) -> Path:
        """The file that the predictor of the space becomes; its report stands beside it."""
        file = space_file(self.space or "")
        return self.out or Path("out/predictors") / f"{space.name if file is None else file.stem}.safetensors"
