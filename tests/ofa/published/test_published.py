"""Published networks: what torchvision, timm and their authors count, and what torchvision's networks compute."""

import csv
import importlib
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from ofa.errors import InputError
from ofa.export.folding import _folded
from ofa.graph import network_graph
from ofa.graph.torch import build_torch
from ofa.images.pixels.torchvision_import import import_transforms
from ofa.published import NAMED, PUBLISHED, get_published, published_resolutions, published_top1
from ofa.published.accuracies import RECIPES, all_published
from ofa.published.more import ALIASES

# by our names
TORCHVISION = {
    "mobilenet_v2": "mobilenet_v2",
    "mobilenet_v3_small": "mobilenet_v3_small",
    "mobilenet_v3_large": "mobilenet_v3_large",
    "mnasnet_b1": "mnasnet1_0",
    "efficientnet_b0": "efficientnet_b0",
    "resnet18": "resnet18",
    "resnet50": "resnet50",
}
# MACs at 224 and at 225 px, parameters: counted as below in timm 1.0.31's networks of the names that `source` tells
TIMM = {
    "mobilenet_v4_conv_small": (186005568, 212097056, 3774024),
    "mobilenet_v4_conv_medium": (827649984, 966387792, 9715512),
    "mnasnet_a1": (311579072, 358214744, 3887038),
    "efficientnet_lite0": (385187552, 448870208, 4652008),
    "fbnet_c": (384960160, 452125264, 5572200),
}
MORE_OF_TIMM = {
    "mobilenet_v1": (568740352, 644580288, 4231976),
    "mobilenet_v4_conv_large": (2171341312, 2675803384, 32590864),
    "mnasnet_small": (68339184, 80377368, 2030264),
    "spnasnet": (333467072, 390740792, 4421616),
    "efficientnet_lite1": (502467680, 582786752, 5416680),
}


def torchvision_network(name: str) -> nn.Module:
    import_transforms()
    make: Callable[..., nn.Module] = getattr(importlib.import_module("torchvision.models"), TORCHVISION[name])
    return make(weights=None).eval()


def layers_run(network: nn.Module, x: torch.Tensor) -> tuple[list[tuple[str, Any, torch.Tensor]], torch.Tensor]:
    """Every layer with weights, in the order in which it ran, with its name and output; and the network's output."""
    ran: list[tuple[str, Any, torch.Tensor]] = []
    hooks = [
        module.register_forward_hook(lambda m, _, y, name=name: ran.append((name, m, y)))
        for name, module in network.named_modules()
        if isinstance(module, nn.Conv2d | nn.BatchNorm2d | nn.Linear)
    ]
    with torch.no_grad():
        y = network(x)
    for hook in hooks:
        hook.remove()
    return ran, y


def counts(network: nn.Module, resolution: int) -> tuple[int, int]:
    """Multiply-accumulates of convolutions and linear layers; parameters."""
    ran, _ = layers_run(network, torch.zeros(1, 3, resolution, resolution, device="meta"))
    macs = sum(m.weight.numel() * y[0, 0].numel() for _, m, y in ran if isinstance(m, nn.Conv2d))
    macs += sum(m.weight.numel() for _, m, _ in ran if isinstance(m, nn.Linear))
    return macs, sum(weight.numel() for weight in network.parameters())


@pytest.mark.parametrize("name", TORCHVISION)
def test_torchvision_counts_the_same(name: str) -> None:
    ours = PUBLISHED[name]
    with torch.device("meta"):
        network = torchvision_network(name)
    for resolution in (224, 225):
        assert (ours.macs(resolution), ours.params) == counts(network, resolution)


def test_timm_counts_the_same_where_torchvision_has_none() -> None:
    assert {name: (PUBLISHED[name].macs(224), PUBLISHED[name].macs(225), PUBLISHED[name].params) for name in TIMM} == (
        TIMM
    )


def test_the_authors_of_proxylessnas_count_the_same() -> None:
    # logs/imagenet_mobile_log.txt of mit-han-lab/proxylessnas: 320.4M, 4.08M; pytorchcv: 4,080,512 parameters
    ours = PUBLISHED["proxylessnas_mobile"]
    assert (round(ours.macs() / 1e6, 1), ours.params) == (320.4, 4_080_512)
    assert {*TORCHVISION, *TIMM, ours.name} == set(PUBLISHED)


@pytest.mark.parametrize("name", TORCHVISION)
def test_it_computes_what_torchvisions_network_computes(name: str) -> None:
    torch.manual_seed(0)
    network = torchvision_network(name)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            for values, low, high in ((module.running_mean, -0.1, 0.1), (module.running_var, 0.5, 1.5)):
                assert values is not None
                values.uniform_(low, high)
            nn.init.uniform_(module.weight, 0.8, 1.2)
            nn.init.uniform_(module.bias, -0.1, 0.1)
    resolution = 65
    x = torch.randn(2, 3, resolution, resolution)
    ran, expected = layers_run(network, x)
    main, shortcuts = ([run for run in ran if ("downsample" in run[0]) == which] for which in (False, True))

    def weights(layer: str, shape: tuple[int, ...], bias: bool) -> tuple[np.ndarray, np.ndarray | None]:
        queue = shortcuts if layer.endswith("downsample") else main
        _, source, _ = queue.pop(0)
        if queue and isinstance(queue[0][1], nn.BatchNorm2d):
            return _folded(source, queue.pop(0)[1])
        assert bias == (source.bias is not None)
        return source.weight.detach().numpy().reshape(shape), source.bias.detach().numpy() if bias else None

    graph = network_graph(PUBLISHED[name].blocks(resolution), batch=2, weights=weights)
    assert not main and not shortcuts
    with torch.no_grad():
        y = build_torch(graph)(x)
    assert float((y - expected).abs().max()) < 1e-4 * float(expected.abs().max())


