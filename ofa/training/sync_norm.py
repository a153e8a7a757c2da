"""Batch normalisation over the batches of all processes: as if one process had all their images."""

from __future__ import annotations

from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn

from ofa.networks.elastic import Normalise, first
from ofa.training.accumulated import accumulated


def synchronised_statistics(bn: nn.BatchNorm2d, x: Tensor, activation: nn.Module) -> Tensor:
    """By all processes' batches, updating the layer's running statistics. Every process must run the same layers.

    Mean and variance take a message each; the variance is of distances from the common mean, so nothing cancels.
    """
    channels, dtype = x.shape[1], x.dtype
    scale, shift = accumulated(bn.weight, channels), accumulated(bn.bias, channels)
    x = x.to(torch.promote_types(dtype, torch.float32))  # halves are too coarse for sums
    count = _summed(torch.full_like(scale[:1], x.numel() / channels))
    mean = _summed(x.sum((0, 2, 3))) / count
    centred = x - mean[:, None, None]
    variance = _summed(centred.square().sum((0, 2, 3))) / count
    with torch.no_grad():
        momentum = bn.momentum or 0.0
        if bn.running_mean is not None and bn.running_var is not None:
            first(bn.running_mean, channels).lerp_(mean, momentum)
            first(bn.running_var, channels).lerp_(variance * count / (count - 1).clamp(min=1), momentum)
    factor = scale * (variance + bn.eps).rsqrt()
    out = centred * factor[:, None, None] + shift[:, None, None]
    activated: Tensor = activation(out.to(dtype))
    return activated


def _summed(value: Tensor) -> Tensor:
    total: Tensor = _Sum.apply(value)  # type: ignore[no-untyped-call]
    return total


class _Sum(torch.autograd.Function):
    """The sum over all processes; so is its gradient, as every process's loss depends on every summand."""

    @staticmethod
    def forward(_: Any, value: Tensor) -> Tensor:
        total = value.contiguous().clone()
        dist.all_reduce(total)
        return total

    @staticmethod
    def backward(_: Any, *grads: Tensor) -> Tensor:
        total = grads[0].contiguous().clone()
        dist.all_reduce(total)
        return total


def chosen_normalise(asked: str, processes: int) -> Normalise | None:
    """What a supernet normalises by in training: None for this process's own batch."""
    return synchronised_statistics if asked == "sync" and processes > 1 else None
