"""A supernet searched for int8 and for float32 at equal latency: which networks, what their files take and get right.

    python benchmarks/search/int8_searched.py files --int8 int8.csv --float fp32.csv --data imagenette2-224.zip \
        --collected accuracies.csv --out out/searched
    python benchmarks/search/int8_searched.py times --out out/searched      # on a quiet machine

Both tables are of one runtime, and of this machine. For every limit the network that each search finds is exported: in
the type that it was searched for, and those of float32 in int8 as well, as they are deployed where nobody searches for
int8. Files are judged on images that the predictor never rested on, and timed by the profilers' agent, in turns.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from closed_loop import FORMATS, division, latencies
from numpy.typing import NDArray

from ofa.checkpoints.opening import open_supernet
from ofa.checkpoints.shipped import WEIGHTS
from ofa.checkpoints.weights import read_image_facts
from ofa.export.__main__ import main as export
from ofa.export.runtimes import runner
from ofa.images.choice import images_to_evaluate
from ofa.images.classes import matched
from ofa.images.reading import batches
from ofa.runs.files import write_json
from ofa.search.__main__ import main as search
from ofa.search.run import load_predictor
from ofa.search.specialise import DeviceSearch, shared_resolutions
from ofa.space import get_space
from ofa.tables import LatencyTable
from profilers.devices.local_cpu import RUNTIME_OF

INT8, FLOAT = "int8", "float32"
# what is deployed for a limit: type of the table that was searched by, type of the file
WAYS = ((INT8, INT8), (FLOAT, FLOAT), (FLOAT, INT8))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("stage", choices=["files", "times"])
    parser.add_argument("--int8", type=Path, metavar="TABLE")
    parser.add_argument("--float", type=Path, metavar="TABLE")
    parser.add_argument("--checkpoint", type=Path, default=WEIGHTS / "mbv3-w0.35.safetensors")
    parser.add_argument("--predictor", type=Path, help="of int8 networks (default: the shipped one, in int8)")
    parser.add_argument("--data", type=Path)
    parser.add_argument(
        "--collected", type=Path, nargs="*", default=[], metavar="CSV", help="their images are left out"
    )
    parser.add_argument("--limits", type=int, default=10, metavar="N")
    parser.add_argument("--images", type=int, metavar="N", help="to judge by (default: all that are left)")
    parser.add_argument("--calibration-images", type=int, default=1000, metavar="N")
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    if args.stage == "files":
        make_files(args)
    else:
        take_times(args.out)
    report(args.out)
    return 0


def make_files(args: argparse.Namespace) -> None:
    """Writes the exported files, `networks.json`, and `right.npy`, (files, images): what each gets right."""
    net = open_supernet(args.checkpoint)
    tables = {INT8: LatencyTable.load(args.int8), FLOAT: LatencyTable.load(args.float)}
    runtime = RUNTIME_OF[tables[INT8].header["runtime"].split(" ")[0]]
    space, ends = net.space, []
    for table in tables.values():
        predictor = load_predictor(None, space)
        chosen = DeviceSearch("", table, predictor, space, shared_resolutions(table, predictor, space))
        limits = chosen.frontier_limits(2)
        ends.append((limits[0], limits[-1]))
    low, high = max(first for first, _ in ends), max(last for _, last in ends)
    limits = np.geomspace(1.01 * low, high, args.limits).tolist()
    common = ["--space", space.name, "--num-classes", str(space.num_classes), "--latency", *map(repr, limits)]
    networks: list[dict[str, Any]] = []
    for searched, path in ((INT8, args.int8), (FLOAT, args.float)):
        own = ["--predictor", str(args.predictor)] if searched == INT8 and args.predictor else []
        search(["--table", str(path), "--out", str(args.out / searched), *common, *own])
        for i, found in enumerate(json.loads((args.out / searched / "result.json").read_text())["results"]):
            for dtype in (INT8, FLOAT)[: 1 if searched == INT8 else 2]:
                subnet = space.subnet_from_dict(found["subnet"])
                same = next((n for n in networks if (n["subnet"], n["dtype"]) == (found["subnet"], dtype)), None)
                file = args.out / f"{searched}-{i}-{dtype}.{FORMATS[runtime]}"
                if same is None:
                    how = ["--format", FORMATS[runtime], "--calibration", args.data, "--evaluate-images", 64]
                    how += ["--calibration-images", args.calibration_images, "--out", file]
                    how += ["--int8"] if dtype == INT8 else []
                    which = ["--checkpoint", args.checkpoint, "--subnet", args.out / searched / "result.json"]
                    export([*map(str, [*which, "--index", i, *how])])
                networks.append(
                    {
                        "searched": searched,
                        "dtype": dtype,
                        "limit_ms": found["limit_ms"],
                        "subnet": found["subnet"],
                        "macs_millions": found["macs_millions"],
                        "predicted_top1": found["predicted_top1"],
                        "sum_ms": tables[dtype].latency_ms(space, subnet).item(),
                        "file": str(file) if same is None else same["file"],
                    }
                )
    right = judged(args, networks, FORMATS[runtime], space.num_classes)
    np.save(args.out / "right.npy", right)
    told = {"tables": {INT8: str(args.int8), FLOAT: str(args.float)}, "runtime": runtime, "space": space.name}
    write_json(args.out / "networks.json", {**told, "num_classes": space.num_classes, "networks": networks})


def judged(
    args: argparse.Namespace, networks: Sequence[dict[str, Any]], format_name: str, num_classes: int
) -> NDArray[np.bool_]:
    """(networks, images): whether each network's file names the class of each image that is left."""
    facts = read_image_facts(args.checkpoint)
    assert facts is not None
    images = images_to_evaluate(args.data, facts, args.checkpoint)
    data, _ = matched(images.folder, facts, num_classes, source=args.checkpoint)
    _, rest = division(images, args.collected)
    found: dict[str, NDArray[np.bool_]] = {}
    for size in sorted({network["subnet"]["resolution"] for network in networks}):
        of_size = {n["file"] for n in networks if n["subnet"]["resolution"] == size}
        runs = {file: runner(format_name, Path(file).read_bytes(), 1) for file in of_size}
        parts: dict[str, list[NDArray[np.bool_]]] = {file: [] for file in runs}
        for shown, labels in batches(
            data, size, 64, indices=rest[: args.images], mean=facts.mean, std=facts.std, strict=True
        ):
            for file, run in runs.items():
                parts[file].append(run(shown.numpy()).argmax(1) == labels.numpy())
        found |= {file: np.concatenate(of) for file, of in parts.items()}
    return np.array([found[network["file"]] for network in networks])


