"""The kernels for GPUs against PyTorch in double precision: on a GPU if there is one, else in Triton's interpreter."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

if not torch.cuda.is_available():
    os.environ["TRITON_INTERPRET"] = "1"
pytest.importorskip("triton", reason="Triton is not installed: it is there for Linux only")

from ofa.networks.gpu import batch_norm, depthwise

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
DTYPES = [torch.float32, torch.float16, torch.bfloat16] if DEVICE == "cuda" else [torch.float32]
# channels, height, width, kernel size, stride: odd sides, images smaller than the kernel, more than one block of each
SHAPES = [(40, 9, 7, 3, 1), (72, 7, 8, 5, 2), (16, 9, 4, 7, 1), (8, 2, 1, 7, 2), (24, 5, 7, 5, 1), (80, 6, 5, 3, 2)]
ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "none": lambda z: z,
    "relu": F.relu,
    "relu6": F.relu6,
    "h_swish": F.hardswish,
    "swish": F.silu,
}


def random(*shape: int, dtype: torch.dtype = torch.float32) -> Tensor:
    drawn = torch.randn(shape, generator=torch.Generator().manual_seed(sum(shape)))
    drawn = drawn.to(DEVICE, dtype)
    return drawn.contiguous(memory_format=torch.channels_last) if len(shape) == 4 else drawn


def doubled(*tensors: Tensor) -> list[Tensor]:
    return [tensor.detach().double().requires_grad_(tensor.requires_grad) for tensor in tensors]


def check(found: Sequence[Tensor], expected: Sequence[Tensor]) -> None:
    for a, b in zip(found, expected, strict=True):
        limit = {torch.float32: 1e-6, torch.float16: 1e-3, torch.bfloat16: 8e-3}[a.dtype]
        b = b.detach()
        assert float((a.detach().double() - b).norm()) <= limit * float(b.norm())


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", SHAPES)
def test_depthwise_convolutions_and_their_gradients(
    shape: tuple[int, ...], dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(depthwise, "CHUNK", 64)  # several
    channels, height, width, kernel_size, stride = shape
    x = random(3, channels, height, width, dtype=dtype).requires_grad_()
    weight = random(channels, 1, kernel_size, kernel_size, dtype=dtype).requires_grad_()
    assert depthwise.fits(x, weight, stride)
    out = depthwise.depthwise(x, weight, stride)
    grad = random(*out.shape, dtype=dtype).flip(0)
    exact = doubled(x, weight)
    expected = F.conv2d(*exact, None, stride, kernel_size // 2, groups=channels)
    check(
        (out, *torch.autograd.grad(out, (x, weight), grad)),
        (expected, *torch.autograd.grad(expected, exact, grad.double())),
    )


def test_the_first_channels_of_an_image_need_no_copy_and_a_bias_is_added() -> None:
    x, weight, bias = random(2, 64, 6, 5)[:, :24], random(24, 1, 3, 3), random(24)
    assert not x.is_contiguous(memory_format=torch.channels_last)
    assert depthwise.fits(x, weight, 1)
    expected = F.conv2d(x.double(), weight.double(), bias.double(), 1, 1, groups=24)
    check([depthwise.depthwise(x, weight, 1, bias)], [expected])


@pytest.mark.parametrize(
    "x",
    [
        random(2, 8, 4, 4).contiguous(),  # channels are not side by side
        random(2, 12, 4, 4),  # twelve: no multiple of eight
        random(2, 16, 4, 4)[:, 4:12],  # begins within eight
        random(0, 8, 4, 4),
    ],
)
def test_what_would_be_read_wrongly_does_not_fit(x: Tensor) -> None:
    assert not depthwise.fits(x, random(x.shape[1], 1, 3, 3), 1)
    assert not depthwise.fits(random(2, 8, 4, 4), random(8, 1, 4, 4), 1)  # an even kernel size


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_batch_normalisation_with_its_activation(
    activation: str, dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batch_norm, "MOST_CHUNKS", 8)  # several, of several blocks each
    x = (random(5, 72, 9, 12, dtype=dtype) * 3 + 20).requires_grad_()  # a mean larger than the spread
    scale, shift = (random(72) + 1).requires_grad_(), random(72).requires_grad_()
    running = random(72), random(72).square()
    exact, exact_running = doubled(x, scale, shift), doubled(*running)
    assert batch_norm.fits(x)
    out = batch_norm.normalised(x, scale, shift, running, 0.1, 1e-5, activation)
    grad = random(*out.shape, dtype=dtype).flip(0)
    expected = ACTIVATIONS[activation](F.batch_norm(exact[0], *exact_running, exact[1], exact[2], True, 0.1, 1e-5))
    check(
        (out, *torch.autograd.grad(out, (x, scale, shift), grad), *running),
        (expected, *torch.autograd.grad(expected, exact, grad.double()), *exact_running),
    )


def test_batch_normalisation_keeps_no_statistics_where_none_are_given() -> None:
    x, scale, shift = random(2, 8, 5, 5), random(8), random(8)
    expected = F.batch_norm(x.double(), None, None, scale.double(), shift.double(), True)
    check([batch_norm.normalised(x, scale, shift, None, 0.0, 1e-5, "none")], [expected])


@pytest.mark.parametrize("x", [random(2, 8, 4, 4).contiguous(), random(2, 12, 4, 4), random(1, 8, 1, 1)])
def test_what_batch_normalisation_does_not_take(x: Tensor) -> None:
    assert not batch_norm.fits(x)
