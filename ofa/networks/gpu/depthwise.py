"""Depthwise convolutions of images whose channels lie last, in Triton.

A supernet has hundreds of depthwise shapes. For each, cuDNN compiles a kernel when it is first met: 0.6 s forward,
0.9 s backward (docs/results/gpus.md). These kernels are compiled once for a kernel size, stride and type.

An image of (N, C, H, W), channels last, is (N, H, W, C) in memory. A program computes BLOCK_P pixels of BLOCK_C
channels. Neighbouring threads hold neighbouring channels, so every access to memory is in one piece; a pixel that
several taps of the kernel read comes from the cache. Sums are in fp32. No result depends on the order in which
programs run.
"""

# mypy: disable-error-code="no-untyped-def, untyped-decorator, assignment"

from __future__ import annotations

from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor
from torch.autograd.function import once_differentiable

from ofa.networks.gpu.launching import launch

EIGHT = 8  # channels that a thread takes at once: 16 bytes of half precision
CHUNK = 1024  # pixels whose products are added up by one program, in the gradient of weights


def fits(x: Tensor, weight: Tensor, stride: int) -> bool:
    """Whether `depthwise` computes this: (N, C, H, W) by (C, 1, k, k), channels side by side, a multiple of eight."""
    n, channels, height, width = x.shape
    outer = (x.stride(0), x.stride(2), x.stride(3))
    return (
        len(weight) == channels
        and weight.shape[1] == 1
        and weight.shape[2] == weight.shape[3]
        and weight.shape[2] in (3, 5, 7)
        and stride in (1, 2)
        and x.stride(1) == 1
        and not any(number % EIGHT for number in (channels, *outer))
        and x.data_ptr() % (EIGHT * x.element_size()) == 0
        and x.numel() > 0
        # kernels count in 32 bits
        and n * x.stride(0) < 2**31
        and n * height * width * channels < 2**31
        # and CUDA counts chunks in 16
        and n * height * width <= CHUNK * (2**16 - 1)
    )


def depthwise(x: Tensor, weight: Tensor, stride: int, bias: Tensor | None = None) -> Tensor:
    """(N, C, H / stride, W / stride), rounded up: padding k // 2. x and weight are of one type, see `fits`.

    With a bias, without gradients.
    """
    assert bias is None or not torch.is_grad_enabled()
    # Triton launches on the current one; in backward passes, it is that of the tensors
    with torch.cuda.device_of(x):  # type: ignore[no-untyped-call]
        if bias is not None:
            return _forward(x, weight, stride, bias)
        out: Tensor = _Depthwise.apply(x, weight, stride)  # type: ignore[no-untyped-call]
    return out


class _Depthwise(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, stride: int) -> Tensor:
        ctx.save_for_backward(x, weight)
        ctx.stride = stride
        return _forward(x, weight, stride, None)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, Tensor | None, None]:
        x, weight = ctx.saved_tensors
        grad = grads[0].contiguous(memory_format=torch.channels_last)
        for_x = _image_gradient(grad, x, weight, ctx.stride) if ctx.needs_input_grad[0] else None
        for_weight = _weight_gradient(grad, x, weight, ctx.stride) if ctx.needs_input_grad[1] else None
        return for_x, for_weight, None


