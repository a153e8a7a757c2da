"""`python -m ofa.train`: trains a supernet by progressive shrinking, or as that is compared with, on any images."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ofa.cli.command import Command, check_inputs
from ofa.cli.console import make_console, progress_bar, spelled
from ofa.cli.run import run
from ofa.train.config import TrainConfig

if TYPE_CHECKING:
    from ofa.images.held_out import Photos
    from ofa.training.recipe import Stage

COMMAND = Command(
    "ofa.train",
    TrainConfig,
    example="--data my-photos.zip --space mbv3-w0.5 --resolutions 64:96:4 --epochs-scale 0.05 --out runs/mine",
)
LESS_MEMORY = "continue with --graphs off --resume, or begin anew with a smaller --batch-size and another --out"


def main(argv: Sequence[str] | None = None) -> int:
    config = COMMAND.parse(argv)
    check_inputs(config)
    from ofa.images.files.names import shown
    from ofa.images.reading import broken_line, left_out_lines
    from ofa.train.run import TrainWatcher, class_counts, rare_classes, train_supernet

    console = make_console(quiet=int(os.environ.get("RANK", "0")) > 0)

    def begin(photos: Photos) -> None:
        counts = class_counts(photos)
        listed = ", ".join(f"{shown(name)} {count:,}" for name, count in list(counts.items())[:20])
        more = f" and {len(counts) - 20} more classes" if len(counts) > 20 else ""
        console.print(
            f"{len(photos.indices):,} images of {len(counts)} classes to train on, {len(photos.held_out):,} held out: "
            f"{listed}{more}",
            soft_wrap=True,
        )
        if config.new_classes:
            console.print(f"a new classifier is drawn; all other weights are those of {config.start}", soft_wrap=True)
        for line in left_out_lines(photos.folder):
            print(line, file=sys.stderr)
        rare = rare_classes(photos)
        if rare:
            warn(rare)

    def epoch(stage: Stage, metrics: Mapping[str, Any]) -> None:
        text = f"{stage.name} {metrics['epoch']}/{stage.epochs}: loss {metrics['train_loss']:.4f}, "
        text += f"top-1 {metrics['train_top1']:.2f} %"
        for label in ("largest", "smallest", "alone"):
            if metrics.get(f"{label}_top1") is not None:
                text += f"; {label} {metrics[f'{label}_top1']:.2f} %"
        console.print(f"{text} ({metrics['seconds']:.0f} s)")

    def warn(text: str) -> None:
        print(f"warning: {text}", file=sys.stderr)

    with progress_bar(console) as bar:
        result = train_supernet(config, TrainWatcher(begin, bar.show, epoch, warn))
    if result.broken and result.first:
        print(broken_line(result.photos.folder, result.broken), file=sys.stderr)
    if not result.finished:
        text = f"stopped: the run is kept; the same command with --resume continues it ({config.out})"
        console.print(text, soft_wrap=True)
        return 130
    console.print(f"wrote {result.path}", soft_wrap=True)
    which = () if config.method == "alone" else ("--random", 3)
    evaluate = spelled("ofa.evaluate", "--checkpoint", result.path, *which, "--data", config.data)
    console.print(f"next: {evaluate}", soft_wrap=True)
    return 0


if __name__ == "__main__":
    run(main, less_memory=LESS_MEMORY)
