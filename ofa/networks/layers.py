"""Plain layers, one module for each kind of `ofa.blocks.Block`: what a specialised network is made of.

A supernet is made of the same modules at their largest size; `ofa.networks.elastic` runs their first channels.
New layers hold no usable weights: `init_weights`, a checkpoint or a supernet's weights come next.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from ofa.blocks import Block
from ofa.networks.depthwise import DepthwiseConv2d


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
    return nn.Hardswish() if name == "h_swish" else nn.Identity()


class ConvNorm(nn.Module):
    """Convolution without bias, batch normalisation, activation; with `skip` the input is added last."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int = 1,
        stride: int = 1,
        activation: str = "none",
        *,
        bn_eps: float,
        groups: int = 1,
        skip: bool = False,
    ) -> None:
        super().__init__()
        padding = kernel_size // 2
        with _KeepUnfilled():
            make = nn.Conv2d if groups == 1 else DepthwiseConv2d
            self.conv = make(in_channels, out_channels, kernel_size, stride, padding, groups=groups, bias=False)
        self.bn = nn.BatchNorm2d(out_channels, eps=bn_eps)
        self.activation = make_activation(activation)
        self.skip = skip

    def forward(self, x: Tensor) -> Tensor:
        """(N, in, H, W) to (N, out, H / stride, W / stride), rounded up."""
        out: Tensor = self.activation(self.bn(self.conv(x)))
        return x + out if self.skip else out


class SqueezeExcite(nn.Module):
    """Scales each channel by a gate computed from all channels' means (Howard et al. 2019, section 5.3)."""

    def __init__(self, channels: int, hidden: int) -> None:
        super().__init__()
        with _KeepUnfilled():
            self.reduce = nn.Conv2d(channels, hidden, 1)
            self.expand = nn.Conv2d(hidden, channels, 1)
        self.relu = nn.ReLU(inplace=True)
        self.gate = nn.Hardsigmoid()

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) to the same shape."""
        means = x.mean((2, 3), keepdim=True)
        gate: Tensor = self.gate(self.expand(self.relu(self.reduce(means))))
        return x * gate


class MBConv(nn.Module):
    """Inverted residual: 1x1 expansion, depthwise k x k, squeeze-and-excite, linear 1x1 projection."""

    def __init__(self, block: Block, *, bn_eps: float) -> None:
        super().__init__()
        b = block
        self.expand: ConvNorm | None = None
        if b.mid_channels != b.in_channels:
            self.expand = ConvNorm(b.in_channels, b.mid_channels, activation=b.activation, bn_eps=bn_eps)
        self.depthwise = ConvNorm(
            b.mid_channels,
            b.mid_channels,
            b.kernel_size,
            b.stride,
            b.activation,
            bn_eps=bn_eps,
            groups=b.mid_channels,
        )
        self.se = SqueezeExcite(b.mid_channels, b.se_channels) if b.squeeze_excite else None
        self.project = ConvNorm(b.mid_channels, b.out_channels, bn_eps=bn_eps)
        self.skip = b.skip

    def forward(self, x: Tensor) -> Tensor:
        """(N, in, H, W) to (N, out, H / stride, W / stride), rounded up."""
        out: Tensor = x if self.expand is None else self.expand(x)
        out = self.depthwise(out)
        if self.se is not None:
            out = self.se(out)
        out = self.project(out)
        return x + out if self.skip else out


class Bottleneck(nn.Module):
    """ResNet-D bottleneck: 1x1, 3x3 with the stride, 1x1; the shortcut averages before its 1x1 (He et al. 2019)."""

    def __init__(self, block: Block, *, bn_eps: float) -> None:
        super().__init__()
        b = block
        self.conv1 = ConvNorm(b.in_channels, b.mid_channels, activation=b.activation, bn_eps=bn_eps)
        self.conv2 = ConvNorm(b.mid_channels, b.mid_channels, b.kernel_size, b.stride, b.activation, bn_eps=bn_eps)
        self.conv3 = ConvNorm(b.mid_channels, b.out_channels, bn_eps=bn_eps)
        self.pool: nn.Module = nn.AvgPool2d(2, 2, ceil_mode=True) if b.stride == 2 else nn.Identity()
        self.shortcut = None if b.skip else ConvNorm(b.in_channels, b.out_channels, bn_eps=bn_eps)
        self.activation = make_activation(b.activation)

    def forward(self, x: Tensor) -> Tensor:
        """(N, in, H, W) to (N, out, H / stride, W / stride), rounded up."""
        shortcut = x if self.shortcut is None else self.shortcut(self.pool(x))
        out: Tensor = self.activation(self.conv3(self.conv2(self.conv1(x))) + shortcut)
        return out


class FeatureMix(nn.Module):
    """MobileNetV3's 1x1 convolution of pooled features: no normalisation."""

    def __init__(self, block: Block) -> None:
        super().__init__()
        with _KeepUnfilled():
            self.conv = nn.Conv2d(block.in_channels, block.out_channels, 1, bias=False)
        self.activation = make_activation(block.activation)

    def forward(self, x: Tensor) -> Tensor:
        """(N, in, 1, 1) to (N, out, 1, 1)."""
        out: Tensor = self.activation(self.conv(x))
        return out


class Classifier(nn.Module):
    """Dropout, then a linear layer on flat features."""

    def __init__(self, block: Block, dropout: float) -> None:
        super().__init__()
        self.dropout = nn.Dropout(dropout)
        with _KeepUnfilled():
            self.linear = nn.Linear(block.in_channels, block.out_channels)

    def forward(self, x: Tensor) -> Tensor:
        """(N, in, 1, 1) to (N, classes)."""
        out: Tensor = self.linear(self.dropout(torch.flatten(x, 1)))
        return out


def make_layer(block: Block, *, bn_eps: float, dropout: float = 0.0) -> nn.Module:
    """The module that computes this block. `dropout` is the classifier's."""
    b = block
    if b.op == "conv":
        return ConvNorm(
            b.in_channels, b.out_channels, b.kernel_size, b.stride, b.activation, bn_eps=bn_eps, skip=b.skip
        )
    if b.op == "mbconv":
        return MBConv(b, bn_eps=bn_eps)
    if b.op == "bottleneck":
        return Bottleneck(b, bn_eps=bn_eps)
    if b.op == "feature_mix":
        return FeatureMix(b)
    if b.op == "linear":
        return Classifier(b, dropout)
    return nn.MaxPool2d(3, 2, 1) if b.op == "max_pool" else nn.AdaptiveAvgPool2d(1)


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


def memory_format_of(module: nn.Module) -> torch.memory_format:
    """The layout of a network's convolutions, by the first whose kernel is larger than a pixel (1 x 1 has both)."""
    for weight in module.parameters():
        if weight.ndim == 4 and weight.shape[1] > 1 and weight.shape[-1] > 1:
            last = weight.is_contiguous(memory_format=torch.channels_last)
            return torch.channels_last if last else torch.contiguous_format
    return torch.channels_last