def _forward(x: Tensor, weight: Tensor, stride: int, bias: Tensor | None) -> Tensor:
    n, channels, height, width = x.shape
    sides = [(side - 1) // stride + 1 for side in (height, width)]
    out = torch.empty((n, channels, *sides), dtype=x.dtype, device=x.device, memory_format=torch.channels_last)
    pixels = n * sides[0] * sides[1]
    kernel_size, block_c = weight.shape[-1], _block_c(channels)
    block_p = _block_p(kernel_size)
    grid = (triton.cdiv(pixels, block_p), triton.cdiv(channels, block_c))
    launch(
        _forward_kernel, grid, x, _taps_first(weight), weight if bias is None else bias, out,
        pixels, height, width, *sides, channels // EIGHT, *_eighths(x),
        K=kernel_size, STRIDE=stride, BIASED=bias is not None, BLOCK_P=block_p, BLOCK_C=block_c, num_warps=_WARPS,
    )  # fmt: skip
    return out


def _image_gradient(grad: Tensor, x: Tensor, weight: Tensor, stride: int) -> Tensor:
    n, channels, height, width = x.shape
    out = torch.empty(x.shape, dtype=x.dtype, device=x.device, memory_format=torch.channels_last)
    # of the pixels of an image, those in even and in odd rows and columns meet different taps at stride 2
    rows, columns = -(-height // stride), -(-width // stride)
    pixels = n * rows * columns
    kernel_size, block_c = weight.shape[-1], _block_c(channels)
    block_p = _block_p(kernel_size)
    grid = (triton.cdiv(pixels, block_p), triton.cdiv(channels, block_c), stride * stride)
    launch(
        _image_gradient_kernel, grid, grad, _taps_first(weight), out,
        pixels, height, width, rows, columns, *grad.shape[2:], channels // EIGHT,
        K=kernel_size, STRIDE=stride, BLOCK_P=block_p, BLOCK_C=block_c, num_warps=_WARPS,
    )  # fmt: skip
    return out


def _weight_gradient(grad: Tensor, x: Tensor, weight: Tensor, stride: int) -> Tensor:
    _, channels, height, width = x.shape
    kernel_size = weight.shape[-1]
    pixels = grad.numel() // channels
    block_p, block_c = _block_p(kernel_size) // 2, _block_c(channels)
    chunks = triton.cdiv(pixels, CHUNK)
    sums = torch.empty((chunks, kernel_size * kernel_size, channels), dtype=torch.float32, device=x.device)
    grid = (kernel_size, triton.cdiv(channels, block_c), chunks)
    launch(
        _weight_gradient_kernel, grid, grad, x, sums,
        pixels, height, width, *grad.shape[2:], channels // EIGHT, *_eighths(x),
        K=kernel_size, STRIDE=stride, CHUNK=CHUNK, BLOCK_P=block_p, BLOCK_C=block_c, num_warps=_WARPS,
    )  # fmt: skip
    return sums.sum(0).t().reshape(weight.shape).to(weight.dtype)


_WARPS = 4
# arguments whose values are no part of what is compiled: Triton would compile anew where they become multiples of 16
_NUMBERS = [
    *("pixels", "height", "width", "out_height", "out_width", "rows", "columns", "grad_height", "grad_width"),
    *("channels8", "image8", "row8", "pixel8"),
]


def _block_p(kernel_size: int) -> int:
    """Pixels of a program, half of them in the gradient of weights, which holds a row of taps: quickest on an H200."""
    return 64 if kernel_size < 7 else 32


def _block_c(channels: int) -> int:
    """Channels of a program: as few as possible are computed in vain."""
    return 32 if channels <= 32 or channels % 64 in range(1, 33) else 64


def _taps_first(weight: Tensor) -> Tensor:
    """(C, 1, k, k) as (k * k, C)."""
    return weight.reshape(len(weight), -1).t().contiguous()


def _eighths(x: Tensor) -> tuple[int, int, int]:
    """How many eights of channels an image, a row and a pixel are apart: kernels see that these are multiples."""
    return x.stride(0) // EIGHT, x.stride(2) // EIGHT, x.stride(3) // EIGHT


@triton.jit(do_not_specialize=_NUMBERS)
def _forward_kernel(
    x, weight, bias, out,
    pixels, height, width, out_height, out_width, channels8, image8, row8, pixel8,
    K: tl.constexpr, STRIDE: tl.constexpr, BIASED: tl.constexpr, BLOCK_P: tl.constexpr, BLOCK_C: tl.constexpr,
):  # fmt: skip
    channels = channels8 * 8
    p = tl.program_id(0) * BLOCK_P + tl.arange(0, BLOCK_P)
    c = tl.program_id(1) * BLOCK_C + tl.arange(0, BLOCK_C)
    inside = c < channels
    column, line = p % out_width, p // out_width
    row, image = line % out_height, line // out_height
    top, left = row * STRIDE - K // 2, column * STRIDE - K // 2
    start = image * (image8 * 8) + top * (row8 * 8) + left * (pixel8 * 8)
    total = tl.zeros((BLOCK_P, BLOCK_C), tl.float32)
    for i in range(K):  # unrolled, rows would take too many registers
        for j in tl.static_range(K):
            there = (p < pixels) & (top + i >= 0) & (top + i < height) & (left + j >= 0) & (left + j < width)
            at = start + i * (row8 * 8) + j * (pixel8 * 8)
            seen = tl.load(x + at[:, None] + c[None, :], mask=there[:, None] & inside[None, :], other=0.0)
            tap = tl.load(weight + (i * K + j) * channels + c, mask=inside, other=0.0)
            total += seen.to(tl.float32) * tap.to(tl.float32)[None, :]
    if BIASED:
        total += tl.load(bias + c, mask=inside, other=0.0).to(tl.float32)[None, :]
    to = p[:, None] * channels + c[None, :]
    tl.store(out + to, total.to(out.dtype.element_ty), mask=(p < pixels)[:, None] & inside[None, :])


@triton.jit(do_not_specialize=_NUMBERS)
def _image_gradient_kernel(
    grad, weight, out,
    pixels, height, width, rows, columns, grad_height, grad_width, channels8,
    K: tl.constexpr, STRIDE: tl.constexpr, BLOCK_P: tl.constexpr, BLOCK_C: tl.constexpr,
):  # fmt: skip
    channels = channels8 * 8
    p = tl.program_id(0) * BLOCK_P + tl.arange(0, BLOCK_P)
    c = tl.program_id(1) * BLOCK_C + tl.arange(0, BLOCK_C)
    inside = c < channels
    first_row, first_column = tl.program_id(2) // STRIDE, tl.program_id(2) % STRIDE
    column, line = (p % columns) * STRIDE + first_column, p // columns
    row, image = (line % rows) * STRIDE + first_row, line // rows
    # the first tap that reads these pixels, and the pixel of the output that it does so for
    tap_row, tap_column = (first_row + K // 2) % STRIDE, (first_column + K // 2) % STRIDE
    bottom, right = (row + K // 2 - tap_row) // STRIDE, (column + K // 2 - tap_column) // STRIDE
    total = tl.zeros((BLOCK_P, BLOCK_C), tl.float32)
    for i in range((K + STRIDE - 1) // STRIDE):
        for j in tl.static_range((K + STRIDE - 1) // STRIDE):
            # at stride 2, pixels in even or odd rows and columns meet a tap less
            there = (p < pixels) & ((row + K // 2) % STRIDE + i * STRIDE < K)
            there = there & ((column + K // 2) % STRIDE + j * STRIDE < K)
            there = there & (bottom - i >= 0) & (bottom - i < grad_height)
            there = there & (right - j >= 0) & (right - j < grad_width)
            at = ((image * grad_height + bottom - i) * grad_width + right - j) * channels
            seen = tl.load(grad + at[:, None] + c[None, :], mask=there[:, None] & inside[None, :], other=0.0)
            number = (tap_row + i * STRIDE) * K + tap_column + j * STRIDE
            tap = tl.load(weight + tl.minimum(number, K * K - 1) * channels + c, mask=inside, other=0.0)
            total += seen.to(tl.float32) * tap.to(tl.float32)[None, :]
    to = ((image * height + row) * width + column) * channels
    mine = (p < pixels) & (row < height) & (column < width)
    tl.store(out + to[:, None] + c[None, :], total.to(out.dtype.element_ty), mask=mine[:, None] & inside[None, :])


@triton.jit(do_not_specialize=_NUMBERS)
def _weight_gradient_kernel(
    grad, x, sums,
    pixels, height, width, grad_height, grad_width, channels8, image8, row8, pixel8,
    K: tl.constexpr, STRIDE: tl.constexpr, CHUNK: tl.constexpr, BLOCK_P: tl.constexpr, BLOCK_C: tl.constexpr,
):  # fmt: skip
    """A chunk's part of the gradients of a row of taps."""
    channels = channels8 * 8
    i = tl.program_id(0)
    c = tl.program_id(1) * BLOCK_C + tl.arange(0, BLOCK_C)
    inside = c < channels
    totals = ()
    for _ in tl.static_range(K):
        totals += (tl.zeros((BLOCK_P, BLOCK_C), tl.float32),)
    for begin in range(0, CHUNK, BLOCK_P):
        p = tl.program_id(2) * CHUNK + begin + tl.arange(0, BLOCK_P)
        column, line = p % grad_width, p // grad_width
        row, image = line % grad_height, line // grad_height
        y, left = row * STRIDE + i - K // 2, column * STRIDE - K // 2
        there = (p < pixels) & (y >= 0) & (y < height)
        mask = there[:, None] & inside[None, :]
        given = tl.load(grad + p[:, None] * channels + c[None, :], mask=mask, other=0.0).to(tl.float32)
        start = image * (image8 * 8) + y * (row8 * 8) + left * (pixel8 * 8)
        sums_now = ()
        for j in tl.static_range(K):
            near = (there & (left + j >= 0) & (left + j < width))[:, None] & inside[None, :]
            at = start + j * (pixel8 * 8)
            seen = tl.load(x + at[:, None] + c[None, :], mask=near, other=0.0)
            sums_now += (totals[j] + seen.to(tl.float32) * given,)
        totals = sums_now
    for j in tl.static_range(K):
        to = (tl.program_id(2) * (K * K) + i * K + j) * channels + c
        tl.store(sums + to, tl.sum(totals[j], axis=0), mask=inside)
