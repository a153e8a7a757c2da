"""Quicker convolutions against torch's own: outputs and gradients."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from ofa.networks import convolution
from ofa.networks.convolution import _X86, IN_PLACE, ArrangedConv, DepthwiseConv2d, conv

LAST, CONTIGUOUS = torch.channels_last, torch.contiguous_format


@pytest.fixture(autouse=True)
def x86(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(convolution, "_X86", True)


def _both(x: Tensor, weight: Tensor, bias: Tensor | None, stride: int, groups: int) -> Tensor:
    """What `conv` gives, after a comparison with torch's own, by outputs and all gradients."""
    leaves = [tensor for tensor in (x, weight, bias) if tensor is not None]
    expected = F.conv2d(x, weight, bias, stride, weight.shape[-1] // 2, groups=groups)
    upstream = torch.randn_like(expected)
    wanted = torch.autograd.grad(expected, leaves, upstream)
    found = conv(x, weight, bias, stride, groups)
    torch.testing.assert_close(found, expected)
    for grad, other in zip(torch.autograd.grad(found, leaves, upstream), wanted, strict=True):
        torch.testing.assert_close(grad, other)
    return found


@pytest.mark.parametrize("kernel_size", [3, 5, 7, 9])
@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("size", [(1, 1), (2, 2), (3, 3), (5, 5), (7, 4), (6, 8), (13, 13), (20, 16)])
def test_a_depthwise_convolution(kernel_size: int, stride: int, size: tuple[int, int]) -> None:
    torch.manual_seed(0)
    for channels in (6, 40):  # fewer, and more, than a register of the quick kernel has
        x = torch.randn(3, channels, *size, dtype=torch.float64, requires_grad=True)
        weight = torch.randn(channels, 1, kernel_size, kernel_size, dtype=torch.float64, requires_grad=True)
        found = _both(x, weight, None, stride, channels)
        assert (kernel_size in (3, 9)) == ("Convolution" in type(found.grad_fn).__name__)


@pytest.mark.parametrize("kernel_size", [5, 7])
@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("size", [3, 4, 7, 14, 32])
@pytest.mark.parametrize("layout", [LAST, CONTIGUOUS])
def test_in_single_precision_it_is_near_to_the_truth(
    kernel_size: int, stride: int, size: int, layout: torch.memory_format
) -> None:
    torch.manual_seed(0)
    x = torch.randn(4, 40, size, size).contiguous(memory_format=layout)
    weight = torch.randn(40, 1, kernel_size, kernel_size, requires_grad=True)

    exact_weight = weight.detach().double().requires_grad_()
    exact_out = F.conv2d(x.double(), exact_weight, None, stride, kernel_size // 2, groups=40)
    upstream = torch.randn_like(exact_out)
    (exact,) = torch.autograd.grad(exact_out, exact_weight, upstream)
    (found,) = torch.autograd.grad(conv(x, weight, None, stride, 40), weight, upstream.float())
    assert float((found - exact).norm() / exact.norm()) < 3e-6


@pytest.mark.parametrize("biased", [True, False])
@pytest.mark.parametrize("size", [1, 5])
def test_a_convolution_of_one_pixel_of_kernel(size: int, biased: bool) -> None:
    """With a part of a larger weight, as supernets have."""
    torch.manual_seed(0)
    x = torch.randn(3, 6, size, size, dtype=torch.float64).contiguous(memory_format=LAST).requires_grad_()
    largest = torch.randn(12, 9, 1, 1, dtype=torch.float64, requires_grad=True)
    bias = torch.randn(8, dtype=torch.float64, requires_grad=True) if biased else None
    found = _both(x, largest[:8, :6], bias, 1, 1)
    assert "Convolution" not in type(found.grad_fn).__name__
    assert found.is_contiguous(memory_format=LAST)


def test_what_else_there_is_stays_torchs_own() -> None:
    torch.manual_seed(0)
    x = torch.randn(2, 8, 5, 5, requires_grad=True)
    for out, groups, kernel_size, stride in ((4, 1, 1, 2), (4, 2, 1, 1), (4, 2, 5, 1), (4, 1, 5, 1), (16, 8, 5, 1)):
        weight = torch.randn(out, 8 // groups, kernel_size, kernel_size, requires_grad=True)
        assert "Convolution" in type(_both(x, weight, None, stride, groups).grad_fn).__name__


def test_a_network_that_does_not_learn_computes_as_torch_does() -> None:
    layer = DepthwiseConv2d(4, 4, 7, padding=3, groups=4, bias=False)
    images, weight = torch.randn(2, 4, 9, 9).contiguous(memory_format=LAST), torch.randn(5, 4, 1, 1, requires_grad=True)
    with torch.no_grad():
        assert torch.equal(layer(images), F.conv2d(images, layer.weight, None, 1, 3, groups=4))
        assert torch.equal(conv(images, weight), F.conv2d(images, weight))


WIDE_AND_POINT = [((6, 1, 5, 5), 6), ((4, 6, 1, 1), 1)]


@pytest.mark.parametrize(("shape", "groups"), WIDE_AND_POINT)
def test_on_other_cpus_every_convolution_is_torchs_own(
    shape: tuple[int, ...], groups: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(convolution, "_X86", False)
    x = torch.randn(2, 6, 5, 5).contiguous(memory_format=LAST).requires_grad_()
    found = _both(x, torch.randn(shape, requires_grad=True), None, 1, groups)
    assert "Convolution" in type(found.grad_fn).__name__


@pytest.mark.parametrize(("shape", "groups"), WIDE_AND_POINT)
def test_under_autocast_every_convolution_is_torchs_own(shape: tuple[int, ...], groups: int) -> None:
    """It casts what it is given there: the layouts and types of what is saved for the gradients are its own."""
    x = torch.randn(2, 6, 5, 5).contiguous(memory_format=LAST)
    for dtype in (torch.float32, torch.bfloat16):  # as the first layer is given images, and the others their input
        with torch.autocast("cpu", torch.bfloat16):
            found = conv(x.to(dtype), torch.randn(shape, requires_grad=True), None, 1, groups)
        assert "Convolution" in type(found.grad_fn).__name__
        assert found.dtype == torch.bfloat16


@pytest.mark.parametrize("activation", sorted(IN_PLACE))
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("layout", [LAST, CONTIGUOUS])
def test_arranged_weights_and_their_activation(
    activation: str, dtype: torch.dtype, layout: torch.memory_format
) -> None:
    torch.manual_seed(0)
    for channels, out, kernel_size, stride, groups in (
        (24, 40, 1, 1, 1), (40, 40, 5, 2, 40), (3, 16, 3, 2, 1), (24, 32, 3, 1, 4), (17, 17, 7, 1, 17),
    ):  # fmt: skip
        weight, bias = torch.randn(out, channels // groups, kernel_size, kernel_size), torch.randn(out)
        arranged = ArrangedConv(weight, bias, stride, groups, activation)
        # wider than it reads, of one pixel, and batches of other sizes than the first
        for images, size in ((4, 13), (9, 13), (1, 13), (4, 1), (2, 30)):
            x = torch.randn(images, channels + 5, size, size).contiguous(memory_format=layout).narrow(1, 0, channels)
            with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16, enabled=dtype != torch.float32):
                found = arranged(x)
                expected = F.conv2d(x.double(), weight.double(), bias.double(), stride, kernel_size // 2, groups=groups)
            assert found.dtype == dtype
            scale = float(expected.abs().max())
            expected = IN_PLACE[activation](expected.clone())
            if _X86 and torch._C._has_mkldnn:
                assert arranged._weight.is_mkldnn
                assert arranged._weight.dtype == dtype, "not converted in every batch"
            assert float((found - expected).abs().max()) < (0.02 if dtype == torch.bfloat16 else 1e-6) * scale


def test_what_cannot_be_arranged_is_computed_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    weight, bias, x = torch.randn(8, 1, 3, 3), torch.randn(8), torch.randn(2, 8, 9, 9)
    expected = F.hardswish(F.conv2d(x, weight, bias, 1, 1, groups=8))
    with torch.inference_mode():
        doubled = ArrangedConv(weight.double(), bias.double(), 1, 8, "h_swish")(x.double())
        assert doubled.dtype == torch.float64
        torch.testing.assert_close(doubled.float(), expected)
        monkeypatch.setattr(convolution, "_X86", False)
        assert torch.equal(ArrangedConv(weight, bias, 1, 8, "h_swish")(x), expected)
