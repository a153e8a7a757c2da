"""Squeeze-and-excite as a choice of each layer: blocks, genes, layers, sorting, files, predictors and search."""

import itertools
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from ofa.blocks import all_blocks, block_index, blocks_of
from ofa.blocks.costs import count_params
from ofa.blocks.extremes import cheapest
from ofa.errors import InputError
from ofa.networks import Supernet, extract
from ofa.networks.sorting import sort_channels
from ofa.predictors.encoder import FeatureEncoder
from ofa.predictors.subnet_accuracies import read_accuracies_csv
from ofa.search.exact.chain import UnitCosts, make_chains
from ofa.search.exact.fronts import ChainFronts
from ofa.space import SearchSpace, Subnet, get_space
from ofa.space.description import describe, first_difference, space_sha256, to_toml
from ofa.space.unit_choices import unit_choices
from ofa.tables.network_times import read_networks, write_networks
from ofa.training.recipe import shrinking
from tests.helpers.supernets import close, lively, trained_and_the_same
from tests.ofa.search.exact.spaces import block_costs, every_network

SPACE = """\
name = "gated"
activation = "relu"
expand_ratios = [1, 4, 6]

[stem]
channels = 8

[[units]]
channels = 16
stride = 2
activation = "h_swish"
squeeze_excite = [true, false]
kernel_sizes = [3, 5]
depths = [1, 2]

[[units]]
channels = 24
stride = 2
operator = "mbconv_se_in"
squeeze_excite = [false, true]
depths = [2]

[[units]]
channels = 32
stride = 2
operator = "uib"
start_kernels = [0, 3]
depths = [1]

[[units]]
channels = 40
stride = 2
squeeze_excite = true
depths = [1]
"""
GATES = [(0, 0, 0, 0, 0, 1), (1, 0, 0, 1, 0, 1), (0, 1, 1, 0, 0, 1), (1, 1, 1, 1, 0, 1)]


@pytest.fixture(scope="module")
def space(tmp_path_factory: pytest.TempPathFactory) -> SearchSpace:
    path = tmp_path_factory.mktemp("space") / "gated.toml"
    path.write_text(SPACE)
    return get_space(str(path), 5)


@pytest.fixture(scope="module")
def net(space: SearchSpace) -> Supernet:
    return lively(space)


def subnet(space: SearchSpace, gates: tuple[int, ...], ratio: int = 6) -> Subnet:
    return space.subnet([3] * 6, [ratio] * 6, [2, 2, 1, 1], 64, start_kernels=[0] * 6, squeeze_excites=gates)


def images(count: int = 2) -> torch.Tensor:
    return torch.randn(count, 3, 64, 64, generator=torch.Generator().manual_seed(1))


def test_each_layer_has_the_block_that_it_chose(space: SearchSpace) -> None:
    assert [str(block) for block in blocks_of(space, subnet(space, (1, 0, 0, 1, 0, 1)))] == [
        "conv 64x64x3>8 k3 s2 relu",
        "mbconv 32x32x8>48>16 k3 s2 h_swish se",
        "mbconv 16x16x16>96>16 k3 s1 h_swish skip",
        "mbconv 16x16x16>96>24 k3 s2 relu",
        "mbconv_se_in 8x8x24>144>24 k3 s1 relu se skip",
        "uib 8x8x24>144>32 k3 s2 relu",
        "mbconv 4x4x32>192>40 k3 s2 relu se",
        "global_pool 2x2x40>40 k1 s1 none",
        "linear 1x1x40>5 k1 s1 none",
    ]
    measured = set(all_blocks(space, [64]))
    for of in (("mbconv", True, "h_swish"), ("mbconv", False, "h_swish"), ("mbconv_se_in", True, "relu")):
        assert {of} <= {(block.op, block.squeeze_excite, block.activation) for block in measured}
    # 2 + 1 layers of 3 ratios, 2 kernels and both; layers of equal shape are one block
    assert sum(block.activation == "h_swish" for block in measured) == 2 * 3 * 2 * 2
    with pytest.raises(InputError, match=r"squeeze_excites\[5\] is 0, expected one of 1 \(gated\)"):
        subnet(space, (1, 0, 0, 1, 0, 0))
    with pytest.raises(InputError, match="squeeze_excites has 0 values, expected 6 for gated"):
        subnet(space, ())


