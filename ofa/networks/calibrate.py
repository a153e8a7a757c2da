"""Re-estimating batch normalisation for a sub-network (Cai et al. 2020; Yu & Huang 2019, "post-statistics").

Weights are shared by many sub-networks, means and variances cannot be: a sub-network that was just picked from the
supernet needs statistics of its own before it is evaluated, or its accuracy means nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, overload

import torch
import torch.nn.functional as F
from torch import Tensor

from ofa.errors import InputError
from ofa.networks.statistics import BatchNormStatistics, PooledMoments, collect_statistics
from ofa.networks.supernet import Supernet
from ofa.space import Subnet


@overload
def calibrate_bn(net: Supernet, subnets: Subnet, batches: Iterable[Any]) -> BatchNormStatistics: ...
@overload
def calibrate_bn(net: Supernet, subnets: Sequence[Subnet], batches: Iterable[Any]) -> list[BatchNormStatistics]: ...
def calibrate_bn(
    net: Supernet, subnets: Subnet | Sequence[Subnet], batches: Iterable[Any]
) -> BatchNormStatistics | list[BatchNormStatistics]:
    """The batch normalisation statistics of a sub-network, or of several in one pass over the batches.

    batches: image tensors (N, 3, R, R), or tuples whose first item is one (what a DataLoader of images and labels
        yields). Sub-networks of another resolution get them resized (bilinear, antialiased). About 2,000 training
        images, prepared as for evaluation, are enough. In random order: batches of one class each cost 2 to 7 points
        of top-1 (docs/training.md).

    Every layer normalises by the batch meanwhile, and its result is the mean and variance of all values pooled over
    the batches. The network is not copied, not changed and keeps its mode: an exception leaves nothing to undo.
    Raises InputError where there are no batches, or values are not finite.
    """
    listed = [subnets] if isinstance(subnets, Subnet) else list(subnets)
    names = net.batch_norm_names()
    moments: list[dict[str, PooledMoments]] = [{} for _ in listed]
    device = next(net.parameters()).device
    images_seen = 0
    with torch.no_grad():
        for batch in batches:
            images = (batch[0] if isinstance(batch, (tuple, list)) else batch).to(device, non_blocking=True)
            images_seen += len(images)
            for subnet, found in zip(listed, moments, strict=True):
                sized = resized(images, subnet.resolution)
                net.run(sized, subnet, collect_statistics(names, found))
    if not images_seen:
        raise InputError("calibrating batch normalisation needs at least one batch of images")
    dtype = next(net.parameters()).dtype
    results = [
        pooled_statistics(subnet, found, images_seen, dtype) for subnet, found in zip(listed, moments, strict=True)
    ]
    return results[0] if isinstance(subnets, Subnet) else results


def resized(images: Tensor, resolution: int) -> Tensor:
    """Images (N, 3, H, W) at another side: bilinear, antialiased."""
    if images.ndim != 4 or images.shape[-2:] == (resolution, resolution):
        return images
    return F.interpolate(images, size=(resolution, resolution), mode="bilinear", antialias=True)


def pooled_statistics(
    subnet: Subnet, found: Mapping[str, PooledMoments], images: int, dtype: torch.dtype
) -> BatchNormStatistics:
    """What was collected over so many images; InputError where values are not finite."""
    means = {name: pooled.mean.to(dtype) for name, pooled in found.items()}
    variances = {name: pooled.variance().to(dtype) for name, pooled in found.items()}
    for name in found:
        if not (means[name].isfinite().all() and variances[name].isfinite().all()):
            raise InputError(f"calibrating batch normalisation: {name} sees values that are not finite")
    return BatchNormStatistics(subnet, means, variances, images)
