"""What `python -m ofa.search` is asked for."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from ofa.cli.config import Above, AtLeast, Between, Config, Free, Input, Option, Output
from ofa.cli.options import PredictorFile, Resolutions, Seed, SpaceName
from ofa.errors import UsageError
from ofa.reading.kinds import TABLE
from ofa.tables.shipped import find_table


@dataclass(frozen=True, kw_only=True)
class SearchConfig(Config):
    """Find the most accurate sub-network that meets each latency limit.

    Without a limit, find the accuracy-latency frontier from the fastest to the slowest sub-network, or with
    --frontier energy the accuracy-energy frontier.
    """

    table: Annotated[tuple[str, ...], Input(find=find_table, kinds=(TABLE,)), Option(metavar="T")]
    """latency table: a CSV or a shipped name (repeatable)"""

    latency: Annotated[tuple[float, ...], Above(0), Option(metavar="MS")] = ()
    """limits in ms, all searched in one run; the table's batch size applies"""

    confidence: Annotated[float | None, Between(50, 99.9, "a per cent"), Option(metavar="PCT")] = None
    """keep the limits on the device with this probability, such as 95, by the latencies of whole networks there
    (python -m profilers.margin)"""

    sustained: bool = False
    """keep the limits on a device that has run for long, by how much a network slowed there (python -m profilers.verify
    --sustained 10m --record)"""

    max_macs: Annotated[float | None, Above(0), Option(metavar="M")] = None
    """at most M million MACs"""

    max_params: Annotated[float | None, Above(0), Option(metavar="M")] = None
    """at most M million parameters"""

    max_energy: Annotated[float | None, Above(0), Option(metavar="MJ")] = None
    """at most MJ millijoules; needs a table with energies"""

    frontier: Literal["latency", "energy"] | None = None
    """without a limit: the quantity that accuracy is traded against (default: latency)"""

    space: SpaceName = None
    """search space, such as mbv3-w1.0, if the table does not name exactly one"""

    num_classes: Annotated[int | None, AtLeast(1), Option(metavar="N")] = None
    """number of classes of the classifier (default: the first table's)"""

    resolutions: Resolutions = None
    """such as 160,192 or 128:224:4 (default: those that table and predictor share)"""

    predictor: PredictorFile = None
    """accuracy predictor: .safetensors, MIT's .pth, or an id of ofa.zoo (default: the space's own)"""

    method: Literal["exact", "evolution"] | None = None
    """exact: the best network, proven; evolution: the paper's search (default: exact if the predictor adds up over
    units, else an evolution that starts from the exact frontier of an imitation of the predictor)"""

    kernel_sizes: Annotated[tuple[int, ...], AtLeast(1), Option(metavar="K")] = ()
    """use only these kernel sizes, such as 3 5"""

    expand_ratios: Annotated[tuple[float, ...], Above(0), Option(metavar="E")] = ()
    """use only these expand ratios, such as 3 4"""

    depths: Annotated[tuple[int, ...], AtLeast(0), Option(metavar="D")] = ()
    """use only these depths, in every unit, such as 2 3"""

    best: Annotated[int, AtLeast(1), Option(metavar="N")] = 1
    """how many networks to find for each limit"""

    differ: Annotated[int, AtLeast(1), Option(metavar="N")] = 1
    """with --best: the least number of choices in which any two of the networks differ"""

    together: bool = False
    """find one network for all tables, within the limit of each: as many --latency as --table, or one for all"""

    networks: Annotated[tuple[str, ...], Free(), Option(metavar="NETWORK")] = ()
    """also show these networks, which are in no space, by the sums of their blocks: names such as mobilenet_v2, JSON
    lists of blocks, net.configs"""

    allow_emulated: bool = False
    """accept tables of emulated devices, whose latencies mean nothing"""

    seed: Seed = 0
    """the same seed gives the same result"""

    out: Annotated[Path, Output(folder=True), Option(metavar="DIR")] = Path("out/search")
    """folder for result.json and frontier.png"""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.frontier and self.latency:
            raise UsageError("--frontier is what to search without limits: leave out --latency, or give --max-energy")
        if self.frontier == "energy" and self.networks:
            raise UsageError("--networks are shown by their latencies: leave out --frontier energy")
        if self.confidence is not None and not self.latency:
            raise UsageError("--confidence is that of keeping latency limits: name them with --latency")
        if self.sustained and not self.latency:
            raise UsageError("--sustained is about keeping latency limits: name them with --latency")
        if self.differ > 1 and self.best == 1:
            raise UsageError("--differ is for several networks: add --best, such as --best 3")
        if self.together and len(self.latency) not in (1, len(self.table)):
            raise UsageError(
                f"--together needs one --latency for each of {len(self.table)} tables, or one for all, not "
                f"{len(self.latency)}"
            )
        if self.together and (self.method == "evolution" or self.frontier or self.max_energy is not None):
            raise UsageError("--together is an exact search of latencies: leave out --method, --frontier, --max-energy")
