"""Plain networks: a sub-network cut out of its supernet, without anything elastic left.

`extract(net, subnet)` gives an ordinary `nn.Sequential` to fine-tune, evaluate or export.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from functools import lru_cache
from typing import Literal, TypeVar, overload

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
from ofa.space.description import space_sha256

FINEST_STRIDE = 4  # of the maps that detection and segmentation libraries expect


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


class Backbone(nn.Sequential):
    """A network up to its head, which gives the feature maps that detection and segmentation are built on.

    Images (N, 3, H, W) of any size to {"0": (N, C0, H / 4, W / 4), "1": ..., "3": (N, C3, H / 32, W / 32)}, from fine
    to coarse, as torchvision's `FeaturePyramidNetwork` takes them and its `MultiScaleRoIAlign` names them. Sides are
    rounded up. Each map is the output of the last block of its size.

    strides: of the maps: 4, 8, 16, 32; channels: as many; out_channels: the last's, as torchvision's models ask
    Children have the names that they have in the network.
    """

    def __init__(self, network: PlainNetwork) -> None:
        """Holds the network's own layers, not copies of them."""
        super().__init__()
        self.spec = network.spec
        taken = _feature_layers(network.spec)
        layers = list(network.named_children())
        for name, layer in layers[: 1 + next(i for i, (name, _) in enumerate(layers) if name == taken[-1][0])]:
            self.add_module(name, layer)
        self.training = network.training
        self.names = {name: str(i) for i, (name, _, _) in enumerate(taken)}
        self.strides = tuple(stride for _, stride, _ in taken)
        self.channels = tuple(channels for _, _, channels in taken)
        self.out_channels = self.channels[-1]

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        found: dict[str, Tensor] = {}
        for name, layer in self.named_children():
            x = layer(x)
            if name in self.names:
                found[self.names[name]] = x
        return found


def _feature_layers(spec: NetworkSpec) -> list[tuple[str, int, int]]:
    """(name, stride, channels) of the last layer at each stride from 4 on, before the head; InputError for none."""
    stride, found = 1, dict[int, tuple[str, int, int]]()
    layers = [(name, block) for name, block in spec.layers]
    ends = next((i for i, (_, block) in enumerate(layers) if block.op == "global_pool"), len(layers))
    if ends and layers[ends - 1][1].op == "conv" and layers[ends - 1][1].kernel_size == 1:
        ends -= 1  # the head's: for classes
    for name, block in layers[:ends]:
        stride *= block.stride
        found[stride] = (name, stride, block.out_channels)
    taken = [found[s] for s in sorted(found) if s >= FINEST_STRIDE]
    if not taken:
        raise InputError(f"network: no feature map has a stride of {FINEST_STRIDE} or more")
    return taken


@overload
def extract(
    net: Supernet, subnet: Subnet, statistics: BatchNormStatistics | None = None, *, features: Literal[False] = False
) -> PlainNetwork: ...
@overload
def extract(
    net: Supernet, subnet: Subnet, statistics: BatchNormStatistics | None = None, *, features: Literal[True]
) -> Backbone: ...
def extract(
    net: Supernet, subnet: Subnet, statistics: BatchNormStatistics | None = None, *, features: bool = False
) -> PlainNetwork | Backbone:
    """The sub-network as a plain network with its own copy of the weights, in the mode that `net` is in.

    Its outputs are those of `net(images, subnet, statistics)`. Without statistics (`calibrate_bn`) it takes the
    first channels of the supernet's running ones, which fit no sub-network well: its spec then says so.
    With features, it ends before its head, and gives feature maps instead: see `Backbone`.
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
        space_sha256=space_sha256(net.space),
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
                        layer.holder(step).conv.weight.data = _copy(source.kernel(step, first))
            layers.append(layer)
        network = PlainNetwork(spec, layers)
        network.training = net.training
        if statistics is not None:
            for name, mean in statistics.means.items():
                bn = network.get_submodule(name)
                bn.running_mean, bn.running_var = _copy(mean), _copy(statistics.variances[name])
    return Backbone(network) if features else network


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
