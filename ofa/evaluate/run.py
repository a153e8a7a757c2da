"""Evaluating networks, from a config to their accuracies."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ofa.checkpoints.images import EvaluationImages, open_evaluation_images
from ofa.evaluate.config import EvaluateConfig
from ofa.evaluate.evaluator import EvaluatedNetwork, NetworkEvaluator
from ofa.evaluate.model_file import FileNetwork, is_model_file
from ofa.evaluate.networks import NamedNetwork, classes_of, open_networks
from ofa.evaluate.precision import check_precision
from ofa.networks.layers import placed
from ofa.runs import processes
from ofa.runs.files import sha256, write_json
from ofa.runs.journal import SharedJournal
from ofa.runs.places import check_replaced
from ofa.runs.settings import identity_of


@dataclass(frozen=True)
class EvaluateWatcher:
    """How an evaluation tells of itself; only the first of several processes does.

    begin: told the images, before any is decoded
    progress: told what is counted, how many are done, and of how many
    """

    begin: Callable[[EvaluationImages], object] = lambda _: None
    progress: Callable[[str, float, float], object] = lambda *_: None


@dataclass(frozen=True, eq=False)
class Evaluation:
    """The accuracy of every network, in the order that they were asked for in.

    images: what they were evaluated on and calibrated with; broken: names of those that could not be read
    classes: of the networks' classifier
    facts: how it was made, the head of the result file
    first: whether this is the first of several processes, which speaks for all
    """

    config: EvaluateConfig
    networks: tuple[EvaluatedNetwork, ...]
    images: EvaluationImages
    classes: int
    broken: tuple[str, ...]
    facts: Mapping[str, Any]
    first: bool

    def to_dict(self) -> dict[str, Any]:
        """The content of the result file."""
        return {**self.facts, "results": [network.to_dict() for network in self.networks]}


def evaluate_networks(config: EvaluateConfig, watcher: EvaluateWatcher | None = None) -> Evaluation:
    """The accuracy of a specialised network, or of sub-networks of a supernet, calibrated first.

    Writes the result to `config.out`, and until it is there a journal beside it, by which `config.resume` continues.
    Raises InputError for what is wrong with images, files or settings.
    """
    check_replaced(config.out, {"results", "checkpoint"}, "what ofa.evaluate writes")
    with processes.processes("cpu" if is_model_file(config.checkpoint) else config.device) as procs:
        watcher = watcher if watcher is not None and procs.rank == 0 else EvaluateWatcher()
        started = time.perf_counter()
        check_precision(config.precision, procs.device)
        net, asked = open_networks(config)
        calibration = None if asked[0].subnet is None else config
        classes = classes_of(net)
        known = net.model.facts if isinstance(net, FileNetwork) else None
        images = open_evaluation_images(config.checkpoint, classes, config, calibration, config.seed, known)
        chosen = images.evaluated
        indices = list(chosen.indices) if config.limit is None else chosen.at_random(config.limit, config.seed)
        facts = _facts(config, images, indices, asked)
        settings = identity_of(config, **{key: facts[key] for key in ("images_sha256", "class_index", "networks")},
                               image_facts=images.facts.to_dict(), precision=config.half_precision)  # fmt: skip
        journal = SharedJournal(config.out, settings, procs, resume=config.resume, overwrite=config.overwrite)
        watcher.begin(images)
        placed(net, procs.device).eval()
        evaluator = NetworkEvaluator(net, images, indices, config, procs, journal)
        try:
            networks = evaluator.run(asked, watcher.progress)
        finally:
            journal.close()
        broken = sorted({name for names in procs.gathered(sorted(evaluator.broken)) for name in names})
        images.data.faults.update(dict.fromkeys(set(broken) - set(images.data.faults), ""))  # of all processes
        facts |= {
            "device": str(procs.device),
            "processes": procs.count,
            "broken": broken,
            "seconds": round(time.perf_counter() - started, 3),
            "settings": settings,
        }
        result = Evaluation(config, tuple(networks), images, classes, tuple(broken), facts, procs.rank == 0)
        if result.first:
            write_json(config.out, result.to_dict())
        journal.remove()
        return result


def _facts(
    config: EvaluateConfig, images: EvaluationImages, indices: Sequence[int], asked: Sequence[NamedNetwork]
) -> dict[str, Any]:
    """What the result file says of the networks and the images."""
    data, calibration = images.data, images.calibration
    return {
        "seed": config.seed,
        "checkpoint": str(config.checkpoint),
        "checkpoint_sha256": sha256(config.checkpoint),
        "data": str(config.data),
        "split": images.evaluated.split,
        "images": len(indices),
        "images_sha256": hashlib.sha256("\n".join(data.names[i] for i in indices).encode()).hexdigest(),
        "class_index": data.class_index,
        "mean": list(images.facts.mean),
        "std": list(images.facts.std),
        "batch_size": config.batch_size,
        "precision": config.precision,
        "networks": [[n.name, n.resolution, n.subnet.to_dict() if n.subnet else None] for n in asked],
        "calibration": None if calibration is None else str(calibration[0].path),
        "calibration_images": None if calibration is None else len(calibration[1]),
        "calibration_batch": None if calibration is None else config.calibration_batch,
        "marks": list(images.facts.marks),
    }