def test_networks_are_sized_for_other_images_and_classes() -> None:
    for network in PUBLISHED.values():
        blocks = network.blocks(32, 10)
        assert (blocks[0].in_size, blocks[0].in_channels, blocks[-1].out_channels) == (32, 3, 10)
        assert network_graph(blocks).output_shape == (1, 10)
    with pytest.raises(InputError, match="resolution is 31, expected 32 to 1024 px"):
        PUBLISHED["resnet18"].blocks(31)
    with pytest.raises(InputError, match="no published network 'resnet19', expected one of mobilenet_v2, "):
        get_published("resnet19")


def test_accuracies_are_those_of_the_files_they_come_from(reference: Path) -> None:
    file = reference / "baselines" / "timm_imagenet_top1.csv"
    rows = csv.DictReader(file.read_text().splitlines())
    timm = {(row["model"], int(row["img_size"])): float(row["top1"]) for row in rows}
    ours = {(one.weights, one.resolution): one.top1 for one in all_published() if one.recipe == "timm"}
    assert ours == {key: timm[key] for key in ours}
    # every recipe of a network that is there, and that used no further images, is
    kinds = {weights.partition(".")[0] for weights, _ in ours}
    more = ("in21k", "fb_ssl", "fb_swsl")
    assert set(ours) == {
        (model, size)
        for model, size in timm
        if model.partition(".")[0] in kinds and size in (224, 256) and not any(word in model for word in more)
    }


def test_a_papers_accuracy_is_never_another_recipes() -> None:
    best = {recipe: published_top1("efficientnet_b0", 224, recipe) for recipe in RECIPES}
    assert {recipe: one and (one.top1, one.weights) for recipe, one in best.items()} == {
        "paper": (77.1, "arXiv 1905.11946v5"),
        "timm": (78.568, "efficientnet_b0.ra4_e3600_r224_in1k"),
    }
    assert published_top1("resnet18", 224, "paper") is None
    assert published_top1("proxylessnas_mobile", 224, "timm") is None
    assert published_resolutions("mobilenet_v4_conv_medium") == (224, 256)
    assert {one.name for one in all_published()} == set(PUBLISHED)


def test_torchvision_counts_the_same_of_further_networks() -> None:
    import_transforms()
    models = importlib.import_module("torchvision.models")
    for name, make in {
        "mobilenet_v2_050": partial(models.mobilenet_v2, width_mult=0.5),
        "mobilenet_v2_140": partial(models.mobilenet_v2, width_mult=1.4),
        "efficientnet_b1": models.efficientnet_b1,
        "resnet34": models.resnet34,
        "resnet101": models.resnet101,
    }.items():
        with torch.device("meta"):
            network = make(weights=None).eval()
        ours = NAMED[name]
        assert (ours.macs(225), ours.params) == counts(network, 225), name


def test_timm_counts_the_same_of_further_networks() -> None:
    # as above, in timm 1.0.31's networks, at 224 and 225 px
    assert {name: (NAMED[name].macs(224), NAMED[name].macs(225), NAMED[name].params) for name in MORE_OF_TIMM} == (
        MORE_OF_TIMM
    )


def test_kernels_of_mobilenet_v4_stand_in_the_order_of_timms_definitions() -> None:
    """Of each bottleneck the first kernel, then that inside, 0 where there is none: counts do not tell their order."""
    for name, expected in {
        "mobilenet_v4_conv_small": "55 03 03 03 03 30 33 55 05 05 03 03",
        "mobilenet_v4_conv_medium": "35 33 35 33 33 35 33 30 00 30 55 55 35 35 00 30 35 55 00 00 50",
        "mobilenet_v4_conv_large": "35 33 35 33 33 33 35 53 53 53 53 53 30 55 55 55 55 50 53 50 50 53 55 50 50 50",
    }.items():
        blocks = [block for block in NAMED[name].blocks() if block.op.startswith("uib")]
        found = [f"{b.op[3:] or 0}{b.kernel_size if b.kernel_size > 1 else 0}" for b in blocks]
        assert " ".join(found) == expected


def test_a_name_of_timm_or_torchvision_is_of_the_network_of_that_width_and_size() -> None:
    """Our name has the digits and letters of theirs, but for a width of 1; and two have other names."""
    other = {"semnasnet": "mnasneta1", "mnasnet": "mnasnetb1", "fbnetc": "fbnetc"}
    for theirs, ours in ALIASES.items():
        plain = theirs.removesuffix("_100").removesuffix("1_0").replace("_", "")
        assert other.get(plain, plain) == ours.replace("_", ""), theirs


@pytest.mark.parametrize(("theirs", "ours"), sorted({**ALIASES, **{name: name for name in ALIASES.values()}}.items()))
def test_timm_itself_counts_the_same_where_it_is_installed(theirs: str, ours: str) -> None:
    import_transforms()  # which timm's own imports need
    timm = pytest.importorskip("timm", reason="timm is not among the pinned packages: its counts are in TIMM")
    if theirs not in timm.list_models():
        pytest.skip(f"timm has no {theirs}")
    with torch.device("meta"):
        network = timm.create_model(theirs, pretrained=False).eval()
    assert (NAMED[ours].macs(225), NAMED[ours].params) == counts(network, 225)
