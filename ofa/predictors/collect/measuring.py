"""Random sub-networks and their measured accuracy: the library behind `python -m ofa.predictors.collect`."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import torch

from ofa.blocks import index_of
from ofa.blocks.costs import count_macs
from ofa.errors import InputError
from ofa.evaluate.precision import autocast
from ofa.evaluate.scores import Scores, counts_of
from ofa.images.pixels.store import PixelBatch
from ofa.images.preprocessing import Triple
from ofa.networks import Supernet
from ofa.networks.calibrate import Calibrating
from ofa.networks.tree import SubnetTree
from ofa.space import Genes, SearchSpace, Subnet

FEATURE_MAPS = 5  # of memory that `measure` takes beside weights, in what its widest network holds at a time


def draw(
    space: SearchSpace, resolutions: Sequence[int], seed: int, numbers: Sequence[int], tilted: float = 0.0
) -> list[Subnet]:
    """The sub-networks of those numbers, at those resolutions: number i of a seed is the same one, whatever else is
    drawn.

    tilted: share of them whose choices lean together, from all smallest to all largest
    """
    rows = [_row(space, resolutions, np.random.default_rng([seed, number]), tilted) for number in numbers]
    return space.decode(np.concatenate(rows))


def _row(space: SearchSpace, resolutions: Sequence[int], rng: np.random.Generator, tilted: float) -> Genes:
    row = space.sample(rng, 1, resolutions=resolutions)
    if rng.random() >= tilted:
        return row
    lean = np.array([rng.random()])
    # it once chose the resolution, and is drawn still: a seed has the networks that it always had
    rng.binomial(len(resolutions) - 1, lean)
    return space.sample_leaning(rng, lean, row[:, 0])


def tree_order(space: SearchSpace, subnets: Sequence[Subnet]) -> list[int]:
    """Positions sorted by blocks from the stem on: by resolution, and neighbours begin alike."""
    genes = space.as_genes(subnets)
    numbers = index_of(space, genes).block_numbers(genes)
    return [int(i) for i in np.lexsort(numbers.T[::-1])]


def share(space: SearchSpace, subnets: Sequence[Subnet], order: Sequence[int], part: int, parts: int) -> list[int]:
    """The part-th of so many stretches of the order, of about equal MACs: together they are all of it."""
    if not order:
        return []
    macs = np.atleast_1d(count_macs(space, space.as_genes([subnets[i] for i in order]))).astype(np.float64)
    middles = (np.cumsum(macs) - macs / 2) / macs.sum()
    return [i for i, owner in zip(order, (middles * parts).astype(int), strict=True) if owner == part - 1]


def groups(subnets: Sequence[Subnet], order: Sequence[int], size: int) -> Iterator[list[int]]:
    """The order in stretches of at most so many sub-networks of one resolution."""
    group: list[int] = []
    for i in order:
        if group and (len(group) == size or subnets[group[0]].resolution != subnets[i].resolution):
            yield group
            group = []
        group.append(i)
    if group:
        yield group


@dataclass(frozen=True)
class PreparedImages:
    """Prepared images of one resolution: those to calibrate with, those to evaluate on, and how to normalise both.

    cut: into which batches those to calibrate with are cut, whatever they come in
    """

    calibration: Sequence[PixelBatch]
    evaluation: Sequence[PixelBatch]
    mean: Triple
    std: Triple
    cut: Calibrating = field(default_factory=Calibrating)

    def to(self, device: torch.device) -> PreparedImages:
        """The same, their bytes on a device."""
        calibration, evaluation = ([batch.to(device) for batch in of] for of in (self.calibration, self.evaluation))
        return replace(self, calibration=calibration, evaluation=evaluation)

    def calibration_batches(self, device: torch.device, advance: Callable[[float], object]) -> Iterator[torch.Tensor]:
        """Those to calibrate with, in the batches that they are cut into."""
        return self.cut.batches(self.prepared(self.calibration, device, advance))

    def prepared(
        self, batches: Sequence[PixelBatch], device: torch.device, advance: Callable[[float], object]
    ) -> Iterator[torch.Tensor]:
        """Those of either, one after the other, normalised. advance: called with each one's share of both"""
        for batch in batches:
            yield batch.images(device, self.mean, self.std)
            advance(1 / (len(self.calibration) + len(self.evaluation)))


def measure(
    net: Supernet,
    subnets: Sequence[Subnet],
    images: PreparedImages,
    advance: Callable[[float], object] = lambda _: None,
    precision: str = "fp32",
) -> list[Scores]:
    """Calibrates and evaluates sub-networks of the images' resolution, together.

    The statistics are those of `ofa.evaluate`, on a CPU to the last bit if both compute an operator in as many threads.
    The logits differ by rounding, because the statistics are folded into the convolutions.

    net: in evaluation mode
    advance: called with shares that are done, 1 in all
    precision: of forward passes, "fp32", "bf16" or "fp16"; weights and statistics are fp32
    Raises InputError where a network's outputs are not finite.
    """
    tree, device = SubnetTree(net, subnets), device_of(net)
    with autocast(precision, device):
        logits = tree.logits(tree.folded(tree.calibrate(images.calibration_batches(device, advance))))
        return scored(images, subnets, device, logits, advance)


def scored(
    images: PreparedImages,
    subnets: Sequence[Subnet],
    device: torch.device,
    logits: Callable[[torch.Tensor], Sequence[torch.Tensor]],
    advance: Callable[[float], object],
) -> list[Scores]:
    """The scores of sub-networks on the images to evaluate on, added up on the device: it is read once, at the end.

    logits: of every sub-network for images (N, 3, R, R)
    """
    sums = [torch.zeros(3, dtype=torch.float64, device=device) for _ in subnets]
    for batch, floats in zip(images.evaluation, images.prepared(images.evaluation, device, advance), strict=True):
        labels = batch.labels.to(device)
        sums = [total + counts_of(found, labels) for total, found in zip(sums, logits(floats), strict=True)]
    count = sum(len(batch.labels) for batch in images.evaluation)
    scores = [Scores.of(count, counts) for counts in torch.stack(sums).tolist()]
    for subnet, found in zip(subnets, scores, strict=True):
        if not math.isfinite(found.loss_sum):
            raise InputError(f"the network's outputs are not finite: {subnet}")
    return scores


def device_of(net: Supernet) -> torch.device:
    """Where a network is."""
    return next(net.parameters()).device


def spread(resolutions: Sequence[int], most: int) -> tuple[int, ...]:
    """At most so many of the resolutions, the first and last and between them evenly."""
    if len(resolutions) <= most:
        return tuple(resolutions)
    return tuple(resolutions[round(i * (len(resolutions) - 1) / (most - 1))] for i in range(most))