def test_genes_sub_networks_and_units_go_round(space: SearchSpace) -> None:
    genes = space.sample(np.random.default_rng(0), 300, resolutions=[64, 96])
    subnets = space.decode(genes)
    assert np.array_equal(space.encode(subnets), genes)
    assert [space.subnet_from_dict(each.to_dict()) for each in subnets] == subnets
    assert {each.squeeze_excites for each in subnets} >= {(1, 0, 1, 0, 0, 1), (0, 0, 0, 0, 0, 1), (0, 1, 0, 1, 0, 1)}
    assert space.count() == (12 + 144) * 6**2 * 6 * 3
    assert [len(part.rows) for part in unit_choices(space)] == [unit.configurations for unit in space.units]
    for part in unit_choices(space):
        assert np.array_equal(part.rows[part.numbers(genes)], genes[:, list(part.columns)])
    encoder = FeatureEncoder(space, [64, 96])
    assert np.array_equal(encoder.genes(encoder.training_features(genes)), genes)
    mutated = space.mutate(genes, np.random.default_rng(1), resolutions=[64])
    children = space.crossover(genes, mutated, np.random.default_rng(2))
    assert np.array_equal(space.encode(space.decode(children)), children)
    gates = space.columns("squeeze_excites")
    assert (mutated[:, gates] != genes[:, gates]).any()
    index = block_index(space, [64])
    costs = np.array([float(block.squeeze_excite) for block in index.blocks])
    assert cheapest(index, costs)[1] == 1
    assert cheapest(index, -costs)[0][0, gates].tolist()[:4] == [1, 1, 1, 1]


def test_the_description_goes_round_and_its_hash_knows_the_choice(space: SearchSpace, tmp_path: Path) -> None:
    path = tmp_path / "again.toml"
    path.write_text(to_toml(space))
    again = get_space(str(path), 5)
    assert (again, space_sha256(again), describe(again)) == (space, space_sha256(space), describe(space))
    path.write_text(SPACE.replace("[true, false]", "true"))
    fixed = get_space(str(path), 5)
    assert first_difference(fixed, space) == ("units[0].squeeze_excite", "true", "[false, true]")
    assert space_sha256(fixed) != space_sha256(space)
    path.write_text(SPACE.replace("[true, false]", "[true]"))
    assert get_space(str(path), 5) == fixed


def test_extracted_networks_compute_the_same_at_the_counted_cost(net: Supernet) -> None:
    space, x = net.space, images()
    chosen = [subnet(space, gates) for gates in GATES]
    chosen += space.decode(space.sample(np.random.default_rng(0), 12, resolutions=[64]))
    for each in chosen:
        plain = extract(net, each)
        with torch.no_grad():
            close(plain(x), net(x, each))
        assert sum(weight.numel() for weight in plain.parameters()) == count_params(space, each)
    with torch.no_grad():
        outputs = [net(x, each) for each in chosen[:4]]
    assert all(not torch.allclose(a, b) for a, b in itertools.pairwise(outputs))


def test_gates_learn_where_they_are_and_only_there(net: Supernet) -> None:
    net(images(), subnet(net.space, (0, 1, 1, 0, 0, 1))).square().sum().backward()
    learnt = {
        name.split(".")[0] for name, weight in net.named_parameters() if ".se." in name and weight.grad is not None
    }
    assert learnt == {"unit_1_layer_2", "unit_2_layer_1", "unit_4_layer_1"}
    net.zero_grad()


