"""Re-estimating batch normalisation for a sub-network (Cai et al. 2020; Yu & Huang 2019, "post-statistics").

Weights are shared by many sub-networks, means and variances cannot be: a sub-network that was just picked from the
supernet needs statistics of its own before it is evaluated, or its accuracy means nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, overload

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ofa.errors import InputError
from ofa.networks.layers import memory_format_of
from ofa.networks.plain import PlainNetwork
from ofa.networks.statistics import BatchNormStatistics, Moments, PooledStatistics, collect_statistics
from ofa.networks.supernet import Supernet
from ofa.space import Subnet

LEAST_IMAGES = 64  # 8 images gave 46 % where 81 was right
LEAST_BATCH = 16  # batches of 1 and 2 gave 14 and 47 % where 81 was right


@dataclass(frozen=True)
class Calibrating:
    """How images are cut into the batches that batch normalisation is calibrated by.

    batch: images at a time. Layers normalise by the batch while they are calibrated, so that it is no matter of speed
    allow_poor: whether fewer than 64 images, or a batch under 16, are taken rather than refused
    """

    batch: int = 64
    allow_poor: bool = False

    def check(self, images: int, source: object) -> str | None:
        """What is poor about so many images in such batches, None where nothing is.

        Raises InputError, naming the source and the way out, where that is not allowed.
        """
        batch = min(self.batch, max(1, images))
        if images >= LEAST_IMAGES and batch >= LEAST_BATCH:
            return None
        poor = f"calibrated with {images} image{'s' * (images != 1)} in batches of {batch}"
        if not self.allow_poor:
            raise InputError(
                f"{source}: batch normalisation would be {poor}, which loses accuracy: give at least {LEAST_IMAGES} "
                f"images, and --calibration-batch {LEAST_BATCH} or more; or insist with --allow-poor-calibration, "
                "which marks the result"
            )
        return poor

    @property
    def most(self) -> int:
        """Images of the largest batch."""
        return self.batch + LEAST_BATCH - 1

    def batches(self, given: Iterable[Any]) -> Iterator[Tensor]:
        """The same images (N, 3, R, R), in the same order, cut anew: where one batch ends does not depend on the given.

        given: image tensors, or tuples whose first item is one, of any sizes
        All batches have `batch` images but the last, which takes in what would be fewer than 16 (or than `batch`): a
        batch of one or two has hardly a variance.
        """
        least = min(LEAST_BATCH, self.batch)
        waiting: list[Tensor] = []
        count = 0
        for item in given:
            images = _images(item)
            waiting.append(images)
            count += len(images)
            while count >= self.batch + least:
                together = waiting[0] if len(waiting) == 1 else torch.cat(waiting)
                yield together[: self.batch]
                waiting, count = [together[self.batch :]], count - self.batch
        if count:
            yield waiting[0] if len(waiting) == 1 else torch.cat(waiting)


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
        of top-1 (docs/results/training.md).

    Every layer normalises by the batch meanwhile, and its result is the mean and variance of all values pooled over
    the batches. The network is not copied, not changed and keeps its mode: an exception leaves nothing to undo.
    Raises InputError where there are no batches, or values are not finite.
    """
    listed = [subnets] if isinstance(subnets, Subnet) else list(subnets)
    names = net.batch_norm_names()
    pooled = [PooledStatistics[str]() for _ in listed]
    device = next(net.parameters()).device
    images_seen = 0
    with torch.no_grad():
        for batch in batches:
            images = _images(batch).to(device, non_blocking=True)
            images_seen += len(images)
            for subnet, statistics in zip(listed, pooled, strict=True):
                found: dict[str, Moments] = {}
                net.run(resized_images(images, subnet.resolution), subnet, collect_statistics(names, found))
                statistics.add(found)
    if not images_seen:
        raise InputError("calibrating batch normalisation needs at least one batch of images")
    dtype = next(net.parameters()).dtype
    results = []
    for subnet, statistics in zip(listed, pooled, strict=True):
        both = statistics.result(dtype, str)
        means, variances = ({name: pair[i] for name, pair in both.items()} for i in (0, 1))
        results.append(BatchNormStatistics(subnet, means, variances, images_seen))
    return results[0] if isinstance(subnets, Subnet) else results


def calibrated_plain(network: PlainNetwork, batches: Iterable[Any]) -> PlainNetwork:
    """The network itself, its running statistics replaced by what its layers see of these images; its spec says so.

    batches: as of `calibrate_bn`, at the resolution of the network's spec (others are resized to it)

    The running statistics of a training are of augmented images, of the last steps, and of mixed sizes: what a network
    sees when it is used is another thing (worth 0.9 to 1.5 points of top-1). The network keeps its mode; an exception
    leaves it unchanged. Raises InputError where there are no batches, or values are not finite.
    """
    names: dict[nn.Module, str] = {
        layer: name for name, layer in network.named_modules() if isinstance(layer, nn.BatchNorm2d)
    }
    found: dict[str, Moments] = {}
    normalise, pooled = collect_statistics(names, found), PooledStatistics[str]()
    first = next(network.parameters())
    hooks = [
        bn.register_forward_hook(lambda layer, given, _: normalise(layer, given[0], nn.Identity())) for bn in names
    ]
    training, images_seen = network.training, 0
    network.eval()  # without dropout; the hooks normalise by the batch all the same
    try:
        with torch.no_grad():
            for batch in batches:
                images = _images(batch).to(first.device, non_blocking=True)
                images_seen += len(images)
                sized = resized_images(images, network.spec.resolution)
                network(sized.contiguous(memory_format=memory_format_of(network)))
                pooled.add(found)
    finally:
        for hook in hooks:
            hook.remove()
        network.train(training)
    if not images_seen:
        raise InputError("calibrating batch normalisation needs at least one batch of images")
    both = pooled.result(first.dtype, str)
    for layer, name in names.items():
        layer.running_mean, layer.running_var = both[name]
    network.spec = replace(network.spec, calibrated=True)
    return network


def _images(batch: Any) -> Tensor:
    images: Tensor = batch[0] if isinstance(batch, (tuple, list)) else batch
    return images


def resized_images(images: Tensor, resolution: int) -> Tensor:
    """Images (N, 3, H, W) at another side: bilinear, antialiased."""
    if images.ndim != 4 or images.shape[-2:] == (resolution, resolution):
        return images
    return F.interpolate(images, size=(resolution, resolution), mode="bilinear", antialias=True)
