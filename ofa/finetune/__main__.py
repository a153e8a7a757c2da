"""`python -m ofa.finetune`: trains a specialised network further, on its own."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ofa.cli.command import Command, check_inputs
from ofa.cli.console import make_console, progress_bar, spelled, tell
from ofa.cli.run import run
from ofa.finetune.config import FinetuneConfig

if TYPE_CHECKING:
    from rich.console import Console

    from ofa.finetune.beginning import Beginning
    from ofa.finetune.run import Finetuned

COMMAND = Command(
    "ofa.finetune",
    FinetuneConfig,
    example="--checkpoint supernet.safetensors --subnet out/search/result.json --data imagenet --epochs 25 "
    "--out runs/note10",
)


def main(argv: Sequence[str] | None = None) -> int:
    config = COMMAND.parse(argv)
    check_inputs(config)
    from ofa.finetune.run import FinetuneWatcher, finetune_network
    from ofa.images.reading import broken_lines

    console = make_console()

    def begin(start: Beginning) -> None:
        tell(console, start.lines, start.facts.marks)

    def epoch(metrics: Mapping[str, Any]) -> None:
        text = f"epoch {metrics['epoch']}/{config.epochs}: loss {metrics['train_loss']:.4f}"
        text += f", top-1 {metrics['train_top1']:.2f} %"
        if metrics.get("val_top1") is not None:
            text += f"; validation top-1 {metrics['val_top1']:.2f} %"
        console.print(f"{text} ({metrics['seconds']:.0f} s)")

    with progress_bar(console, counted=True) as bar:
        result = finetune_network(config, FinetuneWatcher(begin, bar.show, epoch))
    for line in broken_lines(result.data.train, result.data.validation):
        print(line, file=sys.stderr)
    if not result.finished:
        text = f"stopped: the run is kept, continue with the same command and --resume ({config.out})"
        console.print(text, soft_wrap=True)
        return 130
    conclude(console, config, result)
    return 0


def conclude(console: Console, config: FinetuneConfig, result: Finetuned) -> None:
    """What came out, and the commands that come next."""
    text = f"batch normalisation calibrated on {result.metrics['calibration_images']} images"
    if "val_top1" in result.metrics:
        text += f": validation top-1 {result.metrics['val_top1']:.2f} %"
    console.print(text, soft_wrap=True)
    console.print(f"wrote {result.network}", soft_wrap=True)
    saved = ("--checkpoint", result.network)
    classes = ("--classes", config.classes) if config.classes else ()
    evaluate = spelled("ofa.evaluate", *saved, "--data", config.val_data or config.data, *classes)
    console.print(f"next: {evaluate}, then {spelled('ofa.export', *saved, '--format', 'tflite')}", soft_wrap=True)


if __name__ == "__main__":
    run(main)
