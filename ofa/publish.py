"""`python -m ofa.publish`: one small file of a supernet, for people who do not have its images."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from shlex import quote

import numpy as np
import torch
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table
from torch import Tensor

from ofa.cli.image_options import add_calibrating, calibrating, tell
from ofa.errors import InputError
from ofa.images.choice import HELD_OUT, Chosen, images_to_calibrate, images_to_evaluate
from ofa.images.classes import matched
from ofa.images.facts import ImageFacts
from ofa.images.folder import ImageFolder
from ofa.images.reading import batches, broken_lines, left_out_lines
from ofa.networks import BatchNormStatistics, Supernet, calibrate_bn
from ofa.networks.calibrate import Calibrating
from ofa.networks.checkpoint import read_facts, read_image_facts, save_checkpoint
from ofa.networks.synthetic import prepared, synthetic_images
from ofa.predictors.measuring import spread
from ofa.space import Subnet
from ofa.subjects import open_supernet
from ofa.training.scores import Scores, scores_of

FITTED_RESOLUTIONS = 5
BATCH = 100


def parser() -> argparse.ArgumentParser:
    parsed = argparse.ArgumentParser(
        prog="python -m ofa.publish",
        description="Store a supernet in half precision, together with a few synthetic images that calibrate its "
        "sub-networks nearly as well as the photographs it was trained on: ofa.export then needs none.",
        epilog="example: python -m ofa.publish --checkpoint out/supernet/supernet.safetensors --data IMAGES "
        "--out mine.safetensors",
    )
    add = parsed.add_argument
    add("--checkpoint", type=Path, required=True, metavar="W", help="a supernet that ofa.train made")
    add("--data", type=Path, required=True, metavar="DIR|ZIP", help="what it was trained on: train to calibrate with, "
        "val, or what the training held out, to compare on")  # fmt: skip
    add("--images", type=int, default=64, metavar="N", help="synthetic images (default 64)")
    add("--steps", type=int, default=700, metavar="N", help="of gradient descent (default 700)")
    add("--subnets", type=int, default=20, metavar="N", help="sub-networks that the images are fitted to (default 20)")
    add("--calibration-images", type=int, default=1000, metavar="N", help="real ones, for each (default 1000)")
    add_calibrating(add)
    add("--check-subnets", type=int, default=10, metavar="N", help="other sub-networks, to compare on (default 10)")
    add("--check-images", type=int, default=1000, metavar="N", help="to compare on (default 1000)")
    add("--seed", type=int, default=0, metavar="N", help="of everything random (default 0)")
    add("--out", type=Path, required=True, metavar="W", help="the file to write, .safetensors")
    return parsed


def main(argv: Sequence[str] | None = None) -> int:
    args = parser().parse_args(argv)
    least = {"images": 2, "steps": 1, "subnets": 2, "calibration_images": 2, "check_subnets": 1, "check_images": 1}
    for flag, value in {**least, "seed": 0}.items():
        if getattr(args, flag) < value:
            raise InputError(f"--{flag.replace('_', '-')} is {getattr(args, flag)}, expected {value} or more")
    if args.out.suffix != ".safetensors":
        raise InputError(f"--out is {args.out}, expected a name that ends in .safetensors")
    console = Console(width=None if Console().is_terminal else 120, highlight=False, markup=False)
    net = open_supernet(args.checkpoint, None, ()).eval()
    facts, known, cut = read_facts(args.checkpoint), read_image_facts(args.checkpoint), calibrating(args)
    if known is None:
        raise InputError(f"{args.checkpoint} does not say how its images are normalised: expected a file of ofa.train")
    chosen = images_to_calibrate(None, args.data, known, None, args.checkpoint)
    used = chosen.at_random(args.calibration_images, 0)
    known = known.marked(
        cut.check(len(used), chosen.folder.path),
        replace(cut, batch=args.images).check(args.images, f"{args.out} with {args.images} synthetic images"),
    )
    tell(console, left_out_lines(chosen.folder), known.marks)
    real = RealImages(chosen.folder, used, known, cut)
    subnets = chosen_subnets(net, args.subnets + args.check_subnets, args.seed)
    fitted, others = subnets[: args.subnets], subnets[args.subnets :]
    columns = (TextColumn("{task.description}"), BarColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task("what layers see of real images", total=len(fitted))
        targets = []
        for subnet in fitted:
            targets.append(real.calibrated(net, subnet))
            bar.advance(task)
        task = bar.add_task("synthetic images", total=args.steps)
        images = synthetic_images(
            net, targets, args.images, args.steps, known.mean, known.std, seed=args.seed,
            advance=lambda _: bar.advance(task),
        )  # fmt: skip
    facts["published"] = {"synthetic_images": args.images, "fitted_subnets": len(fitted)}
    compare_on = to_compare_on(args, net, known)
    if compare_on is not None:
        shown, facts["published"]["compared"] = compared(net, others, images, real, compare_on, args.check_images)
        console.print(shown)
    for line in broken_lines(chosen.folder, None if compare_on is None else compare_on.folder):
        print(line, file=sys.stderr)
    args.out.parent.mkdir(parents=True, exist_ok=True)
    save_checkpoint(net, args.out, facts=facts, calibration=images, half=True, images=known)
    console.print(f"wrote {args.out}: {args.out.stat().st_size / 1e6:.2f} MB, with {args.images} synthetic images")
    console.print(f"next: python -m ofa.export --checkpoint {quote(str(args.out))} --subnet FILE --format onnx")
    return 0


def to_compare_on(args: argparse.Namespace, net: Supernet, known: ImageFacts) -> Chosen | None:
    """Images that the supernet was not trained on: val, else what was held out; None where there are none."""
    try:
        chosen = images_to_evaluate(args.data, known, args.checkpoint)
    except InputError:  # only train, or the very images that it was trained on
        return None
    if chosen.split not in ("val", HELD_OUT):
        return None
    folder, _ = matched(chosen.folder, known, net.space.num_classes, source=args.checkpoint)
    return replace(chosen, folder=folder)


class RealImages:
    """The photographs that a supernet was trained on, prepared as for evaluation."""

    def __init__(self, folder: ImageFolder, indices: Sequence[int], known: ImageFacts, cut: Calibrating) -> None:
        """indices: those to calibrate with; cut: into which batches"""
        self.folder, self.indices, self.known, self.cut = folder, indices, known, cut
        self._kept: dict[int, list[Tensor]] = {}

    def calibrated(self, net: Supernet, subnet: Subnet) -> BatchNormStatistics:
        """Statistics of the sub-network. Images are read once for each resolution."""
        size = subnet.resolution
        if size not in self._kept:
            self._kept[size] = list(self.cut.batches(self.read(self.folder, size, self.indices)))
        return calibrate_bn(net, subnet, self._kept[size])

    def read(self, folder: ImageFolder, resolution: int, indices: Sequence[int]) -> Iterator[tuple[Tensor, Tensor]]:
        """Batches of images and labels."""
        return batches(folder, resolution, BATCH, mean=self.known.mean, std=self.known.std, indices=indices)


def chosen_subnets(net: Supernet, count: int, seed: int) -> list[Subnet]:
    """The largest, the smallest, then random ones, at the space's resolutions in turn."""
    space = net.space
    ends = space.canonical(np.stack([space.cardinalities - 1, space.cardinalities * 0]).astype(np.uint8))
    genes = np.concatenate([ends, space.sample(np.random.default_rng(seed), max(0, count - 2))])
    sizes = spread(space.resolutions, FITTED_RESOLUTIONS)[::-1]
    return [replace(subnet, resolution=sizes[i % len(sizes)]) for i, subnet in enumerate(space.decode(genes))]


