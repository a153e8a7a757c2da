"""What `python -m profilers.energy` is asked for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from ofa.cli.config import AtLeast, Between, Option
from ofa.cli.options import OptionalCount, Seed, SpaceName
from profilers.devices.access_options import AccessOptions
from profilers.profiling.profile_options import JournalOptions, TimingOptions

# with fewer networks the error of a model with two terms says nothing
FEWEST = 5


@dataclass(frozen=True, kw_only=True)
class EnergyConfig(AccessOptions, TimingOptions, JournalOptions):
    """Measure the energy of whole networks by the battery of a phone or board, and estimate that of every block.

    The device must run on its battery: reach a phone over Wi-Fi, and unplug it. A Jetson board is measured by the
    sensor of its input instead. Each network runs for half a minute in every round, after half a minute with almost no
    runs, whose power is subtracted. A model of latency and MACs, fitted on the networks, estimates every block's
    energy. The command writes TABLE.energy.json, and puts the estimates into the table, for ofa.search --max-energy and
    --frontier energy.

    exit codes: 0 estimates were written, 2 wrong input, a device that charges or reports no battery figures
    """

    # the journal is bound to its sums: the energies are written into it
    table: Annotated[str, Option(metavar="T")]
    """a measured table of a phone or a board: a CSV"""

    networks: Annotated[int, AtLeast(FEWEST, "its model's error would mean nothing"), Option(metavar="N")] = 10
    """how many whole networks to measure, from the fastest to the slowest"""

    rounds: Annotated[int, Between(2, 20, "rounds, whose spread is the error,"), Option(metavar="N")] = 2
    """how often each network is measured: a turn, idle and then busy, each time"""

    half: Annotated[float, Between(30, 3600, "seconds"), Option(metavar="S")] = 30.0
    """seconds of each half of a turn; longer ones where the battery's figures are coarse or slow"""

    space: SpaceName = None
    """search space, if the table does not name exactly one"""

    num_classes: OptionalCount = None
    """number of classes of the classifier (default: the table's)"""

    seed: Seed = 0
    """seed of the choice of networks and of their order"""
