"""What `python -m profilers.validate` is asked for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from ofa.cli.config import AtLeast, Option
from ofa.cli.options import OptionalCount, Seed, SpaceName
from profilers.devices.access_options import AccessOptions
from profilers.profiling.profile_options import ResumeOptions, TimingOptions

# with fewer networks neither a fit nor a score says anything
FEWEST = 10


@dataclass(frozen=True, kw_only=True)
class ValidateConfig(AccessOptions, TimingOptions, ResumeOptions):
    """Measure whole networks and compare them with the sums of a table made on this machine.

    A fifth of them fit a correction of the sums, the others are scored. Writes TABLE.validation.json and .png, and puts
    correction and expected error into the table's header, where the search uses and shows them.
    """

    # the journal is bound to its rows: a validation writes into its header
    table: Annotated[str, Option(metavar="T")]
    """a table measured on this machine: a CSV or a shipped name"""

    networks: Annotated[int, AtLeast(FEWEST), Option(metavar="N")] = 125
    """how many whole networks to measure"""

    space: SpaceName = None
    """search space, if the table does not name just one"""

    num_classes: OptionalCount = None
    """classes of the classifier (default: the table's)"""

    seed: Seed = 0
    """of the choice of networks, and of the order of visits"""
