"""What an estimate is asked for, as values."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ofa.errors import InputError
from ofa.space import RESOLUTIONS
from profilers.profiling.options import at_least_1


@dataclass(frozen=True)
class TransferOptions:
    """out: the file to write, which ends in .csv

    networks: networks and what they took; column: which latency column, if the file has more than one
    suggest: write so many networks to be timed to `out`, instead of a table, at least 1
    runtime: with suggest, also write them as models for it
    source: a table of a related device; None: fitted on the networks alone
    spaces: those the table is for
    resolutions: of the images, pixels
    num_classes: classes of the classifier, at least 1
    device: what to call the device; None: what the networks' file says
    batch: images a run, at least 1; None: what the networks' file says, else 1
    seed: of the candidates of suggest
    overwrite: replace even a table that was measured or imported
    """

    out: Path
    networks: Path | None = None
    column: str | None = None
    suggest: int | None = None
    runtime: str | None = None
    source: str | None = None
    spaces: tuple[str, ...] = ("mbv3-w1.0",)
    resolutions: tuple[int, ...] = RESOLUTIONS
    num_classes: int = 1000
    device: str | None = None
    batch: int | None = None
    seed: int = 0
    overwrite: bool = False


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
