"""Running the first channels of a layer: elastic width and kernel size (Cai et al. 2020, section 3.3).

Every function takes a layer of `ofa.networks.layers` built at its largest size and the smaller `Block` to run,
and keeps nothing: weights are views into the largest layer, and are left whole where nothing is cut off.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import TypeAlias

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ofa.blocks import Block
from ofa.networks.depthwise import depthwise_conv
from ofa.networks.layers import Bottleneck, Classifier, ConvNorm, FeatureMix, MBConv, SqueezeExcite

# how a batch normalisation of the largest size treats a feature map of fewer channels
Normalise: TypeAlias = Callable[[nn.BatchNorm2d, Tensor], Tensor]


class ElasticMBConv(MBConv):
    """An MBConv of the largest size with kernel transformation matrices.

    matrices: "7to5" (25, 25), "5to3" (9, 9): from the centre of a kernel to the next smaller kernel, shared by
        the layer's channels; they start as the identity
    """

    def __init__(self, block: Block, kernel_choices: Sequence[int], *, bn_eps: float) -> None:
        super().__init__(block, bn_eps=bn_eps)
        sizes = sorted(kernel_choices, reverse=True)
        self.kernel_steps = tuple(itertools.pairwise(sizes))
        self.matrices = nn.ParameterDict(
            {f"{large}to{small}": torch.eye(small * small) for large, small in self.kernel_steps}
        )

    def kernel(self, channels: int, kernel_size: int) -> Tensor:
        """(channels, 1, k, k) depthwise weights of the first channels at a kernel size of the space."""
        weight = first(self.depthwise.conv.weight, channels)
        for large, small in self.kernel_steps:
            if kernel_size >= large:
                break
            cut = (large - small) // 2
            centre = weight[:, :, cut:-cut, cut:-cut].reshape(channels, small * small)
            weight = F.linear(centre, self.matrices[f"{large}to{small}"]).view(channels, 1, small, small)
        return weight


def first(weight: Tensor, *sizes: int) -> Tensor:
    """The first `sizes[d]` entries along each dimension d: a view, or the tensor itself if that is all of it."""
    for dim, size in enumerate(sizes):
        if weight.shape[dim] != size:
            weight = weight.narrow(dim, 0, size)
    return weight


def run_elastic(layer: nn.Module, x: Tensor, block: Block, normalise: Normalise) -> Tensor:
    """What the block made of the layer's first channels gives for x, (N, block.in_channels, H, W)."""
    if isinstance(layer, MBConv):
        return _mbconv(layer, x, block, normalise)
    if isinstance(layer, ConvNorm):
        out = _conv_norm(layer, x, block.out_channels, normalise)
        return x + out if layer.skip else out
    if isinstance(layer, Bottleneck):
        return _bottleneck(layer, x, block, normalise)
    if isinstance(layer, FeatureMix):
        out = F.conv2d(x, first(layer.conv.weight, block.out_channels, block.in_channels))
        return _activate(layer.activation, out)
    if isinstance(layer, Classifier):
        features = layer.dropout(torch.flatten(x, 1))
        return F.linear(features, first(layer.linear.weight, block.out_channels, block.in_channels), layer.linear.bias)
    return _activate(layer, x)  # pooling: nothing to slice


def _activate(activation: nn.Module, x: Tensor) -> Tensor:
    out: Tensor = activation(x)
    return out


def _conv_norm(layer: ConvNorm, x: Tensor, out_channels: int, normalise: Normalise) -> Tensor:
    conv = layer.conv
    weight = first(conv.weight, out_channels, x.shape[1])
    # in one expression, so that each result's memory is free for the next but one
    return _activate(layer.activation, normalise(layer.bn, F.conv2d(x, weight, None, conv.stride, conv.padding)))


def _mbconv(layer: MBConv, x: Tensor, block: Block, normalise: Normalise) -> Tensor:
    mid, kernel_size = block.mid_channels, block.kernel_size
    out = x if layer.expand is None else _conv_norm(layer.expand, x, mid, normalise)
    depthwise = layer.depthwise
    weight = layer.kernel(mid, kernel_size) if isinstance(layer, ElasticMBConv) else depthwise.conv.weight
    out = normalise(depthwise.bn, depthwise_conv(out, weight, depthwise.conv.stride[0]))
    out = _activate(depthwise.activation, out)
    if layer.se is not None:
        out = _squeeze_excite(layer.se, out, block.se_channels)
    out = _conv_norm(layer.project, out, block.out_channels, normalise)
    return x + out if layer.skip else out


def _squeeze_excite(layer: SqueezeExcite, x: Tensor, hidden: int) -> Tensor:
    channels = x.shape[1]
    gate = x.mean((2, 3), keepdim=True)
    gate = F.conv2d(gate, first(layer.reduce.weight, hidden, channels), _bias(layer.reduce, hidden))
    gate = F.conv2d(
        _activate(layer.relu, gate), first(layer.expand.weight, channels, hidden), _bias(layer.expand, channels)
    )
    return x * _activate(layer.gate, gate)


def _bias(conv: nn.Conv2d, channels: int) -> Tensor | None:
    return None if conv.bias is None else first(conv.bias, channels)


def _bottleneck(layer: Bottleneck, x: Tensor, block: Block, normalise: Normalise) -> Tensor:
    shortcut = x
    if layer.shortcut is not None:
        shortcut = _conv_norm(layer.shortcut, layer.pool(x), block.out_channels, normalise)
    out = _conv_norm(layer.conv1, x, block.mid_channels, normalise)
    out = _conv_norm(layer.conv2, out, block.mid_channels, normalise)
    out = _conv_norm(layer.conv3, out, block.out_channels, normalise)
    return _activate(layer.activation, out + shortcut)
