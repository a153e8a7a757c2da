"""docs/contributing/adding_a_block.md is true: the operator that it adds, by one description, works everywhere."""

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from ofa.blocks import OPERATORS, Block, all_blocks, block_index, blocks_of, operators, steps_of
from ofa.blocks.costs import block_macs, block_params, block_peak_elements, count_macs, count_params
from ofa.blocks.operator import INPUT, KINDS, Operator, Steps
from ofa.checkpoints.weights import save_checkpoint
from ofa.errors import InputError
from ofa.export.folding import TrainedWeights
from ofa.graph import Graph, RandomWeights, block_graph
from ofa.graph.torch import build_torch
from ofa.networks import Supernet, extract
from ofa.networks.elastic import ElasticKernelLayer
from ofa.networks.layers import Layer, init_weights
from ofa.networks.sorting import sort_channels
from ofa.space import SearchSpace, Subnet, Unit, checks, get_space
from ofa.space.description import to_toml
from ofa.space.unit_operators import UNIT_OPERATORS, UnitOperator
from ofa.tables import LatencyTable
from ofa.tables.lookup import LatencyLookup
from profilers import cpu
from profilers.estimating.cost_model import TERMS, cost_terms
from profilers.profiling import work
from tests.helpers.short import hasty_visits
from tests.helpers.supernets import close, lively, run_onnx, trained_and_the_same

PAGE = Path(__file__).parents[1] / "docs/contributing/adding_a_block.md"


@pytest.fixture(autouse=True)
def fused(monkeypatch: pytest.MonkeyPatch) -> Unit:
    """The operator and the unit of the page, by the page's own code."""
    description, entry, unit = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
    names = {**vars(operators), "Block": Block, "Unit": Unit}
    exec(f"{description}\nentry = {entry}\nunit = {unit}", names)
    monkeypatch.setitem(OPERATORS, "fused_mbconv", names["entry"])
    return names["unit"]


def strided() -> Block:
    return Block("fused_mbconv", 9, 8, 24, 16, 3, 2, "h_swish", False, False)


def skipping() -> Block:
    return Block("fused_mbconv", 8, 16, 48, 16, 5, 1, "relu", False, True)


@pytest.fixture
def space(fused: Unit) -> SearchSpace:
    """MobileNetV3 at a quarter of its width, its first two units of the new operator."""
    space = get_space("mbv3-w0.25", 10)
    units = [
        replace(unit, op=fused.op, squeeze_excite=fused.squeeze_excite) if u < 2 else unit
        for u, unit in enumerate(space.units)
    ]
    return replace(space, units=tuple(units))


