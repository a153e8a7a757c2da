"""Imports whole-network latencies published by others: `python -m latency_tables.convert_networks --help`."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from ofa.cli.command import Command
from ofa.cli.config import Config, Input, Option, Output
from ofa.cli.options import Count, Space
from ofa.errors import UsageError
from ofa.runs.files import replace_file


@dataclass(frozen=True, kw_only=True)
class ConvertNetworksConfig(Config):
    """Import whole-network latencies published by others, for python -m profilers.transfer."""

    file: Annotated[Path, Input(), Option(positional=True)]
    """the published list"""

    format: Literal["mit", "help", "qed", "accel", "fbnet"]
    """format of the list"""

    only: Annotated[str | None, Option(metavar="D")] = None
    """mit: the device, as the list names it"""

    space: Space = "mbv3-w1.2"
    """help: the space of the networks"""

    every: Count = 1
    """only every N-th network"""

    device: Annotated[str | None, Option(metavar="D")] = None
    """the device that was measured, if it is one"""

    batch: Annotated[str, Option(metavar="N")] = "1"
    """images in a run; if columns differ in it, their names state it"""

    source: Annotated[str, Option(metavar="TEXT")]
    """who published the list, where, and under which licence"""

    out: Annotated[Path, Output(), Option(metavar="CSV")]
    """the file to write"""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.format == "mit" and not (self.only and self.device):
            raise UsageError("--format mit needs --only and --device")


COMMAND = Command(
    "latency_tables.convert_networks",
    ConvertNetworksConfig,
    'published.csv --format mit --only note8 --device "Samsung Galaxy Note8" --source "once-for-all" '
    "--out latency_tables/networks/note8.csv",
)


def main(argv: Sequence[str] | None = None) -> int:
    config = COMMAND.parse(argv)
    print(f"wrote {config.out}: {convert_networks(config)} networks")
    return 0


def convert_networks(config: ConvertNetworksConfig) -> int:
    """Writes the networks of a published list; how many. InputError names what cannot be read."""
    from latency_tables.published_networks import read_coded, read_help, read_mit
    from ofa.tables.network_times import write_networks

    header = {"source": config.source}
    names: list[str] = []
    if config.format in ("qed", "accel", "fbnet"):
        codes, of_columns = read_coded(config.file, config.format, config.every)
        _write_coded(config.out, header, codes, of_columns)
        return len(codes)
    if config.only and config.device and config.format == "mit":
        networks, latencies, names = read_mit(config.file, config.only)
        header = {"device": config.device, "batch": config.batch, **header}
    else:
        networks, latencies = read_help(config.file, config.space, config.every)
    write_networks(config.out, header, networks, latencies, names)
    return len(networks)


def _write_coded(
    path: Path, header: Mapping[str, str], codes: Mapping[str, str], latencies: Mapping[str, Sequence[str]]
) -> None:
    """Networks as `ofa.published.coded` reads them, by code, each with its name, if one has any."""
    named = any(codes.values())

    def write(temporary: Path) -> None:
        with temporary.open("w", encoding="utf-8", newline="") as file:
            for key, value in header.items():
                file.write(f"# {key}: {value}\n")
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow((*(("name",) if named else ()), "network", *latencies))
            for (code, name), *cells in zip(codes.items(), *latencies.values(), strict=True):
                writer.writerow((*((name,) if named else ()), code, *cells))

    replace_file(path, write)


if __name__ == "__main__":
    from ofa.cli.run import run

    run(main)
