"""What an estimate is asked for, as values."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ofa.errors import InputError
from ofa.space import RESOLUTIONS
from profilers.profiling.profile_options import at_least_1


@dataclass(frozen=True, kw_only=True)
class TransferOptions:
    """Whole networks and a table of a related device, from which a table is estimated."""

    out: Path
    """the file to write, which ends in .csv"""

    networks: Path | None = None
    """networks and what they took"""

    column: str | None = None
    """which latency column of theirs, if there are more than one"""

    suggest: int | None = None
    """write so many networks to be timed to `out`, instead of a table, at least 1"""

    runtime: str | None = None
    """with suggest, also write them as models for it"""

    source: str | None = None
    """a table of a related device (default: the networks alone)"""

    spaces: tuple[str, ...] = ("mbv3-w1.0",)
    """those the table is for"""

    resolutions: tuple[int, ...] = RESOLUTIONS
    """of the images, pixels"""

    num_classes: int = 1000
    """classes of the classifier, at least 1"""

    device: str | None = None
    """what to call the device (default: what the networks' file says)"""

    batch: int | None = None
    """images a run, at least 1 (default: what the networks' file says, else 1)"""

    seed: int = 0
    """of the candidates of suggest"""

    overwrite: bool = False
    """replace even a table that was measured or imported"""


def check(options: TransferOptions) -> None:
    """InputError for options that make no sense."""
    for name, value in (
        ("--suggest", options.suggest),
        ("--num-classes", options.num_classes),
        ("--batch", options.batch),
    ):
        at_least_1(name, value)
    if (options.networks is None) == (options.suggest is None):
        raise InputError("one of --networks and --suggest is needed")
    if options.out.suffix != ".csv":
        raise InputError(f"--out is {options.out}, expected a file that ends in .csv")
