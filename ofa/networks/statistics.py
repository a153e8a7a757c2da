"""Batch normalisation in a network whose layers run at many widths: which mean and variance to use.

A sub-network needs statistics of its own: those in the supernet's buffers belong to no sub-network in particular.
They are a value (`BatchNormStatistics`, made by `ofa.networks.calibrate_bn`), never stored in the network.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Generic, TypeAlias, TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ofa.errors import InputError
from ofa.networks import gpu
from ofa.networks.convolution import IN_PLACE
from ofa.networks.elastic import Normalise, Take, first
from ofa.networks.layers import ACTIVATION_NAMES
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


def stored_statistics(training: bool, take: Take = first) -> Normalise:
    """By the batch, updating the layer's own running statistics, in training; else by those statistics."""

    def normalise(bn: nn.BatchNorm2d, x: Tensor, activation: nn.Module) -> Tensor:
        channels = x.shape[1]
        scale, shift = take(bn.weight, channels), take(bn.bias, channels)
        running = None
        if bn.running_mean is not None and bn.running_var is not None:
            running = first(bn.running_mean, channels), first(bn.running_var, channels)
        if training or running is None:
            return _by_batch(x, scale, shift, running, bn.momentum or 0.0, bn.eps, activation)
        return _activated(activation, F.batch_norm(x, *running, scale, shift, False, 0.0, bn.eps))

    return normalise


def batch_statistics(bn: nn.BatchNorm2d, x: Tensor, activation: nn.Module) -> Tensor:
    """By the batch alone; the layer's own running statistics are neither used nor changed."""
    return _by_batch(x, *_scale_and_shift(bn, x.shape[1]), None, 0.0, bn.eps, activation)


def _by_batch(
    x: Tensor,
    scale: Tensor,
    shift: Tensor,
    running: tuple[Tensor, Tensor] | None,
    momentum: float,
    eps: float,
    activation: nn.Module,
) -> Tensor:
    name = ACTIVATION_NAMES.get(type(activation))
    if name is not None and gpu.quick(x):
        from ofa.networks.gpu.batch_norm import fits, normalised

        if fits(x):
            return normalised(x, scale, shift, running, momentum, eps, name)
    mean, variance = (None, None) if running is None else running
    return _activated(activation, F.batch_norm(x, mean, variance, scale, shift, True, momentum, eps))


def _activated(activation: nn.Module, x: Tensor) -> Tensor:
    out: Tensor = activation(x)
    return out


def given_statistics(names: Mapping[nn.Module, str], statistics: BatchNormStatistics) -> Normalise:
    """By statistics that a sub-network was calibrated to."""

    def normalise(bn: nn.BatchNorm2d, x: Tensor, activation: nn.Module) -> Tensor:
        name, channels = names[bn], x.shape[1]
        scale, shift = _scale_and_shift(bn, channels)
        mean, variance = statistics.means[name], statistics.variances[name]
        return _activated(activation, F.batch_norm(x, mean, variance, scale, shift, False, 0.0, bn.eps))

    return normalise


# of a batch: mean and unbiased variance of each channel, and how many values a channel had
Moments: TypeAlias = tuple[Tensor, Tensor, int]


def collect_statistics(names: Mapping[nn.Module, str], found: dict[str, Moments]) -> Normalise:
    """By the batch, noting the batch's moments in `found`; the layer's own statistics are not touched."""

    def normalise(bn: nn.BatchNorm2d, x: Tensor, activation: nn.Module) -> Tensor:
        known = ACTIVATION_NAMES.get(type(activation))
        x, found[names[bn]] = activated_with_moments(bn, x, names[bn], known or "none")
        return x if known else _activated(activation, x)

    return normalise


def activated_with_moments(
    bn: nn.BatchNorm2d,
    x: Tensor,
    name: str,
    activation: str,
    *,
    into: Tensor | None = None,
    in_place: bool = False,
) -> tuple[Tensor, Moments]:
    """x normalised by itself and activated, and its moments. InputError, naming the layer, if a channel has one value.

    Without gradients.
    activation: a step's
    into: (2, channels) zeros, for mean and variance (default: new ones)
    in_place: whether x may be overwritten, which saves a CPU memory that is not in its caches
    """
    channels = x.shape[1]
    if x.numel() == channels:
        raise InputError(
            f"calibrating batch normalisation: a batch of 1 image has a single value for each channel of {name}, "
            "and so no variance: take batches, or a number of images, of which the last is larger"
        )
    scale, shift = _scale_and_shift(bn, channels)
    # with momentum 1 the fused kernels leave the batch's mean and unbiased variance: no second pass over x
    mean, variance = into if into is not None else (torch.zeros_like(scale), torch.zeros_like(scale))
    moments = mean, variance, x.numel() // channels
    if gpu.quick(x):
        from ofa.networks.gpu.batch_norm import fits, normalised

        if fits(x):
            return normalised(x, scale, shift, (mean, variance), 1.0, bn.eps, activation), moments
    if in_place and x.is_cpu:
        kept = torch.empty_like(scale), torch.empty_like(scale)
        torch.native_batch_norm(x, scale, shift, mean, variance, True, 1.0, bn.eps, out=(x, *kept))
        out = x
    else:
        out = F.batch_norm(x, mean, variance, scale, shift, True, 1.0, bn.eps)
    return IN_PLACE[activation](out), moments


