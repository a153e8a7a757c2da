"""`python -m ofa.train`: trains a supernet by progressive shrinking, or as that is compared with, on any images."""

from __future__ import annotations

import argparse
import itertools
import math
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Any

from ofa.cli.options import resolutions
from ofa.errors import InputError
from ofa.space import RESOLUTIONS, SearchSpace, Subnet, get_space
from ofa.training.recipe import METHODS, RECIPES, Stage, one_stage, read_stages, short, shrinking

if TYPE_CHECKING:
    from rich.console import Console

    from ofa.images.held_out import Photos
    from ofa.runs.processes import Processes
    from ofa.training.shrinking import Hyper, SupernetTraining
    from ofa.training.supply import Preparation, Supply


def parser() -> argparse.ArgumentParser:
    parsed = argparse.ArgumentParser(
        prog="python -m ofa.train",
        description="Train a supernet, from which networks for any device are then cut. One process, or several: "
        "torchrun --nproc-per-node 8 -m ofa.train ... A run that is stopped (Ctrl-C, SIGTERM) or killed goes on with "
        "--resume, to the same weights.",
        epilog="example: python -m ofa.train --data my-photos.zip --space mbv3-w0.5 --resolutions 64:96:4 "
        "--epochs-scale 0.05 --out runs/mine",
    )
    add = parsed.add_argument_group("what").add_argument
    add("--data", type=Path, required=True, metavar="DIR|ZIP", help="training images in class folders, also below "
        "train; or CIFAR-10 or -100, binary version")  # fmt: skip
    add("--space", default="mbv3-w1.0", metavar="S", help="mbv3-w<width>, proxyless-w<width> or resnet50d "
        "(default mbv3-w1.0)")  # fmt: skip
    add("--resolutions", type=resolutions, default=RESOLUTIONS, metavar="LIST", help="sides of the images in pixels, "
        "one is drawn for each step: 64,96 or 128:224:4 (the default)")  # fmt: skip
    add("--method", choices=METHODS, default="shrinking", help="shrinking (default); uniform: everything elastic at "
        "once; sandwich: the same with largest and smallest in every step; alone: one sub-network")  # fmt: skip
    add("--recipe", default="paper", metavar="NAME|FILE", help="paper (default); short: for a small part of its epochs "
        "(--epochs-scale below about 0.2); or stages of your own: a JSON list")  # fmt: skip
    add("--epochs-scale", type=float, default=1.0, metavar="X", help="factor on all epochs (paper: 600 in all)")
    add("--epochs", type=int, metavar="N", help="of uniform, sandwich or alone (default: as much arithmetic as "
        "shrinking takes)")  # fmt: skip
    add("--subnets-per-step", type=int, metavar="K", help="of uniform and sandwich (default 4)")
    add("--subnet", type=Path, metavar="FILE", help="which sub-network to train alone")
    add("--index", type=int, metavar="I", help="which result of result.json, from 0 (default: the first)")
    add("--start", type=Path, metavar="W", help="a supernet checkpoint to begin with: its largest network takes the "
        "place of the first stage of shrinking")  # fmt: skip
    add("--teacher", type=Path, metavar="W", help="a supernet checkpoint to distil from (default: --start, or what "
        "the first stage gives; uniform and alone do without; sandwich has its own largest)")  # fmt: skip
    add("--out", type=Path, required=True, metavar="RUN", help="folder for all of the run's files")
    add("--resume", action="store_true", help="continue the run in --out")
    add = parsed.add_argument_group("how").add_argument
    add("--batch-size", type=int, default=64, metavar="N", help="images a step, of each process (default 64); "
        "learning rates follow")  # fmt: skip
    add("--learning-rate-scale", type=float, default=1.0, metavar="X", help="factor on all learning rates")
    add("--weight-decay", type=float, default=3e-5, metavar="D", help="not of biases and normalisation (default 3e-5)")
    add("--label-smoothing", type=float, default=0.1, metavar="S", help="default 0.1")
    add("--dropout", type=float, default=0.1, metavar="P", help="before the classifier (default 0.1)")
    add("--distill", type=float, metavar="L", help="weight of the loss against the teacher's outputs, where the "
        "labels' is 1 (default 1; the loss is their weighted mean)")  # fmt: skip
    add("--clip-norm", type=float, default=0.0, metavar="G", help="scale gradients down to this norm (default: not)")
    add("--ema", type=float, default=0.0, metavar="M", help="result in a moving average of the weights, such as 0.999")
    add("--precision", default="auto", metavar="P", help="auto (default: bf16 on GPUs), fp32, bf16 or fp16")
    add("--memory-format", choices=("auto", "channels-last", "contiguous"), default="auto",
        help="layout of weights and images (auto: contiguous for fp32 on GPUs, else channels-last)")  # fmt: skip
    add("--bn", choices=("local", "sync"), default="local", help="normalise by each process's batch (default, as the "
        "paper), or by all processes'")  # fmt: skip
    add("--seed", type=int, default=0, metavar="N", help="of everything random (default 0)")
    add("--device", default="auto", help="auto (default: the GPU if there is one), cpu, cuda, cuda:1")
    add("--strict", action="store_true", help="a broken image is an error rather than skipped")
    add("--tensorboard", action="store_true", help="metrics for TensorBoard too, in RUN/tensorboard")
    add = parsed.add_argument_group("images").add_argument
    add("--limit", type=int, metavar="N", help="train on N images only, chosen at random")
    add("--held-out", type=int, metavar="N", help="training images that are never trained on (default a tenth, at "
        "most 10,000)")  # fmt: skip
    add("--check-images", type=int, default=2000, metavar="N", help="how many of these to check with (default 2000)")
    add("--check-every", type=int, default=1, metavar="N", help="epochs between checks of accuracy (default 1)")
    add("--calibration-images", type=int, default=500, metavar="N", help="to calibrate a check (default 500)")
    add("--smallest-crop", type=float, default=0.08, metavar="A", help="least part of an image that a crop takes "
        "(default 0.08)")  # fmt: skip
    add("--cache", default="auto", metavar="C", help="auto (default: device if pixels fit in 4 GiB, else off); device "
        "or memory: decode once, keep bytes there; off: decode every epoch")  # fmt: skip
    add("--workers", type=int, default=0, metavar="N", help="processes that decode images (default 0: none extra)")
    add("--mean", default="imagenet", metavar="M", help="imagenet (default), half, or numbers such as 0.5,0.5,0.5")
    add("--std", metavar="S", help="the same (default: what goes with --mean)")
    return parsed


