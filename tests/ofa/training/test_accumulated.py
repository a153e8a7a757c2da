"""Gradients of parts, added in place, against autograd's own slices."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from ofa.networks import build_supernet
from ofa.networks.elastic import first
from ofa.networks.layers import use_memory_format
from ofa.networks.statistics import stored_statistics
from ofa.networks.supernet import Supernet
from ofa.space import SearchSpace, Subnet, get_space
from ofa.training.accumulated import accumulated
from ofa.training.draws import Draws
from ofa.training.precision import Precision
from ofa.training.recipe import Stage
from ofa.training.schedule import nesterov_sgd
from ofa.training.step import SupernetStep, supernet_run
from tests.helpers.supernets import TINY, lively

CPU = torch.device("cpu")
SPACES = {
    "described": lambda: get_space(str(TINY), 7),
    "mbv3": lambda: get_space("mbv3-w0.25", 7),
    "resnet": lambda: get_space("resnet50d", 7, (0.1, 0.15)),
}


def _plainly(net: Supernet) -> Callable[[Tensor, Subnet], Tensor]:
    return lambda images, subnet: net.run(images, subnet, stored_statistics(True), first)


def _gradients(
    space: SearchSpace, run: Callable[[Supernet], Callable[[Tensor, Subnet], Tensor]], precision: str, sandwich: bool
) -> dict[str, Tensor | None]:
    """Of two steps of three sub-networks each, the second on top of the first."""
    net = lively(space).train()
    stage = Stage("last", 1, 0.1, subnets=3, sandwich=sandwich, distill=0.0 if sandwich else 1.0)
    torch.manual_seed(1)
    teacher = None if sandwich else build_supernet(space, 0.0)
    how = Precision(precision, CPU)
    if how.scaler is not None:
        how.scaler = torch.amp.GradScaler("cpu", init_scale=16.0)  # at torch's own, these gradients overflow
    step = SupernetStep(run(net), stage, Draws(space, stage, (32,), seed=3), how, teacher)
    for number in range(2):
        step(torch.randn(4, 3, 32, 32), torch.arange(4), number)
    return {name: parameter.grad for name, parameter in net.named_parameters()}


@pytest.mark.parametrize("family", sorted(SPACES))
@pytest.mark.parametrize("sandwich", [False, True])
@pytest.mark.parametrize("precision", ["fp32", "bf16", "fp16"])
def test_gradients_are_those_of_slices_bit_for_bit(family: str, sandwich: bool, precision: str) -> None:
    space = SPACES[family]()
    expected = _gradients(space, _plainly, precision, sandwich)
    found = _gradients(space, supernet_run, precision, sandwich)
    assert [name for name, grad in found.items() if (grad is None) != (expected[name] is None)] == []
    for name, grad in found.items():
        if grad is not None:
            other = expected[name]
            assert other is not None
            assert torch.equal(grad, other), name
            assert grad.stride() == other.stride(), name
            assert grad.dtype == torch.float32


@pytest.mark.parametrize("family", sorted(SPACES))
@pytest.mark.parametrize("layout", [torch.channels_last, torch.contiguous_format])
def test_gradients_and_momentum_lie_as_their_weights(family: str, layout: torch.memory_format) -> None:
    """The fused optimiser walks through the memory of all three together, and checks nothing."""
    space = SPACES[family]()
    net = lively(space).train()
    use_memory_format(net, layout)
    optimizer = nesterov_sgd(net, 0.0)
    stage = Stage("last", 1, 0.1, subnets=3, sandwich=True, distill=0.0)
    step = SupernetStep(supernet_run(net), stage, Draws(space, stage, (32,), seed=3), Precision("fp32", CPU))
    step(torch.randn(4, 3, 32, 32).contiguous(memory_format=layout), torch.arange(4), 0)

    def order(tensor: Tensor) -> list[int]:
        """Strides of the dimensions that have any: torch does not care for the others."""
        return [stride for size, stride in zip(tensor.shape, tensor.stride(), strict=True) if size > 1]

    for name, weight in net.named_parameters():
        for other in (optimizer.state[weight]["momentum_buffer"], weight.grad):
            assert other is None or order(other) == order(weight), name


def test_a_part_that_autograd_is_asked_of_is_an_ordinary_slice() -> None:
    """Where nothing is recorded, of a weight that is computed, and of a whole weight."""
    weight = torch.randn(6, 4, requires_grad=True)
    with torch.no_grad():
        assert accumulated(weight, 3, 2).grad_fn is None
    assert accumulated(weight, 6, 4) is weight
    (grad,) = torch.autograd.grad(accumulated(2 * weight, 3, 2).sum(), weight)
    assert torch.equal(grad, torch.nn.functional.pad(torch.full((3, 2), 2.0), (0, 2, 0, 3)))
    assert weight.grad is None


def test_nothing_as_large_as_a_weight_is_made_of_a_part_after_the_first() -> None:
    weight = torch.randn(64, 64, requires_grad=True)
    accumulated(weight, 8, 4).sum().backward()
    grad = weight.grad
    assert grad is not None
    accumulated(weight, 8, 2).sum().backward()
    assert weight.grad is grad
    assert [float(grad[0, 0]), float(grad[7, 3]), float(grad.sum())] == [2, 1, 48]
