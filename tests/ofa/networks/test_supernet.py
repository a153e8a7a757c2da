"""Supernets: the reference's outputs, elasticity without state, gradients, bad input."""

import copy
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ofa.blocks.costs import count_macs, count_params
from ofa.checkpoints.weights import load_checkpoint
from ofa.errors import InputError
from ofa.networks import Supernet, build_supernet, extract
from ofa.networks.layers import memory_format_of, use_memory_format
from ofa.space import SearchSpace, Subnet, get_space
from ofa.space.mit_format import subnet_from_mit
from tests.helpers.supernets import lively

# golden file, space, widths
GOLDEN = [
    ("mbv3_w0.5", "mbv3-w0.5", None),
    ("proxyless_w0.5", "proxyless-w0.5", None),
    ("resnet_w0.1-0.2", "resnet50d", (0.1, 0.15, 0.2)),
]
RESOLUTIONS = (32, 48)
SMALL = {
    "mbv3": get_space("mbv3-w0.25", 7),
    "proxyless": get_space("proxyless-w0.25", 7),
    "resnet": get_space("resnet50d", 7, (0.1, 0.15)),
}


def sample(space: SearchSpace, n: int, seed: int = 0) -> list[Subnet]:
    return space.decode(space.sample(np.random.default_rng(seed), n, resolutions=RESOLUTIONS))


def images_for(subnet: Subnet, n: int = 2) -> torch.Tensor:
    generator = torch.Generator().manual_seed(1)
    return torch.randn(n, 3, subnet.resolution, subnet.resolution, generator=generator)


@pytest.fixture(scope="module", params=sorted(SMALL))
def net(request: pytest.FixtureRequest) -> Supernet:
    return lively(SMALL[request.param])


@pytest.mark.parametrize(("golden", "name", "widths"), GOLDEN)
def test_logits_are_those_of_the_reference(reference: Path, golden: str, name: str, widths: tuple[float, ...]) -> None:
    folder = reference / "golden"
    cases = json.loads((folder / f"{golden}_cases.json").read_text())["cases"]
    arrays = np.load(folder / f"{golden}_io.npz")
    space = get_space(name, 10, widths)
    net = build_supernet(space).eval()
    load_checkpoint(net, folder / f"{golden}_supernet.pt")
    for i, case in enumerate(cases):
        for resolution in (64, 96):
            subnet = subnet_from_mit(space, case["config"], resolution)
            images = torch.from_numpy(arrays[f"input_{resolution}"])
            expected = arrays[f"case{i}_f64_{resolution}"]
            plain = extract(net, subnet)
            with torch.no_grad():
                for logits in (net(images, subnet), plain(images)):
                    assert np.abs(logits.numpy() - expected).max() < 1e-4 * np.abs(expected).max()
            assert sum(p.numel() for p in plain.parameters()) == case["n_params"]


@pytest.mark.parametrize("family", sorted(SMALL))
def test_the_largest_network_uses_every_parameter(family: str) -> None:
    space = SMALL[family]
    net = build_supernet(space)
    largest = largest_subnet(space)
    net(images_for(largest), largest).sum().backward()
    unused = [name for name, p in net.named_parameters() if p.grad is None]
    assert [name for name in unused if ".matrices." not in name] == []


def largest_subnet(space: SearchSpace) -> Subnet:
    return space.decode(space.as_genes(np.array([[48, *(space.cardinalities[1:] - 1)]])))[0]


@settings(max_examples=15, deadline=None)
@given(data=st.data())
@pytest.mark.parametrize("family", sorted(SMALL))
def test_extracted_networks_give_the_same_outputs_at_the_counted_cost(family: str, data: st.DataObject) -> None:
    space = SMALL[family]
    net = NETS.setdefault(family, lively(space))
    subnet = sample(space, 1, data.draw(st.integers(0, 2**32 - 1)))[0]
    plain = extract(net, subnet)
    images = images_for(subnet)
    with torch.no_grad():
        macs = count_macs_by_running(plain, images[:1])
        torch.testing.assert_close(plain(images), net(images, subnet), rtol=1e-5, atol=1e-6)
    assert sum(p.numel() for p in plain.parameters()) == count_params(space, subnet)
    assert macs == count_macs(space, subnet)
    assert plain.spec.resolution == subnet.resolution


NETS: dict[str, Supernet] = {}


def count_macs_by_running(network: torch.nn.Module, image: torch.Tensor) -> int:
    total = 0

    def add(module: torch.nn.Module, _: object, output: torch.Tensor) -> None:
        nonlocal total
        assert isinstance(module, (torch.nn.Conv2d, torch.nn.Linear))
        total += output.numel() * module.weight[0].numel()

    layers = [m for m in network.modules() if isinstance(m, (torch.nn.Conv2d, torch.nn.Linear))]
    handles = [layer.register_forward_hook(add) for layer in layers]
    network(image)
    for handle in handles:
        handle.remove()
    return total


def test_nothing_is_remembered_between_calls(net: Supernet) -> None:
    first, second = sample(net.space, 2)
    before = {name: tensor.clone() for name, tensor in net.state_dict().items()}
    with torch.no_grad():
        alone = net(images_for(first), first)
        net(images_for(second), second)
        again = net(images_for(first), first)
    assert torch.equal(alone, again)
    assert all(torch.equal(tensor, before[name]) for name, tensor in net.state_dict().items())


