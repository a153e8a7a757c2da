"""Running the first channels of a layer: elastic width and kernel size (Cai et al. 2020, section 3.3).

Every function takes a layer of `ofa.networks.layers` built at its largest size and the smaller `Block` to run,
and keeps nothing: weights are views into the largest layer, and are left whole where nothing is cut off.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any, TypeAlias

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ofa.blocks import Block, steps_of
from ofa.blocks.operator import Step
from ofa.errors import InputError
from ofa.networks.convolution import conv
from ofa.networks.layers import Compute, Layer

# how a batch normalisation of the largest size, and the activation behind it, treat a feature map of fewer channels
Normalise: TypeAlias = Callable[[nn.BatchNorm2d, Tensor, nn.Module], Tensor]
# the first entries of a weight along each of its dimensions: see `first`
Take: TypeAlias = Callable[..., Tensor]
# runs a block: see `run_elastic`
RunBlock: TypeAlias = Callable[[nn.Module, Tensor, Block, Normalise, Take], Tensor]


class ElasticKernelLayer(Layer):
    """A layer of the largest kernel size with kernel transformation matrices.

    matrices: "7to5" (25, 25), "5to3" (9, 9): from the centre of a kernel to the next smaller kernel, shared by
        the layer's channels; they start as the identity. Where several convolutions are elastic, each has its own,
        called after it: "start_5to3"
    """

    def __init__(self, block: Block, kernels: Mapping[str, Sequence[int]], *, bn_eps: float) -> None:
        """kernels: the sizes of every convolution that has several, by its name"""
        super().__init__(block, bn_eps=bn_eps)
        self.kernel_steps = {
            name: tuple(
                (large, small, f"{large}to{small}" if len(kernels) == 1 else f"{name}_{large}to{small}")
                for large, small in itertools.pairwise(sorted(sizes, reverse=True))
            )
            for name, sizes in kernels.items()
        }
        self.matrices = nn.ParameterDict(
            {key: torch.eye(small * small) for of in self.kernel_steps.values() for _, small, key in of}
        )

    def kernel(self, step: Step, take: Take) -> Tensor:
        """Weights of a smaller convolution's shape: those of the first channels, at a kernel size of the space."""
        weight = take(self.holder(step).conv.weight, *step.weight_shape[:2])
        for large, small, key in self.kernel_steps.get(step.name, ()):
            if step.kernel_size >= weight.shape[-1]:
                break
            cut = (large - small) // 2
            centre = weight[:, :, cut:-cut, cut:-cut].reshape(-1, small * small)
            weight = F.linear(centre, self.matrices[key]).view(*step.weight_shape[:2], small, small)
        return weight


def elastic_kernels(blocks: Iterable[Block]) -> dict[str, list[int]]:
    """The kernel sizes, ascending, of every convolution that has several in these blocks, by its name."""
    found: dict[str, set[int]] = {}
    for block in blocks:
        for step in steps_of(block):
            if step.kind == "conv":
                found.setdefault(step.name, set()).add(step.kernel_size)
    return {name: sorted(sizes) for name, sizes in found.items() if len(sizes) > 1}


def first(weight: Tensor, *sizes: int) -> Tensor:
    """The first `sizes[d]` entries along each dimension d: a view, or the tensor itself if that is all of it."""
    for dim, size in enumerate(sizes):
        if weight.shape[dim] != size:
            weight = weight.narrow(dim, 0, size)
    return weight


def run_elastic(layer: nn.Module, x: Tensor, block: Block, normalise: Normalise, take: Take = first) -> Tensor:
    """What the block made of the layer's first channels gives for x, (N, block.in_channels, H, W)."""
    assert isinstance(layer, Layer)
    return layer.run(x, steps_of(block), {"conv": partial(_conv, normalise, take), **unnormalised(take)})


def _activate(activation: nn.Module, x: Tensor) -> Tensor:
    out: Tensor = activation(x)
    return out


def _conv(normalise: Normalise, take: Take, layer: Layer, holder: Any, step: Step, x: Tensor) -> Tensor:
    weight = conv_weight(layer, step, take)
    groups = step.channels if step.depthwise else step.groups
    # in one expression, so that each result's memory is free for the next but one
    return normalise(holder.bn, conv(x, weight, None, step.stride, groups), holder.activation)


def conv_weight(layer: Layer, step: Step, take: Take = first) -> Tensor:
    """The weight of a convolution of the first channels; InputError where those are no smaller block of the kind."""
    whole = layer.holder(step).conv.weight
    weight = layer.kernel(step, take) if isinstance(layer, ElasticKernelLayer) else take(whole, *step.weight_shape[:2])
    if step.groups > 1 and len(weight) < len(whole):
        raise InputError(f"{layer.op} has grouped convolutions: its first channels are not a smaller block of its kind")
    return weight


def unnormalised(take: Take) -> dict[str, Compute]:
    """Of the steps that have weights, those without batch normalisation."""
    return {
        "mix": partial(_mix, take),
        "linear": partial(_linear, take),
        "squeeze_excite": partial(_squeeze_excite, take),
    }


def _mix(take: Take, _: Layer, holder: Any, step: Step, x: Tensor) -> Tensor:
    bias = take(holder.conv.bias, step.channels) if step.bias else None
    return _activate(holder.activation, conv(x, take(holder.conv.weight, *step.weight_shape[:2]), bias))


def _linear(take: Take, _: Layer, holder: Any, step: Step, x: Tensor) -> Tensor:
    features = holder.dropout(torch.flatten(x, 1))
    return F.linear(features, take(holder.linear.weight, *step.weight_shape), take(holder.linear.bias, step.channels))


def _squeeze_excite(take: Take, _: Layer, holder: Any, step: Step, x: Tensor) -> Tensor:
    channels, hidden, reduce, expand = step.channels, step.hidden, holder.reduce, holder.expand
    # as x.mean is, to the bit; but the gradient is divided before it is spread over all pixels
    gate = x.sum((2, 3), keepdim=True) / (x.shape[2] * x.shape[3])
    gate = conv(gate, take(reduce.weight, hidden, channels), take(reduce.bias, hidden))
    gate = _activate(holder.activation, gate)
    gate = conv(gate, take(expand.weight, channels, hidden), take(expand.bias, channels))
    return x * _activate(holder.gate, gate)


UNNORMALISED = unnormalised(first)
