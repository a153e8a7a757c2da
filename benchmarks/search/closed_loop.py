"""The loop closed: what a search promises, against what its exported files do on this machine.

For every limit: searches with a table measured on this CPU and a predictor, cuts the network out of the supernet,
calibrates and exports it by the public commands, counts what the exported file gets right on images that the predictor
never rested on, and measures how long one image takes, all files interleaved.

    python benchmarks/search/closed_loop.py --table my-cpu.csv --predictor accuracies.safetensors \
        --checkpoint supernet --collected accuracies.csv --data imagenette2-224.zip --out out/loop
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import tempfile
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from ofa.blocks import blocks_of
from ofa.checkpoints.opening import open_supernet
from ofa.checkpoints.weights import read_image_facts
from ofa.errors import InputError
from ofa.export.__main__ import main as export
from ofa.export.runtimes import runner
from ofa.images.choice import ChosenImages, images_to_evaluate
from ofa.images.classes import matched, read_classes
from ofa.images.files.folder import ImageFolder
from ofa.images.preprocessing import decided
from ofa.images.reading import batches
from ofa.predictors.metrics import kendall_tau, rmse
from ofa.runs.files import write_json
from ofa.runs.journal import Journal
from ofa.search.__main__ import main as search
from ofa.search.run import load_predictor
from ofa.search.specialise import DeviceSearch, shared_resolutions
from ofa.space import Subnet
from ofa.tables import LatencyTable, find_table
from profilers.devices.core_options import cpu_numbers
from profilers.devices.local_cpu import RUNTIME_OF, cpu_target, dtype_of_header
from profilers.measuring.drive import Driver
from profilers.measuring.ledger import Ledger
from profilers.measuring.models import RUNTIMES
from profilers.measuring.pace import CPU_RULES as RULES
from profilers.measuring.plan import make_plan
from profilers.measuring.run import carry_out
from profilers.measuring.statistics import summarise

FORMATS = {"onnxruntime": "onnx", "tflite": "tflite", "tflite-runtime": "tflite", "openvino": "onnx"}
ROUNDS = 5


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    add = parser.add_argument
    add("--table", required=True, metavar="T", help="measured on this machine, for the supernet's space and classes")
    add("--predictor", required=True, metavar="P", help="of ofa.predictors.fit")
    add("--checkpoint", type=Path, required=True, metavar="W", help="the supernet")
    add(
        "--collected",
        type=Path,
        nargs="+",
        metavar="CSV",
        help="what the predictor was fitted on: its images are left out",
    )
    add("--data", type=Path, required=True, metavar="DIR|ZIP", help="images in class folders below train and val")
    add("--classes", metavar="FILE", help="numbers of the class folders, as for ofa.evaluate")
    add("--networks", type=int, default=10, metavar="N", help="limits, from the fastest to the slowest (default 10)")
    add("--images", type=int, metavar="N", help="at most so many to evaluate on (default: all that are left)")
    add("--calibration-images", type=int, default=2000, metavar="N", help="default 2000")
    add("--mean", metavar="M", help="as for ofa.evaluate")
    add("--std", metavar="S", help="as for ofa.evaluate")
    add("--seed", type=int, default=0, metavar="N")
    add("--out", type=Path, default=Path("out/closed-loop"), metavar="DIR", help="default out/closed-loop")
    args = parser.parse_args(argv)
    console = Console(width=None if Console().is_terminal else 120, highlight=False)
    net = open_supernet(args.checkpoint)
    table = LatencyTable.load(find_table(args.table))
    runtime = RUNTIME_OF.get(table.header["runtime"].split(" ")[0], "")
    if runtime not in FORMATS:
        raise InputError(f"{args.table}: runtime {table.header['runtime']!r}, expected one of {', '.join(FORMATS)}")
    known = read_image_facts(args.checkpoint)
    prepared_as, _ = decided(known, args.mean, args.std, override=False, source=args.checkpoint)
    images = images_to_evaluate(args.data, known, args.checkpoint)
    mapping = read_classes(args.classes) if args.classes else None
    data, _ = matched(images.folder, known, net.space.num_classes, mapping, source=args.checkpoint)
    used, rest = division(images, args.collected or ())
    held_out = rest[: args.images]

    predictor = load_predictor(Path(args.predictor), net.space)
    chosen = shared_resolutions(table, predictor, predictor.space)
    limits = DeviceSearch("", table, predictor, predictor.space, chosen).frontier_limits(args.networks)
    common = ["--space", net.space.name, "--num-classes", str(net.space.num_classes), "--seed", str(args.seed)]
    found = ["--table", args.table, "--predictor", args.predictor, "--out", str(args.out)]
    search([*found, *common, "--latency", *map(repr, limits)])
    results = json.loads((args.out / "result.json").read_text())["results"]
    # where the best is reached before the last limit, several find the same
    different = {json.dumps(result["subnet"]): i for i, result in reversed(list(enumerate(results)))}
    chosen_results = sorted(different.values())
    results = [results[i] for i in chosen_results]
    subnets = [predictor.space.subnet_from_dict(result["subnet"]) for result in results]
    files = []
    for i in chosen_results:
        files.append(args.out / f"network-{i}.{FORMATS[runtime]}")
        which = ["--checkpoint", args.checkpoint, "--subnet", args.out / "result.json", "--index", i]
        how = ["--format", FORMATS[runtime], "--calibration", args.data, "--seed", args.seed, "--out", files[-1]]
        how += ["--calibration-images", args.calibration_images, "--evaluate-images", 64]
        how += ["--mean", ",".join(map(str, prepared_as.mean)), "--std", ",".join(map(str, prepared_as.std))]
        export([*map(str, [*which, *how])])
    top1, top1_used = (
        [
            accuracy(file, FORMATS[runtime], subnet, data, indices, (prepared_as.mean, prepared_as.std))
            if indices
            else None
            for file, subnet in zip(files, subnets, strict=True)
        ]
        for indices in (held_out, used)
    )
    latency = latencies(table, runtime, predictor.space, subnets, files, args.seed, args.out)
    conclude(console, args.out, results, top1, top1_used, latency, len(held_out))
    return 0


def division(images: ChosenImages, collected: Sequence[Path]) -> tuple[list[int], list[int]]:
    """Of the images to evaluate on, those that the predictor rests on, and the others in random order."""
    used: set[int] = set()
    for path in collected:
        lines = (line[2:].split(": ", 1) for line in path.read_text().splitlines() if line.startswith("# "))
        facts = {line[0]: line[1] for line in lines if len(line) == 2}
        name = images.folder.path.name
        if facts.get("split") != json.dumps(images.split) or facts.get("data") != json.dumps(name):
            raise InputError(f"{path} was collected on {facts.get('data')}, {facts.get('split')}, not on {name}")
        used.update(images.at_random(int(facts["images"]), int(facts["seed"])))
    rest = [i for i in images.indices if i not in used]
    if not rest:
        raise InputError(f"the predictor rests on all {len(images.indices)} images: collect with fewer --images")
    return sorted(used), [rest[i] for i in np.random.default_rng(0).permutation(len(rest))]


def accuracy(
    file: Path, format_name: str, subnet: Subnet, data: ImageFolder, indices: Sequence[int], normalised: Any
) -> float:
    """Top-1 of an exported file, per cent, run by its own runtime."""
    run = runner(format_name, file.read_bytes(), 1)
    right = count = 0
    for images, labels in batches(
        data, subnet.resolution, 64, indices=indices, mean=normalised[0], std=normalised[1], strict=True
    ):
        right += int((run(images.numpy()).argmax(1) == labels.numpy()).sum())
        count += len(labels)
    return 100 * right / count


def latencies(
    table: LatencyTable,
    runtime: str,
    space: Any,
    subnets: Sequence[Subnet],
    files: Sequence[Path],
    seed: int,
    out: Path,
) -> list[float]:
    """Measured latency of every file, ms: as the profiler measures, all interleaved."""
    plan = make_plan([blocks_of(space, subnet) for subnet in subnets], ROUNDS, seed)
    threads = int(table.header.get("threads", 1))
    cpus = cpu_numbers(table.header["cpus"]) if "cpus" in table.header else None
    target = cpu_target(
        runtime, threads, int(table.header.get("batch", 1)), cpus, 60.0, dtype=dtype_of_header(table.header)
    )
    journal = Journal.create(out / "latency.journal.jsonl", {"networks": len(subnets), "seed": seed})
    with tempfile.TemporaryDirectory(prefix="ofa-loop-") as name:
        folder = Path(name)
        names = {model: model + RUNTIMES[runtime][0] for model in plan.models}
        for model, file in zip(plan.models, files, strict=True):
            shutil.copy(file, folder / names[model])
        manifest = {**target.manifest, "seed": seed, "keep_models": len(files), "rules": RULES}
        outcome = carry_out(
            Driver(Ledger(plan, journal), names, manifest, partial(target.start, folder), progress=lambda *_: None)
        )
    journal.close()
    if outcome.failed:
        raise InputError(f"files that could not be timed: {'; '.join(outcome.failed.values())}")
    if outcome.doubtful:
        print(f"the machine was busy or drifted: {outcome.doubtful} visits are doubtful", file=sys.stderr)
    return [summarise(outcome.results[model]).latency_ms for model in plan.models]


def tau(a: NDArray[np.float64], b: NDArray[np.float64]) -> float:
    """Kendall's tau; 0 where one is constant."""
    return float(np.nan_to_num(kendall_tau(a, b)))


