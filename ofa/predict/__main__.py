"""`python -m ofa.predict`: classes and probabilities of photographs, by an exported model."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence

from ofa.cli.command import Command
from ofa.cli.console import make_console, progress_bar, tell
from ofa.cli.run import run
from ofa.errors import one_line
from ofa.predict.config import PredictConfig
from ofa.predict.run import ImageClasses, PredictWatcher, predict_images

COMMAND = Command("ofa.predict", PredictConfig, example="photo.jpg holiday/ --model net.onnx")


def main(argv: Sequence[str] | None = None) -> int:
    config = COMMAND.parse(argv)
    console = make_console()
    read_on = True

    def say(show: Callable[[], object]) -> None:
        """Where the reader went away (`| head`), the file that was asked for is written all the same."""
        nonlocal read_on
        try:
            if read_on:
                show()
        except BrokenPipeError:
            if config.json is None:
                raise
            read_on = False

    with progress_bar(console, counted=True) as bar:
        total = done = 0

        def begin(images: int, lines: Sequence[str], marks: Sequence[str]) -> None:
            nonlocal total
            total = images
            say(lambda: tell(console, lines, marks))

        def advance() -> None:
            nonlocal done
            done += 1
            if total > 1:
                bar.show("images", done, total)

        def predicted(found: ImageClasses) -> None:
            say(lambda: console.print(line_of(found), soft_wrap=True))
            advance()

        def broken(name: str, reason: str) -> None:
            say(lambda: print(one_line(f"warning: {name} is skipped: {reason}"), file=sys.stderr))
            advance()

        predict_images(config, PredictWatcher(begin, predicted, broken))
    if config.json is not None:
        say(lambda: console.print(f"wrote {config.json}", soft_wrap=True))
    return 0


def line_of(found: ImageClasses) -> str:
    """ "photo.jpg: church 97.2 %, garbage truck 1.1 %" """
    return f"{found.file}: " + ", ".join(f"{guess.label} {100 * guess.probability:.1f} %" for guess in found.top)


if __name__ == "__main__":
    run(main)
