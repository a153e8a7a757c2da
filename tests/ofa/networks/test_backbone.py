"""Sub-networks as backbones: feature maps as torchvision's detection and segmentation models take them."""

import importlib
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from ofa.blocks import Block
from ofa.errors import InputError
from ofa.images.pixels.torchvision_import import import_transforms
from ofa.networks import Backbone, NetworkSpec, build_plain, build_supernet, calibrate_bn, extract
from ofa.space import get_space

ROOT = Path(__file__).resolve().parents[3]


@pytest.mark.parametrize(
    ("name", "channels"),
    [
        ("mbv3-w0.35", (8, 16, 40, 56)),
        ("proxyless-w0.3", (8, 16, 32, 96)),
        ("resnet50d", None),
    ],
)
def test_maps_are_the_outputs_of_the_last_block_of_each_size(name: str, channels: tuple[int, ...] | None) -> None:
    torch.manual_seed(0)
    space = get_space(name, 10)
    net = build_supernet(space).eval()
    (subnet,) = space.decode(space.sample(np.random.default_rng(1), 1, resolutions=[64]))
    images = torch.rand(2, 3, 75, 96)
    statistics = calibrate_bn(net, subnet, [torch.rand(8, 3, 64, 64)])
    network = extract(net, subnet, statistics)
    backbone = extract(net, subnet, statistics, features=True)
    seen: dict[str, torch.Tensor] = {}
    for layer, module in network.named_children():
        module.register_forward_hook(lambda _, __, y, layer=layer: seen.__setitem__(layer, y.clone()))
    with torch.no_grad():
        maps = backbone(images)
        network(images)
    assert list(maps) == ["0", "1", "2", "3"]
    assert backbone.strides == (4, 8, 16, 32)
    assert [y.shape[1] for y in maps.values()] == list(backbone.channels)
    assert channels is None or backbone.channels == channels
    assert [tuple(y.shape[2:]) for y in maps.values()] == [(-(-75 // s), 96 // s) for s in backbone.strides]
    for layer, key in backbone.names.items():
        assert torch.equal(maps[key], seen[layer])
    # the head is of classes: none of its layers is left, and no block before it is missing
    left_out = [layer for layer, _ in network.named_children() if layer not in dict(backbone.named_children())]
    assert left_out[0] == {"mbv3-w0.35": "final_expand", "proxyless-w0.3": "feature_mix"}.get(name, "global_pool")
    assert backbone.out_channels == backbone.channels[-1]


def test_the_documented_example_gives_torchvisions_pyramid() -> None:
    import_transforms()
    text = (ROOT / "docs" / "networks.md").read_text(encoding="utf-8")
    (code,) = [code for code in re.findall(r"```python\n(.*?)```", text, re.DOTALL) if "features=True" in code]
    assert len([line for line in code.splitlines() if line.strip()]) == 9
    names: dict[str, Any] = {}
    exec(code, names)
    assert list(names["maps"]) == ["0", "1", "2", "3"]


def test_torchvisions_segmentation_head_and_training_take_it() -> None:
    import_transforms()
    fpn = importlib.import_module("torchvision.ops").FeaturePyramidNetwork
    space = get_space("mbv3-w0.35", 10)
    net = build_supernet(space)
    backbone = extract(net, space.subnet([3] * 20, [3] * 20, [2] * 5, 64), features=True).train()
    assert backbone.training and all(layer.training for layer in backbone.children())
    pyramid = fpn(list(backbone.channels), 16)
    sum(y.square().mean() for y in pyramid(backbone(torch.rand(2, 3, 64, 64))).values()).backward()
    without = [name for name, weight in backbone.named_parameters() if weight.grad is None]
    assert without == []


def test_a_network_of_ones_own_is_a_backbone_too_and_shares_its_layers() -> None:
    blocks = [
        Block("conv", 64, 3, 0, 8, 3, 2, "relu", False, False),
        Block("conv", 32, 8, 0, 16, 3, 2, "relu", False, False),
        Block("global_pool", 16, 16, 0, 16, 1, 1, "none", False, False),
        Block("linear", 1, 16, 0, 10, 1, 1, "none", False, False),
    ]
    names = [f"layer_{i}" for i in range(4)]
    network = build_plain(NetworkSpec("mobilenet_v3", tuple(zip(names, blocks, strict=True)), 1e-5))
    backbone = Backbone(network)
    assert (backbone.strides, backbone.channels, list(dict(backbone.named_children()))) == ((4,), (16,), names[:2])
    assert backbone.get_submodule("layer_1") is network.get_submodule("layer_1")
    short = NetworkSpec("mobilenet_v3", tuple(zip(names[:1] + names[2:], shortened(blocks), strict=True)), 1e-5)
    with pytest.raises(InputError, match="no feature map has a stride of 4 or more"):
        Backbone(build_plain(short))


def shortened(blocks: list[Block]) -> list[Block]:
    """Without the second block."""
    pool = Block("global_pool", 32, 8, 0, 8, 1, 1, "none", False, False)
    return [blocks[0], pool, Block("linear", 1, 8, 0, 10, 1, 1, "none", False, False)]
