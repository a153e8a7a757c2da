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
from profilers.looping.loop_options import LoopOptions
from profilers.profiling.profile_options import MOST_VISITS, JournalOptions, TimingOptions
from profilers.whole_networks.validate_config import BesideOptions

FEWEST_VISITS = 2


@dataclass(frozen=True, kw_only=True)
class AccuracyOptions(Config):
    """What the accuracy of the verified networks is measured with."""

    PANEL: ClassVar[str] = "Measured accuracy"

    checkpoint: Annotated[Path | None, Input(kinds=WEIGHTS), CHECKPOINT] = None
    """a supernet: also calibrate and evaluate the verified networks; needs --data"""

    data: Annotated[Path | None, Input(images=True), Option(metavar="DIR|ZIP")] = None
    """images in class folders, as for ofa.evaluate, which has more options"""

    def __post_init__(self) -> None:
        super().__post_init__()
        if (self.checkpoint is None) != (self.data is None):
            raise UsageError("accuracies are measured with a supernet and images: give both --checkpoint and --data")


@dataclass(frozen=True, kw_only=True)
class VerifyConfig(BesideOptions, LoopOptions, AccuracyOptions, AccessOptions, TimingOptions, JournalOptions):
    """Measure whole networks that a search found, on the table's device, so that each limit is kept as measured.

    For each limit, networks near it are measured. The odd visits choose the most accurate one that keeps the limit, and
    the even visits certify it. If none or all keep it, the search continues at lower or higher latencies. The file
    that is written can be given to ofa.export, ofa.evaluate and ofa.finetune as --subnet. A plot shows predicted
    against measured latencies. --sustained 10m then runs the network for ten minutes, and shows its latency minute by
    minute, and how many times longer it takes when the device is hot.

    exit codes: 0 every limit is kept, 1 a limit is not kept or the machine has changed, 2 wrong input
    """

    table: Annotated[str, Input(find=find_table, kinds=(TABLE,)), Option(metavar="T")]
    """the latency table that was searched, of this machine, a phone or a board: a CSV or a shipped name"""

    result: Annotated[Path, Input(kinds=(RESULT,)), Option(metavar="FILE")]
    """result.json of ofa.search"""

    latency: Annotated[tuple[float, ...], Above(0), Option(metavar="MS")] = ()
    """limits in ms (default: those of the result)"""

    limits: Annotated[int | None, Between(1, 100), Option(metavar="N")] = None
    """for the result of a search without limits: use N latencies of its frontier as limits, from fast to slow"""

    visits: Annotated[
        int | None,
        AtLeast(FEWEST_VISITS, "odd ones choose, even ones certify"),
        Between(FEWEST_VISITS, MOST_VISITS, "visits"),
        Option(metavar="N"),
    ] = None
    """visits of each network, spread over time (default: 10 on a CPU, 4 on a GPU, 6 with --quick)"""

    near: Annotated[int, Between(0, 20), Option(metavar="N")] = 3
    """how many more networks to measure for each limit and round, 2 per cent of latency apart"""

    again: Annotated[int, AtLeast(0), Option(metavar="N")] = 2
    """how often at most to search again, at lower or higher latencies"""

    quick: bool = False
    """take a fraction of the time, with more noise, for a first look"""

    predictor: PredictorFile = None
    """accuracy predictor of the search (default: the one that the result names)"""

    seed: Seed = 0
    """seed of the order of visits"""

    out: Annotated[Path | None, Output(), Option(metavar="FILE")] = None
    """the file to write (default: verified.json beside the result)"""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.at_most_one("latency", "limits")
        if not self.result.name:
            raise UsageError(f"--result is {self.result}, a folder: name a file")
        if self.file.suffix != ".json":
            raise UsageError(f"--out is {self.out}, expected a file that ends in .json")
        if self.file == self.result:
            raise UsageError(f"--out is the result itself, {self.result}: name another file")

    @property
    def file(self) -> Path:
        """The file to write."""
        return self.result.with_name("verified.json") if self.out is None else self.out

    @property
    def files(self) -> tuple[Path, ...]:
        """All that is written when the measuring is done."""
        evaluated = [self.accuracy_file] if self.data is not None else []
        return (self.file, self.file.with_suffix(".png"), *evaluated)

    @property
    def loop_journal(self) -> Path:
        """Every sample of a loop: each length and rate has a journal of its own."""
        at = "" if self.rate is None else f"-{self.rate:g}hz"
        return self.file.with_name(f"{self.file.stem}.sustained-{self.sustained}m{at}.journal.jsonl")

    @property
    def accuracy_file(self) -> Path:
        """What ofa.evaluate writes."""
        return self.file.with_name(f"{self.file.stem}.accuracy.json")
