"""Calibration images that are nobody's photographs: optimised until a supernet sees in them what it saw in real ones.

A sub-network's batch normalisation is calibrated with training images, which often may not be passed on with the
weights. A few images of noise are changed by gradient descent until, in many sub-networks, every layer sees the mean
and variance that real images give it (as Cai et al. 2020, "ZeroQ", and Yin et al. 2020, "Dreaming to Distill", do for
quantisation and distillation). Calibrating another sub-network with them then gives nearly what real images give.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ofa.networks.calibrate import resized_images
from ofa.networks.elastic import Normalise, first
from ofa.networks.statistics import BatchNormStatistics
from ofa.networks.supernet import Supernet

GRIDS = (1, 3, 6, 12, 24, 48)  # sides of the noise that images start from, smooth to fine


def synthetic_images(
    net: Supernet,
    targets: Sequence[BatchNormStatistics],
    count: int,
    steps: int,
    mean: Sequence[float],
    std: Sequence[float],
    *,
    seed: int = 0,
    learning_rate: float = 0.1,
    advance: Callable[[float], None] = lambda _: None,
) -> Tensor:
    """(count, 3, R, R) bytes, R the largest resolution of the targets: use all in one batch, resized where smaller.

    targets: statistics of sub-networks, each calibrated with real images; every step fits one of them, in turn
    mean, std: of the prepared images, in 0 to 1; advance: told what is left to fit, after every step
    """
    side = max(target.subnet.resolution for target in targets)
    names = net.batch_norm_names()
    shift, scale = (torch.tensor(values).view(3, 1, 1) for values in (mean, std))
    generator = torch.Generator().manual_seed(seed)
    noise = [torch.randn(count, 3, grid, grid, generator=generator) for grid in GRIDS if grid <= side]
    pixels = sum((F.interpolate(n, size=(side, side), mode="bilinear") for n in noise), torch.zeros(1))
    pixels = (pixels / pixels.std()).requires_grad_(True)
    optimizer = torch.optim.Adam([pixels], lr=learning_rate)
    frozen = [(parameter, parameter.requires_grad) for parameter in net.parameters()]
    net.requires_grad_(False)
    try:
        for step in range(steps):
            for group in optimizer.param_groups:
                group["lr"] = learning_rate * 0.5 * (1 + math.cos(math.pi * step / steps))
            target = targets[step % len(targets)]
            images = resized_images(_bounded(pixels, shift, scale), target.subnet.resolution)
            distances: list[Tensor] = []
            net.run(images, target.subnet, _measuring(names, target, distances))
            # normalised by the batch, layers do not feel what is wrong before them, but real images will: early ones
            # count more
            weights = 1 / torch.arange(1.0, len(distances) + 1)
            distance = (torch.stack(distances) * weights).sum() / weights.sum()
            optimizer.zero_grad()
            distance.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            advance(distance.item())
    finally:
        for parameter, before in frozen:
            parameter.requires_grad_(before)
    with torch.no_grad():
        return ((_bounded(pixels, shift, scale) * scale + shift) * 255).round().to(torch.uint8)


def prepared(images: Tensor, resolution: int, mean: Sequence[float], std: Sequence[float]) -> Tensor:
    """Bytes as a network's input: (N, 3, resolution, resolution) float32."""
    shift, scale = (torch.tensor(values).view(3, 1, 1) for values in (mean, std))
    return resized_images((images / 255 - shift) / scale, resolution)


def _bounded(pixels: Tensor, shift: Tensor, scale: Tensor) -> Tensor:
    """Within what bytes can be."""
    return torch.clamp(pixels, -shift / scale, (1 - shift) / scale)


def _measuring(names: Mapping[nn.Module, str], target: BatchNormStatistics, distances: list[Tensor]) -> Normalise:
    """Normalises by the batch; appends how far its mean and variance are from the target's, for every layer."""

    def normalise(bn: nn.BatchNorm2d, x: Tensor, activation: nn.Module) -> Tensor:
        mean, variance = target.means[names[bn]], target.variances[names[bn]]
        shifts = (x.mean((0, 2, 3)) - mean).square() / (variance + bn.eps)
        ratios = torch.log((x.var((0, 2, 3)) + bn.eps) / (variance + bn.eps))
        distances.append(shifts.mean() + ratios.square().mean())
        channels = x.shape[1]
        x = F.batch_norm(x, None, None, first(bn.weight, channels), first(bn.bias, channels), True, 0.0, bn.eps)
        activated: Tensor = activation(x)
        return activated

    return normalise
