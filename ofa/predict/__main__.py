"""`python -m ofa.predict`: classes and probabilities of photographs, by an exported model."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from contextlib import suppress

from ofa.cli.command import Command
from ofa.cli.console import make_console, progress_bar, tell
from ofa.cli.run import run
from ofa.cli.streams import nobody_reads
from ofa.errors import one_line
from ofa.predict.config import PredictConfig
from ofa.predict.run import ImageClasses, PredictWatcher, predict_images

COMMAND = Command("ofa.predict", PredictConfig, example="photo.jpg holiday/ --model net.onnx")


class _NobodyReads(Exception):
    """The reader of the lines went away (`| head`), and no file was asked for."""


def main(argv: Sequence[str] | None = None) -> int:
    config = COMMAND.parse(argv)
    console = make_console()

    with progress_bar(console, counted=True) as bar:
        total = done = 0

        def begin(images: int, lines: Sequence[str], marks: Sequence[str]) -> None:
            nonlocal total
            total = images
            tell(console, lines, marks)

        def advance() -> None:
            nonlocal done
            done += 1
            if total > 1:
                bar.show("images", done, total)

        def predicted(found: ImageClasses) -> None:
            console.print(line_of(found), soft_wrap=True)
            if config.json is None and nobody_reads():
                raise _NobodyReads
            advance()

        def broken(name: str, reason: str) -> None:
            print(one_line(f"warning: {name} is skipped: {reason}"), file=sys.stderr)
            advance()

        with suppress(_NobodyReads):
            predict_images(config, PredictWatcher(begin, predicted, broken))
    if config.json is not None:
        console.print(f"wrote {config.json}", soft_wrap=True)
    return 0


def line_of(found: ImageClasses) -> str:
    """ "photo.jpg: church 97.2 %, garbage truck 1.1 %" """
    return f"{found.file}: " + ", ".join(f"{guess.label} {100 * guess.probability:.1f} %" for guess in found.top)


if __name__ == "__main__":
    run(main)
