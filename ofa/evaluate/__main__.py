"""`python -m ofa.evaluate`: accuracy of networks on real images, class by class."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from ofa.cli.command import Command, check_inputs
from ofa.cli.console import make_console, progress_bar, tell
from ofa.cli.run import run
from ofa.evaluate.config import EvaluateConfig

if TYPE_CHECKING:
    from ofa.checkpoints.images import EvaluationImages

COMMAND = Command(
    "ofa.evaluate",
    EvaluateConfig,
    example="--checkpoint supernet.safetensors --subnet out/search/result.json --data imagenet --split val",
)


def main(argv: Sequence[str] | None = None) -> int:
    config = COMMAND.parse(argv)
    check_inputs(config)
    from ofa.evaluate.report import print_evaluation, write_pictures
    from ofa.evaluate.run import EvaluateWatcher, evaluate_networks
    from ofa.images.reading import broken_lines

    console = make_console(quiet=int(os.environ.get("RANK", "0")) > 0)

    def begin(images: EvaluationImages) -> None:
        tell(console, images.lines, images.facts.marks)

    with progress_bar(console, counted=True) as bar:
        result = evaluate_networks(config, EvaluateWatcher(begin, bar.show))
    if not result.first:
        return 0
    calibration = result.images.calibration
    for line in broken_lines(result.images.data, None if calibration is None else calibration[0]):
        print(line, file=sys.stderr)
    print_evaluation(console, result, write_pictures(result))
    return 0


if __name__ == "__main__":
    run(main)
