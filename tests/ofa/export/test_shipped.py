"""The supernet and predictor that come with the package."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from ofa.checkpoints.shipped import WEIGHTS
from ofa.checkpoints.weights import load_supernet, read_calibration, read_facts
from ofa.export.__main__ import main as export
from ofa.export.runtimes import runner
from ofa.images.files.folder import ImageFolder
from ofa.images.reading import batches, random_indices
from ofa.networks import Supernet
from ofa.predictors.accuracy import WEIGHTS as PREDICTORS
from ofa.predictors.accuracy import AccuracyPredictor
from ofa.space import Subnet

SHIPPED = sorted(WEIGHTS.glob("*.safetensors"))


def test_all_weights_together_are_small() -> None:
    assert SHIPPED
    files = [*WEIGHTS.iterdir(), *PREDICTORS.iterdir()]
    assert sum(file.stat().st_size for file in files) < 20e6


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_a_supernet_comes_with_what_search_and_export_need(path: Path) -> None:
    net = load_supernet(path)
    space = net.space
    assert space.name == path.stem
    assert read_calibration(path) is not None
    assert len(read_facts(path)["classes"]) == space.num_classes
    card = path.with_suffix(".md").read_text()
    assert "ImageNet" in card
    predictor = AccuracyPredictor.default(space)
    assert set(predictor.resolutions) <= set(net.resolutions)
    measured = predictor.header["report"]["test"]["all"]
    assert measured["rows"] >= 30


def subnet_of(net: Supernet, folder: Path, seed: int) -> tuple[Subnet, Path]:
    """A random sub-network at the largest resolution, and a file that names it."""
    space = net.space
    genes = space.sample(np.random.default_rng(seed), 1, resolutions=[max(net.resolutions)])
    subnet, path = space.decode(genes)[0], folder / "subnet.json"
    named = {"space": space.name, "num_classes": space.num_classes, **subnet.to_dict()}
    path.write_text(json.dumps(named))
    return subnet, path


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_export_without_checkpoint_or_images_is_as_accurate_as_the_predictor_says(
    path: Path, tmp_path: Path, reference: Path
) -> None:
    """Imagenette's photographs: what the shipped supernet was trained to tell apart."""
    net = load_supernet(path)
    subnet, named = subnet_of(net, tmp_path, seed=5)
    out = tmp_path / "network.onnx"
    assert export([f"--subnet={named}", "--format=onnx", f"--out={out}"]) == 0
    photographs = ImageFolder(reference / "images" / "imagenette2-224.zip")
    facts, run = read_facts(path), runner("onnx", out.read_bytes(), 1)
    right = count = 0
    for images, labels in batches(
        photographs,
        subnet.resolution,
        100,
        mean=facts["mean"],
        std=facts["std"],
        indices=random_indices(photographs, 600, seed=3),
    ):
        right += int((torch.from_numpy(run(images.numpy())).argmax(1) == labels).sum())
        count += len(labels)
    # 600 images: a standard error of 2 points; synthetic calibration costs a little
    assert 100 * right / count > AccuracyPredictor.default(net.space).top1(subnet)[0] - 8
