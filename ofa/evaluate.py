"""`python -m ofa.evaluate`: top-1 and top-5 of networks on real images."""

from __future__ import annotations

import argparse
import hashlib
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ofa.errors import InputError

if TYPE_CHECKING:
    from rich.console import Console
    from torch import Tensor

    from ofa.images.folder import ImageFolder
    from ofa.networks import BatchNormStatistics, PlainNetwork, Supernet
    from ofa.runs.journal import Journal
    from ofa.runs.processes import Processes
    from ofa.subjects import Subject


def parser() -> argparse.ArgumentParser:
    parsed = argparse.ArgumentParser(
        prog="python -m ofa.evaluate",
        description="Top-1 and top-5 of a specialised network, or of sub-networks of a supernet, whose batch "
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
    add("--split", metavar="NAME", help="which of the folders train, val, test (default val, where there are any)")
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
        help="training images to calibrate with (default: train of --data)",
    )
    add("--calibration-images", type=int, default=2000, metavar="N", help="how many of them (default 2000)")
    add(
        "--classes", metavar="FILE", help="numbers of the class folders: FILE, or imagenette (default: in sorted order)"
    )
    add("--mean", default="imagenet", metavar="M", help="imagenet (default), half, or numbers such as 0.5,0.5,0.5")
    add("--std", metavar="S", help="the same (default: what goes with --mean)")
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

    from ofa.images.classes import read_classes
    from ofa.images.opening import open_images
    from ofa.images.preprocessing import normalisation
    from ofa.images.reading import broken_line, random_indices
    from ofa.runs.files import sha256, write_json
    from ofa.runs.journal import Journal
    from ofa.subjects import calibration_folder, check_classes, load_subjects, net_classes

    console = Console(width=None if Console().is_terminal else 120, quiet=procs.rank > 0)
    started = time.perf_counter()
    mean, std = normalisation(args.mean, args.std)
    data = open_images(
        args.data, split=args.split or "val", classes=read_classes(args.classes) if args.classes else None
    )
    if args.split and not data.splits:
        raise InputError(f"{args.data} has no folders train, val or test: leave --split out")
    net, subjects = load_subjects(args)
    check_classes(data, net_classes(net), mapped=args.classes is not None)
    calibration = calibration_folder(args, data) if subjects[0].subnet is not None else None
    indices = list(range(len(data))) if args.limit is None else random_indices(data, args.limit, args.seed)
    settings = {
        "seed": args.seed,
        "checkpoint": str(args.checkpoint),
        "checkpoint_sha256": sha256(args.checkpoint),
        "data": str(args.data),
        "split": data.split,
        "images": len(indices),
        "images_sha256": hashlib.sha256("\n".join(data.names[i] for i in indices).encode()).hexdigest(),
        "class_index": data.class_index,
        "mean": list(mean),
        "std": list(std),
        "batch_size": args.batch_size,
        "networks": [[s.name, s.resolution, s.subnet.to_dict() if s.subnet else None] for s in subjects],
        "calibration": None if calibration is None else str(calibration.path),
        "calibration_images": None if calibration is None else min(args.calibration_images, len(calibration)),
    }
    journal = Journal(args.out, settings, procs, resume=args.resume)
    net.to(procs.device).eval()
    evaluation = Evaluation(net, data, indices, calibration, (mean, std), args, procs, journal)
    try:
        results = evaluation.run(subjects, console)
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
        if broken:
            print(broken_line(data, broken), file=sys.stderr)
        _show(console, args, results)
    return 0


