"""The paper's eight sub-networks (Cai et al. 2020, figure 6) of several supernets, and some trained alone.

Depth 2 or 4 in every unit, expand ratio 3 or 6 and kernel 3 or 7 in every layer, at one resolution. Each is calibrated
with 2,000 training images and evaluated on all validation images: `ofa.evaluate`'s figures, from images decoded once.

    python benchmarks/eight_subnets.py --data imagenette2-224.zip --resolution 96 \
        --supernet shrinking=out/shrinking/supernet.safetensors uniform=out/uniform/supernet.safetensors \
        --alone d2-w3-k3=out/alone/network --out out/eight_subnets.json
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import torch
from rich.console import Console
from rich.table import Table

from ofa.blocks.costs import count_macs
from ofa.errors import InputError
from ofa.images.opening import open_images
from ofa.images.pixels import PixelStore
from ofa.images.preprocessing import IMAGENET
from ofa.images.reading import random_indices
from ofa.networks.checkpoint import load_network, load_supernet
from ofa.predictors.measuring import Images, measure
from ofa.runs.files import write_json
from ofa.training.scores import Scores, scores_of

CHOICES = [(depth, expand, kernel) for depth in (2, 4) for expand in (3, 6) for kernel in (3, 7)]
NAMES = ["d{}-w{}-k{}".format(*choice) for choice in CHOICES]


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    add = parser.add_argument
    add("--supernet", type=named, nargs="+", required=True, metavar="NAME=W", help="supernets of one space")
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
    images = Images(calibration, evaluation, *IMAGENET)

    top1: dict[str, dict[str, float]] = {}
    for label, path in args.supernet:
        net = load_supernet(path).eval()
        space = net.space
        subnets = [space.subnet([k] * 20, [e] * 20, [d] * 5, args.resolution) for d, e, k in CHOICES]
        with torch.no_grad():
            scores = measure(net, subnets, images)
        top1[label] = {name: percent(score) for name, score in zip(NAMES, scores, strict=True)}
    if args.alone:
        top1["alone"] = {name: alone(path, images) for name, path in args.alone}

    table = Table("sub-network", "MMACs", *top1, title=f"top-1 %, {args.resolution} px", title_justify="left")
    for name, subnet in zip(NAMES, subnets, strict=True):
        cells = [f"{column[name]:.2f}" if name in column else "" for column in top1.values()]
        table.add_row(name, f"{count_macs(space, subnet) / 1e6:.1f}", *cells)
    means = [f"{sum(column.values()) / 8:.2f}" if len(column) == 8 else "" for column in top1.values()]
    table.add_row("mean", "", *means)
    Console(width=None if Console().is_terminal else 120).print(table)
    facts = {"data": args.data.name, "resolution": args.resolution, "images": len(val)}
    write_json(args.out, {**facts, "top1": top1})
    print(f"wrote {args.out}")
    return 0


def named(text: str) -> tuple[str, Path]:
    """An argparse type: NAME=PATH."""
    name, _, path = text.partition("=")
    if not (name and path):
        raise argparse.ArgumentTypeError(f"{text!r} is not NAME=PATH")
    return name, Path(path)


def alone(path: Path, images: Images) -> float:
    """Top-1 of a network that was trained alone, by its own statistics."""
    network, total = load_network(path), Scores()
    with torch.no_grad():
        for batch in images.evaluation:
            logits = network(batch.images(torch.device("cpu"), images.mean, images.std))
            total += scores_of(logits, batch.labels)
    return percent(total)


def percent(scores: Scores) -> float:
    """Top-1."""
    return 100 * scores.top1 / scores.images


if __name__ == "__main__":
    from ofa.cli.run import run

    run(main)
