"""What `python -m profilers.margin` is asked for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from ofa.cli.config import AtLeast, Between, Free, Option
from ofa.cli.options import OptionalCount, PredictorFile, Resolutions, Seed, SpaceName
from profilers.devices.access_options import AccessOptions
from profilers.profiling.profile_options import JournalOptions, OptionalVisits, TimingOptions

# for 95 per cent: see ofa.tables.margin.needed_runs
FEWEST = 19


@dataclass(frozen=True, kw_only=True)
class MarginConfig(AccessOptions, TimingOptions, JournalOptions):
    """Measure, on two or more occasions, how much longer the networks that searches find take than their sums.

    Run it on two occasions, each of which is like any other. It writes TABLE.margin.json. From the second occasion on,
    it also writes the margin into the table's header, which `ofa.search --confidence 95` uses. --check measures other
    networks.
    """

    # its file is bound to the table's rows: a margin is written into its header
    table: Annotated[str, Free(), Option(metavar="T")]
    """a measured table of this machine, a phone or a board: a CSV or a shipped name"""

    winners: Annotated[int, AtLeast(FEWEST), Option(metavar="N")] = 39
    """networks in each half of the latency range; their limits are drawn log-uniformly"""

    check: Annotated[OptionalCount, Free(), Option(metavar="N")] = None
    """instead, measure how many of N other networks, found with the margin of --confidence, keep their limits"""

    confidence: Annotated[float, Free(), Between(50, 99.9, "a per cent"), Option(metavar="PCT")] = 95.0
    """confidence of --check, per cent"""

    apart: Annotated[float, Free(), Between(0, 525_600, "minutes, a year at most,"), Option(metavar="MIN")] = 20.0
    """minutes between the end of an occasion and the beginning of the next"""

    visits: Annotated[OptionalVisits, Free()] = None
    """visits of each network on an occasion (default: as the device's whole networks have, 5 on a CPU)"""

    predictor: PredictorFile = None
    """accuracy predictor of the searches (default: the space's own); each limit draws its own from the members"""

    space: SpaceName = None
    """search space, if the table does not name exactly one"""

    num_classes: OptionalCount = None
    """number of classes of the classifier (default: the table's)"""

    resolutions: Resolutions = None
    """such as 160,192 or 128:224:4 (default: those that table and predictor share)"""

    seed: Seed = 0
    """seed of the limits and of the order of visits"""
