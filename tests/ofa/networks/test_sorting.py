"""Channel sorting: important channels first, and no supported sub-network changes."""

from collections.abc import Iterable

import numpy as np
import pytest
import torch

from ofa.errors import InputError
from ofa.networks import Supernet
from ofa.networks.sorting import sort_channels
from ofa.space import SearchSpace, Subnet, get_space
from tests.helpers.supernets import lively

SPACES = {
    "mbv3": get_space("mbv3-w0.5", 5),
    "proxyless": get_space("proxyless-w0.5", 5),
    "resnet": get_space("resnet50d", 5, (0.1, 0.2)),
}


def of_ratios(space: SearchSpace, ratios: Iterable[float], n: int = 4) -> list[Subnet]:
    """Random sub-networks that use those expand ratios only."""
    span = space.columns("expand_ratios")
    rng = np.random.default_rng(0)
    genes = space.sample(rng, n, resolutions=[32])
    allowed = [space.expand_choices.index(ratio) for ratio in ratios]
    genes[:, span] = rng.choice(allowed, size=genes[:, span].shape)
    return space.decode(space.canonical(genes))


def outputs(net: Supernet, subnets: list[Subnet]) -> list[torch.Tensor]:
    images = torch.randn(2, 3, 32, 32, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        return [net(images, subnet) for subnet in subnets]


@pytest.mark.parametrize("family", sorted(SPACES))
@pytest.mark.parametrize("steps", [1, 2, 3])
def test_every_supported_sub_network_keeps_its_outputs(family: str, steps: int) -> None:
    space = SPACES[family]
    net = lively(space).double()
    supported = sorted(space.expand_choices, reverse=True)[:steps]
    subnets = of_ratios(space, supported)
    before = outputs(net, subnets)
    weights = {name: tensor.clone() for name, tensor in net.state_dict().items()}
    sort_channels(net, supported)
    for expected, actual in zip(before, outputs(net, subnets), strict=True):
        torch.testing.assert_close(actual, expected, rtol=1e-10, atol=1e-10)
    assert any(not torch.equal(tensor, weights[name]) for name, tensor in net.state_dict().items())


def test_unsupported_sub_networks_do_change() -> None:
    net = lively(SPACES["mbv3"]).double()
    subnets = of_ratios(net.space, [3])
    before = outputs(net, subnets)
    sort_channels(net, [6, 4])
    assert not torch.allclose(before[0], outputs(net, subnets)[0])


def test_importance_falls_between_supported_widths() -> None:
    net = lively(SPACES["mbv3"]).double()
    sort_channels(net, [6])
    project = net.get_submodule("unit_2_layer_2").project.conv.weight
    importance = project.abs().sum((0, 2, 3))
    assert (importance.diff() <= 0).all()
    fresh = lively(SPACES["mbv3"]).double()
    sort_channels(fresh, [6, 4])
    layer = fresh.get_submodule("unit_2_layer_2")
    importance = layer.project.conv.weight.abs().sum((0, 2, 3))
    edge = 4 * layer.expand.conv.in_channels
    assert (importance[:edge].diff() <= 0).all()
    assert (importance[edge:].diff() <= 0).all()


def test_sorting_twice_changes_nothing_more_and_keeps_the_parameters() -> None:
    net = lively(SPACES["resnet"]).double()
    parameters = list(net.parameters())
    sort_channels(net, [0.35], [0.2])
    once = {name: tensor.clone() for name, tensor in net.state_dict().items()}
    # sorting one convolution's outputs reorders the next one's importances, never their sums
    sort_channels(net, [0.35], [0.2])
    assert all(torch.equal(tensor, once[name]) for name, tensor in net.state_dict().items())
    assert all(a is b for a, b in zip(parameters, net.parameters(), strict=True))


def test_unknown_ratios_are_refused() -> None:
    net = lively(SPACES["mbv3"]).double()
    with pytest.raises(InputError, match=r"expand_ratios is 5, expected some of 3, 4, 6"):
        sort_channels(net, [5])
    with pytest.raises(InputError, match="width_mults"):
        sort_channels(net, [6], [0.7])