def take_times(out: Path) -> None:
    """Measures the files, in turns, and adds what they take to `networks.json`."""
    told = json.loads((out / "networks.json").read_text())
    table = LatencyTable.load(Path(told["tables"][INT8]))
    space = get_space(told["space"], num_classes=told["num_classes"])
    different = {network["file"]: network for network in told["networks"]}
    subnets = [space.subnet_from_dict(network["subnet"]) for network in different.values()]
    took = latencies(table, told["runtime"], space, subnets, [Path(file) for file in different], 0, out)
    real = dict(zip(different, took, strict=True))
    for network in told["networks"]:
        network["real_ms"] = real[network["file"]]
    write_json(out / "networks.json", told)


def different_limits(networks: Sequence[dict[str, Any]]) -> list[float]:
    """Those at which a search found another network than at the limit before."""
    files: dict[float, list[str]] = {}
    for network in networks:
        files.setdefault(network["limit_ms"], []).append(network["file"])
    limits = sorted(files)
    return [limit for i, limit in enumerate(limits) if not i or files[limit] != files[limits[i - 1]]]


def report(out: Path) -> None:
    """A line for each limit, as Markdown, with the files' own latencies in brackets; and the ways, over all limits."""
    networks = json.loads((out / "networks.json").read_text())["networks"]
    shown = different_limits(networks)
    right = np.load(out / "right.npy")[[network["limit_ms"] in shown for network in networks]]
    networks = [network for network in networks if network["limit_ms"] in shown]
    print("| limit, ms | by the int8 table: px, depths, MMACs | int8 file: ms, top-1 | by the float32 table | "
          "float32 file: ms, top-1 | the same in int8: ms, top-1 |")  # fmt: skip
    print("|---|---|---|---|---|---|")
    for limit in shown:
        found = {
            (n["searched"], n["dtype"]): (n, 100 * of.mean())
            for n, of in zip(networks, right, strict=True)
            if n["limit_ms"] == limit
        }
        cells = [f"{limit:.3f}"]
        for way in WAYS:
            network, top1 = found[way]
            if way[1] == way[0]:
                subnet = network["subnet"]
                depths = "-".join(map(str, subnet["depths"]))
                cells.append(f"{subnet['resolution']}, {depths}, {network['macs_millions']:.1f}")
            real = f" ({network['real_ms']:.3f})" if "real_ms" in network else ""
            cells.append(f"{network['sum_ms']:.3f}{real}, {top1:.1f} %")
        print(f"| {' | '.join(cells)} |")
    by_way = {way: right[[(n["searched"], n["dtype"]) == way for n in networks]] for way in WAYS}
    first = by_way[WAYS[1]]
    for way in (WAYS[0], WAYS[2]):
        # the same images everywhere: an image's mean difference, and the error of its mean over the images
        more = 100 * (by_way[way].astype(float) - first.astype(float)).mean(axis=0)
        error = more.std(ddof=1) / len(more) ** 0.5
        print(f"{' deployed as '.join(way)}: {more.mean():+.2f} points (standard error {error:.2f}) of float32's files")
    files = {network["file"]: network for network in networks if "real_ms" in network}
    for dtype in (INT8, FLOAT) if files else ():
        off = np.array([100 * (n["sum_ms"] / n["real_ms"] - 1) for n in files.values() if n["dtype"] == dtype])
        print(f"sums of {len(off)} files, {dtype}: MAPE {np.abs(off).mean():.2f} %, bias {off.mean():+.2f} %")


if __name__ == "__main__":
    sys.exit(main())