def test_gradients_reach_only_what_the_sub_network_uses() -> None:
    space = SMALL["mbv3"]
    net = lively(space).train()
    subnet = space.subnet([3] * 20, [3] * 20, [2] * 5, 48)
    net(images_for(subnet), subnet).square().sum().backward()
    skipped = [p.grad for name, p in net.named_parameters() if name.startswith("unit_1_layer_3.")]
    assert all(grad is None for grad in skipped)
    layer = net.get_submodule("unit_2_layer_2")
    mid = extract(net, subnet).get_submodule("unit_2_layer_2").project.conv.in_channels
    weight = layer.project.conv.weight
    assert weight.grad[:, :mid].abs().sum() > 0
    assert weight.grad[:, mid:].abs().sum() == 0
    kernel = layer.depthwise.conv.weight.grad
    assert kernel[:mid, :, 2:-2, 2:-2].abs().sum() > 0  # the centre, through both matrices
    assert kernel[mid:].abs().sum() == 0
    assert layer.matrices["7to5"].grad.abs().sum() > 0
    assert layer.matrices["5to3"].grad.abs().sum() > 0


def test_training_updates_only_the_running_statistics_in_use() -> None:
    space = SMALL["mbv3"]
    net = lively(space).train()
    subnet = space.subnet([3] * 20, [3] * 20, [2] * 5, 48)
    bn = net.get_submodule("unit_2_layer_2").depthwise.bn
    before = bn.running_mean.clone()
    net(images_for(subnet), subnet)
    mid = 3 * net.get_submodule("unit_2_layer_2").expand.conv.in_channels
    assert not torch.equal(bn.running_mean[:mid], before[:mid])
    assert torch.equal(bn.running_mean[mid:], before[mid:])


def test_evaluating_many_sub_networks_does_not_grow() -> None:
    space = SMALL["proxyless"]
    net = lively(space)
    attributes = {name: set(vars(module)) for name, module in net.named_modules()}
    with torch.no_grad():
        for subnet in sample(space, 20):
            net(images_for(subnet), subnet)
    assert {name: set(vars(module)) for name, module in net.named_modules()} == attributes


def test_dropout_acts_in_training_only() -> None:
    space = SMALL["mbv3"]
    subnet = largest_subnet(space)
    net = build_supernet(space, dropout=0.5).eval()
    with torch.no_grad():
        assert torch.equal(net(images_for(subnet), subnet), net(images_for(subnet), subnet))
        torch.manual_seed(0)
        features = net.classifier.train()(torch.ones(1, net.classifier.linear.in_features, 1, 1))
        assert not torch.equal(features, net.classifier.eval()(torch.ones(1, net.classifier.linear.in_features, 1, 1)))


def test_bad_input_is_named(net: Supernet) -> None:
    subnet = sample(net.space, 1)[0]
    with pytest.raises(InputError, match=r"images are \(2, 3, 64, 64\), expected \(N, 3, "):
        net(torch.zeros(2, 3, 64, 64), subnet)
    with pytest.raises(InputError, match="expected a Subnet of"):
        net(images_for(subnet), "largest")
    other = replace(subnet, resolution=31)
    with pytest.raises(InputError, match="resolution 31 is not within 32 to 1024"):
        net(images_for(other), other)
    with pytest.raises(InputError, match=r"dropout is 1\.5"):
        build_supernet(net.space, dropout=1.5)


def test_building_and_extracting_draw_no_random_numbers_behind_the_callers_back(net: Supernet) -> None:
    subnet = sample(net.space, 1)[0]
    state = torch.get_rng_state()
    extract(net, subnet)
    assert torch.equal(torch.get_rng_state(), state)


def test_an_extracted_network_owns_its_weights(net: Supernet) -> None:
    subnet = largest_subnet(net.space)
    plain = extract(net, subnet)
    assert not plain.training
    shared = {tensor.data_ptr() for tensor in net.state_dict().values()}
    assert all(tensor.data_ptr() not in shared for tensor in plain.state_dict().values() if tensor.ndim)
    assert all(p.requires_grad and p.is_leaf for p in plain.parameters())


def test_extracted_networks_share_nothing_with_each_other(net: Supernet) -> None:
    subnet = sample(net.space, 1)[0]
    first, second = extract(net, subnet), copy.deepcopy(extract(net, subnet))
    handles = [layer.register_forward_hook(lambda *_: None) for layer in first.modules()]
    assert handles
    third = extract(net, subnet).train()
    assert not any(layer._forward_hooks for network in (second, third) for layer in network.modules())
    third(images_for(subnet)).sum().backward()
    torch.optim.SGD(third.parameters(), 1.0).step()
    with torch.no_grad():
        assert torch.equal(first(images_for(subnet)), second(images_for(subnet)))
        assert not torch.equal(first(images_for(subnet)), third.eval()(images_for(subnet)))


def test_extracted_networks_can_be_traced(net: Supernet) -> None:
    subnet = sample(net.space, 1)[0]
    plain, images = extract(net, subnet), images_for(subnet)
    scripted = torch.export.export(plain, (images,)).module()
    with torch.no_grad():
        torch.testing.assert_close(scripted(images), plain(images))


def test_the_layout_of_weights_changes_rounding_alone() -> None:
    space = get_space("mbv3-w0.1", 10)
    net = build_supernet(space).eval()
    subnet = space.decode(space.sample(np.random.default_rng(0), 1, resolutions=[32]))[0]
    images = torch.randn(4, 3, 32, 32)
    assert memory_format_of(net) is torch.channels_last
    with torch.no_grad():
        before = net(images, subnet)
        use_memory_format(net, torch.contiguous_format)
        assert memory_format_of(net) is torch.contiguous_format
        torch.testing.assert_close(net(images, subnet), before, rtol=1e-4, atol=1e-5)
