"""Convolutions that are quicker than torch's own: where a network is trained on an x86 CPU, and on GPUs.

- Of one pixel of kernel: a product of matrices, which skips oneDNN's copies of the weights.
- Depthwise, the gradient of the weights: oneDNN's kernel for it takes kernels up to three columns wide, at any height.
  Wider ones fall to its general kernel, which computes 16 x 16 channels where one is wanted: 10 to 30 times slower.
  So a wide kernel's gradient is put together from three columns at a time, mostly without a copy: where channels lie
  last, an image of W columns and C channels is one of W / 2 columns and 2 C channels, in which every second column is
  a neighbour.
- Depthwise on an NVIDIA GPU: kernels of our own (`ofa.networks.gpu`).
- Of many batches, on an x86 CPU: by weights that oneDNN has arranged once, together with the activation.
"""

from __future__ import annotations

import platform
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ofa.networks import gpu

COLUMNS = 3  # that the quick kernel takes
WIDE = (5, 7)  # kernel sizes that are put together
_X86 = platform.machine().lower() in ("x86_64", "amd64")


def conv(x: Tensor, weight: Tensor, bias: Tensor | None = None, stride: int = 1, groups: int = 1) -> Tensor:
    """(N, C, H, W) by (out, C / groups, k, k), k odd, padding k // 2: (N, out, H / stride, W / stride), rounded up."""
    if groups == stride == weight.shape[-1] == 1 and _as_matrices(x, weight):
        n, channels, height, width = x.shape
        pixels = x.permute(0, 2, 3, 1).reshape(-1, channels)
        return F.linear(pixels, weight.flatten(1), bias).view(n, height, width, len(weight)).permute(0, 3, 1, 2)
    if 1 < groups == len(weight) == x.shape[1] and gpu.quick(x):
        from ofa.networks.gpu.depthwise import depthwise, fits

        x, weight = _cast(x), _cast(weight)
        if fits(x, weight, stride) and x.dtype == weight.dtype:
            return depthwise(x, weight, stride, bias)
    elif (
        1 < groups == len(weight) == x.shape[1]
        and weight.shape[-1] in WIDE
        and stride in (1, 2)
        and _quicker(x, weight)
    ):
        assert bias is None
        out: Tensor = _ByColumns.apply(x, weight, stride)  # type: ignore[no-untyped-call]
        return out
    return F.conv2d(x, weight, bias, stride, weight.shape[-1] // 2, groups=groups)


def _cast(x: Tensor) -> Tensor:
    """As autocast would cast what a convolution takes."""
    return x.to(torch.get_autocast_dtype("cuda")) if torch.is_autocast_enabled("cuda") else x


def _as_matrices(x: Tensor, weight: Tensor) -> bool:
    one_pixel = x.shape[2] == x.shape[3] == 1  # of squeeze-and-excite: cuDNN would plan every shape
    if x.device.type == "cuda":
        return one_pixel
    return _quicker(x, weight) and (one_pixel or x.is_contiguous(memory_format=torch.channels_last))


def _quicker(x: Tensor, weight: Tensor) -> bool:
    """Whether weights learn on an x86 CPU: evaluation stays as exported networks compute it."""
    learns = weight.requires_grad and torch.is_grad_enabled()
    alike = x.dtype == weight.dtype and not torch.is_autocast_enabled("cpu")
    return _X86 and x.device.type == "cpu" and learns and alike


IN_PLACE: dict[str, Callable[[Tensor], Tensor]] = {
    "none": lambda x: x,
    "relu": torch.relu_,
    "relu6": lambda x: F.relu6(x, inplace=True),
    "h_swish": lambda x: F.hardswish(x, inplace=True),
    "swish": lambda x: F.silu(x, inplace=True),
}
# what oneDNN calls them, and their bounds
_FUSED: dict[str, tuple[str, list[float]]] = {
    "none": ("none", []),
    "relu": ("relu", []),
    "relu6": ("hardtanh", [0.0, 6.0]),
    "h_swish": ("hardswish", []),
    "swish": ("swish", []),
}


class ArrangedConv:
    """A convolution, as `conv`, and the activation behind it, for many batches. Without gradients.

    On an x86 CPU, the weights are arranged for the first batch, and the activation is computed while the result is
    written: its values are those of `conv` and the activation, but for rounding. Elsewhere it is just these two.

    activation: a step's, as `IN_PLACE` has them
    """

    def __init__(self, weight: Tensor, bias: Tensor, stride: int, groups: int, activation: str) -> None:
        self._weight, self._bias = weight, bias
        self._stride, self._groups, self._activation = stride, groups, activation
        self._sides = [weight.shape[-1] // 2] * 2, [stride] * 2, [1, 1]  # padding, stride, dilation
        self._arranged = False

    def __call__(self, x: Tensor) -> Tensor:
        if self._arranged or self._arrange(x):
            return self._fused(x)
        return IN_PLACE[self._activation](conv(x, self._weight, self._bias, self._stride, self._groups))

    def _arrange(self, x: Tensor) -> bool:
        """Takes the weights in oneDNN's order from now on, if it can. Ours are given up: both are twice the memory."""
        if not (_X86 and x.device.type == "cpu" and torch._C._has_mkldnn):
            return False
        self._dtype = torch.get_autocast_dtype("cpu") if torch.is_autocast_enabled("cpu") else x.dtype
        halves = self._dtype == torch.bfloat16 and torch.ops.mkldnn._is_mkldnn_bf16_supported()
        if self._dtype != torch.float32 and not halves:
            return False
        arrange: Any = torch._C._nn.mkldnn_reorder_conv2d_weight
        self._weight = arrange(self._weight.to(self._dtype).to_mkldnn(), *self._sides, self._groups, x.shape)
        self._bias, self._arranged = self._bias.to(self._dtype), True
        return True

    def _fused(self, x: Tensor) -> Tensor:
        name, bounds = _FUSED[self._activation]
        out: Tensor = torch.ops.mkldnn._convolution_pointwise(
            x.to(self._dtype), self._weight, self._bias, *self._sides, self._groups, name, bounds, ""
        )
        return out


class DepthwiseConv2d(nn.Conv2d):
    """nn.Conv2d, depthwise and without bias, computed by `conv`."""

    def forward(self, input: Tensor) -> Tensor:
        if torch.jit.is_tracing():  # type: ignore[attr-defined, no-untyped-call]
            return super().forward(input)  # shapes are tensors then, and an export is to see a convolution
        return conv(input, self.weight, None, self.stride[0], self.groups)


class _ByColumns(torch.autograd.Function):
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
            padding = weight.shape[-1] // 2
            for_x = _gradients(grad, x, weight, (ctx.stride, ctx.stride), (padding, padding), [True, False, False])[0]
        if ctx.needs_input_grad[1]:
            for_weight = _weight_gradient(grad, x, weight, ctx.stride)
        return for_x, for_weight, None


def _weight_gradient(grad: Tensor, x: Tensor, weight: Tensor, stride: int) -> Tensor:
    """(C, 1, k, k). Column w of `grad` meets the image's column stride * w + j - k // 2 in column j."""
    kernel_size, middle, channels = weight.shape[-1], weight.shape[-1] // 2, len(weight)
    x, rows = x.contiguous(memory_format=torch.channels_last), middle
    if x.shape[2] < kernel_size or middle % stride:  # the quick kernel does not pad these
        below = stride * (grad.shape[2] - 1) + kernel_size - x.shape[2] - middle
        x, rows = F.pad(x, (0, 0, middle, below)), 0

    def met(grad: Tensor, x: Tensor, columns: int = COLUMNS) -> Tensor:
        like = weight.new_empty(x.shape[1], 1, kernel_size, columns)
        return _gradients(grad, x, like, (stride, 1), (rows, columns // 2), [False, True, False])[1]

    result, pairs, every_second = torch.empty_like(weight), _paired(x), slice(middle - 2, middle + 3, 2)
    if stride == 1:
        result[..., middle - 1 : middle + 2] = met(grad, x)
        result[..., every_second] = met(_paired(grad), pairs).view(2, channels, 1, kernel_size, COLUMNS).sum(0)
        if kernel_size == 7:
            result[..., :1], result[..., -1:] = (met(_shifted(grad, by), x, 1) for by in (-3, 3))
    else:
        found = met(torch.cat([grad, grad], 1), pairs)
        even, odd = found[:channels], found[channels:]
        result[..., every_second] = even
        result[..., middle - 1 :: 2] = odd[..., :middle]
        if kernel_size == 7:
            shifted = _shifted(grad, -2)
            result[..., :1] = met(torch.cat([shifted, shifted], 1), pairs, 1)[channels:]
    return result


def _shifted(x: Tensor, by: int) -> Tensor:
    """By so many columns to the right, zeros in the place of those that come from outside."""
    return F.pad(x, (by, -by)) if abs(by) < x.shape[3] else torch.zeros_like(x)


def _paired(x: Tensor) -> Tensor:
    """(N, C, H, W) as (N, 2 C, H, W / 2): even columns, then odd ones; a view where W is even."""
    if x.shape[3] % 2:
        x = F.pad(x, (0, 1))
    n, channels, height, width = x.shape
    return x.permute(0, 2, 3, 1).reshape(n, height, width // 2, 2 * channels).permute(0, 3, 1, 2)


def _gradients(
    grad: Tensor, x: Tensor, weight: Tensor, stride: tuple[int, int], padding: tuple[int, int], wanted: list[bool]
) -> tuple[Tensor, Tensor, Tensor]:
    found: tuple[Tensor, Tensor, Tensor] = torch.ops.aten.convolution_backward(
        grad, x, weight, None, stride, padding, [1, 1], False, [0, 0], len(weight), wanted
    )
    return found