def main(argv: Sequence[str] | None = None) -> int:
    args = parser().parse_args(argv)
    _check(args)
    from ofa.runs.processes import processes

    with processes(args.device) as procs:
        return _train(args, procs)


def _check(args: argparse.Namespace) -> None:
    for flag in ("epochs", "subnets_per_step", "limit", "check_images", "check_every", "calibration_images"):
        value = getattr(args, flag)
        if value is not None and value < 1:
            raise InputError(f"--{flag.replace('_', '-')} is {value}, expected at least 1")
    for flag in ("workers", "seed"):
        if getattr(args, flag) < 0:
            raise InputError(f"--{flag} is {getattr(args, flag)}, expected 0 or more")
    if args.batch_size < 2:
        raise InputError(f"--batch-size is {args.batch_size}, expected at least 2: batch normalisation needs several")
    for flag in ("label_smoothing", "dropout"):
        if not 0 <= getattr(args, flag) < 1:
            raise InputError(f"--{flag.replace('_', '-')} is {getattr(args, flag)}, expected 0 or more, less than 1")
    if not 0 < args.smallest_crop <= 1:
        raise InputError(f"--smallest-crop is {args.smallest_crop}, expected more than 0, at most 1")
    if not args.learning_rate_scale > 0:
        raise InputError(f"--learning-rate-scale is {args.learning_rate_scale}, expected more than 0")
    if args.distill is not None and not (math.isfinite(args.distill) and args.distill >= 0):
        raise InputError(f"--distill is {args.distill}, expected 0 or more")
    alone = args.method == "alone"
    if alone != (args.subnet is not None):
        raise InputError("--method alone needs --subnet FILE" if alone else "--subnet is for --method alone")
    if alone and args.epochs is None:
        raise InputError("--method alone needs --epochs N")
    if args.index is not None and not alone:
        raise InputError("--index chooses among the results of --subnet FILE")
    if args.method != "shrinking" and args.recipe != "paper":
        raise InputError(f"--recipe {args.recipe} is a recipe of shrinking, not of --method {args.method}")
    _check_used(args)
    if args.epochs is not None and (args.method == "shrinking" or args.recipe != "paper"):
        raise InputError("--epochs is for uniform, sandwich and alone: shrinking has stages, see --epochs-scale")


