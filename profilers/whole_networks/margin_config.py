"""What `python -m profilers.margin` is asked for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from ofa.cli.config import AtLeast, Between, Free, Option
from ofa.cli.options import OptionalCount, PredictorFile, Resolutions, Seed, SpaceName
from profilers.devices.access_options import AccessOptions
from profilers.profiling.profile_options import JournalOptions, TimingOptions

# for 95 per cent: see ofa.tables.margin.needed_runs
FEWEST = 19


@dataclass(frozen=True, kw_only=True)
class MarginConfig(AccessOptions, TimingOptions, JournalOptions):
    """Measure networks that searches find, on two or more occasions: how much longer they take than their sums say.

    Run it twice, on occasions of which each is like any other. Writes TABLE.margin.json, and from the second occasion
    on the margin into the table's header, which `ofa.search --confidence 95` uses. --check measures other networks.
    """

    # its file is bound to the table's rows: a margin is written into its header
    table: Annotated[str, Free(), Option(metavar="T")]
    """a measured table, of this machine, a phone or a board: a CSV or a shipped name"""

    winners: Annotated[int, AtLeast(FEWEST), Option(metavar="N")] = 39
    """networks in each half of the latency range, found within limits drawn log-uniformly"""

    check: Annotated[OptionalCount, Free(), Option(metavar="N")] = None
    """instead: so many other networks, found with the margin of --confidence: how many keep their limits"""

    confidence: Annotated[float, Free(), Between(50, 99.9, "a per cent"), Option(metavar="PCT")] = 95.0
    """of --check"""

    apart: Annotated[float, Free(), Between(0, 525_600, "minutes, a year at most,"), Option(metavar="MIN")] = 20.0
    """minutes between the end of an occasion and the next"""

    visits: Annotated[OptionalCount, Free(), Option(metavar="N")] = None
    """of a network on an occasion (default: the device's for whole networks, 5 on a CPU)"""

    predictor: PredictorFile = None
    """accuracy predictor that searches (default: the space's own); each limit's is drawn anew from its members"""

    space: SpaceName = None
    """search space, if the table does not name just one"""

    num_classes: OptionalCount = None
    """classes of the classifier (default: the table's)"""

    resolutions: Resolutions = None
    """such as 160,192 or 128:224:4 (default: what table and predictor share)"""

    seed: Seed = 0
    """of the limits, and of the order of visits"""