def folding(
    layers: Sequence[nn.BatchNorm2d], means: Sequence[Tensor], variances: Sequence[Tensor]
) -> list[tuple[Tensor, Tensor]]:
    """For each layer what the weights of the convolution before it are multiplied by, and that convolution's bias.

    (channels,) each, as many as a layer's means have, computed in double precision, all layers at once. The factors are
    in it too: rounded, they would round the weights once more.
    """
    channels = [len(mean) for mean in means]
    scale, shift = (
        torch.cat([first(of, count) for of, count in zip(every, channels, strict=True)]).double()
        for every in ([bn.weight for bn in layers], [bn.bias for bn in layers])
    )
    eps = torch.tensor([bn.eps for bn in layers], dtype=torch.float64).repeat_interleave(torch.tensor(channels))
    factor = scale / (torch.cat([*variances]).double() + eps.to(scale.device, non_blocking=True)).sqrt()
    bias = shift - torch.cat([*means]).double() * factor
    both = (torch.split(of, channels) for of in (factor, bias.to(means[0].dtype)))
    return list(zip(*both, strict=True))


Key = TypeVar("Key")


class PooledStatistics(Generic[Key]):
    """The moments of many layers over several batches: all layers at once, so that a batch costs a dozen operations.

    Nothing is read from a device before `result`.
    """

    def __init__(self) -> None:
        self._sizes: dict[Key, int] = {}
        self._counts: tuple[int, ...] = ()
        self._moments: PooledMoments | None = None
        self._each = torch.empty(0)

    def add(self, found: Mapping[Key, Moments]) -> None:
        """Takes in a batch: the same layers as of every other, in any order."""
        if self._moments is None:
            self._sizes = {key: len(mean) for key, (mean, _, _) in found.items()}
        means, variances, counts = zip(*(found[key] for key in self._sizes), strict=True)
        mean = torch.cat(means)
        if self._moments is None:
            self._moments = PooledMoments(mean)
        if counts != self._counts:  # once, and for a last batch of another size
            values = torch.tensor(counts, dtype=torch.float64).repeat_interleave(torch.tensor([*self._sizes.values()]))
            self._counts, self._each = counts, values.to(mean.device, non_blocking=True)
        self._moments.add(mean, torch.cat(variances), self._each)

    def result(self, dtype: torch.dtype, name: Callable[[Key], str]) -> dict[Key, tuple[Tensor, Tensor]]:
        """Mean and unbiased variance of every layer; InputError, with its name, where one's are not finite."""
        assert self._moments is not None
        both = torch.stack([self._moments.mean, self._moments.variance()]).to(dtype)
        found = dict(zip(self._sizes, torch.split(both, list(self._sizes.values()), dim=1), strict=True))
        if not both.isfinite().all():
            bad = next(key for key, values in found.items() if not values.isfinite().all())
            raise InputError(f"calibrating batch normalisation: {name(bad)} sees values that are not finite")
        return {key: (mean.clone(), variance.clone()) for key, (mean, variance) in found.items()}


class PooledMoments:
    """Mean and variance of all values of several batches, from each batch's (Chan et al. 1979).

    Batches of different sizes weigh by their size, and the spread between batch means is part of the variance
    (the law of total variance): the result is that of one batch holding every value.
    """

    def __init__(self, like: Tensor) -> None:
        self.mean = torch.zeros_like(like, dtype=torch.float64)
        self.count = torch.zeros_like(self.mean)
        self.squares = torch.zeros_like(self.mean)  # summed squared distance from the mean

    def add(self, mean: Tensor, unbiased_variance: Tensor, count: Tensor) -> None:
        """Takes in a batch of `count` values of each channel; all three are (channels,)."""
        total = self.count + count
        delta = mean.double() - self.mean
        self.mean += delta * (count / total)
        self.squares += unbiased_variance.double() * (count - 1) + delta.square() * (self.count * count / total)
        self.count = total

    def variance(self) -> Tensor:
        """Unbiased, as torch's running variance is."""
        return self.squares / (self.count - 1).clamp(min=1)


def _scale_and_shift(bn: nn.BatchNorm2d, channels: int) -> tuple[Tensor, Tensor]:
    return first(bn.weight, channels), first(bn.bias, channels)
