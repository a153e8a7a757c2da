"""Trained networks as graphs: what is written computes what the extracted PyTorch module computes."""

import io
import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from ofa.checkpoints.weights import load_network
from ofa.errors import InputError
from ofa.export.folding import TrainedWeights, at_resolution, resized, trained_graph
from ofa.export.metadata import Preprocessing
from ofa.export.model_file import float_model, safetensors_model, with_metadata
from ofa.export.runtimes import runner
from ofa.networks import PlainNetwork, calibrate_bn, extract
from ofa.space import get_space

from .conftest import lively

SPACES = {
    "mbv3": get_space("mbv3-w0.35", 10),
    "proxyless": get_space("proxyless-w0.35", 10),
    "resnet": get_space("resnet50d", 10, (0.1, 0.15)),
}
# of the largest logit: what float32 rounds away, which the instructions of a processor decide (1.02e-5 with AVX2 alone)
TOLERANCE = 3e-5


@pytest.fixture(scope="module", params=sorted(SPACES))
def network(request: pytest.FixtureRequest) -> PlainNetwork:
    space = SPACES[request.param]
    net = lively(space)
    subnet = replace(space.decode(space.sample(np.random.default_rng(1), 1))[0], resolution=64)
    noise = torch.randn(32, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    return extract(net, subnet, calibrate_bn(net, subnet, [noise]))


def images(n: int, resolution: int = 64) -> np.ndarray:
    return np.random.default_rng(5).normal(size=(n, 3, resolution, resolution)).astype(np.float32)


def logits(network: nn.Module, x: np.ndarray) -> np.ndarray:
    """In double precision, so that only the model's own rounding counts."""
    with torch.no_grad():
        y = network.double()(torch.from_numpy(x).double()).numpy()
    network.float()
    return y


def error(y: np.ndarray, expected: np.ndarray) -> float:
    assert y.shape == expected.shape
    return float(np.abs(y - expected).max() / np.abs(expected).max())


@pytest.mark.parametrize("format_name", ["onnx", "tflite", "torchscript"])
@pytest.mark.parametrize("batch", [1, 3])
def test_every_format_computes_the_networks_logits(network: PlainNetwork, format_name: str, batch: int) -> None:
    x = images(5)  # no multiple of 3: the last batch is filled up
    expected = logits(network, x)
    assert expected.std(0).min() > 1e-2  # the network tells images apart
    y = runner(format_name, float_model(format_name, trained_graph(network, batch=batch)), batch)(x)
    assert error(y, expected) < TOLERANCE
    assert (y.argmax(1) == expected.argmax(1)).all()


@pytest.mark.parametrize("resolution", [75, 96])
def test_other_resolutions_than_the_networks_own(network: PlainNetwork, resolution: int) -> None:
    x = images(1, resolution)
    graph = trained_graph(network, resolution=resolution)
    assert graph.input_shape == (1, 3, resolution, resolution)
    y = runner("onnx", float_model("onnx", graph), 1)(x)
    assert error(y, logits(network, x)) < TOLERANCE


def test_the_same_logits_as_torchs_own_onnx_export(network: PlainNetwork) -> None:
    x = images(2)
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        # the exporter that needs no onnxscript says that it is the old one
        warnings.simplefilter("ignore", DeprecationWarning)
        torch.onnx.export(
            network,
            (torch.from_numpy(x),),
            buffer,
            dynamo=False,
            input_names=["input"],
            output_names=["output"],
            opset_version=17,
        )
    theirs = runner("onnx", buffer.getvalue(), 2)(x)
    ours = runner("onnx", float_model("onnx", trained_graph(network, batch=2)), 2)(x)
    assert error(ours, theirs) < 2 * TOLERANCE  # each is that close to the exact logits


def test_folding_by_hand() -> None:
    space = SPACES["mbv3"]
    net = lively(space)
    network = extract(net, space.subnet([3] * 20, [3] * 20, [2] * 5, 64))
    stem = network.get_submodule("stem")
    bn = stem.bn
    factor = (bn.weight / torch.sqrt(bn.running_var + 1e-5)).detach().numpy()
    weight, bias = TrainedWeights(network)("0.conv", tuple(stem.conv.weight.shape), True)
    np.testing.assert_allclose(weight, stem.conv.weight.detach().numpy() * factor[:, None, None, None], rtol=1e-6)
    expected = bn.bias.detach().numpy() - bn.running_mean.numpy() * factor
    np.testing.assert_allclose(bias, expected, rtol=1e-5, atol=1e-7)
    assert weight.dtype == bias.dtype == np.float32


def test_a_negative_variance_is_named() -> None:
    space = SPACES["mbv3"]
    network = extract(lively(space), space.subnet([3] * 20, [3] * 20, [2] * 5, 64))
    network.get_submodule("unit_2_layer_1.depthwise.bn").running_var[3] = -2
    with pytest.raises(InputError, match=r"unit_2_layer_1\.depthwise: weights are not finite"):
        trained_graph(network)


def test_resized_blocks_are_those_of_the_sub_network_at_that_resolution(network: PlainNetwork) -> None:
    space = next(s for s in SPACES.values() if s.family == network.spec.family)
    there = extract(lively(space), replace(network.spec.subnet, resolution=75))
    assert resized(network.spec.blocks, 75) == there.spec.blocks
    moved = at_resolution(network, 75)
    assert moved.spec.layers == there.spec.layers
    assert moved.spec.subnet == there.spec.subnet
    assert moved.spec.calibrated == network.spec.calibrated
    assert at_resolution(network, 64) is network


def test_safetensors_keep_the_network(network: PlainNetwork, tmp_path: Path) -> None:
    path = tmp_path / "network.safetensors"
    path.write_bytes(safetensors_model(network, {"labels": "a\nb", **Preprocessing(64).to_dict()}))
    loaded = load_network(path)
    assert loaded.spec == network.spec
    given, kept = network.state_dict(), loaded.state_dict()
    assert given.keys() == kept.keys()
    assert all(torch.equal(kept[name], given[name]) for name in given)


@pytest.mark.parametrize("format_name", ["onnx", "tflite"])
def test_metadata_does_not_change_what_a_model_computes(network: PlainNetwork, format_name: str) -> None:
    x = images(1)
    plain = float_model(format_name, trained_graph(network))
    marked = with_metadata(
        format_name, with_metadata(format_name, plain, {"labels": "a"}), {"labels": "b", "mean": "c"}
    )
    assert b"labels" in marked
    np.testing.assert_array_equal(runner(format_name, plain, 1)(x), runner(format_name, marked, 1)(x))
