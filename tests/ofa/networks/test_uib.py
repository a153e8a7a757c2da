"""Universal inverted bottlenecks as an elastic operator: blocks, layers, sorting, files, and a search's units."""

from pathlib import Path

import numpy as np
import pytest
import torch

from ofa.blocks import Block, all_blocks, blocks_of
from ofa.blocks.costs import block_macs, count_macs, count_params
from ofa.networks import Supernet, extract
from ofa.networks.sorting import sort_channels
from ofa.predictors.encoder import FeatureEncoder
from ofa.space import SearchSpace, Subnet, get_space
from ofa.space.described import described_space
from ofa.space.description import describe
from ofa.space.unit_choices import unit_choices
from profilers.estimating.cost_model import TERMS, space_terms
from tests.helpers.supernets import close, lively, trained_and_the_same

EXAMPLE = Path(__file__).parents[3] / "examples/mobilenet_v4.toml"


@pytest.fixture(scope="module")
def space() -> SearchSpace:
    """The example at a twentieth of its width."""
    content = describe(get_space(str(EXAMPLE), 5))
    parts = [content["stem"], *content["units"]]
    for part in parts:
        part["channels"] = [8 * (1 + part["channels"][0] // 200)]
    return described_space({**content, "head": {"expand": [24], "mix": [32], "activation": "relu"}}, num_classes=5)


@pytest.fixture(scope="module")
def net(space: SearchSpace) -> Supernet:
    return lively(space)


def subnet(space: SearchSpace, start: int, kernel: int, ratio: int = 4) -> Subnet:
    """The deepest whose layers are all alike."""
    layers = len(space.layers)
    return space.subnet([kernel] * layers, [ratio] * layers, [1, 2, 4, 4], 64, start_kernels=[start] * layers)


def images(count: int = 2) -> torch.Tensor:
    return torch.randn(count, 3, 64, 64, generator=torch.Generator().manual_seed(1))


VARIANTS = [(0, 1), (0, 3), (0, 5), (3, 1), (5, 1), (3, 5), (5, 3), (5, 5)]


def test_the_blocks_are_those_of_the_paper(space: SearchSpace) -> None:
    for start, kernel in VARIANTS:
        first, second = blocks_of(space, subnet(space, start, kernel))[2:4]
        op = f"uib{start or ''}"
        assert first == Block(op, 16, 8, 32, 8, kernel, 2, "relu", False, False)
        assert second == Block(op, 8, 8, 32, 8, kernel, 1, "relu", False, True)
    assert {block.op for block in all_blocks(space, [64]) if block.mid_channels} == {"uib", "uib3", "uib5"}


def test_genes_and_sub_networks_and_units_go_round(space: SearchSpace) -> None:
    genes = space.sample(np.random.default_rng(0), 300, resolutions=[64, 96])
    subnets = space.decode(genes)
    assert np.array_equal(space.encode(subnets), genes)
    assert [space.subnet_from_dict(each.to_dict()) for each in subnets] == subnets
    assert {k for each in subnets for k in each.start_kernels} == {0, 3, 5}
    assert [len(part.rows) for part in unit_choices(space)] == [unit.configurations for unit in space.units]
    for part in unit_choices(space):
        assert np.array_equal(part.rows[part.numbers(genes)], genes[:, list(part.columns)])
    encoder = FeatureEncoder(space, [64, 96])
    assert np.array_equal(encoder.genes(encoder.training_features(genes)), genes)
    children = space.crossover(
        genes, space.mutate(genes, np.random.default_rng(1), resolutions=[64]), np.random.default_rng(2)
    )
    assert np.array_equal(space.encode(space.decode(children)), children)


def test_extracted_networks_compute_the_same_at_the_counted_cost(net: Supernet) -> None:
    space, x = net.space, images()
    chosen = [subnet(space, *variant) for variant in VARIANTS]
    chosen += space.decode(space.sample(np.random.default_rng(0), 12, resolutions=[64]))
    for each in chosen:
        plain = extract(net, each)
        with torch.no_grad():
            close(plain(x), net(x, each))
        assert sum(weight.numel() for weight in plain.parameters()) == count_params(space, each)
        assert count_macs(space, each) == sum(map(block_macs, blocks_of(space, each)))
    terms = dict(zip(TERMS, space_terms(space, [chosen[0]])[0], strict=True))  # neither of the two
    assert terms["depthwise3"] == terms["depthwise5"] == 0


def test_each_depthwise_convolution_has_its_own_kernel_matrices_and_all_learn(net: Supernet) -> None:
    for start, kernel in ((3, 3), (5, 5)):
        net(images(), subnet(net.space, start, kernel)).square().sum().backward()
    layer = net.get_submodule("unit_3_layer_2")
    assert set(layer.matrices) == {"start_5to3", "depthwise_5to3"}
    assert {name for name, weight in layer.named_parameters() if not weight.grad.abs().sum() > 0} == set()
    net.zero_grad()


def test_channels_are_sorted_and_no_supported_sub_network_changes(space: SearchSpace) -> None:
    net, x = lively(space), images()
    chosen = [subnet(space, *variant) for variant in VARIANTS]
    with torch.no_grad():
        before = [net(x, each) for each in chosen]
        sort_channels(net, [4])
        importance = net.get_submodule("unit_3_layer_2").project.conv.weight.abs().sum((0, 2, 3))
        assert (importance.diff() <= 0).all()
        for each, expected in zip(chosen, before, strict=True):
            close(net(x, each), expected)


@pytest.mark.parametrize(("start", "kernel"), [(0, 1), (5, 1), (3, 5)])
def test_trained_networks_are_stored_folded_and_exported(
    net: Supernet, tmp_path: Path, start: int, kernel: int
) -> None:
    each, x = subnet(net.space, start, kernel), images(3)
    trained_and_the_same(net, each, x, images(32), tmp_path)
