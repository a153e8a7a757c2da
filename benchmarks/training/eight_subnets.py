"""The paper's eight sub-networks (Cai et al. 2020, figure 6) of several supernets, and some trained alone.

Depth 2 or 4 in every unit, expand ratio 3 or 6 and kernel 3 or 7 in every layer, at one resolution. Each is calibrated
with 2,000 training images and evaluated on all validation images: `ofa.evaluate`'s figures, from images decoded once.
Supernets called NAME-SEED are trainings of one kind: their mean, the standard deviation between seeds, and differences
to the first kind, paired image by image, are told.

    python benchmarks/training/eight_subnets.py --data imagenette2-224.zip --resolution 96 \
        --supernet uniform-0=out/arms/uniform-0/supernet.safetensors late-0=out/arms/late-0/supernet.safetensors \
        --alone d2-w3-k3=out/alone/network --out out/eight_subnets.json
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from ofa.blocks.costs import count_macs
from ofa.checkpoints.weights import load_network, load_supernet
from ofa.errors import InputError
from ofa.images.files.opening import open_images
from ofa.images.pixels.store import PixelStore
from ofa.images.preprocessing import IMAGENET
from ofa.images.reading import random_indices
from ofa.networks.tree import SubnetTree
from ofa.predictors.collect.measuring import PreparedImages
from ofa.runs.files import write_json

CHOICES = [(depth, expand, kernel) for depth in (2, 4) for expand in (3, 6) for kernel in (3, 7)]
NAMES = ["d{}-w{}-k{}".format(*choice) for choice in CHOICES]
Right = NDArray[np.bool_]  # (networks, images): whether the greatest logit is the label's


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    add = parser.add_argument
    add("--supernet", type=named, nargs="+", required=True, metavar="NAME-SEED=W", help="supernets of one space")
    add("--alone", type=named, nargs="*", default=[], metavar="d2-w3-k3=DIR", help="networks trained alone")
    add("--data", type=Path, required=True, metavar="DIR|ZIP", help="with folders train and val")
    add("--resolution", type=int, required=True, metavar="R")
    add("--out", type=Path, default=Path("out/eight_subnets.json"), metavar="FILE")
    args = parser.parse_args(argv)
    wrong = [name for name, _ in args.alone if name not in NAMES]
    if wrong:
        raise InputError(f"--alone {wrong[0]}: expected one of {', '.join(NAMES)}")
    train, val = open_images(args.data, split="train"), open_images(args.data, split="val")
    chosen = random_indices(train, 2000), list(range(len(val)))
    calibration, evaluation = (
        PixelStore(folder, indices, [args.resolution], 64).batches[args.resolution]
        for folder, indices in zip((train, val), chosen, strict=True)
    )
    images = PreparedImages(calibration, evaluation, *IMAGENET)
    right = {label: of_supernet(path, args.resolution, images) for label, path in args.supernet}
    top1 = {label: percents(found) for label, found in right.items()}
    if args.alone:
        top1["alone"] = {name: float(100 * alone(path, images).mean()) for name, path in args.alone}
    space = load_supernet(args.supernet[0][1]).space
    macs = [count_macs(space, space.subnet([k] * 20, [e] * 20, [d] * 5, args.resolution)) / 1e6 for d, e, k in CHOICES]
    kinds = by_kind(right)
    console = Console(width=None if Console().is_terminal else 200)
    console.print(per_subnet(top1, macs, args.resolution))
    console.print(per_kind(kinds))
    facts = {"data": args.data.name, "resolution": args.resolution, "images": len(val)}
    write_json(args.out, {**facts, "top1": top1, "kinds": {name: summary(found) for name, found in kinds.items()}})
    print(f"wrote {args.out}")
    return 0


def named(text: str) -> tuple[str, Path]:
    """An argparse type: NAME=PATH."""
    name, _, path = text.partition("=")
    if not (name and path):
        raise argparse.ArgumentTypeError(f"{text!r} is not NAME=PATH")
    return name, Path(path)


def of_supernet(path: Path, resolution: int, images: PreparedImages) -> Right:
    """(8, images) of a supernet's eight sub-networks."""
    net = load_supernet(path).eval()
    subnets = [net.space.subnet([k] * 20, [e] * 20, [d] * 5, resolution) for d, e, k in CHOICES]
    device = torch.device("cpu")
    tree = SubnetTree(net, subnets)
    prepared = (batch.images(device, images.mean, images.std) for batch in images.calibration)
    statistics = tree.calibrate(images.cut.batches(prepared))
    found, logits = [], tree.logits(tree.folded(statistics))
    for batch in images.evaluation:
        each = logits(batch.images(device, images.mean, images.std))
        found.append(torch.stack([of_one.argmax(1) == batch.labels for of_one in each]).numpy())
    return np.concatenate(found, 1)