def compared(
    net: Supernet, subnets: Sequence[Subnet], images: Tensor, real: RealImages, compare_on: Chosen, count: int
) -> tuple[Table, list[dict[str, float]]]:
    """Top-1 (%) of sub-networks that the images were not fitted to, calibrated with real and with synthetic ones."""
    chosen = compare_on.at_random(count, 0)
    table = Table("sub-network", "px", "top-1 %, real images", "synthetic")
    rows = []
    for i, subnet in enumerate(subnets):
        fake = calibrate_bn(net, subnet, [prepared(images, subnet.resolution, real.known.mean, real.known.std)])
        true, scores = real.calibrated(net, subnet), [Scores(), Scores()]
        for photos, labels in real.read(compare_on.folder, subnet.resolution, chosen):
            for k, statistics in enumerate((true, fake)):
                with torch.no_grad():
                    scores[k] += scores_of(net(photos, subnet, statistics), labels)
        found = [100 * score.top1 / score.images for score in scores]
        rows.append({"resolution": subnet.resolution, "real": found[0], "synthetic": found[1]})
        table.add_row(str(i + 1), str(subnet.resolution), *(f"{value:.2f}" for value in found))
    means = [sum(row[key] for row in rows) / len(rows) for key in ("real", "synthetic")]
    table.add_row("mean", "", *(f"{value:.2f}" for value in means))
    return table, rows


if __name__ == "__main__":
    from ofa.cli.run import run

    run(main)
