"""A trained network as a graph: batch normalisation folded into the convolutions, in double precision.

The blocks are those that profilers measure, and the graph is written by the same writers: what was timed is what ships.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from torch import nn

from ofa.errors import InputError
from ofa.graph import Array, Graph, Shape, network_graph
from ofa.networks.layers import Layer
from ofa.networks.plain import PlainNetwork
from ofa.published.block_network import resized


class TrainedWeights:
    """The `Weights` of a plain network, for `network_graph(network.spec.blocks, weights=TrainedWeights(network))`.

    network: or any other sequence of layers

    Raises InputError, naming the layer, where folding gives values that are not finite (a negative variance, say).
    """

    def __init__(self, network: nn.Sequential) -> None:
        self._layers = list(network.named_children())

    def __call__(self, layer: str, shape: Shape, bias: bool) -> tuple[Array, Array | None]:
        """Weight of that shape and bias of shape[:1] of the layer "<position>.<name>", as `Graph.block` calls it."""
        position, _, part = layer.partition(".")
        name, module = self._layers[int(position)]
        assert isinstance(module, Layer)
        source, bn = module.weights_of(part)
        weight, biases = _plain(source) if bn is None else _folded(source, bn)
        for values in (weight, biases):
            if values is not None and not np.isfinite(values).all():
                raise InputError(f"{name}.{part}: weights are not finite once batch normalisation is folded in")
        if weight.shape != shape or (biases is None) == bias:
            raise ValueError(f"{name}.{part} holds weights of shape {weight.shape}, its block needs {shape}")
        return weight, biases


def _folded(conv: nn.Conv2d | nn.Linear, bn: nn.BatchNorm2d) -> tuple[Array, Array]:
    """Weight (out, in / groups, k, k) and bias (out,) of convolution and batch normalisation in one."""
    assert bn.running_mean is not None
    assert bn.running_var is not None
    weight, scale, shift, mean, variance = (
        tensor.detach().cpu().double().numpy()
        for tensor in (conv.weight, bn.weight, bn.bias, bn.running_mean, bn.running_var)
    )
    with np.errstate(invalid="ignore", over="ignore"):
        factor = scale / np.sqrt(variance + bn.eps)
        folded = weight * factor[:, None, None, None]
        return folded.astype(np.float32, order="C"), (shift - mean * factor).astype(np.float32)


def _plain(layer: nn.Conv2d | nn.Linear) -> tuple[Array, Array | None]:
    weight = layer.weight.detach().cpu().numpy().astype(np.float32, order="C")
    return weight, None if layer.bias is None else layer.bias.detach().cpu().numpy().astype(np.float32)


def trained_graph(network: PlainNetwork, *, batch: int = 1, resolution: int | None = None) -> Graph:
    """The network in evaluation mode as a graph, (batch, 3, R, R) to (batch, classes) logits.

    resolution: R, by default the one the network's spec is sized for
    """
    blocks = resized(network.spec.blocks, resolution or network.spec.resolution)
    return network_graph(blocks, batch=batch, weights=TrainedWeights(network))


def at_resolution(network: PlainNetwork, resolution: int) -> PlainNetwork:
    """The network itself (the same modules), with a spec that is sized for another resolution."""
    spec = network.spec
    if spec.resolution == resolution:
        return network
    blocks = resized(spec.blocks, resolution)
    layers = tuple((name, block) for (name, _), block in zip(spec.layers, blocks, strict=True))
    # the sub-network is the same one at this resolution
    subnet = None if spec.subnet is None else replace(spec.subnet, resolution=resolution)
    other = PlainNetwork(replace(spec, layers=layers, subnet=subnet), network.children())
    other.training = network.training
    return other
