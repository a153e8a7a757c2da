"""Batch normalisation by the batch with the activation behind it, of images whose channels lie last, in Triton.

PyTorch normalises, then activates: five more passes over the largest feature maps than these kernels take, and two
maps that are kept for the backward pass where one is enough. Sums are in fp32, from each chunk's mean and squared
distances (Chan et al. 1979), and no result depends on the order in which programs run. Between normalisation and
activation nothing is rounded to half precision, as it is where the two are separate operators.
"""

# mypy: disable-error-code="no-untyped-def, untyped-decorator"

from __future__ import annotations

from typing import Any, NamedTuple

import torch
import triton
import triton.language as tl
from torch import Tensor
from torch.autograd.function import once_differentiable

from ofa.networks.gpu.launching import launch

EIGHT = 8  # channels that a thread takes at once
MOST_CHUNKS = 1024  # and blocks of channels, that a feature map's sums are made of: a few for every multiprocessor
ACTIVATIONS = {"none": 0, "relu": 1, "relu6": 2, "h_swish": 3, "swish": 4}
_BLOCK_P = 32
_WARPS = 4
# arguments whose values are no part of what is compiled: Triton would compile anew where they become multiples of 16
_NUMBERS = ("pixels", "channels8", "per_chunk", "chunks")


def fits(x: Tensor) -> bool:
    """Whether `normalised` takes it: (N, C, H, W), channels last, dense, a multiple of eight of them."""
    return (
        x.ndim == 4
        and x.shape[1] % EIGHT == 0
        and x.shape[1] < x.numel() < 2**31
        and x.is_contiguous(memory_format=torch.channels_last)
        and x.data_ptr() % (EIGHT * x.element_size()) == 0
    )


def normalised(
    x: Tensor,
    scale: Tensor,
    shift: Tensor,
    running: tuple[Tensor, Tensor] | None,
    momentum: float,
    eps: float,
    activation: str,
) -> Tensor:
    """x normalised by its own mean and variance, scaled, shifted and activated; see `fits`.

    scale, shift: (C,) fp32
    running: mean and unbiased variance, (C,) fp32, moved by the momentum towards the batch's
    """
    # Triton launches on the current one; in backward passes, it is that of the tensors
    with torch.cuda.device_of(x):  # type: ignore[no-untyped-call]
        out: Tensor = _Normalised.apply(x, scale, shift, running, momentum, eps, activation)  # type: ignore[no-untyped-call]
    return out


class _Normalised(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        scale: Tensor,
        shift: Tensor,
        running: tuple[Tensor, Tensor] | None,
        momentum: float,
        eps: float,
        activation: str,
    ) -> Tensor:
        channels, cut = x.shape[1], _cut(x)
        moments = x.new_empty((2, cut.chunks, channels), dtype=torch.float32)
        mean, factor = x.new_empty((2, channels), dtype=torch.float32)
        launch(_moments_kernel, cut.by_chunk, x, moments, *cut.sizes, cut.per_chunk, cut.chunks, **cut.blocks)
        launch(
            _combined_kernel, (triton.cdiv(channels, 32),),
            moments, mean, factor, *(running or (mean, factor)),
            *cut.sizes, cut.per_chunk, cut.chunks, momentum, eps,
            RUNNING=running is not None, BLOCK_N=128, BLOCK_C=32, num_warps=4,
        )  # fmt: skip
        out, kind = torch.empty_like(x), ACTIVATIONS[activation]
        launch(
            _apply_kernel, cut.by_pixel, x, mean, factor, scale, shift, out, *cut.sizes, ACTIVATION=kind, **cut.blocks
        )
        ctx.save_for_backward(x, scale, shift, mean, factor)
        ctx.kind = kind
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        x, scale, shift, mean, factor = ctx.saved_tensors
        grad = grads[0].contiguous(memory_format=torch.channels_last)
        cut = _cut(x)
        known = grad, x, mean, factor, scale, shift
        sums = x.new_empty((2, cut.chunks, x.shape[1]), dtype=torch.float32)
        launch(
            _sums_kernel, cut.by_chunk,
            *known, sums, *cut.sizes, cut.per_chunk, cut.chunks, ACTIVATION=ctx.kind, **cut.blocks,
        )  # fmt: skip
        for_shift, for_scale = sums.sum(1)
        for_x = torch.empty_like(x)
        launch(
            _gradient_kernel, cut.by_pixel,
            *known, for_shift, for_scale, for_x, *cut.sizes, ACTIVATION=ctx.kind, **cut.blocks,
        )  # fmt: skip
        return for_x, for_scale, for_shift, None, None, None, None


