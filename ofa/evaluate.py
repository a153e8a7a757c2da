"""`python -m ofa.evaluate`: accuracy of networks on real images, class by class."""

from __future__ import annotations

import argparse
import hashlib
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Any

from ofa.cli.image_options import add_calibrating, add_preprocessing, add_split, tell
from ofa.errors import InputError

if TYPE_CHECKING:
    from rich.console import Console

    from ofa.confusion import Confusion
    from ofa.runs.processes import Processes

MOST_WITHOUT_TOP5 = 10  # classes: of so few, the first five say little
MOST_LISTED = 20  # classes in the table; the result has all
MOST_PICTURES = 10  # networks


def parser() -> argparse.ArgumentParser:
    parsed = argparse.ArgumentParser(
        prog="python -m ofa.evaluate",
        description="Accuracy of a specialised network, or of sub-networks of a supernet, whose batch "
        "normalisation is calibrated first. Images are divided where torchrun starts several processes: "
        "torchrun --nproc-per-node 4 -m ofa.evaluate ...",
        epilog="example: python -m ofa.evaluate --checkpoint ofa_mbv3_d234_e346_k357_w1.0 "
        "--subnet out/search/result.json --data imagenet --split val",
    )
    add = parsed.add_argument
    add(
        "--checkpoint",
        type=Path,
        required=True,
        metavar="W",
        help="a specialised network's folder or a supernet's file",
    )
    add("--config", type=Path, metavar="FILE", help="MIT's network config, for weights of a specialised network alone")
    add("--data", type=Path, required=True, metavar="DIR|ZIP", help="images in class folders, also below train and val")
    add_split(add)
    which = parsed.add_mutually_exclusive_group()
    which.add_argument(
        "--subnet", type=Path, metavar="FILE", help="sub-networks of a supernet: result.json of ofa.search, or one"
    )
    which.add_argument("--random", type=int, metavar="N", help="N random sub-networks of a supernet")
    add("--index", type=int, metavar="I", help="only this result of result.json, from 0 (default: all)")
    add("--space", metavar="S", help="the supernet's space, where no file says it (mbv3-w1.0 ...)")
    add("--num-classes", type=int, metavar="N", help="classes that the checkpoint must have (default: what it has)")
    add("--resolution", type=int, metavar="R", help="side of the images in pixels (default: the network's own)")
    add(
        "--calibration",
        type=Path,
        metavar="DIR|ZIP",
        help="training images to calibrate with (default: train of --data, or what was not held out of it)",
    )
    add("--calibration-images", type=int, default=2000, metavar="N", help="how many of them (default 2000)")
    add_calibrating(add)
    add(
        "--classes",
        metavar="FILE",
        help="numbers of the class folders: FILE, or imagenette (default: by the checkpoint's class names)",
    )
    add_preprocessing(add)
    add("--batch-size", type=int, default=64, metavar="N", help="images at a time (default 64)")
    add("--workers", type=int, default=0, metavar="N", help="processes that decode images (default 0: none extra)")
    add("--limit", type=int, metavar="N", help="only N images, chosen at random by --seed")
    add("--seed", type=int, default=0, metavar="N", help="of --random, --limit and the calibration images (default 0)")
    add("--device", default="auto", help="auto (default: the GPU if there is one), cpu, cuda, cuda:1")
    add(
        "--out",
        type=Path,
        default=Path("out/evaluate/result.json"),
        metavar="FILE",
        help="where to write the result (default out/evaluate/result.json)",
    )
    add("--resume", action="store_true", help="continue what was stopped or killed")
    add("--strict", action="store_true", help="a broken image is an error rather than skipped")
    return parsed


def main(argv: Sequence[str] | None = None) -> int:
    args = parser().parse_args(argv)
    for flag in ("random", "batch_size", "calibration_images", "limit", "resolution"):
        value = getattr(args, flag)
        if value is not None and value < 1:
            raise InputError(f"--{flag.replace('_', '-')} is {value}, expected at least 1")
    for flag in ("workers", "seed"):
        if getattr(args, flag) < 0:
            raise InputError(f"--{flag} is {getattr(args, flag)}, expected 0 or more")
    if args.index is not None and args.subnet is None:
        raise InputError("--index chooses among the results of --subnet FILE")
    from ofa.runs.processes import processes

    with processes(args.device) as procs:
        return _evaluate(args, procs)


