"""A small supernet that tells four kinds of synthetic photographs apart, and those photographs."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from ofa.checkpoints.weights import save_checkpoint
from ofa.export.__main__ import main as export
from ofa.images.files.folder import ImageFolder
from ofa.images.reading import batches
from ofa.networks import Supernet, build_supernet
from ofa.space import SearchSpace, Subnet, get_space
from tests.ofa.export.predicted import BATCHES

CATEGORIES = ("brick", "cloud", "field", "water")
PIXELS = 64


def photograph(rng: np.random.Generator, kind: int) -> Image.Image:
    """Stripes of the kind's direction and colour, of random phase and size, with noise."""
    height, width = rng.integers(70, 110, size=2)
    y, x = np.mgrid[:height, :width]
    angle = kind * np.pi / 4
    wave = np.sin((x * np.cos(angle) + y * np.sin(angle)) / rng.uniform(3, 5) + rng.uniform(0, 6))
    colour = np.array([[200, 90, 60], [220, 220, 230], [60, 160, 50], [40, 80, 190]][kind])
    pixels = colour * (0.7 + 0.25 * wave[..., None]) + rng.normal(0, 12, (height, width, 3))
    return Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))


@pytest.fixture(scope="session")
def photographs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """train/<category>/ with 24 images each, val/<category>/ with 10."""
    folder = tmp_path_factory.mktemp("photographs")
    rng = np.random.default_rng(0)
    for part, count in (("train", 24), ("val", 10)):
        for kind, category in enumerate(CATEGORIES):
            (folder / part / category).mkdir(parents=True)
            for i in range(count):
                photograph(rng, kind).save(folder / part / category / f"{i}.jpg", quality=92)
    return folder


def lively(space: SearchSpace, seed: int = 0) -> Supernet:
    """A supernet whose batch normalisations are far from the identity, in evaluation mode."""
    torch.manual_seed(seed)
    net = build_supernet(space, resolutions=(PIXELS,))
    for name, module in net.named_modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            # what is added to a shortcut is kept small, as training does: else rounding errors grow layer by layer
            scale = 0.3 if name.endswith(("project.bn", "conv3.bn")) else 1.0
            torch.nn.init.uniform_(module.weight, 0.6 * scale, 1.5 * scale)
            torch.nn.init.normal_(module.bias, 0, 0.2)
            torch.nn.init.normal_(module.running_mean, 0, 0.2)
            torch.nn.init.uniform_(module.running_var, 0.5, 2)
    return net.eval()


def images_for(more: Sequence[str], photographs: Path) -> list[str]:
    """What a network's export with further options takes photographs for: int8 files their ranges, all to compare."""
    return [f"--calibration={photographs}"] if "--int8" in more else [f"--evaluate={photographs}"]


@dataclass(frozen=True)
class Toy:
    net: Supernet
    subnet: Subnet
    checkpoint: Path
    result: Path


@pytest.fixture(scope="session")
def toy(photographs: Path, tmp_path_factory: pytest.TempPathFactory) -> Toy:
    """A supernet's checkpoint, trained a little as one sub-network, and a result.json with that one first."""
    folder = tmp_path_factory.mktemp("toy")
    space = get_space("mbv3-w0.35", len(CATEGORIES))
    net = lively(space)
    rng = np.random.default_rng(3)
    kernels, expands = (rng.choice(values, 20).tolist() for values in ((3, 5, 7), (3, 4, 6)))
    subnet = space.subnet(kernels, expands, [2] * 5, PIXELS)  # ten layers say all that twenty would
    folder_of_images = ImageFolder(photographs, split="train")
    ((batch, truth),) = batches(folder_of_images, PIXELS, len(folder_of_images))
    optimizer = torch.optim.Adam(net.parameters(), lr=3e-3)
    net.train()
    for _ in range(24):
        rows = torch.randperm(len(batch))[:48]
        loss = torch.nn.functional.cross_entropy(net(batch[rows], subnet), truth[rows], label_smoothing=0.1)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    net.eval()
    save_checkpoint(net, folder / "supernet.safetensors")
    fields = {"table": "note10", "predicted_top1_std": None}
    other = space.subnet([3] * 20, [3] * 20, [2] * 5, PIXELS)
    results = [
        {**fields, "limit_ms": 10.0, "latency_ms": 9.5, "predicted_top1": 70.0, "subnet": subnet.to_dict()},
        {**fields, "limit_ms": 5.0, "latency_ms": 4.5, "predicted_top1": 60.0, "subnet": other.to_dict()},
    ]
    result = {"space": space.name, "num_classes": space.num_classes, "results": results}
    (folder / "result.json").write_text(json.dumps(result))
    return Toy(net, subnet, folder / "supernet.safetensors", folder / "result.json")


@pytest.fixture(scope="session")
def calibrated(toy: Toy, photographs: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The sub-network as a network of its own: what is exported from here is not calibrated once more."""
    out = tmp_path_factory.mktemp("calibrated") / "network.safetensors"
    given = [f"--subnet={toy.result}", f"--checkpoint={toy.checkpoint}", f"--calibration={photographs}"]
    assert export([*given, "--format=safetensors", f"--out={out}"]) == 0
    return out


@pytest.fixture(scope="session")
def models(calibrated: Path, photographs: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with one sub-network as a network, and as a model of every kind."""
    folder = tmp_path_factory.mktemp("models")
    names = [f"{category} texture" for category in CATEGORIES]
    (folder / "labels.txt").write_text("\n".join(names))
    given = [f"--checkpoint={calibrated}"]
    assert export([*given, "--format=safetensors", f"--out={folder / 'net.safetensors'}"]) == 0
    for name, batch in BATCHES.items():
        kind, _, format_name = name.partition(".")
        more = [f"--format={format_name}", f"--out={folder / name}", f"--batch={batch}", "--evaluate-images=20"]
        more += [f"--labels={folder / 'labels.txt'}", *(["--int8"] if kind == "int8" else [])]
        assert export([*given, *more, *images_for(more, photographs)]) == 0
    return folder
