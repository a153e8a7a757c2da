"""Sorting channels by importance before a supernet learns to be narrower (Cai et al. 2020, section 3.3).

A narrow sub-network uses a layer's first channels, so the most important should come first. Sub-networks that the
supernet supports already use first channels too: channels therefore move only between the widths that those use,
which leaves the output of every supported sub-network as it was. Squeeze-and-excite's hidden channels likewise.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence

import torch
from torch import Tensor, nn

from ofa.blocks import Block, Slot, slots_of
from ofa.errors import InputError
from ofa.networks.layers import Bottleneck, ConvNorm, MBConv
from ofa.networks.supernet import Supernet, layer_name
from ofa.space import SearchSpace


def sort_channels(net: Supernet, expand_ratios: Iterable[float], width_mults: Iterable[float] | None = None) -> None:
    """Moves the most important channels inside every elastic block to the front, in place.

    expand_ratios: those that are supported (trained) already, such as (6,) before and (4, 6) after the first
        width stage: sub-networks of these ratios, at any kernel size, depth and resolution, and the largest network
        give the same outputs afterwards, exactly up to rounding
    width_mults: likewise for ResNet50D; all of the space's if None

    A channel's importance is the L1 norm of the weights that read it (the projection's, the second and third
    convolution's in a bottleneck). Statistics from an earlier `calibrate_bn` no longer fit, nor does an optimiser's
    momentum: sort between stages. Raises InputError for a ratio or multiplier that the space does not have.
    """
    ratios = _known("expand_ratios", expand_ratios, net.space.expand_choices, net.space)
    widths = _known(
        "width_mults",
        net.space.width_choices if width_mults is None else width_mults,
        net.space.width_choices,
        net.space,
    )
    with torch.no_grad():
        for slot in slots_of(net.space):
            layer = net.get_submodule(layer_name(slot))
            blocks = _supported(net.space, slot, ratios, widths)
            if (
                isinstance(layer, MBConv)
                and layer.expand is not None
                and len({b.mid_channels for b in slot.blocks if b}) > 1
            ):
                _sort_mbconv(layer, blocks)
            elif isinstance(layer, Bottleneck):
                _sort_bottleneck(layer, blocks)


def _known(label: str, values: Iterable[float], choices: Sequence[float], space: SearchSpace) -> set[float]:
    found = set(values)
    unknown = sorted(found - set(choices))
    if unknown or not found:
        raise InputError(f"{label} is {sorted(found)}, expected some of {', '.join(map(str, choices))} ({space.name})")
    return found


def _supported(space: SearchSpace, slot: Slot, ratios: set[float], widths: set[float]) -> list[Block]:
    """The slot's blocks whose expand ratio and widths are supported."""
    allowed = {"expand_ratios": ratios, "width_mults": widths}
    fields = [
        next((field for field in allowed if space.columns(field).start <= c < space.columns(field).stop), None)
        for c in slot.columns
    ]
    blocks = []
    combinations = itertools.product(*(space.choices[c] for c in slot.columns))
    for values, block in zip(combinations, slot.blocks, strict=True):
        if block is not None and all(f is None or v in allowed[f] for f, v in zip(fields, values, strict=True)):
            blocks.append(block)
    return blocks


def _order(importance: Tensor, bounds: Iterable[int]) -> Tensor:
    """Indices that sort by importance, descending, between neighbouring bounds and beyond the last."""
    edges = sorted({0, *bounds, len(importance)})
    parts = [
        start + torch.sort(importance[start:end], descending=True, stable=True).indices
        for start, end in itertools.pairwise(edges)
    ]
    return torch.cat(parts)


def _sort_mbconv(layer: MBConv, blocks: list[Block]) -> None:
    assert layer.expand is not None
    order = _order(_importance(layer.project.conv), (b.mid_channels for b in blocks))
    _permute_outputs(layer.expand, order)
    _permute_outputs(layer.depthwise, order)
    _permute(layer.project.conv.weight, 1, order)
    se = layer.se
    if se is not None:
        _permute(se.reduce.weight, 1, order)
        _permute(se.expand.weight, 0, order)
        _permute(se.expand.bias, 0, order)
        hidden = _order(_importance(se.expand), (b.se_channels for b in blocks))
        _permute(se.reduce.weight, 0, hidden)
        _permute(se.reduce.bias, 0, hidden)
        _permute(se.expand.weight, 1, hidden)


def _sort_bottleneck(layer: Bottleneck, blocks: list[Block]) -> None:
    mids = {b.mid_channels for b in blocks}
    for before, after in ((layer.conv2, layer.conv3), (layer.conv1, layer.conv2)):
        order = _order(_importance(after.conv), mids)
        _permute_outputs(before, order)
        _permute(after.conv.weight, 1, order)


def _importance(reader: nn.Conv2d) -> Tensor:
    """(in,) L1 norm of the weights that read each input channel."""
    return reader.weight.abs().sum((0, 2, 3))


def _permute_outputs(layer: ConvNorm, order: Tensor) -> None:
    bn = layer.bn
    for tensor in (layer.conv.weight, bn.weight, bn.bias, bn.running_mean, bn.running_var):
        _permute(tensor, 0, order)


def _permute(tensor: Tensor | None, dim: int, order: Tensor) -> None:
    if tensor is not None:
        tensor.copy_(tensor.index_select(dim, order))  # in place: the parameter stays the optimiser's
