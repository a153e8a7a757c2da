"""Accuracy on held-out images during a training: of a few networks, each calibrated first."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ofa.evaluate.scores import Scores, scores_of
from ofa.images.files.folder import ImageFolder
from ofa.images.held_out import Photos
from ofa.images.reading import batches
from ofa.networks import PlainNetwork, Supernet, calibrate_bn
from ofa.networks.calibrate import Calibrating, calibrated_plain
from ofa.networks.layers import memory_format_of
from ofa.runs.processes import Processes
from ofa.space import Subnet
from ofa.training.supply import Preparation

FINAL_CALIBRATION = 2000  # images, for a network that was trained alone
KEPT_BYTES = 1 << 30  # prepared images up to this size stay in memory between epochs


class Checkup:
    """Evaluates networks at one resolution. Images are prepared as `ofa.evaluate` prepares them.

    Every process calibrates with all calibration images, and evaluates its share of the held-out ones. A network that
    is trained alone is calibrated like a sub-network of a supernet: or its accuracy, by running statistics of augmented
    images of all sizes, could not be compared with theirs.
    """

    def __init__(
        self, photos: Photos, how: Preparation, procs: Processes, resolution: int, images: int, calibration_images: int
    ) -> None:
        """images, calibration_images: so many of the held-out and of the training images, spread evenly"""
        self._folder, self._how, self._procs, self._resolution = photos.folder, how, procs, resolution
        held_out = _spread(photos.held_out, images)
        self._any_held_out = bool(held_out)
        chunks = [held_out[i : i + how.batch_size] for i in range(0, len(held_out), how.batch_size)]
        self._mine = [i for chunk in chunks[procs.rank :: procs.count] for i in chunk]
        # in random order: calibrating normalises by the batch, and a batch of one class is no fair one
        self._calibration = _shuffled(_spread(photos.indices, calibration_images))
        self._final = _shuffled(_spread(photos.indices, FINAL_CALIBRATION))
        self._kept: dict[bool, list[tuple[Tensor, Tensor]]] = {}

    def __call__(self, net: Supernet | PlainNetwork, subnets: Mapping[str, Subnet]) -> dict[str, Any]:
        """Top-1 (%), loss and number of images of each, as "largest_top1"; none where nothing is held out."""
        found: dict[str, Any] = {}
        for label, subnet in subnets.items() if self._any_held_out else ():
            total = self._scores(net, subnet)
            counts = torch.tensor([total.images, total.top1, total.top5, total.loss_sum], dtype=torch.float64)
            images, top1, top5, loss = self._procs.total(counts).tolist()
            scores = Scores(int(images), int(top1), int(top5), loss).to_dict()
            found.update({f"{label}_{key}": scores[key] for key in ("top1", "loss", "images")})
        return found

    def finish(self, net: PlainNetwork) -> None:
        """Gives a network that was trained alone the statistics that it will be used with."""
        calibrated_plain(net, Calibrating().batches(self._read(self._folder, self._final)))

    def _scores(self, net: Supernet | PlainNetwork, subnet: Subnet) -> Scores:
        total = Scores()
        with torch.no_grad():
            calibrating = Calibrating().batches(self._batches(True))
            statistics = None
            if isinstance(net, Supernet):
                statistics = calibrate_bn(net, subnet, calibrating)
            else:
                net = calibrated_plain(copy.deepcopy(net), calibrating)
            for images, labels in self._batches(False):
                images = images.to(self._procs.device, memory_format=memory_format_of(net))
                logits = net(images) if statistics is None else net(images, subnet, statistics)
                total += scores_of(logits, labels.to(self._procs.device))
        return total

    def _batches(self, calibrating: bool) -> Iterator[tuple[Tensor, Tensor]]:
        if calibrating in self._kept:
            yield from self._kept[calibrating]
            return
        indices = self._calibration if calibrating else self._mine
        keep = len(indices) * 3 * self._resolution**2 * 4 <= KEPT_BYTES
        seen = []
        for batch in self._read(self._folder, indices):
            if keep:
                seen.append(batch)
            yield batch
        if keep:
            self._kept[calibrating] = seen

    def _read(self, folder: ImageFolder, indices: Sequence[int]) -> Iterator[tuple[Tensor, Tensor]]:
        if not indices:
            return iter(())
        how = self._how
        return batches(
            folder,
            self._resolution,
            how.batch_size,
            mean=how.mean,
            std=how.std,
            indices=indices,
            workers=how.workers,
            strict=how.strict,
            broken=[],
        )


def _shuffled(indices: Sequence[int]) -> list[int]:
    return [int(i) for i in np.random.default_rng(0).permutation(indices)]


def _spread(indices: Sequence[int], count: int) -> list[int]:
    """At most `count` of them, evenly spaced: of all classes, as folders are sorted by class."""
    return [indices[n * len(indices) // count] for n in range(count)] if count < len(indices) else list(indices)
