"""Imports block latencies published by others into our CSV: `python -m latency_tables.convert --help`."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from ofa.cli.command import Command
from ofa.cli.config import Config, Input, Option, Output
from ofa.cli.console import spelled
from ofa.cli.options import OptionalCount, Spaces

if TYPE_CHECKING:
    from ofa.tables import LatencyTable


@dataclass(frozen=True, kw_only=True)
class ConvertConfig(Config):
    """Import block latencies published by others (YAML or JSON) into a latency table."""

    files: Annotated[tuple[Path, ...], Input(), Option(positional=True)]
    """published files, one or more"""

    format: Literal["mit", "nsganet"]
    """format of the files' keys"""

    space: Spaces
    """the space of the blocks, by its name or the file of its description (repeatable)"""

    device: Annotated[str, Option(metavar="D")]
    """the device that was measured"""

    source: Annotated[str, Option(metavar="TEXT")]
    """who published the files, where, and under which licence"""

    runtime: Annotated[str, Option(metavar="R")] = "not stated by the source"
    """what ran the blocks, with its version"""

    threads: Annotated[str, Option(metavar="N")] = "not stated by the source"
    """threads of one operator"""

    batch: OptionalCount = None
    """images in a run, if the source states it (default: not stated; latencies then count as those of one image)"""

    dtype: Annotated[str, Option(metavar="T")] = "not stated by the source"
    """number format of the computation, such as float32"""

    expected_error: Annotated[str, Option(metavar="TEXT")] = "not known: never compared with whole networks"
    """what is known of the error of the table's sums"""

    out: Annotated[Path, Output(), Option(metavar="CSV")]
    """the table to write"""


COMMAND = Command(
    "latency_tables.convert",
    ConvertConfig,
    'note10/*.yaml --format mit --space mbv3-w1.2 --device "Samsung Galaxy Note10" '
    '--source "once-for-all, Apache-2.0" --out latency_tables/note10.csv',
)


def main(argv: Sequence[str] | None = None) -> int:
    config = COMMAND.parse(argv)
    from latency_tables.published_blocks import copies, fit_of

    words = sys.argv[1:] if argv is None else argv
    table, left_out = convert_files(config, spelled("latency_tables.convert", *words))
    fits = {name: fit_of(table, name) for name in config.space}
    table.save(config.out)
    print(f"wrote {config.out}: {len(table.rows)} blocks of {table.device}")
    for name, fit in fits.items():
        sizes = f"complete at {len(fit.priced)} resolutions" if fit.priced else "at no resolution complete"
        print(f"{fit.blocks} of {len(table.rows)} blocks are of {name}, {sizes}")
    if copied := copies(table):
        name, count = copied
        print(f"{count} latencies are those of the shipped table {name}, to the digit: is it another device's?")
    if left_out:
        print(f"left out {len(left_out)} entries that are no block of ours, such as {left_out[0]}")
    searched = next((name for name, fit in fits.items() if fit.priced), None)
    if searched is not None:
        print(f"next: {spelled('ofa.search', '--table', config.out, '--space', searched)}")
    return 0


def convert_files(config: ConvertConfig, command: str) -> tuple[LatencyTable, list[str]]:
    """The table of published files, and the keys left out. InputError names what cannot be read. command: as typed"""
    from datetime import UTC, datetime

    from latency_tables.published_blocks import convert, read
    from ofa import __version__
    from ofa.space import get_space

    header = {
        "device": config.device,
        "runtime": config.runtime,
        "threads": config.threads,
        **({} if config.batch is None else {"batch": str(config.batch)}),
        "dtype": config.dtype,
        "when": f"imported {datetime.now(UTC):%Y-%m-%d}",
        "tool": f"ofa-latency {__version__}",
        "source": config.source,
        "command": command,
        "statistic": "latency_ms is the mean of the runs, std_ms their standard deviation, as published",
    }
    if config.format == "nsganet":
        header["omits"] = "global_pool"  # the format has no entry for it
    for name in config.space:
        get_space(name)
    sources = {str(path): read(path) for path in config.files}
    table, left_out = convert(sources, config.format, config.space, header)
    return table.with_error(config.expected_error), left_out


if __name__ == "__main__":
    from ofa.cli.run import run

    run(main)
