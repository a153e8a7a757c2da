"""`python -m ofa.predictors.collect`: measured accuracies of random sub-networks, for a predictor to be fitted on."""

from __future__ import annotations

import argparse
import csv
import hashlib
import json
import sys
import time
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ofa.cli.image_options import add_calibrating, add_preprocessing, add_split, calibrating, tell
from ofa.cli.options import resolutions as resolution_list
from ofa.errors import InputError
from ofa.runs.files import replace_file, sha256

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress, TaskID

    from ofa.images.folder import ImageFolder
    from ofa.images.preprocessing import Triple
    from ofa.networks import Supernet
    from ofa.predictors.measuring import Images
    from ofa.runs.journal import Journal
    from ofa.runs.processes import Processes
    from ofa.space import SearchSpace, Subnet

GROUP = 16  # sub-networks that run together: what a kill can lose
SECONDS_BETWEEN_LINES = 30  # of progress, where there is no terminal
MEMORY_BYTES = 4 << 30  # of prepared images at a time, in each process
MOST_RESOLUTIONS = 5  # by default: a predictor interpolates between


def parser() -> argparse.ArgumentParser:
    parsed = argparse.ArgumentParser(
        prog="python -m ofa.predictors.collect",
        description="Top-1 of random sub-networks of a supernet, each calibrated and evaluated at its own resolution, "
        "into a CSV for ofa.predictors.fit. Sub-networks are divided where torchrun starts several processes: "
        "torchrun --nproc-per-node 2 -m ofa.predictors.collect ...",
        epilog="example: python -m ofa.predictors.collect --checkpoint supernet.safetensors --data imagenette2-224.zip "
        "--subnets 1000 --out out/accuracies.csv",
    )
    add = parsed.add_argument
    add("--checkpoint", type=Path, required=True, metavar="W", help="a supernet's file")
    add("--data", type=Path, required=True, metavar="DIR|ZIP", help="images in class folders, also below train and val")
    add_split(add)
    add("--images", type=int, default=2000, metavar="N", help="how many to evaluate on, at random (default 2000)")
    add("--calibration", type=Path, metavar="DIR|ZIP", help="training images to calibrate with (default: train of "
        "--data, or what was not held out of it)")  # fmt: skip
    add("--calibration-images", type=int, default=2000, metavar="N", help="how many of them (default 2000)")
    add_calibrating(add)
    add("--subnets", type=int, default=1000, metavar="N", help="how many sub-networks (default 1000)")
    add("--first", type=int, default=0, metavar="I",
        help="number of the first: to add to an earlier file (fit takes several; default 0)")  # fmt: skip
    add("--tilted", type=float, default=0.0, metavar="P",
        help="share of them whose choices lean together to small or large (default 0: all uniform)")  # fmt: skip
    add("--resolutions", type=resolution_list, metavar="R",
        help=f"such as 48,64 or 128:224:32 (default: {MOST_RESOLUTIONS} of the checkpoint's, spread)")  # fmt: skip
    add("--space", metavar="S", help="the supernet's space, where the file does not say it (mbv3-w1.0 ...)")
    add("--classes", metavar="FILE", help="numbers of the class folders: FILE, or imagenette (default: by the "
        "checkpoint's class names)")  # fmt: skip
    add_preprocessing(add)
    add("--batch-size", type=int, default=64, metavar="N", help="images at a time (default 64)")
    add("--workers", type=int, default=0, metavar="N", help="processes that decode images (default 0: none extra)")
    add("--seed", type=int, default=0, metavar="N", help="of the sub-networks and the images (default 0)")
    add("--device", default="auto", help="auto (default: the GPU if there is one), cpu, cuda, cuda:1")
    add("--shard", type=_shard, default=(1, 1), metavar="I/N",
        help="only the I-th of N parts, into a CSV of its own: for machines without torchrun")  # fmt: skip
    add("--out", type=Path, default=Path("out/predictors/accuracies.csv"), metavar="CSV",
        help="where to write (default out/predictors/accuracies.csv)")  # fmt: skip
    add("--resume", action="store_true", help="continue what was stopped or killed")
    add("--strict", action="store_true", help="a broken image is an error rather than skipped")
    return parsed


