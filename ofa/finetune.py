"""`python -m ofa.finetune`: trains a specialised network further, on its own (Cai et al. 2020: 25 or 75 epochs)."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

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
    add(
        "--classes", metavar="FILE", help="numbers of the class folders: FILE, or imagenette (default: in sorted order)"
    )
    add("--new-classes", action="store_true", help="a new classifier, for as many classes as --data has folders")
    add("--mean", default="imagenet", metavar="M", help="imagenet (default), half, or numbers such as 0.5,0.5,0.5")
    add("--std", metavar="S", help="the same (default: what goes with --mean)")
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
    from ofa.images.preprocessing import normalisation
    from ofa.images.reading import broken_line, random_indices
    from ofa.networks.checkpoint import save_network
    from ofa.runs.files import write_json
    from ofa.training.loop import Plan, Training

    console = Console(width=None if Console().is_terminal else 120)
    mean, std = normalisation(args.mean, args.std)
    train, validation = open_data(args)
    indices = list(range(len(train))) if args.limit is None else random_indices(train, args.limit, args.seed)
    if len(indices) < args.batch_size:
        raise InputError(
            f"{train.path}: {len(indices)} training images are fewer than a batch of {args.batch_size}: "
            "give a smaller --batch-size"
        )
    network = starting_network(args, train, mean, std)
    resolution = network.spec.resolution
    rate = args.learning_rate if args.learning_rate is not None else RATE_PER_IMAGE * args.batch_size
    warmup = min(1.0, args.epochs / 10) if args.warmup_epochs is None else args.warmup_epochs
    steps = len(indices) // args.batch_size
    plan = Plan(args.epochs, steps, rate, warmup, args.weight_decay, seed=args.seed)
    settings = {
        "network": [str(p) if p else None for p in (args.network, args.checkpoint, args.subnet)],
        "architecture": network.spec.to_dict(),
        "data": str(train.path),
        "images": len(indices),
        "validation": None if validation is None else [str(validation.path), args.val_limit],
        "class_index": train.class_index,
        "new_classes": args.new_classes,
        "resolution": resolution,
        "mean": list(mean),
        "std": list(std),
        "batch_size": args.batch_size,
        "label_smoothing": args.label_smoothing,
    }
    training = Training(network, plan, args.out, settings, procs)
    if args.resume:
        training.resume()
    else:
        training.start()
    write_json(args.out / "classes.json", train.class_index)

    broken: set[str] = set()
    how: dict[str, Any] = {"mean": mean, "std": std, "workers": args.workers, "strict": args.strict}

    def epoch_batches(epoch: int, first: int) -> Iterator[tuple[Tensor, Tensor]]:
        return training_batches(
            train,
            resolution,
            args.batch_size,
            seed=args.seed,
            epoch=epoch,
            first=first,
            indices=indices,
            broken=broken,
            **how,
        )

    def validate() -> dict[str, Any]:
        assert validation is not None
        chosen = random_indices(validation, args.val_limit or len(validation), args.seed)
        return _validate(network, validation, chosen, resolution, args.batch_size, procs.device, how)

    done = _train(
        training, console, epoch_batches, _step(network, args.label_smoothing), validate if validation else None
    )
    if broken:
        print(broken_line(train, sorted(broken)), file=sys.stderr)
    if not done:
        console.print(f"stopped: the run is kept, go on with the same command and --resume ({args.out})", markup=False)
        return 130
    network.cpu().eval()
    network.spec = replace(network.spec, calibrated=True)  # its running statistics are its own now
    save_network(network, args.out / "network")
    console.print(f"wrote {args.out / 'network'}", highlight=False)
    console.print(
        f"next: python -m ofa.evaluate --checkpoint {args.out / 'network'} --data {args.data} --mean {args.mean}"
        + (f" --classes {args.classes}" if args.classes else "")
        + f", then python -m ofa.export --checkpoint {args.out / 'network'} --format tflite",
        highlight=False,
        markup=False,
    )
    return 0


def open_data(args: argparse.Namespace) -> tuple[ImageFolder, ImageFolder | None]:
    """Training images, and validation images if there are any; InputError where they are no use for training."""
    from ofa.images.classes import read_classes
    from ofa.images.held_out import check_learnable
    from ofa.images.opening import open_images

    classes = read_classes(args.classes) if args.classes else None
    train = open_images(args.data, split="train", classes=classes)
    check_learnable(train)
    if args.val_data is not None:
        validation = open_images(args.val_data, split="val", classes=train.class_index)
    elif "val" in train.splits:
        validation = open_images(args.data, split="val", classes=train.class_index)
    else:
        return train, None
    if not validation.labelled:
        raise InputError(f"{validation.path} has no class folders: there is nothing to compare with")
    return train, validation


def starting_network(
    args: argparse.Namespace, train: ImageFolder, mean: Sequence[float], std: Sequence[float]
) -> PlainNetwork:
    """The network to begin with, fitting the classes of the data; a supernet's sub-network comes calibrated."""
    from ofa.export.source import load_source, read_subnet
    from ofa.images.reading import batches, random_indices
    from ofa.networks import calibrate_bn, extract
    from ofa.networks.checkpoint import load_network
    from ofa.networks.layers import use_channels_last
    from ofa.networks.new_classifier import with_new_classifier
    from ofa.training.state import CHECKPOINT

    if args.network is not None:
        if not args.network.exists():
            raise InputError(f"{args.network}: no such folder")
        network = load_network(args.network)
        if args.resolution is not None and args.resolution != network.spec.resolution:
            raise InputError(
                f"{args.network} is made for {network.spec.resolution} px: another --resolution is chosen with "
                "--checkpoint and --subnet"
            )
    else:
        named = read_subnet(args.subnet, index=args.index)
        source = load_source(args.checkpoint, named, space_name=args.space, resolution=args.resolution)
        if source.supernet is None or source.subnet is None:
            raise InputError(f"{args.checkpoint} holds a specialised network: give it with --network")
        statistics = None
        if not (args.resume and (args.out / CHECKPOINT).exists()):  # else they come with the checkpoint
            chosen = random_indices(train, 2000, args.seed)
            prepared = batches(
                train,
                source.subnet.resolution,
                args.batch_size,
                mean=mean,
                std=std,
                indices=chosen,
                workers=args.workers,
                strict=args.strict,
            )
            statistics = calibrate_bn(source.supernet, source.subnet, prepared)
        network = extract(source.supernet, source.subnet, statistics)
        # the settings of a run must not depend on whether it was resumed
        network.spec = replace(network.spec, calibrated=True)
    classes = len(train.classes)
    if args.new_classes:
        if args.classes:
            raise InputError("--new-classes numbers the class folders in sorted order: leave --classes out")
        network = with_new_classifier(network, classes, args.seed)
    elif args.classes is None and classes != network.spec.num_classes:
        raise InputError(
            f"{train.path} has {classes} class folders, but the network {network.spec.num_classes} classes: give "
            "--new-classes for a new classifier, or --classes FILE with the number of each folder"
        )
    elif max(train.class_index.values()) >= network.spec.num_classes:
        raise InputError(f"--classes {args.classes} goes beyond the network's {network.spec.num_classes} classes")
    use_channels_last(network)
    return network


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
    resolution: int,
    batch_size: int,
    device: torch.device,
    how: Mapping[str, Any],
) -> dict[str, Any]:
    import torch

    from ofa.images.reading import batches
    from ofa.training.scores import Scores, scores_of

    total = Scores()
    with torch.inference_mode():
        for images, labels in batches(validation, resolution, batch_size, indices=indices, **how):
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
