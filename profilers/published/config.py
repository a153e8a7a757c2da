"""What `python -m profilers.baselines` is asked for."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from ofa.cli.config import Between, Free, Input, Option, Output
from ofa.cli.options import PredictorFile, Resolutions, Seed, SpaceName
from ofa.errors import UsageError
from ofa.published.opening import is_named, open_network
from ofa.reading.kinds import TABLE
from ofa.tables.shipped import find_table
from profilers.devices.access_options import AccessOptions
from profilers.profiling.profile_options import JournalOptions, OptionalVisits, TimingOptions


@dataclass(frozen=True, kw_only=True)
class BaselinesConfig(AccessOptions, TimingOptions, JournalOptions):
    """Measure published networks on a table's device, beside the networks that a search in the table finds.

    All of them are timed whole, in one run and in a random order. A published network has the accuracy that its
    authors state and, in a column of its own, timm's, which comes of a later recipe. The accuracy of a found network
    is predicted. The result is TABLE.baselines.json.

    exit codes: 0, 1 a network could not be measured or the machine has changed, 2 wrong input, 130 stopped
    """

    table: Annotated[str, Input(find=find_table, kinds=(TABLE,)), Option(metavar="T")]
    """a measured table of this machine, a phone or a board, of 1,000 classes: a CSV or a shipped name"""

    networks: Annotated[tuple[str, ...], Option(metavar="NAME")] = ()
    """published networks, such as mobilenet_v2 resnet50, and files with lists of blocks (default: all that have
    published accuracies)"""

    found: Annotated[int, Between(2, 100), Option(metavar="N")] = 12
    """how many found networks, from the fastest to the slowest; each is slower than the one before by about the same
    ratio"""

    visits: OptionalVisits = None
    """how often each network is visited, spread over time (default: 5 on a CPU, on others what fits the device)"""

    space: SpaceName = None
    """search space, if the table does not name exactly one"""

    predictor: PredictorFile = None
    """accuracy predictor of ImageNet's 1,000 classes (default: the space's own)"""

    resolutions: Resolutions = None
    """sides of the images of found networks in pixels, such as 160,192 or 128:224:4 (default: those that table and
    predictor share)"""

    seed: Seed = 0
    """seed of the order of visits"""

    out: Annotated[Path | None, Output(), Free(), Option(metavar="FILE")] = None
    """the file to write (default: TABLE.baselines.json)"""

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in self.networks:
            if not is_named(name):
                open_network(name)
        if self.out is not None and self.out.suffix != ".json":
            raise UsageError(f"--out is {self.out}, expected a file that ends in .json")

    @property
    def file(self) -> Path:
        """The file to write."""
        return find_table(self.table).with_suffix(".baselines.json") if self.out is None else self.out
