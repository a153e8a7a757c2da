"""Accuracies that sub-networks have as int8 files: rounded in PyTorch by the rules that the files are written by."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch

from ofa.errors import InputError
from ofa.evaluate.scores import Scores, scores_of
from ofa.export.folding import trained_graph
from ofa.graph.fake_int8 import fake_int8, observed_ranges
from ofa.networks import Supernet, extract
from ofa.networks.tree import SubnetTree
from ofa.predictors.collect.measuring import PreparedImages
from ofa.space import Subnet

# images that show the ranges, as of an export
RANGE_IMAGES = 200
_BATCH = 50  # of them at a time: the values of more leave the caches


def measure_int8(
    net: Supernet,
    subnets: Sequence[Subnet],
    images: PreparedImages,
    advance: Callable[[float], object] = lambda _: None,
) -> list[Scores]:
    """As `measure`, of the sub-networks in int8: each is cut out, calibrated, folded and rounded, as an export does.

    Raises InputError where a network's outputs are not finite.
    """
    device = next(net.parameters()).device
    statistics = SubnetTree(net, subnets).calibrate(
        images.cut.batches(images.prepared(images.calibration, device, advance))
    )
    shown = torch.split(_first(images, device), _BATCH)
    networks = []
    for subnet, found in zip(subnets, statistics, strict=True):
        try:
            graph = trained_graph(extract(net, subnet, found))
            networks.append(fake_int8(graph, observed_ranges(graph, shown)).to(device))
        except (InputError, ValueError) as error:  # weights or ranges that are not finite
            raise InputError(f"the network's outputs are not finite: {subnet} ({error})") from None
    scores = [Scores()] * len(subnets)
    evaluated = images.prepared(images.evaluation, device, advance)
    with torch.inference_mode():
        for batch, floats in zip(images.evaluation, evaluated, strict=True):
            labels = batch.labels.to(device)
            scores = [
                total + scores_of(network(floats), labels) for total, network in zip(scores, networks, strict=True)
            ]
    return scores


def _first(images: PreparedImages, device: torch.device) -> torch.Tensor:
    """The first images to calibrate with, as many as an export takes the ranges from."""
    found: list[torch.Tensor] = []
    for batch in images.calibration:
        if sum(map(len, found)) >= RANGE_IMAGES:
            break
        found.append(batch.images(device, images.mean, images.std))
    return torch.cat(found)[:RANGE_IMAGES]