class _Cut(NamedTuple):
    """How programs share a feature map.

    sizes: pixels, and eighths of channels; per_chunk: pixels of a chunk; chunks: how many there are
    by_chunk, by_pixel: grids of programs, for chunks or blocks of pixels; blocks: what is a program's own
    """

    sizes: tuple[int, int]
    per_chunk: int
    chunks: int
    by_chunk: tuple[int, int]
    by_pixel: tuple[int, int]
    blocks: dict[str, int]


def _cut(x: Tensor) -> _Cut:
    channels = x.shape[1]
    pixels = x.numel() // channels
    block_c = 32 if channels <= 32 or channels % 64 in range(1, 33) else 64
    across = triton.cdiv(channels, block_c)
    per_chunk = triton.cdiv(triton.cdiv(pixels, max(1, MOST_CHUNKS // across)), _BLOCK_P) * _BLOCK_P
    chunks = triton.cdiv(pixels, per_chunk)
    blocks = {"BLOCK_P": _BLOCK_P, "BLOCK_C": block_c, "num_warps": _WARPS}
    sizes = pixels, channels // EIGHT
    return _Cut(sizes, per_chunk, chunks, (chunks, across), (triton.cdiv(pixels, _BLOCK_P), across), blocks)


@triton.jit(do_not_specialize=_NUMBERS)
def _moments_kernel(x, moments, pixels, channels8, per_chunk, chunks, BLOCK_P: tl.constexpr, BLOCK_C: tl.constexpr):
    """Of each chunk and channel: the mean, and the summed squared distances from it."""
    channels = channels8 * 8
    chunk = tl.program_id(0)
    c = tl.program_id(1) * BLOCK_C + tl.arange(0, BLOCK_C)
    inside = c < channels
    begin = chunk * per_chunk
    end = tl.minimum(begin + per_chunk, pixels)
    # distances from the first pixel: squares do not cancel where the mean is large
    pivot = tl.load(x + begin * channels + c, mask=inside, other=0.0).to(tl.float32)
    total = tl.zeros((BLOCK_P, BLOCK_C), tl.float32)
    squares = tl.zeros((BLOCK_P, BLOCK_C), tl.float32)
    at = begin
    while at < end:
        p = at + tl.arange(0, BLOCK_P)
        mask = (p < end)[:, None] & inside[None, :]
        seen = tl.load(x + p[:, None] * channels + c[None, :], mask=mask, other=0.0).to(tl.float32)
        away = tl.where(mask, seen - pivot[None, :], 0.0)
        total += away
        squares += away * away
        at += BLOCK_P
    count = end - begin
    mean = tl.sum(total, axis=0) / count
    tl.store(moments + chunk * channels + c, pivot + mean, mask=inside)
    around = tl.maximum(tl.sum(squares, axis=0) - mean * mean * count, 0.0)
    tl.store(moments + (chunks + chunk) * channels + c, around, mask=inside)


@triton.jit(do_not_specialize=_NUMBERS)
def _combined_kernel(
    moments, mean_out, factor_out, running_mean, running_variance,
    pixels, channels8, per_chunk, chunks, momentum, eps,
    RUNNING: tl.constexpr, BLOCK_N: tl.constexpr, BLOCK_C: tl.constexpr,
):  # fmt: skip
    """All chunks' together: mean, and 1 / standard deviation."""
    channels = channels8 * 8
    c = tl.program_id(0) * BLOCK_C + tl.arange(0, BLOCK_C)
    inside = c < channels
    total = tl.zeros((BLOCK_N, BLOCK_C), tl.float32)
    pivot = tl.load(moments + c, mask=inside, other=0.0)
    at = 0
    while at < chunks:
        n = at + tl.arange(0, BLOCK_N)
        mask = (n < chunks)[:, None] & inside[None, :]
        count = tl.minimum(pixels - n * per_chunk, per_chunk).to(tl.float32)
        found = tl.load(moments + n[:, None] * channels + c[None, :], mask=mask, other=0.0)
        total += tl.where(mask, (found - pivot[None, :]) * count[:, None], 0.0)
        at += BLOCK_N
    mean = pivot + tl.sum(total, axis=0) / pixels
    around = tl.zeros((BLOCK_N, BLOCK_C), tl.float32)
    at = 0
    while at < chunks:
        n = at + tl.arange(0, BLOCK_N)
        mask = (n < chunks)[:, None] & inside[None, :]
        count = tl.minimum(pixels - n * per_chunk, per_chunk).to(tl.float32)
        found = tl.load(moments + n[:, None] * channels + c[None, :], mask=mask, other=0.0)
        within = tl.load(moments + (chunks + n[:, None]) * channels + c[None, :], mask=mask, other=0.0)
        away = found - mean[None, :]
        around += tl.where(mask, within + away * away * count[:, None], 0.0)
        at += BLOCK_N
    squares = tl.sum(around, axis=0)
    tl.store(mean_out + c, mean, mask=inside)
    tl.store(factor_out + c, 1.0 / tl.sqrt(squares / pixels + eps), mask=inside)
    if RUNNING:
        old = tl.load(running_mean + c, mask=inside, other=0.0)
        tl.store(running_mean + c, old + momentum * (mean - old), mask=inside)
        old = tl.load(running_variance + c, mask=inside, other=0.0)
        tl.store(running_variance + c, old + momentum * (squares / (pixels - 1) - old), mask=inside)


@triton.jit
def _activated(z, ACTIVATION: tl.constexpr):
    # compared, not tl.maximum, which makes 0 of a NaN on a GPU: a loss that is no longer finite must show
    if ACTIVATION == 1:
        z = tl.where(z < 0.0, 0.0, z)
    elif ACTIVATION == 2:
        z = tl.where(z < 0.0, 0.0, tl.where(z > 6.0, 6.0, z))
    elif ACTIVATION == 3:
        z = z * tl.minimum(tl.maximum(z + 3.0, 0.0), 6.0) / 6.0
    elif ACTIVATION == 4:
        z = z * tl.sigmoid(z)
    return z


@triton.jit
def _before_activation(grad, z, ACTIVATION: tl.constexpr):
    """The gradient of what is activated."""
    if ACTIVATION == 1:
        grad = tl.where(z <= 0.0, 0.0, grad)
    elif ACTIVATION == 2:
        grad = tl.where((z <= 0.0) | (z >= 6.0), 0.0, grad)
    elif ACTIVATION == 3:
        grad = tl.where(z <= -3.0, 0.0, tl.where(z < 3.0, grad * (z / 3.0 + 0.5), grad))
    elif ACTIVATION == 4:
        gate = tl.sigmoid(z)
        grad = grad * gate * (1.0 + z * (1.0 - gate))
    return grad


@triton.jit(do_not_specialize=_NUMBERS)
def _apply_kernel(
    x, mean, factor, scale, shift, out, pixels, channels8,
    ACTIVATION: tl.constexpr, BLOCK_P: tl.constexpr, BLOCK_C: tl.constexpr,
):  # fmt: skip
    channels = channels8 * 8
    p = tl.program_id(0) * BLOCK_P + tl.arange(0, BLOCK_P)
    c = tl.program_id(1) * BLOCK_C + tl.arange(0, BLOCK_C)
    inside = c < channels
    mask = (p < pixels)[:, None] & inside[None, :]
    at = p[:, None] * channels + c[None, :]
    by = tl.load(factor + c, mask=inside, other=0.0) * tl.load(scale + c, mask=inside, other=0.0)
    away = tl.load(x + at, mask=mask, other=0.0).to(tl.float32) - tl.load(mean + c, mask=inside, other=0.0)[None, :]
    z = away * by[None, :] + tl.load(shift + c, mask=inside, other=0.0)[None, :]
    tl.store(out + at, _activated(z, ACTIVATION).to(out.dtype.element_ty), mask=mask)


@triton.jit(do_not_specialize=_NUMBERS)
def _sums_kernel(
    grad, x, mean, factor, scale, shift, sums, pixels, channels8, per_chunk, chunks,
    ACTIVATION: tl.constexpr, BLOCK_P: tl.constexpr, BLOCK_C: tl.constexpr,
):  # fmt: skip
    """Of each chunk and channel: the gradients' sum, and their products' with what was normalised."""
    channels = channels8 * 8
    chunk = tl.program_id(0)
    c = tl.program_id(1) * BLOCK_C + tl.arange(0, BLOCK_C)
    inside = c < channels
    begin = chunk * per_chunk
    end = tl.minimum(begin + per_chunk, pixels)
    mean_ = tl.load(mean + c, mask=inside, other=0.0)[None, :]
    factor_ = tl.load(factor + c, mask=inside, other=0.0)[None, :]
    scale_ = tl.load(scale + c, mask=inside, other=0.0)[None, :]
    shift_ = tl.load(shift + c, mask=inside, other=0.0)[None, :]
    total = tl.zeros((BLOCK_P, BLOCK_C), tl.float32)
    products = tl.zeros((BLOCK_P, BLOCK_C), tl.float32)
    at = begin
    while at < end:
        p = at + tl.arange(0, BLOCK_P)
        mask = (p < end)[:, None] & inside[None, :]
        where = p[:, None] * channels + c[None, :]
        unit = (tl.load(x + where, mask=mask, other=0.0).to(tl.float32) - mean_) * factor_
        given = tl.load(grad + where, mask=mask, other=0.0).to(tl.float32)
        given = _before_activation(given, unit * scale_ + shift_, ACTIVATION)
        total += given
        products += given * unit
        at += BLOCK_P
    tl.store(sums + chunk * channels + c, tl.sum(total, axis=0), mask=inside)
    tl.store(sums + (chunks + chunk) * channels + c, tl.sum(products, axis=0), mask=inside)


@triton.jit(do_not_specialize=_NUMBERS)
def _gradient_kernel(
    grad, x, mean, factor, scale, shift, for_shift, for_scale, out, pixels, channels8,
    ACTIVATION: tl.constexpr, BLOCK_P: tl.constexpr, BLOCK_C: tl.constexpr,
):  # fmt: skip
    channels = channels8 * 8
    p = tl.program_id(0) * BLOCK_P + tl.arange(0, BLOCK_P)
    c = tl.program_id(1) * BLOCK_C + tl.arange(0, BLOCK_C)
    inside = c < channels
    mask = (p < pixels)[:, None] & inside[None, :]
    at = p[:, None] * channels + c[None, :]
    factor_ = tl.load(factor + c, mask=inside, other=0.0)[None, :]
    scale_ = tl.load(scale + c, mask=inside, other=0.0)[None, :]
    shift_ = tl.load(shift + c, mask=inside, other=0.0)[None, :]
    unit = tl.load(x + at, mask=mask, other=0.0).to(tl.float32) - tl.load(mean + c, mask=inside, other=0.0)[None, :]
    unit *= factor_
    given = tl.load(grad + at, mask=mask, other=0.0).to(tl.float32)
    given = _before_activation(given, unit * scale_ + shift_, ACTIVATION)
    common = tl.load(for_shift + c, mask=inside, other=0.0)[None, :] / pixels
    along = tl.load(for_scale + c, mask=inside, other=0.0)[None, :] / pixels
    result = scale_ * factor_ * (given - common - unit * along)
    tl.store(out + at, result.to(out.dtype.element_ty), mask=mask)