class Evaluation:
    """Evaluates one network after another, chunk by chunk of the images, each process its share of the chunks.

    A chunk is `--batch-size` images: the batches, and so the results, are the same for any number of processes.
    """

    def __init__(
        self,
        net: PlainNetwork | Supernet,
        data: ImageFolder,
        indices: Sequence[int],
        calibration: ImageFolder | None,
        normalisation: tuple[Sequence[float], Sequence[float]],
        args: argparse.Namespace,
        procs: Processes,
        journal: Journal,
    ) -> None:
        self.net, self.data, self.calibration = net, data, calibration
        self.args, self.procs, self.journal = args, procs, journal
        self.how: dict[str, Any] = {"mean": normalisation[0], "std": normalisation[1]}
        self.how |= {"strict": args.strict, "workers": args.workers}
        size = args.batch_size
        self.chunks = [indices[i : i + size] for i in range(0, len(indices), size)]
        self.broken: set[str] = set()
        self.done: dict[tuple[int, int], Sequence[float]] = {}
        for line in journal.done:
            self.done[line["network"], line["chunk"]] = line["counts"]
            self.broken.update(line["broken"])

    def run(self, subjects: Sequence[Subject], console: Console) -> list[dict[str, Any]]:
        """The result of every network, in order."""
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        results = []
        with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
            images = sum(len(chunk) for chunk in self.chunks)
            task = bar.add_task("images", total=images * len(subjects))
            for number, subject in enumerate(subjects):
                bar.update(task, description=subject.name)
                results.append(self.one(number, subject, lambda n: bar.advance(task, n)))
        return results

    def one(self, number: int, subject: Subject, advance: Any) -> dict[str, Any]:
        """Calibrates and evaluates a network; its counts are summed over all processes."""
        import torch

        from ofa.images.reading import read_chunks
        from ofa.training.scores import Scores, scores_of

        # a row a chunk, filled by one process each and then added: exact, whatever the number of processes
        rows = torch.zeros(len(self.chunks), 5, dtype=torch.float64)  # images, top1, top5, loss, broken
        todo = [c for c in range(len(self.chunks)) if (number, c) not in self.done]
        if self.procs.rank == 0:
            for c in range(len(self.chunks)):
                if (number, c) in self.done:
                    rows[c] = torch.tensor(self.done[number, c], dtype=torch.float64)
                    advance(len(self.chunks[c]))
        mine = todo[self.procs.rank :: self.procs.count]
        statistics = self.calibrated(subject) if mine and subject.subnet is not None else None
        listed = [i for c in mine for i in self.chunks[c]]
        chunks = read_chunks(self.data, subject.resolution, self.args.batch_size, indices=listed, **self.how)
        for c, chunk in zip(mine, chunks if mine else (), strict=True):
            scores = Scores()
            if chunk.images is not None:
                scores = scores_of(self.logits(chunk.images, subject, statistics), chunk.labels.to(self.procs.device))
            counts = [scores.images, scores.top1, scores.top5, scores.loss_sum, len(chunk.broken)]
            rows[c] = torch.tensor(counts, dtype=torch.float64)
            self.broken.update(chunk.broken)
            self.journal.add({"network": number, "chunk": c, "counts": counts, "broken": list(chunk.broken)})
            advance(len(self.chunks[c]) * (self.procs.count if todo else 1))
        images, top1, top5, loss, broken = self.procs.total(rows).sum(0).tolist()
        if not images:
            raise InputError(f"{self.data.path}: none of {int(broken)} images can be read")
        if loss != loss:
            raise InputError(f"{subject.name}: the network's outputs are not finite")
        return {
            "name": subject.name,
            "resolution": subject.resolution,
            "subnet": subject.subnet.to_dict() if subject.subnet is not None else None,
            **Scores(int(images), int(top1), int(top5), loss).to_dict(),
            "broken": int(broken),
            **subject.facts,
        }

    def calibrated(self, subject: Subject) -> BatchNormStatistics:
        """Batch normalisation statistics of a sub-network; the same in every process."""
        from ofa.images.reading import batches, random_indices
        from ofa.networks import calibrate_bn

        assert self.calibration is not None and subject.subnet is not None
        chosen = random_indices(self.calibration, self.args.calibration_images, self.args.seed)
        size = self.args.batch_size
        prepared = batches(self.calibration, subject.resolution, size, indices=chosen, **self.how)
        supernet: Any = self.net
        return calibrate_bn(supernet, subject.subnet, prepared)

    def logits(self, images: Tensor, subject: Subject, statistics: BatchNormStatistics | None) -> Tensor:
        """(N, classes) for images (N, 3, R, R)."""
        import torch

        images = images.to(self.procs.device, memory_format=torch.channels_last, non_blocking=True)
        with torch.inference_mode():
            found: Tensor = self.net(images) if subject.subnet is None else self.net(images, subject.subnet, statistics)
        return found


def _show(console: Console, args: argparse.Namespace, results: Sequence[Mapping[str, Any]]) -> None:
    from rich.table import Table

    predicted = any("predicted_top1" in row for row in results)
    table = Table("network", "resolution", "images", "top-1 %", "top-5 %", "loss")
    if predicted:
        table.add_column("predicted top-1 %")
    for row in results:
        cells = [row["name"], str(row["resolution"]), str(row["images"])]
        cells += [f"{row[key]:.2f}" for key in ("top1", "top5")] + [f"{row['loss']:.4f}"]
        if predicted:
            cells.append("" if row.get("predicted_top1") is None else f"{row['predicted_top1']:.2f}")
        table.add_row(*cells)
    console.print(table)
    console.print(f"wrote {args.out}", highlight=False)
    if args.subnet is not None or args.random is not None:
        export = f"python -m ofa.export --checkpoint {args.checkpoint} --subnet FILE --format onnx"
        console.print(f"next: {export}, or fine-tune one: python -m ofa.finetune --help", highlight=False)
    elif args.config is None:
        export = f"python -m ofa.export --checkpoint {args.checkpoint} --format onnx"
        console.print(f"next: deploy it with {export}", highlight=False)
    else:
        console.print("next: measure it on this machine: python -m profilers.cpu --help", highlight=False)


if __name__ == "__main__":
    from ofa.cli.run import run

    run(main)
