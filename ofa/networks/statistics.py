"""Batch normalisation in a network whose layers run at many widths: which mean and variance to use.

A sub-network needs statistics of its own: those in the supernet's buffers belong to no sub-network in particular.
They are a value (`BatchNormStatistics`, made by `ofa.networks.calibrate_bn`), never stored in the network.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ofa.errors import InputError
from ofa.networks.elastic import Normalise, first
from ofa.space import Subnet


@dataclass(frozen=True, eq=False)
class BatchNormStatistics:
    """The mean and variance of every batch normalisation of one sub-network.

    subnet: the sub-network they belong to
    means, variances: (channels,) each, by the layer's name in the supernet, "unit_1_layer_1.depthwise.bn"
    images: how many images they rest on
    """

    subnet: Subnet
    means: Mapping[str, Tensor]
    variances: Mapping[str, Tensor]
    images: int


def stored_statistics(training: bool) -> Normalise:
    """By the batch, updating the layer's own running statistics, in training; else by those statistics."""

    def normalise(bn: nn.BatchNorm2d, x: Tensor) -> Tensor:
        channels = x.shape[1]
        scale, shift = _scale_and_shift(bn, channels)
        mean, variance = bn.running_mean, bn.running_var
        if mean is not None and variance is not None:
            mean, variance = first(mean, channels), first(variance, channels)
        return F.batch_norm(x, mean, variance, scale, shift, training, bn.momentum or 0.0, bn.eps)

    return normalise


def batch_statistics(bn: nn.BatchNorm2d, x: Tensor) -> Tensor:
    """By the batch alone; the layer's own running statistics are neither used nor changed."""
    scale, shift = _scale_and_shift(bn, x.shape[1])
    return F.batch_norm(x, None, None, scale, shift, True, 0.0, bn.eps)


def given_statistics(names: Mapping[nn.Module, str], statistics: BatchNormStatistics) -> Normalise:
    """By statistics that a sub-network was calibrated to."""

    def normalise(bn: nn.BatchNorm2d, x: Tensor) -> Tensor:
        name, channels = names[bn], x.shape[1]
        scale, shift = _scale_and_shift(bn, channels)
        mean, variance = statistics.means[name], statistics.variances[name]
        return F.batch_norm(x, mean, variance, scale, shift, False, 0.0, bn.eps)

    return normalise


def collect_statistics(names: Mapping[nn.Module, str], moments: dict[str, PooledMoments]) -> Normalise:
    """By the batch, adding the batch's moments to `moments`; the layer's own statistics are not touched."""

    def normalise(bn: nn.BatchNorm2d, x: Tensor) -> Tensor:
        name, channels = names[bn], x.shape[1]
        if x.numel() == channels:
            raise InputError(
                f"calibrating batch normalisation: a batch of 1 image has a single value for each channel of {name}, "
                "and so no variance: take batches, or a number of images, of which the last is larger"
            )
        scale, shift = _scale_and_shift(bn, channels)
        # with momentum 1 the fused kernel leaves the batch's mean and unbiased variance: no second pass over x
        mean, variance = torch.zeros_like(scale), torch.zeros_like(scale)
        out = F.batch_norm(x, mean, variance, scale, shift, True, 1.0, bn.eps)
        if name not in moments:
            moments[name] = PooledMoments(mean)
        moments[name].add(mean, variance, x.numel() // channels)
        return out

    return normalise


class PooledMoments:
    """Mean and variance of all values of several batches, from each batch's (Chan et al. 1979).

    Batches of different sizes weigh by their size, and the spread between batch means is part of the variance
    (the law of total variance): the result is that of one batch holding every value.
    """

    def __init__(self, like: Tensor) -> None:
        self.count = 0
        self.mean = torch.zeros_like(like, dtype=torch.float64)
        self.squares = torch.zeros_like(self.mean)  # summed squared distance from the mean

    def add(self, mean: Tensor, unbiased_variance: Tensor, count: int) -> None:
        """Takes in a batch of `count` values per channel."""
        total = self.count + count
        delta = mean.double() - self.mean
        self.mean += delta * (count / total)
        self.squares += unbiased_variance.double() * (count - 1) + delta.square() * (self.count * count / total)
        self.count = total

    def variance(self) -> Tensor:
        """Unbiased, as torch's running variance is."""
        return self.squares / max(1, self.count - 1)


def _scale_and_shift(bn: nn.BatchNorm2d, channels: int) -> tuple[Tensor, Tensor]:
    return first(bn.weight, channels), first(bn.bias, channels)
