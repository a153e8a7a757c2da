"""Random sub-networks and their measured accuracy: the library behind `python -m ofa.predictors.collect`."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch

from ofa.blocks import index_of
from ofa.blocks.costs import count_macs
from ofa.errors import InputError
from ofa.evaluate.scores import Scores, scores_of
from ofa.images.pixels.store import PixelBatch
from ofa.images.preprocessing import Triple
from ofa.networks import Supernet
from ofa.networks.calibrate import Calibrating
from ofa.networks.tree import SubnetTree
from ofa.space import Genes, SearchSpace, Subnet


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
) -> list[Scores]:
    """Calibrates and evaluates sub-networks of the images' resolution, together: `ofa.evaluate`'s figures, exactly.

    net: in evaluation mode
    advance: called with shares that are done, 1 in all
    Raises InputError where a network's outputs are not finite.
    """
    device = next(net.parameters()).device
    tree = SubnetTree(net, subnets)
    statistics = tree.calibrate(images.cut.batches(images.prepared(images.calibration, device, advance)))
    scores = [Scores()] * len(subnets)
    evaluated = images.prepared(images.evaluation, device, advance)
    for batch, floats in zip(images.evaluation, evaluated, strict=True):
        labels = batch.labels.to(device)
        logits = tree.logits(floats, statistics)
        scores = [total + scores_of(found, labels) for total, found in zip(scores, logits, strict=True)]
    for subnet, total in zip(subnets, scores, strict=True):
        if total.loss_sum != total.loss_sum:
            raise InputError(f"the network's outputs are not finite: {subnet}")
    return scores


def spread(resolutions: Sequence[int], most: int) -> tuple[int, ...]:
    """At most so many of the resolutions, the first and last and between them evenly."""
    if len(resolutions) <= most:
        return tuple(resolutions)
    return tuple(resolutions[round(i * (len(resolutions) - 1) / (most - 1))] for i in range(most))
