"""The layer of any `ofa.blocks.Block`, made of the steps of its operator: what a specialised network is made of.

A supernet is made of the same layers at their largest size; `ofa.networks.elastic` runs their first channels.
New layers hold no usable weights: `init_weights`, a checkpoint or a supernet's weights come next.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, TypeAlias

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from ofa.blocks import Block, steps_of
from ofa.blocks.operator import INPUT, Step
from ofa.networks.convolution import DepthwiseConv2d
from ofa.networks.gpu import layout_on


class _KeepUnfilled(TorchFunctionMode):
    """Skips the random numbers that torch fills a new layer with: every network here is filled afterwards.

    They are most of the time that building takes, and drawing them would disturb the caller's generator.
    """

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Iterable[type],
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        if func in (nn.init.kaiming_uniform_, nn.init.uniform_):
            return args[0] if args else (kwargs or {})["tensor"]
        return func(*args, **(kwargs or {}))


def make_activation(name: str) -> nn.Module:
    """The module of one of `ofa.blocks.ACTIVATIONS`."""
    if name == "relu":
        return nn.ReLU(inplace=True)
    if name == "relu6":
        return nn.ReLU6(inplace=True)
    # in place, autograd would keep a copy of the input: no memory saved, time lost
    return {"h_swish": nn.Hardswish, "swish": nn.SiLU}.get(name, nn.Identity)()


# of the modules above
ACTIVATION_NAMES: dict[type[nn.Module], str] = {
    nn.ReLU: "relu",
    nn.ReLU6: "relu6",
    nn.Hardswish: "h_swish",
    nn.SiLU: "swish",
    nn.Identity: "none",
}


class ConvNorm(nn.Module):
    """A convolution without bias, batch normalisation, activation."""

    def __init__(self, step: Step, bn_eps: float) -> None:
        super().__init__()
        kernel_size, channels = step.kernel_size, step.channels
        with _KeepUnfilled():
            make = DepthwiseConv2d if step.depthwise else nn.Conv2d
            groups = channels if step.depthwise else step.groups
            padding = kernel_size // 2
            self.conv = make(step.in_channels, channels, kernel_size, step.stride, padding, groups=groups, bias=False)
        self.bn = nn.BatchNorm2d(channels, eps=bn_eps)
        self.activation = make_activation(step.activation)


class FeatureMix(nn.Module):
    """A 1x1 convolution of pooled features and activation: no normalisation."""

    def __init__(self, step: Step) -> None:
        super().__init__()
        with _KeepUnfilled():
            self.conv = nn.Conv2d(step.in_channels, step.channels, 1, bias=step.bias)
        self.activation = make_activation(step.activation)


class SqueezeExcite(nn.Module):
    """Scales each channel by a gate computed from all channels' means (Howard et al. 2019, section 5.3)."""

    def __init__(self, step: Step) -> None:
        super().__init__()
        with _KeepUnfilled():
            self.reduce = nn.Conv2d(step.channels, step.hidden, 1)
            self.expand = nn.Conv2d(step.hidden, step.channels, 1)
        self.activation = make_activation(step.activation)
        self.gate = nn.Sigmoid() if step.gate == "sigmoid" else nn.Hardsigmoid()


class Classifier(nn.Module):
    """Dropout, then a linear layer on flat features."""

    def __init__(self, step: Step, dropout: float) -> None:
        super().__init__()
        self.dropout = nn.Dropout(dropout)
        with _KeepUnfilled():
            self.linear = nn.Linear(step.in_channels, step.channels)


# what computes a step that has weights: (the layer, the module that holds them, the step, its input)
Compute: TypeAlias = "Callable[[Layer, Any, Step, Tensor], Tensor]"


class Layer(nn.Module):
    """The layer of a block, made of the steps of its operator.

    Modules that hold weights are called as the steps say: "depthwise", "se"; those of a shortcut come last.
    """

    def __init__(self, block: Block, *, bn_eps: float, dropout: float = 0.0) -> None:
        """dropout: before a linear layer."""
        super().__init__()
        self.op = block.op
        self.steps = steps_of(block)
        for step in sorted(self.steps, key=lambda step: step.shortcut):
            if step.name:
                made = _holder(step, bn_eps, dropout)
                for name, module in [(step.at, made)] if step.at else list(made.named_children()):
                    self.add_module(name, module)

    def extra_repr(self) -> str:
        return self.op

    def holder(self, step: Step) -> Any:
        """The module with the step's weights: one of the classes above, or the layer itself with what those hold."""
        return self._modules[step.at] if step.at else self

    def weights_of(self, name: str) -> tuple[nn.Conv2d | nn.Linear, nn.BatchNorm2d | None]:
        """What computes a layer of the block's graph, and the batch normalisation that is folded into it."""
        for step in self.steps:
            found = self.holder(step) if step.name else None
            if step.kind == "squeeze_excite" and name in (f"{step.name}_reduce", f"{step.name}_expand"):
                return getattr(found, name.removeprefix(f"{step.name}_")), None
            if found is not None and step.name == name:
                return found.linear if step.kind == "linear" else found.conv, getattr(found, "bn", None)
        raise ValueError(f"{self.op} has no layer {name}")

    def forward(self, x: Tensor) -> Tensor:
        """(N, in, H, W) to the block's output, (N, out) of a classifier."""
        return self.run(x, self.steps, _PLAIN)

    def run(self, x: Tensor, steps: Sequence[Step], compute: Mapping[str, Compute]) -> Tensor:
        """The output of steps that this layer has, or smaller ones; those with weights by `compute`, by their kind."""
        values = {INPUT: x}
        for number, step in enumerate(steps, 1):
            # no name keeps what was read for the last time: its memory is free at once
            inputs = [values.pop(i) if i in step.spent else values[i] for i in step.inputs]
            values[number] = self.one(step, inputs, compute)
        return values[len(steps)]

    def one(self, step: Step, inputs: list[Tensor], compute: Mapping[str, Compute]) -> Tensor:
        """A single step's value. inputs: what it reads, taken from the list"""
        if step.name:
            return compute[step.kind](self, self.holder(step), step, inputs.pop())
        return _WEIGHTLESS[step.kind](step, *inputs)