def alone(path: Path, images: PreparedImages) -> Right:
    """(images,) of a network that was trained alone, by the statistics that its training ended with."""
    network = load_network(path)
    with torch.no_grad():
        found = [
            network(batch.images(torch.device("cpu"), images.mean, images.std)).argmax(1) == batch.labels
            for batch in images.evaluation
        ]
    return torch.cat(found).numpy()


def percents(right: Right) -> dict[str, float]:
    """Top-1 of each of the eight."""
    return {name: float(100 * row.mean()) for name, row in zip(NAMES, right, strict=True)}


def by_kind(right: Mapping[str, Right]) -> dict[str, list[Right]]:
    """Trainings of one kind together: those whose names differ in what stands behind the last dash alone."""
    kinds: dict[str, list[Right]] = {}
    for label, found in right.items():
        kinds.setdefault(label.rpartition("-")[0] or label, []).append(found)
    return kinds


def summary(seeds: Sequence[Right]) -> dict[str, float | int | None]:
    """Mean over the eight and the seeds, and the standard deviation between seeds, %."""
    means = [100 * float(found.mean()) for found in seeds]
    sd = float(np.std(means, ddof=1)) if len(means) > 1 else None
    return {"mean": float(np.mean(means)), "sd": sd, "seeds": len(means)}


def difference(seeds: Sequence[Right], others: Sequence[Right]) -> tuple[float, float]:
    """Difference of two kinds' means, %, and its standard error over the images, paired image by image."""
    apart = sum(found.mean(0) for found in seeds) / len(seeds) - sum(found.mean(0) for found in others) / len(others)
    return 100 * float(apart.mean()), 100 * float(apart.std(ddof=1) / np.sqrt(apart.size))


def per_subnet(top1: Mapping[str, Mapping[str, float]], macs: Sequence[float], resolution: int) -> Table:
    table = Table("sub-network", "MMACs", *top1, title=f"top-1 %, {resolution} px", title_justify="left")
    for name, cost in zip(NAMES, macs, strict=True):
        table.add_row(
            name, f"{cost:.1f}", *(f"{column[name]:.2f}" if name in column else "" for column in top1.values())
        )
    means = [f"{sum(column.values()) / 8:.2f}" if len(column) == 8 else "" for column in top1.values()]
    table.add_row("mean", "", *means)
    return table


def per_kind(kinds: Mapping[str, Sequence[Right]]) -> Table:
    first = next(iter(kinds))
    table = Table("training", "seeds", "mean of the eight, %", "sd between seeds", f"less {first}, paired")
    for name, seeds in kinds.items():
        told = summary(seeds)
        apart, error = difference(seeds, kinds[first])
        sd = "" if told["sd"] is None else f"{told['sd']:.2f}"
        table.add_row(
            name, str(told["seeds"]), f"{told['mean']:.2f}", sd, "" if name == first else f"{apart:+.2f} ({error:.2f})"
        )
    return table


if __name__ == "__main__":
    from ofa.cli.run import run

    run(main)
