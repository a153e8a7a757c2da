"""Plain networks: a sub-network cut out of its supernet, without anything elastic left.

`extract(net, subnet)` gives an ordinary `nn.Sequential` to fine-tune, evaluate or export.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ofa.errors import InputError
from ofa.networks.elastic import ElasticMBConv
from ofa.networks.layers import MBConv, init_weights, make_layer, use_channels_last
from ofa.networks.spec import NetworkSpec
from ofa.networks.statistics import BatchNormStatistics
from ofa.networks.supernet import Supernet, blocks_at
from ofa.space import Subnet


class PlainNetwork(nn.Sequential):
    """An ordinary network: images (N, 3, H, W) to logits (N, classes).

    spec: its architecture. Children have the names of the spec's layers. Images are best in `torch.channels_last`.
    """

    def __init__(self, spec: NetworkSpec) -> None:
        super().__init__()
        self.spec = spec
        for name, block in spec.layers:
            self.add_module(name, make_layer(block, bn_eps=spec.bn_eps, dropout=spec.dropout))


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
    network = PlainNetwork(spec)
    with torch.no_grad():
        for name, block in spec.layers:
            layer, target = net.get_submodule(name), network.get_submodule(name)
            _copy_first(layer, target)
            if isinstance(layer, ElasticMBConv) and isinstance(target, MBConv):
                target.depthwise.conv.weight.data = _copy(layer.kernel(block.mid_channels, block.kernel_size))
        if statistics is not None:
            for name in statistics.means:
                bn = network.get_submodule(name)
                bn.running_mean, bn.running_var = _copy(statistics.means[name]), _copy(statistics.variances[name])
    return network.train(net.training)


def _copy_first(source: nn.Module, target: nn.Module) -> None:
    """Gives the layer a copy of the first channels of all weights of the larger layer."""
    # the two have the same structure, but for kernel matrices, which a plain layer has none of
    sources = (module for module in source.modules() if not isinstance(module, nn.ParameterDict))
    for large, small in zip(sources, target.modules(), strict=True):
        if isinstance(small, (nn.Conv2d, nn.Linear)):
            _copy_tensors(large, small, ("weight", "bias"))
        elif isinstance(small, nn.BatchNorm2d):
            _copy_tensors(large, small, ("weight", "bias", "running_mean", "running_var", "num_batches_tracked"))


def _copy_tensors(large: nn.Module, small: nn.Module, names: tuple[str, ...]) -> None:
    for name in names:
        tensor = getattr(small, name)
        if tensor is not None:
            tensor.data = _copy(getattr(large, name)[tuple(map(slice, tensor.shape))])


def _copy(tensor: Tensor) -> Tensor:
    layout = torch.channels_last if tensor.ndim == 4 else torch.contiguous_format
    return tensor.detach().clone(memory_format=layout)
