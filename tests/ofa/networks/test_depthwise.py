"""The depthwise convolution's own gradient against torch's."""

import pytest
import torch
import torch.nn.functional as F

from ofa.networks import depthwise
from ofa.networks.depthwise import DepthwiseConv2d, depthwise_conv


@pytest.mark.parametrize("kernel_size", [3, 5, 7])
@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("size", [1, 2, 5, 8, 13])
def test_gradients_are_those_of_the_convolution(
    kernel_size: int, stride: int, size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(depthwise, "_X86", True)
    torch.manual_seed(0)
    x = torch.randn(3, 6, size, size, dtype=torch.float64, requires_grad=True)
    weight = torch.randn(6, 1, kernel_size, kernel_size, dtype=torch.float64, requires_grad=True)
    expected = F.conv2d(x, weight, None, stride, kernel_size // 2, groups=6)
    upstream = torch.randn_like(expected)
    for_x, for_weight = torch.autograd.grad(expected, (x, weight), upstream)
    found = depthwise_conv(x, weight, stride)
    assert torch.equal(found, expected)
    assert (kernel_size == 3) == ("Convolution" in type(found.grad_fn).__name__)
    found_x, found_weight = torch.autograd.grad(found, (x, weight), upstream)
    torch.testing.assert_close(found_x, for_x)
    torch.testing.assert_close(found_weight, for_weight)


def test_the_layer_is_an_ordinary_convolution_without_gradients() -> None:
    layer = DepthwiseConv2d(4, 4, 7, padding=3, groups=4, bias=False)
    images = torch.randn(2, 4, 9, 9)
    with torch.no_grad():
        assert torch.equal(layer(images), F.conv2d(images, layer.weight, None, 1, 3, groups=4))
