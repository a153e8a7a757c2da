"""What `python -m ofa.quickstart` is asked for."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from ofa.cli.config import Between, Config, Free, Input, Option, Output

LEAST_MINUTES = 5


@dataclass(frozen=True, kw_only=True)
class QuickstartConfig(Config):
    """Make a network for this machine from a folder of photographs, in a quarter of an hour.

    It trains a supernet, collects accuracies, fits a predictor to them and measures this CPU. Then it searches for the
    best network, measures, exports and evaluates it. Each step is a command of its own, which is printed as you would
    type it. The result is a toy: for a network to rely on, use the same commands and give them more time.

    exit codes: 0 done, 2 wrong input, 130 stopped; else that of the command that failed. --resume continues.
    """

    images: Annotated[Path, Input(images=True), Option(positional=True)]
    """photographs: a folder or zip with a folder for each class, also below train and val"""

    minutes: Annotated[float, Between(LEAST_MINUTES, 10_000, "minutes"), Option(metavar="N"), Free()] = 15
    """time for all steps together; sizes and lengths follow from it and from the speed of this machine. A resumed run
    keeps those that it began with"""

    from_scratch: bool = False
    """begin with random weights (default: with the shipped supernet's, which was trained on Imagenette)"""

    out: Annotated[Path, Output(folder=True), Option(metavar="DIR")] = Path("out/quickstart")
    """folder for everything that is made"""

    dry_run: Annotated[bool, Free()] = False
    """print the commands and how long each should take, and run none"""

    resume: Annotated[bool, Free()] = False
    """continue where a run into the same folder was stopped"""
