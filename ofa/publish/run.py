"""From a config to one small file of a supernet: half precision, and synthetic images that calibrate it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ofa.checkpoints.opening import open_supernet
from ofa.checkpoints.weights import read_facts, read_image_facts, save_checkpoint
from ofa.errors import InputError
from ofa.evaluate.scores import Scores, scores_of
from ofa.images.choice import HELD_OUT, ChosenImages, images_to_calibrate, images_to_evaluate
from ofa.images.classes import matched
from ofa.images.facts import ImageFacts
from ofa.images.files.folder import ImageFolder
from ofa.images.reading import batches
from ofa.networks import BatchNormStatistics, Supernet, calibrate_bn
from ofa.networks.calibrate import Calibrating
from ofa.networks.synthetic import prepared, synthetic_images
from ofa.predictors.collect.measuring import spread
from ofa.publish.config import PublishConfig
from ofa.space import Subnet

FITTED_RESOLUTIONS = 5
BATCH = 100


@dataclass(frozen=True)
class PublishWatcher:
    """How publishing reports its progress.

    begin: given the images to calibrate with, before any is read, and the file's facts about its images, with marks
    progress: given the name of the present work, and which share of it is done
    """

    begin: Callable[[ImageFolder, ImageFacts], object] = lambda *_: None
    progress: Callable[[str, float], object] = lambda *_: None


@dataclass(frozen=True, eq=False)
class PublishResult:
    """A supernet that was published.

    path: of its file
    images: what the file knows of its images, marked where calibration was poor
    compared: a row a sub-network that the images were not fitted to: its resolution (pixels), and top-1 (%) when
        calibrated with "real" and with "synthetic" images; empty where there were no images to compare on
    folders: of the images that were read
    """

    path: Path
    images: ImageFacts
    compared: tuple[dict[str, float], ...]
    folders: tuple[ImageFolder, ...]


def publish_supernet(config: PublishConfig, watcher: PublishWatcher | None = None) -> PublishResult:
    """Stores a supernet in half precision, with images that calibrate its sub-networks, in `config.out`.

    Raises InputError for what is wrong with the checkpoint or the images; then nothing is written.
    """
    watcher = PublishWatcher() if watcher is None else watcher
    net = open_supernet(config.checkpoint).eval()
    facts, known = read_facts(config.checkpoint), read_image_facts(config.checkpoint)
    if known is None:
        raise InputError(
            f"{config.checkpoint} does not state how its images are normalised: expected a file of ofa.train"
        )
    real = real_images(config, known)
    watcher.begin(real.folder, real.known)
    subnets = chosen_subnets(net, config.subnets + config.check_subnets, config.seed)
    fitted, others = subnets[: config.subnets], subnets[config.subnets :]
    images = fitted_images(config, net, fitted, real, watcher)
    published: dict[str, Any] = {"synthetic_images": config.images, "fitted_subnets": len(fitted)}
    compare_on, rows = to_compare_on(config, net, real.known), list[dict[str, float]]()
    if compare_on is not None:
        rows = published["compared"] = compared(net, others, images, real, compare_on, config.check_images)
    config.out.parent.mkdir(parents=True, exist_ok=True)
    save_checkpoint(
        net, config.out, facts={**facts, "published": published}, calibration=images, half=True, images=real.known
    )
    folders = (real.folder,) if compare_on is None else (real.folder, compare_on.folder)
    return PublishResult(config.out, real.known, tuple(rows), folders)


def real_images(config: PublishConfig, known: ImageFacts) -> RealImages:
    """Those to calibrate with, marked where they are few or their batches are; InputError where that is not allowed."""
    cut = Calibrating(config.calibration_batch, config.allow_poor_calibration)
    chosen = images_to_calibrate(None, config.data, known, None, config.checkpoint)
    used = chosen.at_random(config.calibration_images, 0)
    known = known.marked(
        cut.check(len(used), chosen.folder.path),
        replace(cut, batch=config.images).check(config.images, f"{config.out} with {config.images} synthetic images"),
    )
    return RealImages(chosen.folder, used, known, cut)


def fitted_images(
    config: PublishConfig, net: Supernet, subnets: Sequence[Subnet], real: RealImages, watcher: PublishWatcher
) -> Tensor:
    """Synthetic images (N, 3, R, R) that sub-networks' layers see as they see the real ones."""
    targets = []
    for done, subnet in enumerate(subnets, 1):
        targets.append(real.calibrated(net, subnet))
        watcher.progress("what layers see of real images", done / len(subnets))
    steps = 0

    def advance(_: float) -> None:
        nonlocal steps
        steps += 1
        watcher.progress("synthetic images", steps / config.steps)

    return synthetic_images(
        net, targets, config.images, config.steps, real.known.mean, real.known.std, seed=config.seed, advance=advance
    )