def _check_used(args: argparse.Namespace) -> None:
    """InputError for an option that the method would not look at."""
    if args.subnets_per_step is not None and args.method not in ("uniform", "sandwich"):
        raise InputError(f"--subnets-per-step is for --method uniform and sandwich, not {args.method}")
    if args.epochs is not None and args.epochs_scale != 1:
        raise InputError("--epochs and --epochs-scale both say how long: give one of them")
    if args.method == "sandwich":
        for flag in ("teacher", "distill"):
            if getattr(args, flag) is not None:
                raise InputError(f"--{flag} is not for sandwich: there the largest sub-network teaches the others")
    if args.recipe not in RECIPES and args.distill is not None:
        raise InputError(f"--recipe {args.recipe} says itself what each stage distils: leave --distill out")
    if args.distill is not None and args.teacher is None and (args.method != "shrinking" or args.recipe == "short"):
        raise InputError("--distill needs --teacher W: without one there is nothing to distil from")


def space_and_subnet(args: argparse.Namespace, classes: int) -> tuple[SearchSpace, Subnet | None]:
    """The space asked for, and the sub-network that is to be trained alone."""
    if args.subnet is None:
        return get_space(args.space, classes, args.resolutions), None
    from ofa.export.source import read_subnet

    named = read_subnet(args.subnet, index=args.index)
    sizes = (named.resolution,) if args.resolutions is RESOLUTIONS else args.resolutions
    whole = get_space(args.space, classes, {*sizes, named.resolution})
    return get_space(args.space, classes, sizes), named.subnet(whole)


def stages_of(args: argparse.Namespace, space: SearchSpace) -> tuple[Stage, ...]:
    """The stages asked for."""
    if args.recipe not in RECIPES:
        return read_stages(Path(args.recipe))
    given = 1.0 if args.distill is None else args.distill
    distill = given if args.teacher is not None else 0.0  # who names none has none but in the paper's recipe
    if args.method == "shrinking":
        if args.recipe == "paper":
            found = shrinking(space, args.epochs_scale, given)
        else:
            found = short(space, args.epochs_scale, distill)
        return found[1:] if args.start is not None else found
    return (one_stage(args.method, space, args.epochs, args.epochs_scale, args.subnets_per_step or 4, distill),)


def _train(args: argparse.Namespace, procs: Processes) -> int:
    from rich.console import Console

    from ofa.images.held_out import open_photos
    from ofa.images.preprocessing import normalisation
    from ofa.images.reading import broken_line, left_out_lines
    from ofa.training.shrinking import NETWORK, RESULT
    from ofa.training.supply import Preparation

    console = Console(width=None if Console().is_terminal else 120, quiet=procs.rank > 0)
    photos = open_photos(args.data, held_out=args.held_out, limit=args.limit)
    if procs.rank == 0:
        for line in left_out_lines(photos.folder):
            print(line, file=sys.stderr)
    mean, std = normalisation(args.mean, args.std)
    how = Preparation(args.batch_size, mean, std, args.smallest_crop, args.workers, args.strict)
    training = _assembled(args, procs, photos, how, console)
    done = _with_progress(args, training, console)
    # also what check-ups met
    found = sorted({*training.supply.broken, *photos.folder.faults})
    broken = sorted({name for names in procs.gathered(found) for name in names})
    if broken and procs.rank == 0:
        print(broken_line(photos.folder, broken), file=sys.stderr)
    if not done:
        console.print(f"stopped: the run is kept, go on with the same command and --resume ({args.out})", markup=False)
        return 130
    result = args.out / (RESULT if args.method != "alone" else NETWORK)
    console.print(f"wrote {result}", highlight=False)
    which = "" if args.method == "alone" else " --random 3"
    evaluate = f"python -m ofa.evaluate --checkpoint {quote(str(result))}{which} --data {quote(str(args.data))}"
    console.print(f"next: {evaluate}", highlight=False, markup=False, soft_wrap=True)
    return 0


