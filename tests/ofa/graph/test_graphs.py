"""Block graphs: every runtime computes what PyTorch's own layers compute."""

import hashlib

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ofa.blocks import ACTIVATIONS, OPERATORS, Block, all_blocks, blocks_of
from ofa.errors import InputError
from ofa.graph import RandomWeights, block_graph, network_graph
from ofa.space import get_space
from tests.ofa.graph.layers import BLOCKS, RUNTIMES, TOLERANCE, ByHand, error, images, run_litert, run_onnx, run_torch


@pytest.mark.parametrize("runtime", RUNTIMES)
@pytest.mark.parametrize("block", BLOCKS, ids=str)
@pytest.mark.parametrize("batch", [1, 3])
def test_every_op_in_every_runtime(block: Block, runtime: str, batch: int) -> None:
    graph = block_graph(block, batch=batch)
    # all negative for the poolings: padding with zeros would win there
    x = -np.abs(images(graph)) if block.op == "max_pool" else images(graph)
    with torch.no_grad():
        expected = ByHand(block)(torch.from_numpy(x)).numpy()
    assert graph.output_shape == expected.shape
    assert error(RUNTIMES[runtime](graph, x), expected) < TOLERANCE


@st.composite
def valid_blocks(draw: st.DrawFn) -> Block:
    """Any block that a graph computes."""
    op = draw(st.sampled_from(list(OPERATORS)))
    size = 1 if op == "linear" else draw(st.integers(1, 13))
    inside, out = draw(st.sampled_from([4 if op == "uib_g2" else 3, 8, 16])), draw(st.sampled_from([8, 16]))
    if op in ("max_pool", "global_pool"):
        kernel, stride = (3, 2) if op == "max_pool" else (1, 1)
        return Block(op, size, inside, 0, inside, kernel, stride, "none", False, False)
    activation = "none" if op == "linear" else draw(st.sampled_from(ACTIVATIONS))
    if op in ("feature_mix", "feature_mix_bias", "linear"):
        return Block(op, size, inside, 0, out, 1, 1, activation, False, False)
    mid = 0 if op in ("conv", "basic", "separable_conv") else draw(st.sampled_from([inside, 8, 24]))
    kernel, stride = draw(st.sampled_from([1, 3, 5, 7])), draw(st.sampled_from([1, 2]))
    skip = stride == 1 and inside == out and draw(st.booleans())
    squeeze_excite = op == "mbconv_se_in" or (op == "mbconv" and draw(st.booleans()))
    return Block(op, size, inside, mid, out, kernel, stride, activation, squeeze_excite, skip)


@settings(max_examples=100, deadline=None, derandomize=True)
@given(block=valid_blocks(), seed=st.integers(0, 1000))
def test_any_valid_block_is_the_same_in_onnx_tflite_and_torch(block: Block, seed: int) -> None:
    graph = block_graph(block)
    x = images(graph, seed)
    with torch.no_grad():
        expected = ByHand(block)(torch.from_numpy(x)).numpy()
    assert graph.output_shape == expected.shape
    for run in (run_torch, run_onnx, run_litert):
        assert error(run(graph, x), expected) < TOLERANCE


@pytest.mark.parametrize(
    ("block", "field"),
    [
        (Block("conv", 8, 8, 0, 8, 3, 1, "relu", True, False), "squeeze_excite"),
        (Block("bottleneck", 8, 8, 8, 8, 3, 1, "relu", True, True), "squeeze_excite"),
        (Block("mbconv_se_in", 8, 8, 8, 8, 3, 1, "relu", False, True), "squeeze_excite"),
        (Block("feature_mix", 8, 8, 0, 16, 3, 1, "relu", False, False), "kernel_size"),
        (Block("feature_mix", 8, 8, 0, 8, 1, 1, "relu", False, True), "skip"),
        (Block("max_pool", 8, 8, 0, 8, 5, 2, "none", False, False), "kernel_size"),
        (Block("max_pool", 8, 8, 0, 8, 3, 1, "none", False, False), "stride"),
        (Block("max_pool", 8, 8, 0, 16, 3, 2, "none", False, False), "out_channels"),
        (Block("global_pool", 8, 8, 0, 16, 1, 1, "none", False, False), "out_channels"),
        (Block("global_pool", 8, 8, 0, 8, 1, 1, "relu", False, False), "activation"),
        (Block("linear", 7, 8, 0, 10, 1, 1, "none", False, False), "in_size"),
        (Block("linear", 1, 8, 0, 10, 1, 1, "relu", False, False), "activation"),
    ],
    ids=str,
)
def test_a_block_that_claims_what_no_op_computes_is_refused(block: Block, field: str) -> None:
    with pytest.raises(InputError, match=f"{field} is .*, but {block.op} has only "):
        block_graph(block)


