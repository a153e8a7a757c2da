"""Training a supernet, from its config to its file."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from ofa.checkpoints.subnet_file import read_subnet
from ofa.checkpoints.tensors import read_metadata
from ofa.errors import InputError
from ofa.images.classes import matched
from ofa.images.facts import ImageFacts, facts_of_metadata
from ofa.images.files.folder import ImageFolder
from ofa.images.files.names import shown
from ofa.images.held_out import Photos, facts_of_training, open_photos
from ofa.images.preprocessing import normalisation
from ofa.runs.processes import Processes, processes
from ofa.runs.settings import identity_of
from ofa.runs.system import keep_memory
from ofa.space import SearchSpace, Subnet, checked_resolutions, get_space
from ofa.train.config import TrainConfig
from ofa.train.tensorboard import TensorBoard
from ofa.training.checkup import Checkup
from ofa.training.graphs.chosen import chosen_graphs
from ofa.training.precision import chosen_layout, chosen_precision
from ofa.training.recipe import RECIPES, Stage, as_json, macs_per_image, one_stage, read_stages, short, shrinking
from ofa.training.shrinking import NETWORK, RESULT, Hyper, SupernetTraining
from ofa.training.supply import (
    Cached,
    Preparation,
    Streamed,
    Supply,
    cache_side,
    chosen_batch_size,
    chosen_cache,
    chosen_workers,
)
from ofa.training.sync_norm import chosen_normalise

REGULARISATION = 0.1  # dropout and label smoothing of the paper; a short training does better without
RARE = 10  # a class with less than this part of the largest one's images is warned of


@dataclass(frozen=True)
class TrainWatcher:
    """How a training tells of itself; only the first of several processes does.

    begin: told the photographs, before anything is decoded
    progress: told what is being done, and which share of it is
    epoch: told the stage and the metrics of each epoch
    warn: told, in a line, what is not as it should be
    """

    begin: Callable[[Photos], object] = lambda _: None
    progress: Callable[[str, float], object] = lambda *_: None
    epoch: Callable[[Stage, Mapping[str, Any]], object] = lambda *_: None
    warn: Callable[[str], object] = lambda _: None


@dataclass(frozen=True)
class TrainResult:
    """What a training ended with.

    path: of the supernet, or of the folder of the network that was trained alone
    finished: False where it was stopped: the run is kept, and `resume` continues it
    photos: what it was trained on; broken: names of images that could not be read
    first: whether this is the first of several processes, which speaks for all
    """

    path: Path
    finished: bool
    photos: Photos
    broken: tuple[str, ...]
    first: bool


def train_supernet(config: TrainConfig, watcher: TrainWatcher | None = None) -> TrainResult:
    """Trains a supernet (Cai et al. 2020, section 3.3), or one sub-network alone, into the folder `config.out`.

    Raises InputError for what is wrong with images, files or settings; a run that exists is only gone on with by
    `config.resume`, and with the same settings.
    """
    keep_memory()
    with processes(config.device) as procs:
        watcher = watcher if watcher is not None and procs.rank == 0 else TrainWatcher()
        known = start_facts(config)
        photos = open_photos(config.data, held_out=config.held_out, limit=config.limit)
        if known is not None and known.classes and not config.new_classes:
            photos = Photos(in_classes_of(photos.folder, known, config), photos.indices, photos.held_out)
        watcher.begin(photos)
        training = _opened(config, procs, photos, known, watcher)
        finished = _watched(config, training, watcher)
        found = sorted({*training.supply.broken, *photos.folder.faults})  # also what check-ups met
        broken = {name for names in procs.gathered(found) for name in names}
        path = config.out / (RESULT if config.method != "alone" else NETWORK)
        return TrainResult(path, finished, photos, tuple(sorted(broken)), procs.rank == 0)


def start_facts(config: TrainConfig) -> ImageFacts | None:
    """What the checkpoint that is begun with knows of its images, None where there is none or it knows nothing."""
    return None if config.start is None else facts_of_metadata(read_metadata(config.start), config.start)


def in_classes_of(folder: ImageFolder, known: ImageFacts, config: TrainConfig) -> ImageFolder:
    """The folder with the labels of the checkpoint that is begun with, by name; InputError where names differ."""
    try:
        return matched(folder, known, len(known.classes), source=config.start)[0]
    except InputError as error:
        text = str(error).partition(": give --classes")[0]
        raise InputError(f"{text}: give --new-classes for a new classifier") from None


def class_counts(photos: Photos) -> dict[str, int]:
    """How many images of each class are trained on."""
    names = {label: name for name, label in photos.folder.class_index.items()}
    counts = np.bincount([photos.folder.labels[i] for i in photos.indices], minlength=max(names) + 1)
    return {names[label]: int(counts[label]) for label in sorted(names)}


def rare_classes(photos: Photos) -> str | None:
    """A line on classes with less than a tenth of the largest one's images, None where there are none."""
    counts = class_counts(photos)
    largest = max(counts.values())
    rare = sorted((count, name) for name, count in counts.items() if count * RARE < largest)
    if not rare:
        return None
    some = ", ".join(f"{shown(name)} {count}" for count, name in rare[:5])
    more = f" and {len(rare) - 5} more" if len(rare) > 5 else ""
    return (
        f"{len(rare)} of {len(counts)} classes have less than a tenth of the images of the largest, {largest:,}: "
        f"{some}{more} (--class-weights makes all count the same)"
    )