def _shard(text: str) -> tuple[int, int]:
    part, _, parts = text.partition("/")
    if not (part.isdecimal() and parts.isdecimal() and 1 <= int(part) <= int(parts)):
        raise argparse.ArgumentTypeError(f"{text!r} is not I/N, such as 1/4 to 4/4")
    return int(part), int(parts)


def main(argv: Sequence[str] | None = None) -> int:
    args = parser().parse_args(argv)
    for flag, least in (
        ("images", 1), ("calibration_images", 1), ("subnets", 1), ("batch_size", 1), ("first", 0), ("workers", 0),
        ("seed", 0),
    ):  # fmt: skip
        if getattr(args, flag) < least:
            raise InputError(f"--{flag.replace('_', '-')} is {getattr(args, flag)}, expected {least} or more")
    if not 0 <= args.tilted <= 1:
        raise InputError(f"--tilted is {args.tilted}, expected a share from 0 to 1")
    if args.out.suffix != ".csv":
        raise InputError(f"--out is {args.out}, expected a name that ends in .csv")
    from ofa.runs.processes import processes

    with processes(args.device) as procs:
        return _collect(args, procs)


def _collect(args: argparse.Namespace, procs: Processes) -> int:
    from rich.console import Console

    from ofa.images.reading import broken_lines
    from ofa.predictors.measuring import at_resolutions, draw, share, tree_order
    from ofa.runs.journal import Journal
    from ofa.subjects import open_for, open_supernet

    console = Console(width=None if Console().is_terminal else 120, quiet=procs.rank > 0)
    started = time.monotonic()
    net = open_supernet(args.checkpoint, args.space, args.resolutions or ())
    images = open_for(args, net, calibrate=True)
    data, facts = images.data, images.facts
    assert images.calibration is not None
    calibration, calibrated = images.calibration
    space = at_resolutions(net.space, args.resolutions or spread(net.space.resolutions, MOST_RESOLUTIONS))
    evaluated = images.evaluated.at_random(args.images, args.seed)
    settings = {
        # what a user may have changed comes before what follows from it: the first difference is named
        "seed": args.seed,
        "first": args.first,
        "subnets": args.subnets,
        "tilted": args.tilted,
        "shard": list(args.shard),
        "space": space.name,
        "resolutions": list(space.resolutions),
        "checkpoint": args.checkpoint.name,
        "checkpoint_sha256": sha256(args.checkpoint),
        "images": len(evaluated),
        "calibration_images": len(calibrated),
        "calibration_batch": args.calibration_batch,
        "batch_size": args.batch_size,
        "mean": list(facts.mean),
        "std": list(facts.std),
        "data": data.path.name,
        "split": images.evaluated.split,
        "class_index": data.class_index,
        "images_sha256": _names_sha256(data, evaluated),
        "calibration_sha256": _names_sha256(calibration, calibrated),
        "image_facts": facts.to_dict(),
    }
    part, parts = args.shard
    out = part_path(args.out, part, parts)
    subnets = draw(space, args.seed, range(args.first, args.first + args.subnets), args.tilted)
    chosen = share(space, subnets, tree_order(space, subnets), part, parts)
    journal = Journal(out, settings, procs, resume=args.resume)
    done = {item["index"]: item for item in journal.done}
    todo = share(space, subnets, [i for i in chosen if i + args.first not in done], procs.rank + 1, procs.count)
    tell(console, images.lines, facts.marks, quiet=procs.rank > 0)
    net.to(procs.device).eval()
    normalisation = (facts.mean, facts.std)
    collection = Collection(net, subnets, (data, evaluated), images.calibration, normalisation, args, journal)
    try:
        collection.run(todo, console)
    finally:
        journal.close()
    for items in procs.gathered(collection.items):
        done |= {item["index"]: item for item in items}
    broken = sorted({name for item in done.values() for name in item["broken"]})
    if procs.rank == 0:
        rows = [(subnets[i], done[i + args.first]) for i in sorted(chosen)]
        write_csv(out, rows, {**settings, "broken_images": len(broken)})
    journal.remove()
    if procs.rank == 0:
        data.faults.update(dict.fromkeys(set(broken) - set(data.faults), ""))
        for line in broken_lines(data, calibration):
            print(line, file=sys.stderr)
        _conclude(console, out, rows, args, space, time.monotonic() - started)
    return 0