def test_a_description_names_it_by_the_line_of_the_page(
    space: SearchSpace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (line,) = re.findall(r"^    (UnitOperator\(.*\)),$", PAGE.read_text(encoding="utf-8"), re.M)
    names: dict[str, Any] = {"UnitOperator": UnitOperator}
    exec(f"entry = {line}", names)
    entry: UnitOperator = names["entry"]
    path = tmp_path / "mine.toml"
    path.write_text(to_toml(replace(space, name="mine")))
    with pytest.raises(InputError, match=r"line 16: units\[0\].operator is 'fused_mbconv', expected one of mbconv,"):
        get_space(str(path), 10)
    monkeypatch.setitem(UNIT_OPERATORS, entry.name, entry)
    monkeypatch.setitem(checks.CHECKS, "operator", checks.one_of(tuple(UNIT_OPERATORS)))
    described = get_space(str(path), 10)
    assert list(all_blocks(described, [32])) == list(all_blocks(space, [32]))
    with pytest.raises(InputError, match=r"units\[1\].squeeze_excite is true, but fused_mbconv has only false"):
        path.write_text(path.read_text().replace("squeeze_excite = false", "squeeze_excite = true"))
        get_space(str(path), 10)


@pytest.fixture
def net(space: SearchSpace) -> Supernet:
    """All of whose tensors matter."""
    return lively(space)


def sample(space: SearchSpace, count: int) -> list[Subnet]:
    return space.decode(space.sample(np.random.default_rng(0), count, resolutions=[32]))


def images(count: int, channels: int = 3, side: int = 32) -> torch.Tensor:
    return torch.randn(count, channels, side, side, generator=torch.Generator().manual_seed(1))


def test_costs_and_terms_by_hand() -> None:
    block, skips = strided(), skipping()
    # 9 x 9 x 8 to 5 x 5 x 24 to 5 x 5 x 16
    assert block_macs(block) == 25 * 8 * 9 * 24 + 25 * 24 * 16
    assert block_params(block) == 8 * 9 * 24 + 2 * 24 + 24 * 16 + 2 * 16
    assert block_peak_elements(block) == max(81 * 8 + 25 * 24, 25 * 24 + 25 * 16)
    # the input is kept for the shortcut
    assert block_peak_elements(skips) == 64 * 16 + 64 * 48 + 64 * 16
    terms = {name: value for name, value in zip(TERMS, cost_terms(block), strict=True) if value}
    assert terms == {
        "dense": 25 * 8 * 9 * 24,
        "pointwise": 25 * 24 * 16,
        "values": 81 * 8 + 2 * 25 * 24 + 25 * 16,
        "swish": 25 * 24,
        "operators": 2,
    }


@pytest.mark.parametrize("make", [strided, skipping])
def test_its_file_computes_what_pytorchs_own_layers_compute(make: Callable[[], Block]) -> None:
    block = make()
    x = images(3, block.in_channels, block.in_size)
    random, size, act = RandomWeights(), block.kernel_size, {"h_swish": nn.Hardswish(), "relu": nn.ReLU()}
    with torch.no_grad():
        weight, bias = random("0.expand", (block.mid_channels, block.in_channels, size, size), True)
        y = nn.functional.conv2d(x, torch.from_numpy(weight), torch.from_numpy(bias), block.stride, size // 2)
        y = act[block.activation](y)
        weight, bias = random("0.project", (block.out_channels, block.mid_channels, 1, 1), True)
        y = nn.functional.conv2d(y, torch.from_numpy(weight), torch.from_numpy(bias))
        close(run_onnx(block_graph(block, batch=3), x), y + x if block.skip else y)


def test_a_block_that_it_does_not_compute_is_refused() -> None:
    with pytest.raises(InputError, match="squeeze_excite is True, but fused_mbconv has only False"):
        block_graph(replace(strided(), squeeze_excite=True))
    with pytest.raises(InputError, match="mid_channels is 0, expected at least 1 for fused_mbconv"):
        replace(strided(), mid_channels=0)


def test_a_supernet_runs_it_elastic_and_what_is_extracted_is_the_same_at_the_counted_cost(net: Supernet) -> None:
    space, x = net.space, images(2)
    assert isinstance(net.get_submodule("unit_1_layer_1"), ElasticKernelLayer)
    sizes = set()
    for subnet in sample(space, 6):
        plain = extract(net, subnet)
        sizes |= {block.kernel_size for block in plain.spec.blocks if block.op == "fused_mbconv"}
        with torch.no_grad():
            close(plain(x), net(x, subnet))
        assert sum(weight.numel() for weight in plain.parameters()) == count_params(space, subnet)
        assert count_macs(space, subnet) == sum(map(block_macs, blocks_of(space, subnet)))
    assert sizes == {3, 5, 7}


def test_every_weight_and_kernel_matrix_learns(net: Supernet) -> None:
    space = net.space
    smallest, largest = (space.subnet([k] * 20, [e] * 20, [d] * 5, 32) for k, e, d in ((3, 3, 4), (7, 6, 4)))
    for subnet in (smallest, largest):
        net(images(2), subnet).square().sum().backward()
    layer = net.get_submodule("unit_2_layer_2")
    assert {name for name, weight in layer.named_parameters() if not weight.grad.abs().sum() > 0} == set()
    assert {"matrices.7to5", "matrices.5to3"} < dict(layer.named_parameters()).keys()


def test_its_channels_are_sorted_and_no_supported_sub_network_changes(net: Supernet) -> None:
    x, subnets = images(2), [net.space.subnet([k] * 20, [6] * 20, [3] * 5, 32) for k in (3, 7)]
    layer = net.get_submodule("unit_1_layer_2")
    with torch.no_grad():
        before = [net(x, subnet) for subnet in subnets]
        sort_channels(net, [6])
        importance = layer.project.conv.weight.abs().sum((0, 2, 3))
        assert (importance.diff() <= 0).all()
        for expected, subnet in zip(before, subnets, strict=True):
            close(net(x, subnet), expected)


def test_trained_networks_are_folded_and_stored(net: Supernet, tmp_path: Path) -> None:
    subnet, x = sample(net.space, 1)[0], images(3)
    network = trained_and_the_same(net, subnet, x, images(32), tmp_path)
    for refused in (net, network):
        with pytest.raises(InputError, match=r"has nothing like unit_1_layer_1\.expand"):
            save_checkpoint(refused, tmp_path / "mit", layout="mit")
    assert not (tmp_path / "mit").exists()


def test_an_agent_times_it_and_a_table_holds_it(
    space: SearchSpace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hasty_visits(monkeypatch)
    monkeypatch.setattr(work, "get_space", lambda *_: space)
    out = tmp_path / "t.csv"
    arguments = ["--space", space.name, "--resolutions", "32", "--quick", "--limit", "5", "--out", str(out)]
    assert cpu.main(arguments) == 0
    table = LatencyTable.load(out)
    assert [row.block for row in table.rows] == list(all_blocks(space, [32])[:5])
    assert sum(row.block.op == "fused_mbconv" for row in table.rows) == 3
    full = LatencyTable(table.header, [replace(table.rows[0], block=block) for block in all_blocks(space, [32])])
    genes = space.sample(np.random.default_rng(0), 3, resolutions=[32])
    expected = [len(blocks_of(space, subnet)) * table.rows[0].latency_ms for subnet in space.decode(genes)]
    assert np.allclose(LatencyLookup(full, block_index(space, [32])).latency_ms(genes), expected)


# ---- every kind of step, in an operator each


def _separable(b: Block, s: Steps) -> None:
    y = s.conv("depthwise", INPUT, b.in_channels, b.kernel_size, b.stride, b.activation, depthwise=True)
    y = s.squeeze_excite("gate", y, 8)
    s.conv("pointwise", y, b.out_channels, activation=b.activation)


def _pooling(b: Block, s: Steps) -> None:
    pooled = s.average_pool(INPUT, shortcut=True)
    s.add(s.max_pool(INPUT), s.conv("mix", pooled, b.in_channels, shortcut=True), b.activation)


def _grouped(b: Block, s: Steps) -> None:
    y = s.shuffle(s.conv("apart", INPUT, 12, b.kernel_size, b.stride, b.activation, groups=4), 3)
    s.conv("pairs", y, b.out_channels, groups=2)


def _head(b: Block, s: Steps) -> None:
    y = s.conv("wide", INPUT, 24, b.kernel_size, activation=b.activation)
    s.linear("last", s.mix("mixed", s.global_pool(y), 40, b.activation), b.out_channels)


TOYS = (
    Operator("separable", _separable),
    Operator("pooling", _pooling),
    Operator("grouped", _grouped, groups=4),
    Operator("head", _head, one_pixel=True),
)


@pytest.fixture
def toys(monkeypatch: pytest.MonkeyPatch) -> list[Block]:
    """A block of each."""
    for operator in TOYS:
        monkeypatch.setitem(OPERATORS, operator.name, operator)
    return [
        Block("separable", 7, 8, 0, 16, 5, 2, "relu6", False, False),
        Block("pooling", 7, 8, 0, 8, 1, 2, "h_swish", False, False),
        Block("grouped", 7, 8, 0, 16, 3, 2, "relu", False, False),
        Block("head", 7, 8, 0, 10, 3, 1, "relu", False, False),
    ]


def test_costs_terms_layers_and_graphs_agree_for_every_kind_of_step(toys: list[Block]) -> None:
    blocks = [*toys, strided(), skipping()]
    assert {step.kind for block in blocks for step in steps_of(block)} == set(KINDS)
    for block in blocks:
        torch.manual_seed(0)
        layer = Layer(block, bn_eps=1e-5).eval()
        init_weights(layer)
        x = images(2, block.in_channels, block.in_size)
        graph = block_graph(block, batch=2, weights=TrainedWeights(nn.Sequential(layer)))
        with torch.no_grad():
            expected = layer(x)
            close(build_torch(graph)(x), expected)
        close(run_onnx(graph, x), expected)
        assert graph.output_shape == tuple(expected.shape)
        assert expected.shape[1:] in {(block.out_channels,), (block.out_channels, block.out_size, block.out_size)}
        assert block_params(block) == sum(weight.numel() for weight in layer.parameters())
        assert block_macs(block) == graph_macs(graph)
        terms = dict(zip(TERMS, cost_terms(block), strict=True))
        assert terms["operators"] == sum(node.op != "flatten" for node in graph.nodes)


def graph_macs(graph: Graph) -> int:
    """Of one image, node by node."""
    weights = [(node.weight, shape) for node, shape in zip(graph.nodes, graph.shapes[1:], strict=True)]
    return sum(weight.size * int(np.prod(shape[2:])) for weight, shape in weights if weight is not None)


@pytest.mark.parametrize(
    ("describe", "fault"),
    [
        (lambda s: (s.conv("a", INPUT, 8), s.conv("a", INPUT, 8)), "two layers of a block are called a"),
        (lambda s: (s.conv("a", INPUT, 8), s.linear("b", INPUT, 8, at="a")), "two layers of a block are called b"),
        (lambda s: s.add(INPUT, s.conv("a", INPUT, 16)), "add has 8 and 16 channels, expected as many"),
        (lambda s: s.conv("a", INPUT, 16, depthwise=True), "a has 8 and 16 channels, expected as many"),
        (lambda s: s.conv("a", INPUT, 9, groups=2), "a has 9 channels, expected a multiple of 2"),
        (lambda s: s.shuffle(INPUT, 3), "shuffle has 8 channels, expected a multiple of 3"),
    ],
)
def test_what_no_block_can_do_is_refused_where_it_is_described(describe: Callable[[Steps], object], fault: str) -> None:
    with pytest.raises(ValueError, match=fault):
        describe(Steps(8))
