"""`python -m ofa.publish`: one small file of a supernet, for people who do not have its images."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table
from torch import Tensor

from ofa.errors import InputError
from ofa.images.folder import ImageFolder
from ofa.images.opening import open_images
from ofa.images.reading import batches, random_indices
from ofa.networks import BatchNormStatistics, Supernet, calibrate_bn
from ofa.networks.checkpoint import read_facts, save_checkpoint
from ofa.networks.synthetic import prepared, synthetic_images
from ofa.predictors.collect import spread
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
        "val (where there is one) to compare on")  # fmt: skip
    add("--images", type=int, default=64, metavar="N", help="synthetic images (default 64)")
    add("--steps", type=int, default=700, metavar="N", help="of gradient descent (default 700)")
    add("--subnets", type=int, default=20, metavar="N", help="sub-networks that the images are fitted to (default 20)")
    add("--calibration-images", type=int, default=1000, metavar="N", help="real ones, for each (default 1000)")
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
    facts = read_facts(args.checkpoint)
    if not {"mean", "std"} <= set(facts):
        raise InputError(f"{args.checkpoint} does not say how its images are normalised: expected a file of ofa.train")
    real = RealImages(open_images(args.data, split="train"), facts["mean"], facts["std"], args.calibration_images)
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
            net, targets, args.images, args.steps, real.mean, real.std, seed=args.seed,
            advance=lambda _: bar.advance(task),
        )  # fmt: skip
    facts["published"] = {"synthetic_images": args.images, "fitted_subnets": len(fitted)}
    if "val" in real.folder.splits:
        shown, facts["published"]["compared"] = compared(net, others, images, real, args)
        console.print(shown)
    args.out.parent.mkdir(parents=True, exist_ok=True)
    save_checkpoint(net, args.out, facts=facts, calibration=images, half=True)
    console.print(f"wrote {args.out}: {args.out.stat().st_size / 1e6:.2f} MB, with {args.images} synthetic images")
    console.print(f"next: python -m ofa.export --checkpoint {args.out} --subnet FILE --format onnx")
    return 0


class RealImages:
    """The photographs that a supernet was trained on, prepared as for evaluation."""

    def __init__(self, folder: ImageFolder, mean: Sequence[float], std: Sequence[float], count: int) -> None:
        """count: how many to calibrate with"""
        self.folder, self.count = folder, count
        self.mean, self.std = (mean[0], mean[1], mean[2]), (std[0], std[1], std[2])
        self._kept: dict[int, list[Tensor]] = {}

    def calibrated(self, net: Supernet, subnet: Subnet) -> BatchNormStatistics:
        """Statistics of the sub-network. Images are read once for each resolution."""
        size = subnet.resolution
        if size not in self._kept:
            chosen = random_indices(self.folder, self.count)
            self._kept[size] = [images for images, _ in self.read(self.folder, size, chosen)]
        return calibrate_bn(net, subnet, self._kept[size])

    def read(self, folder: ImageFolder, resolution: int, indices: Sequence[int]) -> Iterator[tuple[Tensor, Tensor]]:
        """Batches of images and labels."""
        return batches(folder, resolution, BATCH, mean=self.mean, std=self.std, indices=indices)


def chosen_subnets(net: Supernet, count: int, seed: int) -> list[Subnet]:
    """The largest, the smallest, then random ones, at the space's resolutions in turn."""
    space = net.space
    ends = space.canonical(np.stack([space.cardinalities - 1, space.cardinalities * 0]).astype(np.uint8))
    genes = np.concatenate([ends, space.sample(np.random.default_rng(seed), max(0, count - 2))])
    sizes = spread(space.resolutions, FITTED_RESOLUTIONS)[::-1]
    return [replace(subnet, resolution=sizes[i % len(sizes)]) for i, subnet in enumerate(space.decode(genes))]


def compared(
    net: Supernet, subnets: Sequence[Subnet], images: Tensor, real: RealImages, args: argparse.Namespace
) -> tuple[Table, list[dict[str, float]]]:
    """Top-1 (%) of sub-networks that the images were not fitted to, calibrated with real and with synthetic ones."""
    folder = open_images(args.data, split="val")
    table = Table("sub-network", "px", "top-1 %, real images", "synthetic")
    rows = []
    for i, subnet in enumerate(subnets):
        fake = calibrate_bn(net, subnet, [prepared(images, subnet.resolution, real.mean, real.std)])
        true, scores = real.calibrated(net, subnet), [Scores(), Scores()]
        for photos, labels in real.read(folder, subnet.resolution, random_indices(folder, args.check_images)):
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