def class_weights(photos: Photos, classes: int) -> tuple[float, ...]:
    """One weight a class: the reciprocal of its images, so that the mean over the images is 1; without images 0."""
    counts = np.bincount([photos.folder.labels[i] for i in photos.indices], minlength=classes)
    present = np.count_nonzero(counts)
    return tuple((len(photos.indices) / present / np.where(counts > 0, counts, np.inf)).tolist())


def space_and_subnet(config: TrainConfig, classes: int) -> tuple[SearchSpace, tuple[int, ...], Subnet | None]:
    """The space and the resolutions asked for, and the sub-network that is to be trained alone."""
    space, resolutions = get_space(config.space, classes), checked_resolutions(config.resolutions)
    if config.subnet is None:
        return space, resolutions, None
    named = read_subnet(config.subnet, index=config.index)
    return space, (named.resolution,) if resolutions == space.resolutions else resolutions, named.subnet(space)


def stages_of(config: TrainConfig, space: SearchSpace, resolutions: tuple[int, ...]) -> tuple[Stage, ...]:
    """The stages asked for."""
    if config.recipe not in RECIPES:
        return read_stages(Path(config.recipe))
    given = 1.0 if config.distill is None else config.distill
    distill = given if config.teacher is not None else 0.0  # who names none has none but in the paper's recipe
    if config.method == "shrinking":
        if config.recipe == "paper":
            found = shrinking(space, config.epochs_scale, given)
        else:
            return short(space, resolutions, config.epochs_scale, distill)
        # a new classifier must be learnt by the largest network first: it is the teacher of the others
        return found[1:] if config.start is not None and not config.new_classes else found
    subnets = config.subnets_per_step or 4
    return (one_stage(config.method, space, resolutions, config.epochs, config.epochs_scale, subnets, distill),)