def _assembled(
    args: argparse.Namespace, procs: Processes, photos: Photos, how: Preparation, console: Console
) -> SupernetTraining:
    """The training as the flags describe it, opened. Images are decoded last, when all else is known to be right."""
    from ofa.images.held_out import facts_of_training
    from ofa.training.checkup import Checkup
    from ofa.training.precision import chosen_layout, chosen_precision
    from ofa.training.shrinking import SupernetTraining
    from ofa.training.supply import Streamed, cache_side, chosen_cache
    from ofa.training.sync_norm import chosen_normalise

    space, alone = space_and_subnet(args, len(photos.folder.classes))
    stages = stages_of(args, space)
    side = cache_side(photos.folder, max(space.resolutions), how.smallest_crop)
    cache = chosen_cache(args.cache, len(photos.indices), side)
    facts = {
        "method": args.method,
        "classes": [name for name, _ in sorted(photos.folder.class_index.items(), key=lambda item: item[1])],
        "mean": list(how.mean),
        "std": list(how.std),
        "data": args.data.name,
        "images": len(photos.indices),
        "held_out": len(photos.held_out),
        "stages": [vars(stage) for stage in stages],
        "hyper": vars(_hyper(args)),
    }
    settings = {
        "data": str(args.data),
        "space": space.name,
        "resolutions": list(space.resolutions),
        **{key: facts[key] for key in ("method", "classes", "mean", "std", "held_out", "images")},
        "cache": None if cache == "off" else side,
        "smallest_crop": how.smallest_crop,
        "bn": args.bn,
        "subnet": None if alone is None else alone.to_dict(),
        "start": None if args.start is None else str(args.start),
        "teacher": None if args.teacher is None else str(args.teacher),
        "check": [args.check_images, args.check_every, args.calibration_images],
    }
    resolution = max(space.resolutions) if alone is None else alone.resolution
    checkup = Checkup(photos, how, procs, resolution, args.check_images, args.calibration_images)
    training = SupernetTraining(
        space=space,
        stages=stages,
        hyper=_hyper(args),
        out=args.out,
        supply=Streamed(photos.folder, photos.indices, how, procs),
        checkup=checkup,
        procs=procs,
        settings=settings,
        facts=facts,
        images=facts_of_training(photos, how.mean, how.std, how.smallest_crop),
        precision=chosen_precision(args.precision, procs.device),
        memory_format=chosen_layout(args.memory_format, args.precision, procs.device),
        normalise=chosen_normalise(args.bn, procs.count),
        start=args.start,
        teacher=args.teacher,
        alone=alone,
        check_every=args.check_every,
    )
    training.check_batches()
    training.open(args.resume)
    if cache != "off":
        training.supply = _cached(photos, how, procs, side, cache, console)
    return training


def _hyper(args: argparse.Namespace) -> Hyper:
    from ofa.training.shrinking import Hyper

    return Hyper(
        batch_size=args.batch_size,
        rate_scale=args.learning_rate_scale,
        weight_decay=args.weight_decay,
        label_smoothing=args.label_smoothing,
        dropout=args.dropout,
        clip_norm=args.clip_norm,
        ema=args.ema,
        seed=args.seed,
    )


def _cached(photos: Photos, how: Preparation, procs: Processes, side: int, cache: str, console: Console) -> Supply:
    from ofa.training.supply import Cached

    with _progress(console) as bar:
        task = bar.add_task("decoding", total=len(photos.indices))
        return Cached(
            photos.folder,
            photos.indices,
            how,
            procs,
            side,
            on_device=cache == "device",
            advance=lambda n: bar.advance(task, n),
        )


def _progress(console: Console) -> Any:
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeRemainingColumn())
    return Progress(*columns, console=console, transient=True, disable=not console.is_terminal)


def _with_progress(args: argparse.Namespace, training: SupernetTraining, console: Console) -> bool:
    """Trains, with a bar whose unit is a step's arithmetic: the time left is that of all stages."""
    from ofa.training.recipe import macs_per_image
    from ofa.training.tensorboard import Board

    stages = training.stages
    steps = [stage.epochs * training.steps_per_epoch for stage in stages]
    costs = [macs_per_image(training.space, stage) for stage in stages]
    before = [0.0, *itertools.accumulate(n * cost for n, cost in zip(steps, costs, strict=True))]
    board = Board(args.out / "tensorboard") if args.tensorboard and training.procs.rank == 0 else None
    with _progress(console) as bar:
        task = bar.add_task("steps", total=before[-1])

        def on_step(i: int, step: int) -> None:
            text = f"stage {i + 1}/{len(stages)} {stages[i].name}, step {step}/{steps[i]}"
            bar.update(task, completed=before[i] + step * costs[i], description=text)

        def on_epoch(stage: Stage, metrics: Mapping[str, Any]) -> None:
            text = f"{stage.name} {metrics['epoch']}/{stage.epochs}: loss {metrics['train_loss']:.4f}, "
            text += f"top-1 {metrics['train_top1']:.2f} %"
            for label in ("largest", "smallest", "alone"):
                if metrics.get(f"{label}_top1") is not None:
                    text += f"; {label} {metrics[f'{label}_top1']:.2f} %"
            console.print(f"{text} ({metrics['seconds']:.0f} s)", highlight=False)
            if board is not None:
                earlier = sum(steps[: stages.index(stage)])
                board.add(metrics, earlier + metrics["epoch"] * training.steps_per_epoch)

        training.on_step, training.on_epoch = on_step, on_epoch
        return training.run()


if __name__ == "__main__":
    from ofa.cli.run import run

    run(main)
