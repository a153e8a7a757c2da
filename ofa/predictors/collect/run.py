"""Collecting accuracies, from a config to the CSV."""

from __future__ import annotations

import csv
import hashlib
import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from ofa.checkpoints.images import EvaluationImages, open_evaluation_images
from ofa.checkpoints.opening import open_supernet
from ofa.errors import InputError
from ofa.evaluate.precision import check_precision
from ofa.images.files.folder import ImageFolder
from ofa.networks.layers import placed
from ofa.predictors.collect import int8, measuring
from ofa.predictors.collect.collection import Collection, CollectWatcher, Measure
from ofa.predictors.collect.config import CollectConfig
from ofa.predictors.collect.finished import COUNT, LOSS, find_finished
from ofa.predictors.collect.measuring import draw, share, spread, tree_order
from ofa.reading.numbers import PERCENT
from ofa.runs import processes
from ofa.runs.files import replace_file, sha256
from ofa.runs.journal import SharedJournal
from ofa.runs.settings import identity_of
from ofa.runs.system import keep_memory
from ofa.space import SearchSpace, Subnet, checked_resolutions
from ofa.space.description import space_record
from ofa.space.subnet import OF_SOME

MOST_RESOLUTIONS = 5  # by default: a predictor interpolates between


@dataclass(frozen=True)
class SubnetAccuracy:
    """index: its number, of its seed; top1, top5: %; loss: nats; images: how many it was evaluated on"""

    index: int
    subnet: Subnet
    top1: float
    top5: float
    loss: float
    images: int


@dataclass(frozen=True, eq=False)
class Collected:
    """The accuracies of random sub-networks, by their numbers.

    path: of the CSV; resolutions: that they were drawn from, pixels
    images: what they were evaluated on and calibrated with; broken: names of those that could not be read
    first: whether this is the first of several processes, which speaks for all
    new: whether it was measured now, rather than found as an earlier run had finished it
    """

    config: CollectConfig
    path: Path
    space: SearchSpace
    resolutions: tuple[int, ...]
    accuracies: tuple[SubnetAccuracy, ...]
    images: EvaluationImages
    broken: tuple[str, ...]
    seconds: float
    first: bool
    new: bool = True


def collect_accuracies(config: CollectConfig, watcher: CollectWatcher | None = None) -> Collected:
    """Measures random sub-networks of a supernet, each calibrated and evaluated at its own resolution.

    Writes the CSV, and until it is there a journal beside it, by which `config.resume` continues. A CSV of other
    settings is not overwritten; one of these is taken as it is by `config.resume`.
    Raises InputError for what is wrong with images, files or settings.
    """
    with processes.processes(config.device) as procs:
        watcher = watcher if watcher is not None and procs.rank == 0 else CollectWatcher()
        started = time.monotonic()
        check_precision(config.precision, procs.device)
        net = open_supernet(config.checkpoint, config.space)
        images = open_evaluation_images(config.checkpoint, net.space.num_classes, config, config, config.seed)
        space = net.space
        resolutions = checked_resolutions(config.resolutions or spread(net.resolutions, MOST_RESOLUTIONS))
        evaluated = images.evaluated.at_random(config.images, config.seed)
        facts = _facts(config, space, resolutions, images, evaluated)
        found = ("space", "resolutions", "class_index", "images_sha256", "calibration_sha256", "image_facts")
        settings = identity_of(config, **{key: facts[key] for key in found}, precision=config.half_precision)
        (part, parts), first = config.part, config.first
        out = config.out_of(part)
        subnets = draw(space, resolutions, config.seed, range(first, first + config.subnets), config.tilted)
        chosen = share(space, subnets, tree_order(space, subnets), part, parts)
        found_items = find_finished(out, facts, [i + first for i in chosen])
        if found_items is not None and config.resume:
            accuracies = tuple(_accuracy(subnets[i], found_items[i + first]) for i in sorted(chosen))
            seconds = time.monotonic() - started
            first_process = procs.rank == 0
            return Collected(config, out, space, resolutions, accuracies, images, (), seconds, first_process, new=False)
        journal = SharedJournal(out, settings, procs, resume=config.resume, overwrite=config.overwrite)
        done = {item["index"]: item for item in journal.done if _is_measured(item)}
        todo = share(space, subnets, [i for i in chosen if i + first not in done], procs.rank + 1, procs.count)
        watcher.begin(images)
        keep_memory()
        placed(net, procs.device).eval()
        measure: Measure | None = None
        feature_maps = measuring.FEATURE_MAPS
        if config.dtype == "int8":
            measure, feature_maps = int8.measure_int8, int8.FEATURE_MAPS
        if config.half_precision is not None:
            measure = partial(measuring.measure, precision=config.precision)
        collection = Collection(net, subnets, images, evaluated, config, journal, watcher, measure, feature_maps)
        try:
            collection.run(todo, first)
        finally:
            journal.close()
        for items in procs.gathered(collection.items):
            done |= {item["index"]: item for item in items}
        broken = sorted({name for item in done.values() for name in item["broken"]})
        images.data.faults.update(dict.fromkeys(set(broken) - set(images.data.faults), ""))  # of all processes
        accuracies = tuple(_accuracy(subnets[i], done[i + first]) for i in sorted(chosen))
        if procs.rank == 0:
            write_csv(out, accuracies, {**facts, "broken_images": len(broken), "rows": len(accuracies)})
        journal.remove()
        seconds = time.monotonic() - started
        return Collected(config, out, space, resolutions, accuracies, images, tuple(broken), seconds, procs.rank == 0)