@pytest.mark.parametrize("runtime", ["onnxruntime", "ai-edge-litert", "tflite-runtime"])
@pytest.mark.parametrize(("name", "resolution"), [("mbv3-w1.0", 100), ("proxyless-w1.3", 96), ("resnet50d", 100)])
def test_whole_networks(name: str, resolution: int, runtime: str) -> None:
    space = get_space(name)
    subnet = space.decode(space.sample(np.random.default_rng(0), 1, resolutions=[resolution]))[0]
    graph = network_graph(blocks_of(space, subnet))
    assert graph.output_shape == (1, 1000)
    x = images(graph)
    assert error(RUNTIMES[runtime](graph, x), run_torch(graph, x)) < TOLERANCE


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("mbv3-w0.25", "b4810d8986ae22b5"),
        ("proxyless-w0.25", "d45b03abc75adb47"),
        ("resnet50d", "db4a6c7c94cc4b50"),
    ],
)
def test_blocks_are_the_graphs_that_tables_were_measured_with(name: str, expected: str) -> None:
    """Their nodes, shapes and layers' names, from which random weights are drawn."""
    digest = hashlib.sha256()

    def weights(layer: str, shape: tuple[int, ...], bias: bool) -> tuple[np.ndarray, np.ndarray | None]:
        digest.update(repr((layer, shape, bias)).encode())
        return np.zeros(shape, np.float32), np.zeros(shape[:1], np.float32) if bias else None

    for block in all_blocks(get_space(name, 10, (0.1, 0.2) if name == "resnet50d" else None), (75,)):
        graph = block_graph(block, weights=weights)
        nodes = [(node.op, node.inputs, node.stride, node.groups, node.activation) for node in graph.nodes]
        digest.update(repr((nodes, graph.shapes)).encode())
    assert digest.hexdigest()[:16] == expected


def test_activations_of_deep_networks_stay_finite_and_alive() -> None:
    space = get_space("mbv3-w1.0")
    graph = network_graph(blocks_of(space, space.subnet([7] * 20, [6] * 20, [4] * 5, 64)))
    y = run_torch(graph, images(graph))
    assert np.isfinite(y).all()
    assert 0.1 < np.abs(y).mean() < 1e4


def test_blocks_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ValueError, match="does not fit on a tensor of shape"):
        network_graph([BLOCKS[0], BLOCKS[0]])


def test_trained_weights_take_the_place_of_random_ones() -> None:
    asked: dict[str, tuple[int, ...]] = {}

    def ones(layer: str, shape: tuple[int, ...], bias: bool) -> tuple[np.ndarray, np.ndarray | None]:
        asked[layer] = shape
        return np.ones(shape, np.float32), np.zeros(shape[0], np.float32) if bias else None

    graph = network_graph([Block("mbconv", 4, 8, 24, 8, 3, 1, "relu", True, False)], weights=ones)
    assert asked == {
        "0.expand": (24, 8, 1, 1),
        "0.depthwise": (24, 1, 3, 3),
        "0.se_reduce": (8, 24, 1, 1),
        "0.se_expand": (24, 8, 1, 1),
        "0.project": (8, 24, 1, 1),
    }
    assert run_torch(graph, np.ones(graph.input_shape, np.float32))[0, 0, 1, 1] == 24 * 8 * 9


def test_layers_of_a_network_are_called_by_the_position_of_their_block() -> None:
    asked: list[str] = []

    def spy(layer: str, shape: tuple[int, ...], bias: bool) -> tuple[np.ndarray, np.ndarray | None]:
        asked.append(layer)
        return RandomWeights(0)(layer, shape, bias)

    conv = Block("conv", 4, 8, 0, 8, 3, 1, "relu", False, True)
    pool = Block("global_pool", 4, 8, 0, 8, 1, 1, "none", False, False)
    linear = Block("linear", 1, 8, 0, 10, 1, 1, "none", False, False)
    network_graph([conv, conv, pool, linear], weights=spy)
    assert asked == ["0.conv", "1.conv", "3.linear"]


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_max_pooling_is_right_after_layers_that_can_be_negative(activation: str) -> None:
    conv = Block("conv", 8, 3, 0, 8, 3, 1, activation, False, False)

    def negative(layer: str, shape: tuple[int, ...], bias: bool) -> tuple[np.ndarray, np.ndarray | None]:
        return RandomWeights(0)(layer, shape, bias)[0] / 100, np.full(shape[0], -1, np.float32)

    graph = network_graph([conv, Block("max_pool", 8, 8, 0, 8, 3, 2, "none", False, False)], weights=negative)
    x = images(graph)
    assert np.abs(run_litert(graph, x) - run_torch(graph, x)).max() < TOLERANCE
