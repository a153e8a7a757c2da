"""Plain networks: a sub-network cut out of its supernet, without anything elastic left.

`extract(net, subnet)` gives an ordinary `nn.Sequential` to fine-tune, evaluate or export.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from functools import lru_cache
from typing import TypeVar

import torch
from torch import Tensor, nn

from ofa.blocks import Block
from ofa.errors import InputError
from ofa.networks.elastic import ElasticKernelLayer, first
from ofa.networks.layers import Layer, init_weights, use_channels_last
from ofa.networks.spec import NetworkSpec
from ofa.networks.statistics import BatchNormStatistics
from ofa.networks.supernet import Supernet, blocks_at
from ofa.space import Subnet


class PlainNetwork(nn.Sequential):
    """An ordinary network: images (N, 3, H, W) to logits (N, classes).

    spec: its architecture. Children have the names of the spec's layers. Images are best in `torch.channels_last`.
    """

    def __init__(self, spec: NetworkSpec, layers: Iterable[nn.Module] | None = None) -> None:
        """layers: modules that fit the spec; without them, new ones whose weights are yet to be filled."""
        super().__init__()
        self.spec = spec
        if layers is None:
            layers = (Layer(block, bn_eps=spec.bn_eps, dropout=spec.dropout) for block in spec.blocks)
        for (name, _), layer in zip(spec.layers, layers, strict=True):
            self.add_module(name, layer)


def build_plain(spec: NetworkSpec) -> PlainNetwork:
    """A freshly initialised plain network, in training mode. Draws from torch's global generator."""
    network = PlainNetwork(spec)
    init_weights(network)
    use_channels_last(network)
    return network


def extract(net: Supernet, subnet: Subnet, statistics: BatchNormStatistics | None = None) -> PlainNetwork:
    """The sub-network as a plain network with its own copy of the weights, in the mode that `net` is in.

    Its outputs are those of `net(images, subnet, statistics)`. Without statistics (`calibrate_bn`) it takes the
    first channels of the supernet's running ones, which fit no sub-network well: its spec then says so.
    Raises InputError for a sub-network of another space, or statistics of another sub-network.
    """
    if statistics is not None and statistics.subnet != subnet:
        raise InputError("statistics belong to another sub-network: calibrate this one with calibrate_bn")
    chosen = [
        (name, block)
        for (name, _), block in zip(net.named_children(), blocks_at(net.space, subnet), strict=True)
        if block is not None
    ]
    spec = NetworkSpec(
        family=net.space.family,
        layers=tuple(chosen),
        bn_eps=net.bn_eps,
        dropout=net.dropout,
        calibrated=statistics is not None,
        space=net.space.name,
        subnet=subnet,
    )
    layers = []
    with torch.no_grad():
        for name, block in chosen:
            source = net.get_submodule(name)
            # blocks of any size have the same weights; the same few blocks come up again and again
            skeleton = _skeleton(replace(block, in_size=1), net.bn_eps, net.dropout)
            layer = _filled(skeleton, source, net.training)
            if isinstance(source, ElasticKernelLayer):
                for step in layer.steps:
                    if step.kind == "conv":
                        layer.holder(step).conv.weight.data = _copy(source.kernel(step))
            layers.append(layer)
        network = PlainNetwork(spec, layers)
        network.training = net.training
        if statistics is not None:
            for name, mean in statistics.means.items():
                bn = network.get_submodule(name)
                bn.running_mean, bn.running_var = _copy(mean), _copy(statistics.variances[name])
    return network


M = TypeVar("M", bound=nn.Module)


@lru_cache(maxsize=2048)
def _skeleton(block: Block, bn_eps: float, dropout: float) -> Layer:
    """The block's layer without memory for its weights, to make copies of: torch's constructors are slow."""
    with torch.device("meta"):
        return Layer(block, bn_eps=bn_eps, dropout=dropout)


def _filled(skeleton: M, source: nn.Module, training: bool) -> M:
    """A copy of the skeleton, holding copies of the first channels of the weights of a larger layer.

    The layers have the same structure, but for kernel matrices, which the skeleton lacks.
    """
    layer = skeleton.__new__(type(skeleton))
    # every module has its own dicts of tensors, children and hooks
    vars(layer).update({key: v.copy() if isinstance(v, (dict, set)) else v for key, v in vars(skeleton).items()})
    layer.training = training
    for key, parameter in skeleton._parameters.items():
        if parameter is not None:
            layer._parameters[key] = nn.Parameter(_copy(first(getattr(source, key), *parameter.shape)))
    for key, buffer in skeleton._buffers.items():
        if buffer is not None:
            layer._buffers[key] = _copy(first(getattr(source, key), *buffer.shape))
    for key, child in skeleton._modules.items():
        if child is not None:
            layer._modules[key] = _filled(child, getattr(source, key), training)
    return layer


def _copy(tensor: Tensor) -> Tensor:
    return tensor.clone(memory_format=torch.channels_last if tensor.ndim == 4 else torch.contiguous_format)