@pytest.mark.parametrize("supported", [[6], [4, 6], [1, 4, 6]])
def test_channels_are_sorted_and_no_supported_sub_network_changes(space: SearchSpace, supported: list[int]) -> None:
    net, x = lively(space), images()
    chosen = [subnet(space, gates, ratio) for gates in GATES for ratio in supported]
    with torch.no_grad():
        before = [net(x, each) for each in chosen]
        weights = net.get_submodule("unit_1_layer_2").project.conv.weight.clone()
        sort_channels(net, supported)
        assert not torch.equal(net.get_submodule("unit_1_layer_2").project.conv.weight, weights)
        for each, expected in zip(chosen, before, strict=True):
            close(net(x, each), expected)


@pytest.mark.parametrize("gates", GATES[:3])
def test_trained_networks_are_stored_folded_and_exported(net: Supernet, tmp_path: Path, gates: tuple[int, ...]) -> None:
    each, x = subnet(net.space, gates), images(3)
    trained_and_the_same(net, each, x, images(32), tmp_path)


def test_progressive_shrinking_begins_with_it_and_learns_without_it_with_the_kernel_sizes(space: SearchSpace) -> None:
    def drawn(stage: int) -> set[tuple[int, ...]]:
        genes = shrinking(space)[stage].draw(space, np.random.default_rng(0), 200, [64])
        return {each.squeeze_excites for each in space.decode(genes)}

    assert [stage.name for stage in shrinking(space)][:2] == ["largest", "kernel"]
    assert drawn(0) == {(1, 1, 1, 1, 0, 1)}
    assert len(drawn(1)) == 16


def test_files_of_networks_and_accuracies_list_it(space: SearchSpace, tmp_path: Path) -> None:
    subnets = space.decode(np.unique(space.sample(np.random.default_rng(0), 300, resolutions=[64]), axis=0))
    path = tmp_path / "networks.csv"
    networks = [(space.name, each) for each in subnets]
    write_networks(path, {"device": "x"}, networks, {"latency_ms": ["7"] * len(subnets)}, spaces=[space])
    assert read_networks(path).networks == tuple(networks)
    lists = ("depths", "kernel_sizes", "expand_ratios", "start_kernels", "squeeze_excites")
    lines = [",".join(["64", *(" ".join(map(str, getattr(each, f))) for f in lists), "70.5"]) for each in subnets]
    path.write_text("\n".join([f"resolution,{','.join(lists)},top1", *lines]) + "\n")
    (toml := tmp_path / "gated.toml").write_text(SPACE)
    assert space.decode(read_accuracies_csv(path, str(toml)).genes) == subnets
    path.write_text(path.read_text().replace(",squeeze_excites", ",gates"))
    with pytest.raises(InputError, match="no column squeeze_excites"):
        read_accuracies_csv(path, str(toml))


def test_the_exact_search_finds_the_best_of_every_network(space: SearchSpace) -> None:
    rng = np.random.default_rng(3)
    index = block_index(replace(space, units=space.units[:2]), (64, 96))
    costs = block_costs(index, rng, corrected=True, extra=0)
    scores = [(0, [rng.integers(0, 100_000, len(part.rows)) for part in unit_choices(index.space)]) for _ in range(2)]
    networks = every_network(index, costs, scores)
    assert len(networks) == index.space.count(resolutions=2) == 2 * (12 + 144) * 36
    for chain in make_chains(UnitCosts(index), costs, scores):
        limits = np.quantile(networks.costs[:, 0], np.linspace(0, 1, 9)).astype(np.int64)
        _, found = ChainFronts(chain).best(limits)
        here = networks.resolution == chain.resolution
        fits = [here & (networks.costs[:, 0] <= limit) for limit in limits]
        expected = [networks.score[rows].max() if rows.any() else np.iinfo(np.int64).min for rows in fits]
        assert found.tolist() == expected
