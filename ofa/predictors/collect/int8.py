"""Accuracies that sub-networks have as int8 files: rounded in PyTorch by the rules that the files are written by."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch

from ofa.errors import InputError
from ofa.evaluate.scores import Scores
from ofa.export.folding import trained_graph
from ofa.graph.fake_int8 import fake_int8, observed_ranges
from ofa.networks import Supernet, extract
from ofa.networks.tree import SubnetTree
from ofa.predictors.collect.measuring import PreparedImages, device_of, scored
from ofa.space import Subnet

# images that show the ranges, as of an export
RANGE_IMAGES = 200
FEATURE_MAPS = 11  # as of `ofa.predictors.collect.measuring`
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
    device = device_of(net)
    statistics = SubnetTree(net, subnets).calibrate(images.calibration_batches(device, advance))
    shown = torch.split(_first(images, device), _BATCH)
    networks = []
    for subnet, found in zip(subnets, statistics, strict=True):
        try:
            graph = trained_graph(extract(net, subnet, found))
            networks.append(fake_int8(graph, observed_ranges(graph, shown)).to(device))
        except (InputError, ValueError) as error:  # weights or ranges that are not finite
            raise InputError(f"the network's outputs are not finite: {subnet} ({error})") from None
    with torch.inference_mode():
        return scored(images, subnets, device, lambda floats: [network(floats) for network in networks], advance)


def _first(images: PreparedImages, device: torch.device) -> torch.Tensor:
    """The first images to calibrate with, as many as an export takes the ranges from."""
    found: list[torch.Tensor] = []
    for batch in images.calibration:
        if sum(map(len, found)) >= RANGE_IMAGES:
            break
        found.append(batch.images(device, images.mean, images.std))
    return torch.cat(found)[:RANGE_IMAGES]
