"""What `python -m profilers.verify` is asked for."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, ClassVar

from ofa.cli.config import Above, AtLeast, Between, Config, Input, Option, Output
from ofa.cli.options import CHECKPOINT, PredictorFile, Seed
from ofa.errors import UsageError
from ofa.reading.kinds import RESULT, TABLE, WEIGHTS
from ofa.tables.shipped import find_table
from profilers.devices.access_options import AccessOptions
from profilers.profiling.profile_options import ResumeOptions, TimingOptions

FEWEST_VISITS = 2


@dataclass(frozen=True, kw_only=True)
class AccuracyOptions(Config):
    """What the accuracy of the verified networks is measured with."""

    PANEL: ClassVar[str] = "Measured accuracy"

    checkpoint: Annotated[Path | None, Input(kinds=WEIGHTS), CHECKPOINT] = None
    """a supernet: the verified networks are evaluated too, calibrated first; with --data"""

    data: Annotated[Path | None, Input(images=True), Option(metavar="DIR|ZIP")] = None
    """images in class folders, as ofa.evaluate takes them, which has more options"""

    def __post_init__(self) -> None:
        super().__post_init__()
        if (self.checkpoint is None) != (self.data is None):
            raise UsageError("accuracies are measured with a supernet and images: give both --checkpoint and --data")


@dataclass(frozen=True, kw_only=True)
class VerifyConfig(AccuracyOptions, AccessOptions, TimingOptions, ResumeOptions):
    """Measure the networks that a search found whole, on the table's device, and keep each limit as measured.

    For each limit networks near it are measured; the most accurate one that keeps it is chosen by the odd visits and
    certified by the even ones. Where none or all keep it, the search goes on nearer or farther. Writes what ofa.export,
    ofa.evaluate and ofa.finetune take as --subnet, and a plot of predicted against measured latencies.

    exit codes: 0 every limit is kept, 1 one is not, or the machine is not as it was, 2 something given is wrong
    """

    table: Annotated[str, Input(find=find_table, kinds=(TABLE,)), Option(metavar="T")]
    """the latency table that was searched, measured on this machine: a CSV or a shipped name"""

    result: Annotated[Path, Input(kinds=(RESULT,)), Option(metavar="FILE")]
    """result.json of ofa.search"""

    latency: Annotated[tuple[float, ...], Above(0), Option(metavar="MS")] = ()
    """limits in ms (default: those of the result)"""

    limits: Annotated[int | None, Between(1, 100), Option(metavar="N")] = None
    """of a frontier, searched without limits: so many of its latencies as limits, from faster to slower"""

    visits: Annotated[int | None, AtLeast(FEWEST_VISITS, "odd ones choose, even ones certify"), Option(metavar="N")] = (
        None
    )
    """timings of each network, apart in time (default: 10 on a CPU, 4 on a GPU, 6 with --quick)"""

    near: Annotated[int, Between(0, 20), Option(metavar="N")] = 3
    """so many more networks for each limit and round, 2 per cent of latency apart"""

    again: Annotated[int, AtLeast(0), Option(metavar="N")] = 2
    """search again so often at most, nearer or farther"""

    quick: bool = False
    """a fraction of the time, noisier: for a first look"""

    predictor: PredictorFile = None
    """accuracy predictor that was searched by (default: where the result says that it was)"""

    seed: Seed = 0
    """of the order of visits"""

    out: Annotated[Path | None, Output(), Option(metavar="FILE")] = None
    """what to write (default: verified.json beside the result)"""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.at_most_one("latency", "limits")
        if self.file.suffix != ".json":
            raise UsageError(f"--out is {self.out}, expected a file that ends in .json")
        if self.file == self.result:
            raise UsageError(f"--out is the result itself, {self.result}: name another file")

    @property
    def file(self) -> Path:
        """The file to write."""
        return self.result.with_name("verified.json") if self.out is None else self.out