def _opened(
    config: TrainConfig, procs: Processes, photos: Photos, known: ImageFacts | None, watcher: TrainWatcher
) -> SupernetTraining:
    """The training as the config describes it. Images are decoded last, when all else is known to be right."""
    mean, std = normalisation(config.mean, config.std)
    batch_size = chosen_batch_size(config.batch_size, len(photos.indices), procs)
    images = facts_of_training(photos, mean, std, config.smallest_crop).after(known)
    if known is not None and known.classes and not config.new_classes:
        images = replace(images, classes=known.classes)
    space, resolutions, alone = space_and_subnet(config, len(images.classes) or len(photos.folder.classes))
    stages = stages_of(config, space, resolutions)
    side = cache_side(photos.folder, max(resolutions), config.smallest_crop)
    cache = chosen_cache(config.cache, len(photos.indices), side)
    workers = chosen_workers(config.workers, cache, procs)
    how = Preparation(batch_size, mean, std, config.smallest_crop, workers, config.strict)
    hyper = hyper_of(config, photos, space.num_classes, batch_size)
    precision = chosen_precision(config.precision, procs.device)
    settings = identity_of(
        config,
        batch_size=batch_size,
        images=images.to_dict(),
        trained_on=len(photos.indices),
        cached_side=None if cache == "off" else side,
        precision=precision,
        processes=procs.count,
        stages=as_json(stages),
    )
    resolution = max(resolutions) if alone is None else alone.resolution
    training = SupernetTraining(
        space=space,
        resolutions=resolutions,
        stages=stages,
        hyper=hyper,
        out=config.out,
        supply=Streamed(photos.folder, photos.indices, how, procs),
        checkup=Checkup(photos, how, procs, resolution, config.check_images, config.calibration_images),
        procs=procs,
        settings=settings,
        facts=_facts(config, photos, images, how, stages, hyper),
        images=images,
        precision=precision,
        memory_format=chosen_layout(config.memory_format, procs.device),
        normalise=chosen_normalise(config.bn, procs.count),
        graphs=chosen_graphs(config.graphs, procs, config.bn),
        start=config.start,
        new_classes=config.new_classes,
        teacher=config.teacher,
        alone=alone,
        check_every=config.check_every,
        warn=watcher.warn,
    )
    training.check_batches()
    training.open(config.resume)
    try:
        if cache != "off":
            training.supply = _cached(photos, how, procs, side, watcher, on_device=cache == "device")
    except BaseException:
        training.close()
        raise
    return training


def _facts(
    config: TrainConfig,
    photos: Photos,
    images: ImageFacts,
    how: Preparation,
    stages: tuple[Stage, ...],
    hyper: Hyper,
) -> dict[str, Any]:
    """What the result's metadata says of its training."""
    return {
        "method": config.method,
        "classes": list(images.classes),
        "mean": list(how.mean),
        "std": list(how.std),
        "data": config.data.name,
        "images": len(photos.indices),
        "held_out": len(photos.held_out),
        "stages": as_json(stages),
        "hyper": vars(hyper),
    }


def hyper_of(config: TrainConfig, photos: Photos, classes: int, batch_size: int) -> Hyper:
    """What all stages share."""
    usual = 0.0 if config.recipe == "short" else REGULARISATION
    return Hyper(
        batch_size=batch_size,
        rate_scale=config.learning_rate_scale,
        weight_decay=config.weight_decay,
        label_smoothing=usual if config.label_smoothing is None else config.label_smoothing,
        dropout=usual if config.dropout is None else config.dropout,
        clip_norm=config.clip_norm,
        ema=config.ema,
        seed=config.seed,
        class_weights=class_weights(photos, classes) if config.class_weights else None,
    )


def _cached(
    photos: Photos, how: Preparation, procs: Processes, side: int, watcher: TrainWatcher, *, on_device: bool
) -> Supply:
    total = len(photos.indices)
    seen = 0

    def advance(images: int) -> None:
        nonlocal seen
        seen += images
        watcher.progress("decoding", min(1.0, seen / total))

    return Cached(photos.folder, photos.indices, how, procs, side, on_device=on_device, advance=advance)


def _watched(config: TrainConfig, training: SupernetTraining, watcher: TrainWatcher) -> bool:
    """Trains; the share that is done is of the arithmetic, so that the time left is that of all stages."""
    stages = training.stages
    steps = [stage.epochs * training.steps_per_epoch for stage in stages]
    costs = [macs_per_image(training.space, training.resolutions, stage) for stage in stages]
    before = [0.0, *itertools.accumulate(n * cost for n, cost in zip(steps, costs, strict=True))]
    board = TensorBoard(config.out / "tensorboard") if config.tensorboard and training.procs.rank == 0 else None

    def on_step(i: int, step: int) -> None:
        watcher.progress("training", (before[i] + step * costs[i]) / before[-1])

    def on_epoch(stage: Stage, metrics: Mapping[str, Any]) -> None:
        watcher.epoch(stage, metrics)
        if board is not None:
            earlier = sum(steps[: stages.index(stage)])
            board.add(metrics, earlier + metrics["epoch"] * training.steps_per_epoch)

    training.on_step, training.on_epoch = on_step, on_epoch
    try:
        return training.run()
    finally:
        training.close()
