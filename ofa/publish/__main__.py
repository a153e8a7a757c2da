"""`python -m ofa.publish`: one small file of a supernet, for people who do not have its images."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from ofa.cli.command import Command, check_inputs
from ofa.cli.console import make_console, progress_bar, spelled, tell
from ofa.cli.run import run
from ofa.publish.config import PublishConfig

if TYPE_CHECKING:
    from rich.table import Table

    from ofa.images.facts import ImageFacts
    from ofa.images.files.folder import ImageFolder

COMMAND = Command(
    "ofa.publish",
    PublishConfig,
    example="--checkpoint out/supernet/supernet.safetensors --data IMAGES --out mine.safetensors",
)


def main(argv: Sequence[str] | None = None) -> int:
    config = COMMAND.parse(argv)
    check_inputs(config)
    from ofa.images.reading import broken_lines, left_out_lines
    from ofa.publish.run import PublishWatcher, publish_supernet

    console = make_console()

    def begin(folder: ImageFolder, known: ImageFacts) -> None:
        tell(console, left_out_lines(folder), known.marks)

    with progress_bar(console) as bar:
        result = publish_supernet(config, PublishWatcher(begin, bar.show))
    if result.compared:
        console.print(comparison(result.compared))
    for line in broken_lines(*result.folders):
        print(line, file=sys.stderr)
    size = result.path.stat().st_size / 1e6
    console.print(f"wrote {result.path}: {size:.2f} MB, with {config.images} synthetic images", soft_wrap=True)
    given = ("--checkpoint", result.path, "--subnet", "FILE", "--format", "onnx")
    console.print(f"next: {spelled('ofa.export', *given)}", soft_wrap=True)
    return 0


def comparison(rows: Sequence[Mapping[str, float]]) -> Table:
    """Of every sub-network that was compared, and of their mean."""
    from rich.table import Table

    table = Table("sub-network", "px", "top-1 %, real images", "synthetic")
    kinds = ("real", "synthetic")
    for i, row in enumerate(rows, 1):
        table.add_row(str(i), str(row["resolution"]), *(f"{row[kind]:.2f}" for kind in kinds))
    table.add_row("mean", "", *(f"{sum(row[kind] for row in rows) / len(rows):.2f}" for kind in kinds))
    return table


if __name__ == "__main__":
    run(main)