def _holder(step: Step, bn_eps: float, dropout: float) -> nn.Module:
    if step.kind == "conv":
        return ConvNorm(step, bn_eps)
    if step.kind == "mix":
        return FeatureMix(step)
    return SqueezeExcite(step) if step.kind == "squeeze_excite" else Classifier(step, dropout)


def _conv(_: Layer, holder: Any, __: Step, x: Tensor) -> Tensor:
    out: Tensor = holder.activation(holder.bn(holder.conv(x)))
    return out


def _mix(_: Layer, holder: Any, __: Step, x: Tensor) -> Tensor:
    out: Tensor = holder.activation(holder.conv(x))
    return out


def _linear(_: Layer, holder: Any, __: Step, x: Tensor) -> Tensor:
    out: Tensor = holder.linear(holder.dropout(torch.flatten(x, 1)))
    return out


def _squeeze_excite(_: Layer, holder: Any, __: Step, x: Tensor) -> Tensor:
    means = x.mean((2, 3), keepdim=True)
    gate: Tensor = holder.gate(holder.expand(holder.activation(holder.reduce(means))))
    return x * gate


_PLAIN: dict[str, Compute] = {"conv": _conv, "mix": _mix, "linear": _linear, "squeeze_excite": _squeeze_excite}


def _add(step: Step, a: Tensor, b: Tensor) -> Tensor:
    return _ACTIVATIONS[step.activation](a + b)


_ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "none": lambda x: x,
    "relu": lambda x: F.relu(x, inplace=True),
    "relu6": lambda x: F.relu6(x, inplace=True),
    "h_swish": F.hardswish,
    "swish": F.silu,
}
_WEIGHTLESS: dict[str, Callable[..., Tensor]] = {
    "add": _add,
    "shuffle": lambda step, x: F.channel_shuffle(x, step.groups),
    "max_pool": lambda _, x: F.max_pool2d(x, 3, 2, 1),
    "average_pool": lambda _, x: F.avg_pool2d(x, 2, 2, ceil_mode=True),
    "global_pool": lambda _, x: F.adaptive_avg_pool2d(x, 1),
}


def init_weights(module: nn.Module) -> None:
    """He initialisation by fan-out for convolutions, as the paper's networks start; BN at one and zero.

    Draws from torch's global generator: seed it with `torch.manual_seed` for a repeatable start.
    """
    for layer in module.modules():
        if isinstance(layer, nn.Conv2d):
            nn.init.kaiming_normal_(layer.weight, mode="fan_out")
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
        elif isinstance(layer, nn.BatchNorm2d):
            layer.reset_parameters()
        elif isinstance(layer, nn.Linear):
            bound = layer.in_features**-0.5
            nn.init.uniform_(layer.weight, -bound, bound)
            nn.init.zeros_(layer.bias)


def use_channels_last(module: nn.Module) -> None:
    """Stores convolutions' weights channels last: the layout they are fastest in on CPUs."""
    use_memory_format(module, torch.channels_last)


def use_memory_format(module: nn.Module, memory_format: torch.memory_format) -> None:
    """Stores convolutions' weights in a layout; networks take their images in the same."""
    for weight in module.parameters():
        if weight.ndim == 4:
            weight.data = weight.data.contiguous(memory_format=memory_format)


def placed(module: nn.Module, device: torch.device) -> nn.Module:
    """The module itself, moved to a device, in the layout that it is quickest in there."""
    use_memory_format(module, layout_on(device))
    return module.to(device)


def memory_format_of(module: nn.Module) -> torch.memory_format:
    """The layout of a network's convolutions, by the first whose kernel is larger than a pixel (1 x 1 has both)."""
    for weight in module.parameters():
        if weight.ndim == 4 and weight.shape[1] > 1 and weight.shape[-1] > 1:
            last = weight.is_contiguous(memory_format=torch.channels_last)
            return torch.channels_last if last else torch.contiguous_format
    return torch.channels_last
