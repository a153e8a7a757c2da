"""Depthwise convolution with a quicker gradient of its weights on x86 CPUs.

oneDNN's depthwise kernel for that gradient takes kernels up to three columns wide, at any height. Wider ones fall to
its general kernel, which computes 16 x 16 channels where one is wanted: 10 to 20 times slower. So a wide kernel's
gradient is put together from strips of three columns, each of the images shifted by the strip's position.
"""

from __future__ import annotations

import platform
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

STRIP = 3  # columns
SMALL = 16  # side up to which strips pay at stride 2: beyond, copying them costs more than it gains
_X86 = platform.machine().lower() in ("x86_64", "amd64")


def depthwise_conv(x: Tensor, weight: Tensor, stride: int) -> Tensor:
    """(N, C, H, W) by (C, 1, k, k), k odd, padding k // 2: (N, C, H / stride, W / stride), rounded up."""
    if weight.requires_grad and torch.is_grad_enabled() and _pays(x, weight, stride):
        out: Tensor = _InStrips.apply(x, weight, stride)  # type: ignore[no-untyped-call]
        return out
    return F.conv2d(x, weight, None, stride, weight.shape[-1] // 2, groups=len(weight))


def _pays(x: Tensor, weight: Tensor, stride: int) -> bool:
    fitting = _X86 and x.device.type == "cpu" and weight.shape[-1] > STRIP and (stride == 1 or x.shape[-1] <= SMALL)
    return fitting and x.dtype == weight.dtype and not torch.is_autocast_enabled("cpu")


class DepthwiseConv2d(nn.Conv2d):
    """nn.Conv2d, depthwise and without bias, computed by `depthwise_conv`."""

    def forward(self, input: Tensor) -> Tensor:
        if torch.jit.is_tracing():  # type: ignore[attr-defined, no-untyped-call]
            return super().forward(input)  # shapes are tensors then, and an export is to see a convolution
        return depthwise_conv(input, self.weight, self.stride[0])


class _InStrips(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, stride: int) -> Tensor:
        ctx.save_for_backward(x, weight)
        ctx.stride = stride
        return F.conv2d(x, weight, None, stride, weight.shape[-1] // 2, groups=len(weight))

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, Tensor | None, None]:
        x, weight = ctx.saved_tensors
        grad = grads[0].contiguous(memory_format=torch.channels_last)
        for_x = for_weight = None
        if ctx.needs_input_grad[0]:
            padding = [weight.shape[-1] // 2] * 2
            for_x = _gradients(grad, x, weight, ctx.stride, padding, [True, False, False])[0]
        if ctx.needs_input_grad[1]:
            for_weight = _weight_gradient(grad, x, weight, ctx.stride)
        return for_x, for_weight, None


def _weight_gradient(grad: Tensor, x: Tensor, weight: Tensor, stride: int) -> Tensor:
    kernel_size, padding = weight.shape[-1], weight.shape[-1] // 2
    result, strip = torch.empty_like(weight), weight[..., :STRIP]
    # padded here, because the quick kernel pads only by less than the image's height
    height, width = (stride * (size - 1) + kernel_size for size in grad.shape[2:])
    lacking = [padding, width - padding - x.shape[3], padding, height - padding - x.shape[2]]
    padded = F.pad(x, lacking)
    read = width - kernel_size + STRIP  # columns that a strip meets
    for column in (*range(0, kernel_size - STRIP, STRIP), kernel_size - STRIP):
        met = padded[..., column : column + read].contiguous(memory_format=torch.channels_last)
        found = _gradients(grad, met, strip, stride, [0, 0], [False, True, False])
        result[..., column : column + STRIP] = found[1]
    return result


def _gradients(
    grad: Tensor, x: Tensor, weight: Tensor, stride: int, padding: list[int], wanted: list[bool]
) -> tuple[Tensor, Tensor, Tensor]:
    found: tuple[Tensor, Tensor, Tensor] = torch.ops.aten.convolution_backward(
        grad, x, weight, None, [stride, stride], padding, [1, 1], False, [0, 0], len(weight), wanted
    )
    return found