class Collection:
    """Measures sub-networks in groups of neighbours; each group is in the journal before the next begins."""

    def __init__(
        self,
        net: Supernet,
        subnets: Sequence[Subnet],
        evaluation: tuple[ImageFolder, Sequence[int]],
        calibration: tuple[ImageFolder, Sequence[int]],
        normalisation: tuple[Triple, Triple],
        args: argparse.Namespace,
        journal: Journal,
    ) -> None:
        """evaluation, calibration: a folder, and which of its images"""
        self.net, self.subnets = net, subnets
        self.evaluation, self.calibration, self.normalisation = evaluation, calibration, normalisation
        self.args, self.journal = args, journal
        self.items: list[dict[str, Any]] = []

    def run(self, todo: Sequence[int], console: Console) -> None:
        """Measures those of `todo`, in order of resolution; shows how far this process is, and the time left."""
        from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

        from ofa.blocks.costs import count_macs
        from ofa.images.pixels import memory_passes
        from ofa.predictors.measuring import groups, measure

        space = self.net.space
        macs = {i: int(count_macs(space, self.subnets[i])) for i in todo}
        all_macs, macs_done, started = sum(macs.values()), 0, time.monotonic()
        said = started
        resolutions = sorted({self.subnets[i].resolution for i in todo})
        count = len(self.evaluation[1]) + len(self.calibration[1])
        columns = (TextColumn("{task.description}"), BarColumn(), TimeRemainingColumn())
        with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
            task = bar.add_task("sub-networks", total=all_macs)
            for part in memory_passes(resolutions, count, MEMORY_BYTES):
                images, broken = self.prepared(part, bar)
                for group in groups(self.subnets, [i for i in todo if self.subnets[i].resolution in part], GROUP):
                    asked = [self.subnets[i] for i in group]
                    group_macs = sum(macs[i] for i in group)
                    advance = partial(_advance, bar, task, group_macs)
                    found = measure(self.net, asked, images[asked[0].resolution], advance)
                    for i, scores in zip(group, found, strict=True):
                        item = {"index": i + self.args.first, **scores.to_dict(), "broken": broken}
                        self.items.append(item)
                        self.journal.add(item)
                    macs_done, now = macs_done + group_macs, time.monotonic()
                    shown = f"{len(self.items):,} of {len(todo):,} sub-networks"
                    bar.update(task, description=shown)
                    if not console.is_terminal and now - said >= SECONDS_BETWEEN_LINES:
                        said, left = now, (now - started) * (all_macs / macs_done - 1)
                        console.print(f"{shown}, about {left / 60:.0f} minutes left", highlight=False)

    def prepared(self, resolutions: Sequence[int], bar: Progress) -> tuple[dict[int, Images], list[str]]:
        """The images at those resolutions, and the names of those that cannot be read."""
        from ofa.images.pixels import PixelStore
        from ofa.predictors.measuring import Images

        count = len(self.evaluation[1]) + len(self.calibration[1])
        task = bar.add_task(f"reading images at {', '.join(map(str, resolutions))} px", total=count)
        calibration, evaluation = (
            PixelStore(
                folder,
                indices,
                resolutions,
                self.args.batch_size,
                workers=self.args.workers,
                strict=self.args.strict,
                advance=lambda n: bar.advance(task, n),
            )
            for folder, indices in (self.calibration, self.evaluation)
        )
        bar.remove_task(task)
        cut, folder = calibrating(self.args), self.calibration[0]
        cut.check(len(self.calibration[1]) - len(calibration.broken), folder.path)
        images = {
            r: Images(calibration.batches[r], evaluation.batches[r], *self.normalisation, cut) for r in resolutions
        }
        return images, sorted({*calibration.broken, *evaluation.broken})


