"""Many sub-networks on the same images: what several of them compute runs once.

Sub-networks of one resolution share their stem and first block, and those that also choose alike in the first layers
share those. Where they part, they differ in the number of channels inside a block, or in its kernel: of an expansion
and of a depthwise convolution, those with fewer channels compute the first of those with more. So the steps of all
blocks form a graph, each step runs once a batch at the largest number of channels, and the others read the first.
Every value is the one that the sub-network alone computes: on a CPU, statistics are the same to the last bit. To
evaluate, batch normalisation is folded into the convolutions, so that logits differ from the supernet's by rounding,
but not between groups. On a GPU, whose libraries choose algorithms by the number of channels, all differ by rounding.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ofa.blocks import steps_of
from ofa.blocks.operator import INPUT, Step
from ofa.errors import InputError
from ofa.networks.convolution import ArrangedConv, conv
from ofa.networks.elastic import UNNORMALISED, conv_weight, first
from ofa.networks.gpu.repeated import Repeated
from ofa.networks.layers import Compute, Layer, memory_format_of
from ofa.networks.statistics import (
    BatchNormStatistics,
    Moments,
    PooledStatistics,
    activated_with_moments,
    folding,
)
from ofa.networks.supernet import Supernet, blocks_at
from ofa.space import Subnet


@dataclass(eq=False)
class _Node:
    """A step that one or several sub-networks take on the same input.

    step: that of the sub-network with most channels, whose number is `member`
    inputs: what it reads, and how many of its first channels; None: the images
    spent: what nothing reads after it
    """

    layer: Layer
    step: Step
    inputs: tuple[_Value, ...]
    member: int
    spent: list[_Node | None] = field(default_factory=list)

    @property
    def bn(self) -> nn.BatchNorm2d:
        """Of a convolution."""
        found: nn.BatchNorm2d = self.layer.holder(self.step).bn
        return found


_Value: TypeAlias = tuple[_Node | None, int]
Folded: TypeAlias = dict[_Node, tuple[Tensor, Tensor]]


class SubnetTree:
    """Sub-networks of a supernet, all of one resolution, to calibrate and evaluate together.

    Most is shared by sub-networks that are neighbours when sorted by their blocks. Memory: the feature maps of one
    path from stem to classifier for a batch; of all, the statistics and, once `folded`, the weights they do not share.
    """

    def __init__(self, net: Supernet, subnets: Sequence[Subnet]) -> None:
        if len({subnet.resolution for subnet in subnets}) != 1:
            raise InputError("sub-networks that run together are expected to be of one resolution")
        self.net, self.subnets = net, tuple(subnets)
        self._names = net.batch_norm_names()
        nodes: dict[Hashable, _Node] = {}
        self._outputs: list[_Value] = []
        self._normalised: list[
            dict[str, tuple[_Node, int]]
        ] = []  # of each sub-network, by the batch normalisation's name
        for number, subnet in enumerate(subnets):
            at: _Value = (None, 3)
            normalised: dict[str, tuple[_Node, int]] = {}
            for layer, block in zip(net.children(), blocks_at(net.space, subnet), strict=True):
                values: dict[int, _Value] = {INPUT: at}
                assert isinstance(layer, Layer)
                for place, step in enumerate(steps_of(block) if block is not None else (), 1):
                    inputs = tuple(values[i] for i in step.inputs)
                    node = _noded(nodes, layer, step, inputs, number)
                    at = values[place] = (node, step.channels)
                    if step.kind == "conv":
                        normalised[self._names[node.bn]] = (node, step.channels)
            self._outputs.append(at)
            self._normalised.append(normalised)
        self._order = list(nodes.values())
        self._set_spent()

    def _set_spent(self) -> None:
        later: set[_Node | None] = {node for node, _ in self._outputs}
        for node in reversed(self._order):
            node.spent = list({read for read, _ in node.inputs} - later)
            later.update(node.spent)

    def calibrate(self, batches: Iterable[Tensor]) -> list[BatchNormStatistics]:
        """The statistics of every sub-network, as `ofa.networks.calibrate_bn` makes them of images (N, 3, R, R).

        Nothing is read from the device before all batches are done.
        """
        device, dtype = (getattr(next(self.net.parameters()), what) for what in ("device", "dtype"))
        pooled, images_seen = PooledStatistics[_Node](), 0
        with torch.no_grad():
            weights = {node: conv_weight(node.layer, node.step) for node in self._convolutions}
            channels = [len(weight) for weight in weights.values()]

            def seen(images: Tensor) -> dict[_Node, Moments]:
                found: dict[_Node, Moments] = {}
                # all at once: on a GPU, each is a launch in every batch
                zeros = torch.split(torch.zeros((2, sum(channels)), dtype=dtype, device=device), channels, 1)
                into = dict(zip(weights, zeros, strict=True))

                def convolve(node: _Node, x: Tensor) -> Tensor:
                    y = conv(x, weights[node], None, node.step.stride, _groups(node.step, weights[node]))
                    name, activation = self._names[node.bn], node.step.activation
                    y, found[node] = activated_with_moments(
                        node.bn, y, name, activation, into=into[node], in_place=True
                    )
                    return y

                self._walk(images, convolve)
                return found

            see = Repeated(seen)
            for images in batches:
                images_seen += len(images)
                pooled.add(see(images.to(device, non_blocking=True)))
        if not images_seen:
            raise InputError("calibrating batch normalisation needs at least one batch of images")
        both = pooled.result(dtype, lambda node: self._names[node.bn])
        results = []
        for subnet, normalised in zip(self.subnets, self._normalised, strict=True):
            means, variances = (
                {name: both[node][i][:channels] for name, (node, channels) in normalised.items()} for i in (0, 1)
            )
            results.append(BatchNormStatistics(subnet, means, variances, images_seen))
        return results

    def folded(self, statistics: Sequence[BatchNormStatistics]) -> Folded:
        """The convolutions' weights and biases with the statistics of `calibrate` in them."""
        nodes = self._convolutions
        of = [(statistics[node.member], self._names[node.bn]) for node in nodes]
        with torch.no_grad():
            folds = folding(
                [node.bn for node in nodes],
                [found.means[name] for found, name in of],
                [found.variances[name] for found, name in of],
            )
            return {
                node: ((conv_weight(node.layer, node.step) * factor[:, None, None, None]).to(bias.dtype), bias)
                for node, (factor, bias) in zip(nodes, folds, strict=True)
            }

    def logits(self, folded: Folded) -> Callable[[Tensor], list[Tensor]]:
        """Gives (N, classes) of every sub-network for images (N, 3, R, R), by what `folded` made."""
        convolutions = {
            node: ArrangedConv(weight, bias, node.step.stride, _groups(node.step, weight), node.step.activation)
            for node, (weight, bias) in folded.items()
        }

        def found(images: Tensor) -> list[Tensor]:
            return self._walk(images, lambda node, x: convolutions[node](x), _squeeze_excite)

        return torch.inference_mode()(Repeated(found).__call__)

    @property
    def _convolutions(self) -> list[_Node]:
        return [node for node in self._order if node.step.kind == "conv"]

    def _walk(
        self,
        images: Tensor,
        convolve: Callable[[_Node, Tensor], Tensor],
        squeeze_excite: Compute = UNNORMALISED["squeeze_excite"],
    ) -> list[Tensor]:
        """convolve: a convolution with its batch normalisation and activation"""
        compute = {**UNNORMALISED, "squeeze_excite": squeeze_excite}
        values: dict[_Node | None, Tensor] = {None: images.contiguous(memory_format=memory_format_of(self.net))}
        for node in self._order:
            inputs = [_first(values[read], channels) for read, channels in node.inputs]
            for read in node.spent:
                del values[read]
            if node.step.kind == "conv":
                values[node] = convolve(node, inputs.pop())
            else:
                values[node] = node.layer.one(node.step, inputs, compute)
        return [_first(values[node], channels) for node, channels in self._outputs]


