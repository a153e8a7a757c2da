"""Fine-tuning, from its config to the network's folder (Cai et al. 2020: 25 or 75 epochs)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from ofa.checkpoints.weights import save_network
from ofa.errors import InputError
from ofa.evaluate.scores import Scores, scores_of
from ofa.finetune.beginning import Beginning, begin, recalibrated
from ofa.finetune.config import FinetuneConfig
from ofa.finetune.data import FinetuneData
from ofa.images.files.folder import ImageFolder
from ofa.images.pixels import augment
from ofa.images.reading import batches
from ofa.networks import PlainNetwork
from ofa.networks.layers import memory_format_of, placed
from ofa.runs import processes
from ofa.runs.files import write_json
from ofa.runs.lock import Lock
from ofa.runs.settings import identity_of
from ofa.runs.system import keep_memory
from ofa.training.loop import Step, StepResult, Training
from ofa.training.schedule import Plan

# the original implementation's, for 64 images
RATE_PER_IMAGE = 2.5e-3 / 64


@dataclass(frozen=True)
class FinetuneWatcher:
    """How a fine-tuning tells of itself.

    begin: told what it begins with, before the first step
    progress: told what is counted, how many are done, and of how many
    epoch: told the metrics of each epoch
    """

    begin: Callable[[Beginning], object] = lambda _: None
    progress: Callable[[str, float, float], object] = lambda *_: None
    epoch: Callable[[Mapping[str, Any]], object] = lambda _: None


@dataclass(frozen=True, eq=False)
class Finetuned:
    """What a fine-tuning ended with.

    network: the folder of the result; finished: False where it was stopped: the run is kept, `resume` continues it
    metrics: of the result, as in result.json; none where it was stopped
    data: its images; their `faults` say which could not be read
    """

    network: Path
    finished: bool
    metrics: Mapping[str, Any]
    data: FinetuneData


def finetune_network(config: FinetuneConfig, watcher: FinetuneWatcher | None = None) -> Finetuned:
    """Trains a specialised network, or one sub-network of a supernet, further, into the folder `config.out`.

    Raises InputError for what is wrong with images, files or settings; a run that exists is only gone on with by
    `config.resume`, and with the same settings.
    """
    watcher = watcher or FinetuneWatcher()
    keep_memory()
    with processes.processes(config.device) as procs:
        if procs.count > 1:
            raise InputError("ofa.finetune runs in one process: start it without torchrun")
        start = begin(config)
        network, data = start.network, start.data
        placed(network, procs.device)
        training = Training(network, _plan(config, data), config.out, _settings(config, start), procs)
        with Lock(config.out):
            return _run(config, start, training, watcher)


def _run(config: FinetuneConfig, start: Beginning, training: Training, watcher: FinetuneWatcher) -> Finetuned:
    """The folder is this run's alone."""
    network, data, how = start.network, start.data, start.calibration.how
    if config.resume:
        training.resume()
    else:
        training.start()
    watcher.begin(start)
    write_json(config.out / "classes.json", data.train.class_index)

    def validate() -> dict[str, Any]:
        assert data.validation is not None
        return _validate(network, data.validation, data.validate_with, config.batch_size, training.device, how)

    validation = validate if data.validation is not None else None
    saved = config.out / "network"
    if not _train(training, config, start, validation, watcher):
        return Finetuned(saved, finished=False, metrics={}, data=data)
    network.eval()
    recalibrated(network, start.calibration)
    metrics = {"calibration_images": len(start.calibration.indices), **(validation() if validation else {})}
    write_json(config.out / "result.json", metrics)
    save_network(network.cpu(), saved, start.facts)
    return Finetuned(saved, finished=True, metrics=metrics, data=data)


def _plan(config: FinetuneConfig, data: FinetuneData) -> Plan:
    """The numbers of the run, defaults worked out."""
    rate = config.learning_rate if config.learning_rate is not None else RATE_PER_IMAGE * config.batch_size
    warmup = min(1.0, config.epochs / 10) if config.warmup_epochs is None else config.warmup_epochs
    steps = len(data.indices) // config.batch_size
    return Plan(config.epochs, steps, rate, warmup, config.weight_decay, seed=config.seed)


def _settings(config: FinetuneConfig, start: Beginning) -> dict[str, Any]:
    """What makes the run what it is: it continues only with the same."""
    plan = _plan(config, start.data)
    return identity_of(
        config,
        learning_rate=plan.learning_rate,
        warmup_epochs=plan.warmup_epochs,
        architecture=start.network.spec.to_dict(),
        trained_on=len(start.data.indices),
        class_index=start.data.train.class_index,
        image_facts=start.facts.to_dict(),
    )


def _step(network: PlainNetwork, label_smoothing: float) -> Step:
    def step(images: Tensor, labels: Tensor, _: int) -> StepResult:
        logits: Tensor = network(images)
        loss = F.cross_entropy(logits, labels, label_smoothing=label_smoothing)
        loss.backward()  # type: ignore[no-untyped-call]
        return StepResult(loss[None], (logits.argmax(1) == labels).sum(), len(images))

    return step


def _validate(
    network: PlainNetwork,
    validation: ImageFolder,
    indices: Sequence[int],
    batch_size: int,
    device: torch.device,
    how: Mapping[str, Any],
) -> dict[str, Any]:
    total = Scores()
    with torch.inference_mode():
        for images, labels in batches(validation, network.spec.resolution, batch_size, indices=indices, **how):
            images = images.to(device, memory_format=memory_format_of(network))
            total += scores_of(network(images), labels.to(device))
    return {f"val_{key}": value for key, value in total.to_dict().items()}


def _train(
    training: Training,
    config: FinetuneConfig,
    start: Beginning,
    validate: Callable[[], dict[str, Any]] | None,
    watcher: FinetuneWatcher,
) -> bool:
    """Whether all epochs are done."""
    total = training.plan.total_steps

    def epoch_batches(epoch: int, first: int) -> Iterator[tuple[Tensor, Tensor]]:
        return augment.training_batches(
            start.data.train,
            start.network.spec.resolution,
            config.batch_size,
            seed=config.seed,
            epoch=epoch,
            first=first,
            indices=start.data.indices,
            smallest_crop=start.smallest_crop,
            **start.calibration.how,
        )

    watcher.progress("steps", training.number, total)
    return training.run(
        epoch_batches,
        _step(start.network, config.label_smoothing),
        validate=validate,
        on_step=lambda done: watcher.progress("steps", done, total),
        on_epoch=watcher.epoch,
    )