def _advance(bar: Progress, task: TaskID, macs: int, share: float) -> None:
    bar.advance(task, share * macs)


def write_csv(path: Path, rows: Sequence[tuple[Subnet, Mapping[str, Any]]], facts: Mapping[str, Any]) -> None:
    """The file for `ofa.predictors.fit`: facts as comments, then sub-networks and their figures."""
    lists = ["depths", "kernel_sizes", "expand_ratios", "width_mults"]
    figures = ["top1", "top5", "loss", "images"]

    def write(file: Path) -> None:
        with file.open("w", newline="", encoding="utf-8") as opened:
            opened.write("# accuracies measured by python -m ofa.predictors.collect\n")
            opened.writelines(f"# {key}: {json.dumps(value)}\n" for key, value in facts.items())
            writer = csv.writer(opened, lineterminator="\n")
            writer.writerow(["index", "resolution", *lists, *figures])
            for subnet, item in rows:
                values = [" ".join(map(str, getattr(subnet, field))) for field in lists]
                writer.writerow([item["index"], subnet.resolution, *values, *(item[field] for field in figures)])

    replace_file(path, write)


def _names_sha256(folder: ImageFolder, indices: Sequence[int]) -> str:
    return hashlib.sha256("\n".join(folder.names[i] for i in indices).encode()).hexdigest()


def _conclude(
    console: Console, out: Path, rows: Sequence[tuple[Subnet, Mapping[str, Any]]], args: argparse.Namespace,
    space: SearchSpace, seconds: float,
) -> None:  # fmt: skip
    """What was measured, what was written, and the command that comes next."""
    from rich.table import Table

    table = Table("px", "sub-networks", "top-1 %: least", "mean", "greatest")
    for resolution in space.resolutions:
        top1 = [item["top1"] for subnet, item in rows if subnet.resolution == resolution]
        if top1:
            cells = (min(top1), sum(top1) / len(top1), max(top1))
            table.add_row(str(resolution), str(len(top1)), *(f"{value:.2f}" for value in cells))
    console.print(table)
    console.print(f"wrote {out}: {len(rows):,} sub-networks of {space.name}, {seconds:.0f} s", highlight=False)
    parts = args.shard[1]
    files = " ".join(str(part_path(args.out, i, parts)) for i in range(1, parts + 1))
    console.print(
        f"next{', with all parts in one place' if parts > 1 else ''}: python -m ofa.predictors.fit --data {files} "
        f"--space {space.name} --out {args.out.with_suffix('.safetensors')}",
        highlight=False,
        soft_wrap=True,
    )


def part_path(path: Path, part: int, parts: int) -> Path:
    """The file of one of several parts: accuracies.1of4.csv; the path itself where there is but one."""
    return path if parts == 1 else path.with_name(f"{path.stem}.{part}of{parts}.csv")


def spread(resolutions: Sequence[int], most: int) -> tuple[int, ...]:
    """At most so many of the resolutions, the first and last and between them evenly."""
    if len(resolutions) <= most:
        return tuple(resolutions)
    return tuple(resolutions[round(i * (len(resolutions) - 1) / (most - 1))] for i in range(most))


if __name__ == "__main__":
    from ofa.cli.run import run

    run(main)
