"""Examples: a supernet takes steps of each stage of its training, and its sub-networks become model files."""

from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch

from ofa.blocks import blocks_of
from ofa.blocks.costs import count_params
from ofa.export.folding import trained_graph
from ofa.graph.onnx import write_onnx
from ofa.networks import build_supernet, calibrate_bn, extract
from ofa.networks.sorting import sort_channels
from ofa.space import SearchSpace, get_space
from ofa.space.described import described_space
from ofa.space.description import describe
from ofa.training.draws import Draws
from ofa.training.precision import Precision
from ofa.training.recipe import shrinking
from ofa.training.step import SupernetStep, supernet_run

EXAMPLES = Path(__file__).parents[3] / "examples"
IMAGES = 10
PRECISION = Precision("fp32", torch.device("cpu"))


def narrow(name: str) -> SearchSpace:
    """The example at a tenth of its width."""
    content = describe(get_space(str(EXAMPLES / f"{name}.toml"), 3))
    parts = [content[key] for key in ("stem", "first_block", "head") if key in content] + content["units"]
    for part in parts:
        for key in ("channels", "expand", "mix"):
            if key in part:
                part[key] = [8 * (1 + part[key][0] // 80)]
    return described_space(content, num_classes=3)


@pytest.mark.parametrize("name", ["mnasnet", "mobilenet_v4", "accel_nasbench"])
def test_an_example_is_trained_and_exported(name: str) -> None:
    space = narrow(name)
    torch.manual_seed(0)
    net = build_supernet(space, dropout=0.0)
    rng = torch.Generator().manual_seed(0)
    images, labels = torch.randn(IMAGES, 3, 32, 32, generator=rng), torch.arange(IMAGES) % 3
    learnt: set[str] = set()
    supported = list(space.expand_choices[-1:])
    for stage in shrinking(space):
        sort_channels(net, supported)
        supported = list(stage.supported(space)[0])
        step = SupernetStep(supernet_run(net), stage, Draws(space, stage, (32,), seed=0), PRECISION)
        result = step(images, labels, 0)
        assert result.losses.isfinite().all(), stage.name
        learnt |= {key for key, weight in net.named_parameters() if weight.grad is not None}
        with torch.no_grad():
            for weight in net.parameters():
                if weight.grad is not None:
                    weight -= 1e-3 * weight.grad
                    weight.grad = None
    unused = {key for key, _ in net.named_parameters()} - learnt
    assert not [key for key in unused if ".matrices." not in key], "the first stage has every weight but those"
    subnet = space.decode(space.sample(np.random.default_rng(1), 1, resolutions=[32]))[0]
    network = extract(net.eval(), subnet, calibrate_bn(net, subnet, [images]))
    assert network.spec.blocks == tuple(blocks_of(space, subnet))
    assert sum(weight.numel() for weight in network.parameters()) == count_params(space, subnet)
    model = write_onnx(trained_graph(network, batch=IMAGES))
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    with torch.no_grad():
        expected = network(images).numpy()
    (found,) = session.run(["output"], {"input": images.numpy()})
    assert np.abs(found - expected).max() < 1e-4 * np.abs(expected).max()
    assert extract(net, subnet, features=True).strides == (4, 8, 16, 32)
