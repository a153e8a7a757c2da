"""The optimiser, which does a step in one pass over the weights, against torch's own loop."""

import pytest
import torch
from torch import Tensor, nn

from ofa.networks.supernet import Supernet
from ofa.space import get_space
from ofa.training.precision import Precision
from ofa.training.schedule import nesterov_sgd, parameter_groups
from tests.helpers.supernets import TINY, lively

CPU = torch.device("cpu")


def _looped(net: nn.Module) -> torch.optim.SGD:
    groups = parameter_groups(net, 3e-5)
    return torch.optim.SGD(groups, lr=0.0, momentum=0.9, nesterov=True, fused=False, foreach=False)


def _trained(optimizer: torch.optim.SGD, net: Supernet) -> dict[str, Tensor]:
    """After steps in which other weights have gradients each time, as in a supernet."""
    generator = torch.Generator().manual_seed(3)
    for step in range(6):
        for group in optimizer.param_groups:
            group["lr"] = 0.1 / (1 + step)
        for number, parameter in enumerate(net.parameters()):
            grad = torch.empty_like(parameter.detach())
            grad.copy_(torch.randn(parameter.shape, generator=generator))
            parameter.grad = grad if (number + step) % 3 else None
        optimizer.step()
    return net.state_dict()


def test_weights_are_those_of_torchs_own_loop() -> None:
    space = get_space(str(TINY), 7)
    ours, theirs = lively(space), lively(space)
    expected = _trained(_looped(theirs), theirs)
    found = _trained(nesterov_sgd(ours, 3e-5), ours)
    assert {name for name in expected if not torch.equal(found[name], expected[name])} <= {"classifier.linear.bias"}
    # of 7: what does not fill a register is rounded otherwise
    torch.testing.assert_close(found, expected, rtol=3e-7, atol=1e-8)


@pytest.mark.parametrize("first", [torch.inf, torch.nan])
def test_in_fp16_a_first_step_that_overflows_changes_nothing(first: float) -> None:
    net = nn.Linear(3, 2)
    start = net.weight.detach().clone()
    optimizer, precision = nesterov_sgd(net, 0.0), Precision("fp16", CPU)
    assert precision.scaler is not None
    optimizer.param_groups[0]["lr"] = 0.5
    scaled = {0: first}
    for number in range(2):
        optimizer.zero_grad()
        precision.backward(net.weight.sum() * scaled.get(number, 1.0))
        precision.update(optimizer, net.parameters(), clip_norm=0.0)
        if number == 0:
            assert torch.equal(net.weight, start)
    # a gradient of 1: momentum 1 and 0.9 of it on top
    torch.testing.assert_close(net.weight.detach(), start - 0.5 * 1.9)
