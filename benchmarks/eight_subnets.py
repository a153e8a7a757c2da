"""The paper's eight sub-networks (Cai et al. 2020, figure 6) of several supernets, and some trained alone.

Depth 2 or 4 in every unit, expand ratio 3 or 6 and kernel 3 or 7 in every layer, at one resolution, each calibrated
and evaluated by `ofa.evaluate` on all validation images.

    python benchmarks/eight_subnets.py --data imagenette2-224.zip --resolution 96 \
        --supernet shrinking=out/shrinking/supernet.safetensors uniform=out/uniform/supernet.safetensors \
        --alone d2-w3-k3=out/alone/network --out out/eight
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table

from ofa.errors import InputError
from ofa.evaluate import main as evaluate
from ofa.files import write_json
from ofa.networks.checkpoint import load_supernet
from ofa.predictors.costs import count_macs

CHOICES = [(depth, expand, kernel) for depth in (2, 4) for expand in (3, 6) for kernel in (3, 7)]


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    add = parser.add_argument
    add("--supernet", type=named, nargs="+", required=True, metavar="NAME=W", help="supernets of one space")
    add("--alone", type=named, nargs="*", default=[], metavar="d2-w3-k3=DIR", help="networks trained alone")
    add("--data", type=Path, required=True, metavar="DIR|ZIP")
    add("--resolution", type=int, required=True, metavar="R")
    add("--limit", type=int, metavar="N", help="only N images")
    add("--out", type=Path, default=Path("out/eight-subnets"), metavar="DIR")
    args = parser.parse_args(argv)
    space = load_supernet(args.supernet[0][1]).space
    names = ["d{}-w{}-k{}".format(*choice) for choice in CHOICES]
    wrong = [name for name, _ in args.alone if name not in names]
    if wrong:
        raise InputError(f"--alone {wrong[0]}: expected one of {', '.join(names)}")
    subnets = [space.subnet([k] * 20, [e] * 20, [d] * 5, args.resolution) for d, e, k in CHOICES]
    asked = args.out / "subnets.json"
    results = [{"subnet": subnet.to_dict()} for subnet in subnets]
    write_json(asked, {"space": space.name, "num_classes": space.num_classes, "results": results})
    common = [f"--data={args.data}", *([f"--limit={args.limit}"] if args.limit else [])]

    top1: dict[str, dict[str, float]] = {}
    for label, path in args.supernet:
        found = evaluated([f"--checkpoint={path}", f"--subnet={asked}", *common], args.out / f"{label}.json")
        top1[label] = dict(zip(names, found, strict=True))
    alone = {}
    for name, path in args.alone:
        checkpoint = [f"--checkpoint={path}", f"--resolution={args.resolution}"]
        (alone[name],) = evaluated([*checkpoint, *common], args.out / f"alone-{name}.json")
    if alone:
        top1["alone"] = alone

    table = Table("sub-network", "MMACs", *top1, title=f"top-1 %, {args.resolution} px", title_justify="left")
    for name, subnet in zip(names, subnets, strict=True):
        cells = [f"{column[name]:.2f}" if name in column else "" for column in top1.values()]
        table.add_row(name, f"{count_macs(space, subnet) / 1e6:.1f}", *cells)
    means = [sum(column.values()) / len(column) if len(column) == len(names) else None for column in top1.values()]
    table.add_row("mean", "", *("" if mean is None else f"{mean:.2f}" for mean in means))
    Console(width=None if Console().is_terminal else 120).print(table)
    write_json(args.out / "eight_subnets.json", {"resolution": args.resolution, "top1": top1})
    print(f"wrote {args.out / 'eight_subnets.json'}")
    return 0


def named(text: str) -> tuple[str, Path]:
    """An argparse type: NAME=PATH."""
    name, _, path = text.partition("=")
    if not (name and path):
        raise argparse.ArgumentTypeError(f"{text!r} is not NAME=PATH")
    return name, Path(path)


def evaluated(arguments: Sequence[str], out: Path) -> list[float]:
    """Top-1, per cent, of all networks that the arguments name; what was evaluated before is not repeated."""
    if not out.is_file():
        evaluate([*arguments, f"--out={out}"])
    return [row["top1"] for row in json.loads(out.read_text())["results"]]


if __name__ == "__main__":
    from ofa.cli import run

    run(main)