def _evaluate(args: argparse.Namespace, procs: Processes) -> int:
    from rich.console import Console

    from ofa.evaluation import Evaluation
    from ofa.images.reading import broken_lines
    from ofa.runs.files import sha256, write_json
    from ofa.runs.journal import Journal
    from ofa.subjects import load_subjects, net_classes, open_for

    console = Console(width=None if Console().is_terminal else 120, quiet=procs.rank > 0)
    started = time.perf_counter()
    net, subjects = load_subjects(args)
    images = open_for(args, net, calibrate=subjects[0].subnet is not None)
    data, chosen, calibration = images.data, images.evaluated, images.calibration
    indices = list(chosen.indices) if args.limit is None else chosen.at_random(args.limit, args.seed)
    settings = {
        "seed": args.seed,
        "checkpoint": str(args.checkpoint),
        "checkpoint_sha256": sha256(args.checkpoint),
        "data": str(args.data),
        "split": chosen.split,
        "images": len(indices),
        "images_sha256": hashlib.sha256("\n".join(data.names[i] for i in indices).encode()).hexdigest(),
        "class_index": data.class_index,
        "mean": list(images.facts.mean),
        "std": list(images.facts.std),
        "batch_size": args.batch_size,
        "networks": [[s.name, s.resolution, s.subnet.to_dict() if s.subnet else None] for s in subjects],
        "calibration": None if calibration is None else str(calibration[0].path),
        "calibration_images": None if calibration is None else len(calibration[1]),
        "calibration_batch": None if calibration is None else args.calibration_batch,
        "marks": list(images.facts.marks),
    }
    journal = Journal(args.out, settings, procs, resume=args.resume)
    tell(console, images.lines, images.facts.marks, quiet=procs.rank > 0)
    net.to(procs.device).eval()
    evaluation = Evaluation(net, images, indices, args, procs, journal)
    try:
        results, confusions = evaluation.run(subjects, console)
    finally:
        journal.close()
    broken = sorted({name for names in procs.gathered(sorted(evaluation.broken)) for name in names})
    report = {
        **settings,
        "device": str(procs.device),
        "processes": procs.count,
        "broken": broken,
        "seconds": round(time.perf_counter() - started, 3),
        "results": results,
    }
    if procs.rank == 0:
        write_json(args.out, report)
    journal.remove()
    if procs.rank == 0:
        data.faults.update(dict.fromkeys(set(broken) - set(data.faults), ""))
        for line in broken_lines(data, None if calibration is None else calibration[0]):
            print(line, file=sys.stderr)
        pictures = _pictures(args.out, results, confusions)
        _show(console, args, results, net_classes(net), pictures)
    return 0


def _pictures(out: Path, results: Sequence[Mapping[str, Any]], confusions: Sequence[Confusion]) -> list[Path]:
    """A picture of the confusion matrix of each network, of the first ten at most; none without matplotlib."""
    import importlib.util

    from ofa.confusion import write_picture

    if importlib.util.find_spec("matplotlib") is None:
        return []
    paths = []
    for i, (row, confusion) in enumerate(zip(results[:MOST_PICTURES], confusions[:MOST_PICTURES], strict=True)):
        paths.append(out.with_name(f"{out.stem}.confusion{f'.{i}' if len(results) > 1 else ''}.png"))
        write_picture(paths[-1], confusion, f"{row['name']}, {row['resolution']} px: top-1 {row['top1']:.2f} %")
    return paths


def _show(
    console: Console, args: argparse.Namespace, results: Sequence[Mapping[str, Any]], classes: int, pictures: list[Path]
) -> None:
    from rich.table import Table
    from rich.text import Text

    from ofa.images.names import shown

    predicted = any("predicted_top1" in row for row in results)
    top5 = classes > MOST_WITHOUT_TOP5
    columns = ["network", "resolution", "images", "top-1 %", *(["top-5 %"] if top5 else []), "loss", "worst class"]
    table = Table(*columns, *(["predicted top-1 %"] if predicted else []))
    for row in results:
        cells: list[str | Text] = [Text(shown(row["name"])), str(row["resolution"]), str(row["images"])]
        cells += [f"{row[key]:.2f}" for key in ("top1", "top5")[: 1 + top5]] + [f"{row['loss']:.4f}"]
        worst, figures = next(iter(row["per_class"].items()))
        cells.append(Text(f"{shown(worst)}: {figures['top1']:.2f} %"))
        if predicted:
            cells.append("" if row.get("predicted_top1") is None else f"{row['predicted_top1']:.2f}")
        table.add_row(*cells)
    console.print(table)
    if len(results) == 1:
        listed = list(results[0]["per_class"].items())
        few = Table("class", "images", "top-1 %", title="the worst classes first", title_justify="left")
        for name, figures in listed[:MOST_LISTED]:
            few.add_row(Text(shown(name)), str(figures["images"]), f"{figures['top1']:.2f}")
        console.print(few)
        if len(listed) > MOST_LISTED:
            console.print(
                f"the other {len(listed) - MOST_LISTED} classes are in {args.out}", highlight=False, markup=False
            )
    plain: Any = {"highlight": False, "markup": False, "soft_wrap": True}
    also = f", and the confusion matrix as {', '.join(map(str, pictures))}" if pictures else ""
    console.print(f"wrote {args.out}{also}", **plain)
    checkpoint = quote(str(args.checkpoint))
    if args.subnet is not None or args.random is not None:
        export = f"python -m ofa.export --checkpoint {checkpoint} --subnet FILE --format onnx"
        console.print(f"next: {export}, or fine-tune one: python -m ofa.finetune --help", **plain)
    elif args.config is None:
        console.print(f"next: deploy it with python -m ofa.export --checkpoint {checkpoint} --format onnx", **plain)
    else:
        console.print("next: measure it on this machine: python -m profilers.cpu --help", **plain)


if __name__ == "__main__":
    from ofa.cli.run import run

    run(main)
