"""What `python -m profilers.validate` is asked for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from ofa.cli.config import AtLeast, Config, Free, Option
from ofa.cli.options import OptionalCount, Seed, SpaceName
from profilers.devices.access_options import AccessOptions
from profilers.profiling.profile_options import JournalOptions, OptionalVisits, TimingOptions

# with fewer networks neither a fit nor a score says anything
FEWEST = 10


@dataclass(frozen=True, kw_only=True)
class BesideOptions(Config):
    """Networks that are in no space."""

    # their blocks identify a run, whatever they are called
    also: Annotated[tuple[str, ...], Free(), Option(metavar="NETWORK")] = ()
    """also measure networks that are in no space: names such as mobilenet_v2, or files with lists of blocks"""


@dataclass(frozen=True, kw_only=True)
class ValidateConfig(BesideOptions, AccessOptions, TimingOptions, JournalOptions):
    """Measure whole networks on a table's device, and compare them with the sums of the table.

    A fifth of the networks fit a correction of the sums, and the others score it. The command writes
    TABLE.validation.json and .png, and puts correction and expected error into the table's header, for the search.
    """

    # the journal is bound to its rows: a validation writes into its header
    table: Annotated[str, Option(metavar="T")]
    """a measured table of this machine, a phone or a board: a CSV or a shipped name"""

    networks: Annotated[int, AtLeast(FEWEST), Option(metavar="N")] = 125
    """how many whole networks to measure"""

    visits: OptionalVisits = None
    """visits of each network (default: as the device's whole networks have, 5 on a CPU); more leave less noise"""

    space: SpaceName = None
    """search space, if the table does not name exactly one"""

    num_classes: OptionalCount = None
    """number of classes of the classifier (default: the table's)"""

    seed: Seed = 0
    """seed of the choice of networks and of the order of visits"""