def to_compare_on(config: PublishConfig, net: Supernet, known: ImageFacts) -> ChosenImages | None:
    """Images that the supernet was not trained on: val, else what was held out; None where there are none."""
    try:
        chosen = images_to_evaluate(config.data, known, config.checkpoint)
    except InputError:  # only train, or the very images that it was trained on
        return None
    if chosen.split not in ("val", HELD_OUT):
        return None
    folder, _ = matched(chosen.folder, known, net.space.num_classes, source=config.checkpoint)
    return replace(chosen, folder=folder)


class RealImages:
    """The photographs that a supernet was trained on, prepared as for evaluation."""

    def __init__(self, folder: ImageFolder, indices: Sequence[int], known: ImageFacts, cut: Calibrating) -> None:
        """indices: those to calibrate with; cut: into which batches"""
        self.folder, self.indices, self.known, self.cut = folder, indices, known, cut
        self._kept: dict[int, list[Tensor]] = {}

    def calibrated(self, net: Supernet, subnet: Subnet) -> BatchNormStatistics:
        """Statistics of the sub-network. Images are read once for each resolution."""
        size = subnet.resolution
        if size not in self._kept:
            self._kept[size] = list(self.cut.batches(self.read(self.folder, size, self.indices)))
        return calibrate_bn(net, subnet, self._kept[size])

    def read(self, folder: ImageFolder, resolution: int, indices: Sequence[int]) -> Iterator[tuple[Tensor, Tensor]]:
        """Batches of images and labels."""
        return batches(folder, resolution, BATCH, mean=self.known.mean, std=self.known.std, indices=indices)


def chosen_subnets(net: Supernet, count: int, seed: int) -> list[Subnet]:
    """The largest, the smallest, then random ones, at the resolutions it was trained at in turn."""
    space = net.space
    choices = space.cardinalities[1:]
    ends = space.as_genes(np.array([[max(net.resolutions), *row] for row in (choices - 1, choices * 0)]))
    drawn = space.sample(np.random.default_rng(seed), max(0, count - 2), resolutions=net.resolutions)
    genes = np.concatenate([ends, drawn])
    sizes = spread(net.resolutions, FITTED_RESOLUTIONS)[::-1]
    return [replace(subnet, resolution=sizes[i % len(sizes)]) for i, subnet in enumerate(space.decode(genes))]


def compared(
    net: Supernet, subnets: Sequence[Subnet], images: Tensor, real: RealImages, compare_on: ChosenImages, count: int
) -> list[dict[str, float]]:
    """Top-1 (%) of sub-networks that the images were not fitted to, calibrated with real and with synthetic ones."""
    chosen = compare_on.at_random(count, 0)
    rows: list[dict[str, float]] = []
    for subnet in subnets:
        fake = calibrate_bn(net, subnet, [prepared(images, subnet.resolution, real.known.mean, real.known.std)])
        true, scores = real.calibrated(net, subnet), [Scores(), Scores()]
        for photos, labels in real.read(compare_on.folder, subnet.resolution, chosen):
            for k, statistics in enumerate((true, fake)):
                with torch.no_grad():
                    scores[k] += scores_of(net(photos, subnet, statistics), labels)
        found = [100 * score.top1 / score.images for score in scores]
        rows.append({"resolution": subnet.resolution, "real": found[0], "synthetic": found[1]})
    return rows
