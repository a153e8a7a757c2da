"""`python -m ofa.predictors.collect`: measured accuracies of random sub-networks, for a predictor to be fitted on."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

from ofa.cli.command import Command, check_inputs
from ofa.cli.console import make_console, progress_bar, spelled, tell
from ofa.cli.run import run
from ofa.predictors.collect.config import CollectConfig

if TYPE_CHECKING:
    from rich.console import Console

    from ofa.checkpoints.images import EvaluationImages
    from ofa.predictors.collect.run import Collected

SECONDS_BETWEEN_LINES = 30  # of progress, where there is no terminal
COMMAND = Command(
    "ofa.predictors.collect",
    CollectConfig,
    example="--checkpoint supernet.safetensors --data imagenette2-224.zip --subnets 1000 --out out/accuracies.csv",
)


def main(argv: Sequence[str] | None = None) -> int:
    config = COMMAND.parse(argv)
    check_inputs(config)
    from ofa.images.reading import broken_lines
    from ofa.predictors.collect.collection import CollectWatcher
    from ofa.predictors.collect.run import collect_accuracies

    console = make_console(quiet=int(os.environ.get("RANK", "0")) > 0)
    lines = ProgressLines(console)

    def begin(images: EvaluationImages) -> None:
        tell(console, images.lines, images.facts.marks)
        lines.begin()

    with progress_bar(console) as bar:
        result = collect_accuracies(config, CollectWatcher(begin, bar.show, lines.measured))
    if not result.first:
        return 0
    assert result.images.calibration is not None
    for line in broken_lines(result.images.data, result.images.calibration[0]):
        print(line, file=sys.stderr)
    conclude(console, result)
    return 0


class ProgressLines:
    """Where there is no terminal for a bar: a line every half minute."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self.begin()

    def begin(self) -> None:
        """The work begins now."""
        self._started = self._printed = time.monotonic()

    def measured(self, count: int, total: int, share: float) -> None:
        """So many sub-networks are measured, which is this share of the work."""
        now = time.monotonic()
        if not self._console.is_terminal and now - self._printed >= SECONDS_BETWEEN_LINES:
            self._printed, left = now, (now - self._started) * (1 / share - 1)
            rest = f"{left / 60:.0f} minutes" if left >= 90 else f"{left:.0f} s"
            self._console.print(f"{count:,} of {total:,} sub-networks, about {rest} left")


def conclude(console: Console, result: Collected) -> None:
    """What was measured, what was written, and the command that comes next."""
    from rich.table import Table

    config, space = result.config, result.space
    table = Table("px", "sub-networks", "top-1 %: least", "mean", "greatest")
    for resolution in result.resolutions:
        top1 = [row.top1 for row in result.accuracies if row.subnet.resolution == resolution]
        if top1:
            cells = (min(top1), sum(top1) / len(top1), max(top1))
            table.add_row(str(resolution), str(len(top1)), *(f"{value:.2f}" for value in cells))
    console.print(table)
    done = "wrote" if result.new else "finished before:"
    console.print(
        f"{done} {result.path}: {len(result.accuracies):,} sub-networks of {space.name}, {result.seconds:.0f} s",
        soft_wrap=True,
    )
    parts = config.part[1]
    files = [config.out_of(i) for i in range(1, parts + 1)]
    named = () if space.family == "own" else ("--space", space.name)  # a space of one's own is described in the files
    given = ("--data", *files, *named, "--out", config.out.with_suffix(".safetensors"))
    together = ", with all parts in one place" if parts > 1 else ""
    console.print(f"next{together}: {spelled('ofa.predictors.fit', *given)}", soft_wrap=True)


if __name__ == "__main__":
    run(main)