def _facts(
    config: CollectConfig,
    space: SearchSpace,
    resolutions: Sequence[int],
    images: EvaluationImages,
    evaluated: Sequence[int],
) -> dict[str, Any]:
    """What the CSV says of how it was made."""
    assert images.calibration is not None
    data, (calibration, calibrated) = images.data, images.calibration
    return {
        "seed": config.seed,
        "first": config.first,
        "subnets": config.subnets,
        "tilted": config.tilted,
        "shard": list(config.part),
        **space_record(space),
        "dtype": config.network_dtype,
        "precision": config.precision,
        "resolutions": list(resolutions),
        "checkpoint": config.checkpoint.name,
        "checkpoint_sha256": sha256(config.checkpoint),
        "images": len(evaluated),
        "calibration_images": len(calibrated),
        "calibration_batch": config.calibration_batch,
        "batch_size": config.batch_size,
        "mean": list(images.facts.mean),
        "std": list(images.facts.std),
        "data": data.path.name,
        "split": images.evaluated.split,
        "class_index": data.class_index,
        "images_sha256": _names_sha256(data, evaluated),
        "calibration_sha256": _names_sha256(calibration, calibrated),
        "image_facts": images.facts.to_dict(),
    }


def _is_measured(item: Mapping[str, Any]) -> bool:
    """Whether a journal's record is what a collection writes; one that is damaged is measured again."""
    try:
        COUNT.whole("index", item["index"])
        COUNT.whole("images", item["images"])
        for key in ("top1", "top5"):
            PERCENT.check(key, item[key])
        LOSS.check("loss", item["loss"])
        return isinstance(item["broken"], list) and all(isinstance(name, str) for name in item["broken"])
    except (KeyError, InputError):
        return False


def _accuracy(subnet: Subnet, item: Mapping[str, Any]) -> SubnetAccuracy:
    return SubnetAccuracy(subnet=subnet, **{key: item[key] for key in ("index", "top1", "top5", "loss", "images")})


def write_csv(path: Path, accuracies: Sequence[SubnetAccuracy], facts: Mapping[str, Any]) -> None:
    """The file for `ofa.predictors.fit`: facts as comments, then sub-networks and their figures."""
    lists = ["depths", "kernel_sizes", "expand_ratios", "width_mults"]
    lists += [f for f in OF_SOME if f not in lists and any(getattr(row.subnet, f) for row in accuracies)]
    figures = ["top1", "top5", "loss", "images"]

    def write(file: Path) -> None:
        with file.open("w", newline="", encoding="utf-8") as opened:
            opened.write("# accuracies measured by python -m ofa.predictors.collect\n")
            opened.writelines(f"# {key}: {json.dumps(value)}\n" for key, value in facts.items())
            writer = csv.writer(opened, lineterminator="\n")
            writer.writerow(["index", "resolution", *lists, *figures])
            for row in accuracies:
                values = [" ".join(map(str, getattr(row.subnet, field))) for field in lists]
                shown = [getattr(row, field) for field in figures]
                writer.writerow([row.index, row.subnet.resolution, *values, *shown])

    replace_file(path, write)


def _names_sha256(folder: ImageFolder, indices: Sequence[int]) -> str:
    return hashlib.sha256("\n".join(folder.names[i] for i in indices).encode()).hexdigest()