def conclude(
    console: Console,
    out: Path,
    results: Sequence[Any],
    top1: Sequence[Any],
    top1_used: Sequence[Any],
    latency: Sequence[float],
    images: int,
) -> None:
    """Predicted against real, a row a network, and what it comes to.

    top1, top1_used: on images that the predictor never rested on, and on those that it did (None where not known)
    """
    # real: of the exported file; seen: on the images that the predictor rests on
    shown = Table(
        "limit ms", "px", "depths", "MMACs", "ms", "real", "off by %", "top-1 %", "real", "off by", "95 %", "seen"
    )
    rows = []
    for result, real, same, ms in zip(results, top1, top1_used, latency, strict=True):
        std = result["predicted_top1_std"]
        row = {
            **result,
            "real_top1": real,
            "top1_same_images": same,
            "real_ms": ms,
            "latency_error_pct": 100 * (result["latency_ms"] / ms - 1),
        }
        row["top1_error"] = result["predicted_top1"] - real
        rows.append(row)
        subnet = result["subnet"]
        shown.add_row(
            f"{result['limit_ms']:.2f}",
            str(subnet["resolution"]),
            "-".join(map(str, subnet["depths"])),
            f"{result['macs_millions']:.1f}",
            f"{result['latency_ms']:.3f}",
            f"{ms:.3f}",
            f"{row['latency_error_pct']:+.1f}",
            f"{result['predicted_top1']:.2f}",
            f"{real:.2f}",
            f"{row['top1_error']:+.2f}",
            "" if std is None else f"+-{1.96 * std:.2f}",
            "" if same is None else f"{same:.2f}",
        )
    console.print(shown)
    ms_pct = np.array([row["latency_error_pct"] for row in rows])
    predicted = np.array([row["predicted_top1"] for row in rows])
    real = np.array(top1)
    summary: dict[str, Any] = {
        "images": images,
        "latency_mape_pct": float(np.abs(ms_pct).mean()),
        "latency_bias_pct": float(ms_pct.mean()),
        "latency_tau": tau(np.array([row["latency_ms"] for row in rows]), np.array(latency)),
        "top1_rmse": rmse(predicted, real),
        "top1_bias": float((predicted - real).mean()),
        "top1_tau": tau(predicted, real),
        "top1_sampling_error": float(np.sqrt((real / 100 * (1 - real / 100) / images).mean()) * 100),
    }
    if None not in top1_used:
        summary["top1_rmse_same_images"] = rmse(predicted, np.array(top1_used))
        console.print(f"on the images that the predictor rests on: RMSE {summary['top1_rmse_same_images']:.2f} %")
    console.print(
        f"latency: MAPE {summary['latency_mape_pct']:.1f} %, bias {summary['latency_bias_pct']:+.1f} %, Kendall tau "
        f"{summary['latency_tau']:.2f}; top-1: RMSE {summary['top1_rmse']:.2f} %, bias {summary['top1_bias']:+.2f} %, "
        f"Kendall tau {summary['top1_tau']:.2f} (standard error of one figure on {images:,} images: "
        f"{summary['top1_sampling_error']:.2f} %)"
    )
    write_json(out / "closed_loop.json", {"summary": summary, "networks": rows})
    console.print(f"wrote {out / 'closed_loop.json'}")


if __name__ == "__main__":
    from ofa.cli.run import run

    run(main)
