"""What must be learnt is learnt, and what cannot be is not, by every method and cache, through the commands.

The class of an image is its hue, which no augmentation changes and the smallest networks learn in a few epochs. Labels
that are shuffled stay at chance: nothing but the pixels tells them.
"""

from __future__ import annotations

import colorsys
import json
import math
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from ofa.checkpoints.weights import save_checkpoint
from ofa.finetune.__main__ import main as finetune
from ofa.images.preprocessing import IMAGENET
from ofa.networks import build_supernet
from ofa.space import get_space
from ofa.space.description import space_record
from ofa.train.__main__ import main as train
from tests.helpers.supernets import TINY

CLASSES = ("blue", "cyan", "green", "magenta", "red", "yellow")
HUES = (4, 3, 2, 5, 0, 1)  # in sixths of the circle, of the classes
TRAIN, VALIDATION = 100, 20  # images a class
HELD_OUT = 120
SPACE = get_space(str(TINY), len(CLASSES))
# two stages of shrinking: the largest alone, then everything, taught by it
STAGES = [
    {"name": "largest", "epochs": 1, "learning_rate": 0.08, "kernels": 1, "depths": 1, "expands": 1},
    {"name": "all", "epochs": 6, "learning_rate": 0.1, "subnets": 1, "distill": 0.5},
]


def write(root: Path, shuffled: bool) -> Path:
    """train and val below the root: noise around a colour of the class's hue; shuffled: in any class's folder."""
    rng = np.random.default_rng(0)
    for split, count in (("train", TRAIN), ("val", VALIDATION)):
        of_class = np.repeat(np.arange(len(CLASSES)), count)
        folders = rng.permutation(of_class) if shuffled else of_class
        for n, (true, label) in enumerate(zip(of_class.tolist(), folders.tolist(), strict=True)):
            hue = (HUES[true] + rng.uniform(-0.06, 0.06)) / 6
            colour = 255 * np.array(colorsys.hsv_to_rgb(hue, rng.uniform(0.8, 1), rng.uniform(0.6, 0.8)))
            pixels = np.clip(colour + rng.normal(0, 6, (36, 40, 3)), 0, 255).astype(np.uint8)
            path = root / split / CLASSES[label] / f"{n:03d}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(pixels).save(path, compress_level=1)
    return root


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    """The same sums on every machine; steps so small are slower with more."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """colours, shuffled: images; start.safetensors: a supernet that learnt nothing; subnet.json; recipe.json."""
    root = tmp_path_factory.mktemp("learnable")
    write(root / "colours", shuffled=False)
    write(root / "shuffled", shuffled=True)
    torch.manual_seed(0)
    facts = {"mean": IMAGENET[0], "std": IMAGENET[1], "classes": list(CLASSES)}
    save_checkpoint(build_supernet(SPACE, dropout=0.0, resolutions=[32]), root / "start.safetensors", facts=facts)
    subnet = SPACE.subnet([3] * 6, [3] * 6, [1] * 2, 32)
    (root / "subnet.json").write_text(json.dumps({**space_record(SPACE), "subnet": subnet.to_dict()}))
    (root / "recipe.json").write_text(json.dumps(STAGES))
    return root


def last_row(run: Path) -> dict[str, float]:
    row: dict[str, float] = json.loads((run / "metrics.jsonl").read_text().splitlines()[-1])
    return row


def trained(files: Path, out: Path, images: str, *more: object) -> list[float]:
    """Accuracies on held-out images of what was trained, per cent: of largest and smallest, or alone."""
    given = ["--data", files / images, "--space", TINY, "--resolutions", 32]
    given += ["--held-out", HELD_OUT, "--check-every", 99, "--batch-size", 32, "--smallest-crop", 0.5]
    given += ["--calibration-images", 128]
    assert train([*map(str, [*given, "--label-smoothing", 0, "--out", out, *more])]) == 0
    row = last_row(out)
    names = [name for name in ("largest", "smallest", "alone") if f"{name}_top1" in row]
    assert names
    assert all(row[f"{name}_images"] == HELD_OUT for name in names)
    return [row[f"{name}_top1"] for name in names]


def fine_tuned(files: Path, out: Path, images: str) -> float:
    """Accuracy on validation images, per cent."""
    given = ["--checkpoint", files / "start.safetensors", "--subnet", files / "subnet.json", "--data", files / images]
    given += ["--epochs", 3, "--batch-size", 32, "--learning-rate", 0.04, "--label-smoothing", 0, "--out", out]
    assert finetune([*map(str, given)]) == 0
    assert last_row(out)["val_images"] == VALIDATION * len(CLASSES)
    return last_row(out)["val_top1"]


def assert_chance(top1: float, images: int) -> None:
    """Within five standard deviations of a guess."""
    chance = 1 / len(CLASSES)
    assert abs(top1 / 100 - chance) < 5 * math.sqrt(chance * (1 - chance) / images)


# six epochs: with four, one seed of four fell 1.5 % short on a processor whose kernels add in another order
UNIFORM = ("--method", "uniform", "--epochs", 6, "--subnets-per-step", 1)


@pytest.mark.parametrize(
    ("method", "cache"),
    [
        ("uniform", "device"),
        pytest.param("shrinking", "memory", marks=pytest.mark.slow),
        pytest.param("sandwich", "off", marks=pytest.mark.slow),
        ("alone", "auto"),
    ],
)
def test_colours_are_learnt_by_every_method_and_from_every_cache(
    files: Path, tmp_path: Path, method: str, cache: str
) -> None:
    flags = {
        "uniform": UNIFORM,
        "shrinking": ("--method", method, "--recipe", files / "recipe.json"),
        "sandwich": ("--method", method, "--epochs", 4, "--subnets-per-step", 3, "--learning-rate-scale", 3),
        "alone": ("--method", method, "--epochs", 6, "--subnet", files / "subnet.json"),
    }
    found = trained(files, tmp_path / "run", "colours", *flags[method], "--cache", cache)
    assert len(found) == (1 if method == "alone" else 2)
    assert min(found) >= 99


def test_colours_are_learnt_by_fine_tuning(files: Path, tmp_path: Path) -> None:
    assert fine_tuned(files, tmp_path / "run", "colours") >= 99


def test_shuffled_labels_cannot_be_learnt(files: Path, tmp_path: Path) -> None:
    for top1 in trained(files, tmp_path / "run", "shuffled", *UNIFORM, "--cache", "device"):
        assert_chance(top1, HELD_OUT)


def test_shuffled_labels_cannot_be_learnt_by_fine_tuning(files: Path, tmp_path: Path) -> None:
    assert_chance(fine_tuned(files, tmp_path / "run", "shuffled"), VALIDATION * len(CLASSES))