def _noded(nodes: dict[Hashable, _Node], layer: Layer, step: Step, inputs: tuple[_Value, ...], number: int) -> _Node:
    """The step's node, new or that of others who take the same step, made as wide as this one."""
    key: Hashable = (layer, step, inputs)
    if step.kind == "conv" and step.groups == 1:
        # the first channels depend neither on the number of others, nor, if depthwise, on that of others read
        read = inputs[0][0] if step.depthwise else inputs
        key = (layer, step.name, step.kernel_size, step.stride, step.activation, step.depthwise, read)
    node = nodes.get(key)
    if node is None:
        node = nodes[key] = _Node(layer, step, inputs, number)
    elif step.channels > node.step.channels:
        node.step, node.inputs, node.member = step, inputs, number
    return node


def _groups(step: Step, weight: Tensor) -> int:
    return len(weight) if step.depthwise else step.groups


def _squeeze_excite(_: Layer, holder: Any, step: Step, x: Tensor) -> Tensor:
    """As `ofa.networks.elastic` computes it, but for rounding: oneDNN takes 50 us to prepare each small convolution."""
    reduce, expand = holder.reduce, holder.expand
    gate = x.mean((2, 3))
    gate = F.linear(gate, first(reduce.weight, step.hidden, step.channels).flatten(1), first(reduce.bias, step.hidden))
    gate = holder.activation(gate)
    gate = F.linear(
        gate, first(expand.weight, step.channels, step.hidden).flatten(1), first(expand.bias, step.channels)
    )
    gated: Tensor = x * holder.gate(gate)[:, :, None, None]
    return gated


def _first(x: Tensor, channels: int) -> Tensor:
    return x if x.shape[1] == channels else x.narrow(1, 0, channels)
