"""What `ofa space show` is asked for."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from ofa.cli.config import Config, Free, Option
from ofa.cli.options import SPACE_FILE, OptionalCount, resolutions
from ofa.errors import InputError
from ofa.space import SearchSpace, get_space
from ofa.space.families import default_resolutions
from ofa.tables import LatencyTable

RESOLUTIONS = (128, 160, 192, 208, 224)  # those that profilers measure where none are named


@dataclass(frozen=True, kw_only=True)
class SpaceShowConfig(Config):
    """Show a search space: its units, how many sub-networks and blocks there are, the smallest and the largest."""

    space: Annotated[str, SPACE_FILE, Option(metavar="NAME|FILE", positional=True)]
    """mbv3-w<width>, proxyless-w<width>, resnet50d, or a file: of a description, such as my-space.toml, or a latency
    table that ends in .csv, whose header describes its space"""

    resolutions: Annotated[tuple[int, ...], Option(metavar="R", parse=resolutions)] = ()
    """sides of the images in pixels, such as 128,160 or 128:224:32 (default: those of the space's file, else
    128,160,192,208,224)"""

    num_classes: OptionalCount = None
    """number of classes of the classifier (default: the table's, else 1000)"""

    toml: Annotated[bool, Free()] = False
    """print the description as a file of your own would have it, and nothing else"""

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.resolutions:
            object.__setattr__(self, "resolutions", default_resolutions(self.space, RESOLUTIONS))

    def described(self) -> SearchSpace:
        """The space; InputError where there is none of that name, or a table is of several."""
        if self.space.lower().endswith(".csv"):
            table = LatencyTable.load(Path(self.space))
            if len(table.spaces) > 1:
                names = ", ".join(table.spaces)
                raise InputError(f"{self.space} is of several spaces, {names}: show one by its own name or file")
            return table.space(num_classes=self.num_classes)
        return get_space(self.space, self.num_classes or 1000)
