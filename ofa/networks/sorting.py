"""Sorting channels by importance before a supernet learns to be narrower (Cai et al. 2020, section 3.3).

A narrow sub-network uses a layer's first channels, so the most important should come first. Sub-networks that the
supernet supports already use first channels too: channels therefore move only between the widths that those use,
which leaves the output of every supported sub-network as it was. Squeeze-and-excite's hidden channels likewise.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from typing import Any

import torch
from torch import Tensor

from ofa.blocks import Block, Slot, slots_of, steps_of
from ofa.blocks.operator import INPUT, Step
from ofa.errors import InputError
from ofa.networks.layers import Layer
from ofa.networks.supernet import Supernet, layer_name
from ofa.space import SearchSpace


def sort_channels(net: Supernet, expand_ratios: Iterable[float], width_mults: Iterable[float] | None = None) -> None:
    """Moves the most important channels inside every elastic block to the front, in place.

    expand_ratios: those that are supported (trained) already, such as (6,) before and (4, 6) after the first
        width stage: sub-networks of these ratios, at any kernel size, depth and resolution, and the largest network
        give the same outputs afterwards, exactly up to rounding
    width_mults: likewise for ResNet50D; all of the space's if None

    A channel's importance is the L1 norm of the convolution's weights that read it (the projection's, the second and
    third convolution's in a bottleneck). Statistics from an earlier `calibrate_bn` no longer fit, nor does an
    optimiser's momentum: sort between stages. Raises InputError for a ratio or multiplier that the space does not have.
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
            assert isinstance(layer, Layer)
            if len({block.mid_channels for block in slot.blocks if block is not None}) > 1:
                _sort_layer(layer, _supported(net.space, slot, ratios, widths))


def _known(label: str, values: Iterable[float], choices: Sequence[float], space: SearchSpace) -> set[float]:
    found = set(values)
    unknown = sorted(found - set(choices))
    if unknown or not found:
        given, known = (", ".join(map(str, of)) for of in (sorted(found), choices))
        raise InputError(f"{label} is {given}, expected some of {known} ({space.name})")
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


def _sort_layer(layer: Layer, blocks: Sequence[Block]) -> None:
    """Sorts the channels that a layer's inside is made of, those that are read last first.

    blocks: supported; they have the layer's steps, of fewer channels
    """
    if any(step.groups > 1 for step in layer.steps):
        raise InputError(f"{layer.op} has grouped convolutions, whose channels cannot be sorted")
    supported = [{step.name: step for step in steps_of(block)} for block in blocks]
    groups = _groups(layer.steps)
    outside = {groups[INPUT], groups[len(layer.steps)]}
    for step in reversed(layer.steps):
        if step.kind == "squeeze_excite":
            _sort_hidden(layer.holder(step), {of[step.name].hidden for of in supported if step.name in of})
        group = groups[step.inputs[0]]
        if not _mixes(step) or group in outside:
            continue
        outside.add(group)  # it is sorted once
        writers = [of for of, own in zip(layer.steps, groups[1:], strict=True) if own == group]
        readers = [of for of in layer.steps if _mixes(of) and groups[of.inputs[0]] == group]
        bounds: set[int] = set()
        for of, block in zip(supported, blocks, strict=True):
            inside = of.get(writers[0].name)
            # without an expansion the inside is the input, whose order is not this layer's to change
            bounds |= set(range(block.in_channels + 1)) if inside is None else {inside.channels}
        read = [_weight(layer, of) for of in readers]
        order = _order(torch.stack([_importance(weight) for weight in read]).sum(0), bounds)
        for writer in writers:
            _permute_outputs(layer, writer, order)
        for weight in read:
            _permute(weight, 1, order)


def _groups(steps: Sequence[Step]) -> list[int]:
    """For every value, which channels it has: two values of one number have the same, in the same order."""
    groups = [INPUT]
    for number, step in enumerate(steps, 1):
        groups.append(number if _mixes(step) else groups[step.inputs[0]])
        if step.kind == "add":
            one, other = (groups[i] for i in step.inputs)
            groups = [one if group == other else group for group in groups]
    return groups


def _mixes(step: Step) -> bool:
    """Whether every output channel is made of all input channels."""
    return step.kind in ("conv", "mix", "linear") and not step.depthwise


def _weight(layer: Layer, step: Step) -> Tensor:
    holder = layer.holder(step)
    weight: Tensor = (holder.linear if step.kind == "linear" else holder.conv).weight
    return weight


def _importance(weight: Tensor) -> Tensor:
    """(in,) L1 norm of the weights that read each input channel."""
    return weight.abs().sum([dim for dim in range(weight.ndim) if dim != 1])


def _permute_outputs(layer: Layer, step: Step, order: Tensor) -> None:
    if not step.name:
        return  # it passes its input's channels on
    holder = layer.holder(step)
    if step.kind == "squeeze_excite":
        _permute(holder.reduce.weight, 1, order)
        outputs = [holder.expand.weight, holder.expand.bias]
    else:
        bn = holder.bn if step.kind == "conv" else None
        outputs = [holder.conv.weight, holder.conv.bias]
        outputs += [] if bn is None else [bn.weight, bn.bias, bn.running_mean, bn.running_var]
    for tensor in outputs:
        _permute(tensor, 0, order)


def _sort_hidden(holder: Any, bounds: Iterable[int]) -> None:
    """Squeeze-and-excite's hidden channels."""
    hidden = _order(_importance(holder.expand.weight), bounds)
    for tensor, dim in ((holder.reduce.weight, 0), (holder.reduce.bias, 0), (holder.expand.weight, 1)):
        _permute(tensor, dim, hidden)


def _permute(tensor: Tensor | None, dim: int, order: Tensor) -> None:
    if tensor is not None:
        tensor.copy_(tensor.index_select(dim, order))  # in place: the parameter stays the optimiser's
