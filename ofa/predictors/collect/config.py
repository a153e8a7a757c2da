"""What `python -m ofa.predictors.collect` is asked for."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from ofa.cli.config import AtLeast, Between, Input, Option, Output
from ofa.cli.options import (
    CHECKPOINT,
    CalibrationOptions,
    Count,
    ImageOptions,
    PrecisionOptions,
    Resolutions,
    ResultOptions,
    Seed,
    Shard,
    SpaceName,
)
from ofa.errors import UsageError
from ofa.reading.kinds import WEIGHTS


@dataclass(frozen=True, kw_only=True)
class CollectConfig(ImageOptions, CalibrationOptions, PrecisionOptions, ResultOptions):
    """Measure the top-1 of random sub-networks of a supernet, into a CSV for ofa.predictors.fit.

    Each is calibrated and evaluated at its own resolution. On a CPU, sub-networks run on all cores (OMP_NUM_THREADS=N:
    on N). To divide them among several GPUs, use torchrun --nproc-per-node 2 -m ofa.predictors.collect ...
    """

    checkpoint: Annotated[Path, Input(kinds=WEIGHTS), CHECKPOINT]
    """a supernet's file, or an id of ofa.zoo"""

    images: Count = 2000
    """how many images to evaluate on, chosen at random"""

    subnets: Count = 1000
    """how many sub-networks to measure"""

    first: Annotated[int, AtLeast(0), Option(metavar="I")] = 0
    """number of the first sub-network, to add to an earlier file (fit takes several)"""

    tilted: Annotated[float, Between(0, 1, "a share"), Option(metavar="P")] = 0.0
    """share of the sub-networks whose choices lean together towards small or large (0: all are uniform)"""

    resolutions: Resolutions = None
    """sides of the images in pixels, such as 48,64 or 128:224:32 (default: 5 of the checkpoint's, evenly spread)"""

    dtype: Literal["fp32", "int8"] = "fp32"
    """type of the networks: int8 rounds them as ofa.export --int8 does, for a search by a table of int8"""

    space: SpaceName = None
    """the supernet's space, if the file does not name it, such as mbv3-w1.0"""

    seed: Seed = 0
    """seed of the choice of sub-networks and images"""

    shard: Shard = None
    """measure only the I-th of N parts, into a CSV of its own, for machines without torchrun (default: all)"""

    out: Annotated[Path, Output(), Option(metavar="CSV")] = Path("out/predictors/accuracies.csv")
    """the file to write"""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.out.suffix != ".csv":
            raise UsageError(f"--out is {self.out}, expected a name that ends in .csv")
        if self.dtype == "int8" and self.precision != "fp32":
            raise UsageError(f"--dtype int8 is rounded in fp32: leave out --precision {self.precision}")

    @property
    def network_dtype(self) -> str:
        """As files and predictors state it."""
        return "int8" if self.dtype == "int8" else "float32"

    @property
    def part(self) -> tuple[int, int]:
        """Which of how many parts is measured."""
        return self.shard or (1, 1)

    def out_of(self, part: int) -> Path:
        """The file of one of the parts: accuracies.1of4.csv; `out` itself where there is but one."""
        parts = self.part[1]
        return self.out if parts == 1 else self.out.with_name(f"{self.out.stem}.{part}of{parts}.csv")
