"""`python -m ofa.finetune`: trains a specialised network further, on its own (Cai et al. 2020: 25 or 75 epochs)."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Any

from ofa.cli.image_options import add_calibrating, add_preprocessing, tell
from ofa.errors import InputError

if TYPE_CHECKING:
    import torch
    from rich.console import Console
    from torch import Tensor

    from ofa.images.folder import ImageFolder
    from ofa.networks import PlainNetwork
    from ofa.runs.processes import Processes
    from ofa.training.loop import Step, StepResult, Training

# the original implementation's, for 64 images
RATE_PER_IMAGE = 2.5e-3 / 64


def parser() -> argparse.ArgumentParser:
    parsed = argparse.ArgumentParser(
        prog="python -m ofa.finetune",
        description="Fine-tune a specialised network, or one sub-network of a supernet. A run that is stopped "
        "(Ctrl-C, SIGTERM) or killed goes on with --resume, to the same weights.",
        epilog="example: python -m ofa.finetune --checkpoint ofa_mbv3_d234_e346_k357_w1.0 "
        "--subnet out/search/result.json --data imagenet --epochs 25 --out runs/note10",
    )
    add = parsed.add_argument
    add("--network", type=Path, metavar="FOLDER", help="a specialised network: of save_network, ofa.finetune or MIT")
    add("--checkpoint", type=Path, metavar="W", help="a supernet's checkpoint, with --subnet")
    add("--subnet", type=Path, metavar="FILE", help="result.json of ofa.search, or one sub-network")
    add("--index", type=int, metavar="I", help="which result of result.json, from 0 (default: the first)")
    add("--space", metavar="S", help="the supernet's space, where no file says it")
    add("--resolution", type=int, metavar="R", help="side of the images in pixels (default: the network's own)")
    add("--data", type=Path, required=True, metavar="DIR|ZIP", help="images in class folders, also below train and val")
    add("--val-data", type=Path, metavar="DIR|ZIP", help="validation images (default: val of --data, if there is one)")
    add("--held-out", type=int, metavar="N", help="training images to validate with where there are no others "
        "(default: those that the supernet's training held out, else a tenth)")  # fmt: skip
    add("--classes", metavar="FILE", help="numbers of the class folders: FILE, or imagenette (default: by the "
        "checkpoint's class names)")  # fmt: skip
    add("--new-classes", action="store_true", help="a new classifier, for as many classes as --data has folders")
    add_preprocessing(add)
    add("--smallest-crop", type=float, metavar="A", help="least part of an image that a crop takes (default: as the "
        "network was trained, else 0.08)")  # fmt: skip
    add_calibrating(add)
    add("--epochs", type=int, default=25, metavar="N", help="default 25")
    add("--batch-size", type=int, default=64, metavar="N", help="default 64")
    add("--learning-rate", type=float, metavar="LR", help="its peak (default 0.0025 for every 64 images of a batch)")
    add("--warmup-epochs", type=float, metavar="N", help="default a tenth of the epochs, at most 1")
    add("--label-smoothing", type=float, default=0.1, metavar="S", help="default 0.1")
    add("--weight-decay", type=float, default=3e-5, metavar="D", help="not of biases and normalisation (default 3e-5)")
    add("--limit", type=int, metavar="N", help="only N training images, chosen at random by --seed")
    add("--val-limit", type=int, metavar="N", help="only N validation images, chosen at random by --seed")
    add("--workers", type=int, default=0, metavar="N", help="processes that prepare images (default 0: none extra)")
    add("--seed", type=int, default=0, metavar="N", help="of everything random (default 0)")
    add("--device", default="auto", help="auto (default: the GPU if there is one), cpu, cuda, cuda:1")
    add("--out", type=Path, required=True, metavar="RUN", help="folder for checkpoint, metrics.jsonl and the network")
    add("--resume", action="store_true", help="continue the run in --out")
    add("--strict", action="store_true", help="a broken image is an error rather than skipped")
    return parsed


def main(argv: Sequence[str] | None = None) -> int:
    args = parser().parse_args(argv)
    if (args.network is None) == (args.checkpoint is None):
        raise InputError("give either --network FOLDER, or --checkpoint SUPERNET with --subnet FILE")
    if args.checkpoint is not None and args.subnet is None:
        raise InputError("--checkpoint needs --subnet FILE (a specialised network is given with --network FOLDER)")
    for flag in ("epochs", "batch_size", "resolution", "limit", "val_limit"):
        value = getattr(args, flag)
        if value is not None and value < 1:
            raise InputError(f"--{flag.replace('_', '-')} is {value}, expected at least 1")
    for flag in ("workers", "seed"):
        if getattr(args, flag) < 0:
            raise InputError(f"--{flag} is {getattr(args, flag)}, expected 0 or more")
    if args.batch_size < 2:
        raise InputError("--batch-size is 1, expected at least 2: batch normalisation needs several images")
    if args.smallest_crop is not None and not 0 < args.smallest_crop <= 1:
        raise InputError(f"--smallest-crop is {args.smallest_crop}, expected more than 0, at most 1")
    if not 0 <= args.label_smoothing < 1:
        raise InputError(f"--label-smoothing is {args.label_smoothing}, expected 0 or more, and less than 1")
    from ofa.runs.processes import processes

    with processes(args.device) as procs:
        if procs.count > 1:
            raise InputError("ofa.finetune runs in one process: start it without torchrun")
        return _finetune(args, procs)


def _finetune(args: argparse.Namespace, procs: Processes) -> int:
    from rich.console import Console

    from ofa.images.augment import training_batches
    from ofa.images.reading import broken_lines
    from ofa.networks.checkpoint import save_network
    from ofa.runs.files import write_json
    from ofa.training.finetuning import begin, recalibrated
    from ofa.training.loop import Plan, Training

    console = Console(width=None if Console().is_terminal else 120, highlight=False, markup=False, soft_wrap=True)
    start = begin(args)
    network, data = start.network, start.data
    rate = args.learning_rate if args.learning_rate is not None else RATE_PER_IMAGE * args.batch_size
    warmup = min(1.0, args.epochs / 10) if args.warmup_epochs is None else args.warmup_epochs
    plan = Plan(args.epochs, len(data.indices) // args.batch_size, rate, warmup, args.weight_decay, seed=args.seed)
    training = Training(network, plan, args.out, start.settings(args), procs)
    if args.resume:
        training.resume()
    else:
        training.start()
    tell(console, start.lines, start.facts.marks)
    write_json(args.out / "classes.json", data.train.class_index)

    def epoch_batches(epoch: int, first: int) -> Iterator[tuple[Tensor, Tensor]]:
        return training_batches(
            data.train,
            network.spec.resolution,
            args.batch_size,
            seed=args.seed,
            epoch=epoch,
            first=first,
            indices=data.indices,
            smallest_crop=start.smallest_crop,
            **start.calibration.how,
        )

    def validate() -> dict[str, Any]:
        assert data.validation is not None
        return _validate(
            network, data.validation, data.validate_with, args.batch_size, procs.device, start.calibration.how
        )

    validation = validate if data.validation is not None else None
    done = _train(training, console, epoch_batches, _step(network, args.label_smoothing), validation)
    if not done:
        for line in broken_lines(data.train, data.validation):
            print(line, file=sys.stderr)
        console.print(f"stopped: the run is kept, go on with the same command and --resume ({args.out})")
        return 130
    network.eval()
    recalibrated(network, start.calibration)
    result = {"calibration_images": len(start.calibration.indices)} | (validate() if validation is not None else {})
    for line in broken_lines(data.train, data.validation):
        print(line, file=sys.stderr)
    write_json(args.out / "result.json", result)
    save_network(network.cpu(), args.out / "network", start.facts)
    _conclude(console, args, result)
    return 0


def _conclude(console: Console, args: argparse.Namespace, result: Mapping[str, Any]) -> None:
    """What came out, and the commands that come next."""
    text = f"batch normalisation calibrated on {result['calibration_images']} images"
    if "val_top1" in result:
        text += f": validation top-1 {result['val_top1']:.2f} %"
    console.print(text)
    console.print(f"wrote {args.out / 'network'}")
    saved, images = (quote(str(path)) for path in (args.out / "network", args.val_data or args.data))
    classes = f" --classes {quote(args.classes)}" if args.classes else ""
    console.print(
        f"next: python -m ofa.evaluate --checkpoint {saved} --data {images}{classes}, "
        f"then python -m ofa.export --checkpoint {saved} --format tflite"
    )


def _step(network: PlainNetwork, label_smoothing: float) -> Step:
    import torch.nn.functional as F

    from ofa.training.loop import StepResult

    def step(images: Tensor, labels: Tensor, _: int) -> StepResult:
        logits: Tensor = network(images)
        loss = F.cross_entropy(logits, labels, label_smoothing=label_smoothing)
        loss.backward()  # type: ignore[no-untyped-call]
        return StepResult(loss[None], (logits.argmax(1) == labels).sum(), len(images))

    return step


def _validate(
    network: PlainNetwork,
    validation: ImageFolder,
    indices: Sequence[int],
    batch_size: int,
    device: torch.device,
    how: Mapping[str, Any],
) -> dict[str, Any]:
    import torch

    from ofa.images.reading import batches
    from ofa.training.scores import Scores, scores_of

    total = Scores()
    with torch.inference_mode():
        for images, labels in batches(validation, network.spec.resolution, batch_size, indices=indices, **how):
            images = images.to(device, memory_format=torch.channels_last)
            total += scores_of(network(images), labels.to(device))
    return {f"val_{key}": value for key, value in total.to_dict().items()}


def _train(training: Training, console: Console, epoch_batches: Any, step: Step, validate: Any) -> bool:
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    plan = training.plan
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        started = training.epoch * plan.steps_per_epoch + training.step
        task = bar.add_task("steps", total=plan.total_steps, completed=started)

        def on_epoch(metrics: Mapping[str, Any]) -> None:
            text = f"epoch {metrics['epoch']}/{plan.epochs}: loss {metrics['train_loss']:.4f}"
            text += f", top-1 {metrics['train_top1']:.2f} %"
            if metrics.get("val_top1") is not None:
                text += f"; validation top-1 {metrics['val_top1']:.2f} %"
            console.print(f"{text} ({metrics['seconds']:.0f} s)", highlight=False)

        return training.run(
            epoch_batches,
            step,
            validate=validate,
            on_step=lambda done: bar.update(task, completed=done),
            on_epoch=on_epoch,
        )


if __name__ == "__main__":
    from ofa.cli.run import run

    run(main)
