"""Classes of a training: how many images each has, what they weigh, and a start whose classes are others."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from torch.nn import functional as F

from ofa.checkpoints.tensors import read_tensors
from ofa.checkpoints.weights import load_supernet
from ofa.errors import InputError
from ofa.images.facts import facts_of_metadata
from ofa.images.held_out import Photos, open_photos
from ofa.networks import Supernet
from ofa.networks.sorting import sort_channels
from ofa.train.__main__ import main
from ofa.train.run import class_counts, class_weights, rare_classes
from ofa.training import shrinking
from tests.helpers.supernets import TINY

COUNTS = {"ant": 200, "bee": 90, "cat": 10}


def folder_of(root: Path, counts: dict[str, int]) -> Path:
    for at, (name, count) in enumerate(counts.items()):
        (root / name).mkdir(parents=True)
        for n in range(count):
            Image.new("RGB", (36, 36), (40 * at, 200 - 30 * at, n % 200)).save(root / name / f"{n:03d}.png")
    return root


@pytest.fixture(scope="module")
def unequal(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """300 images: more than any batch."""
    return folder_of(tmp_path_factory.mktemp("unequal") / "imgs", COUNTS)


def train(data: Path, out: Path, *more: object) -> int:
    given = ["--data", data, "--space", TINY, "--resolutions", "32", "--batch-size", 48, "--held-out", 8]
    return main([str(word) for word in (*given, "--check-images", 8, "--out", out, *more)])


def uniform(data: Path, out: Path, *more: object) -> Path:
    assert train(data, out, "--method", "uniform", "--epochs", 1, "--subnets-per-step", 1, *more) == 0
    return out / "supernet.safetensors"


def test_images_of_each_class_are_counted_and_rare_ones_named(unequal: Path) -> None:
    photos = open_photos(unequal, held_out=0)
    assert class_counts(photos) == COUNTS
    assert rare_classes(photos) == (
        "1 of 3 classes have less than a tenth of the images of the largest, 200: cat 10 (--class-weights makes all "
        "count the same)"
    )
    assert rare_classes(Photos(photos.folder, tuple(range(100, 300)), ())) is None


def test_weights_make_every_class_count_the_same(unequal: Path) -> None:
    photos = open_photos(unequal, held_out=0)
    weights = class_weights(photos, 4)
    assert weights[3] == 0  # a class of the network without an image
    totals = [weight * count for weight, count in zip(weights[:3], COUNTS.values(), strict=True)]
    assert totals == pytest.approx([100, 100, 100])


def test_class_weights_reach_the_loss(unequal: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Any] = []
    entropy = F.cross_entropy

    def recorded(logits: Any, target: Any, weight: Any = None, **more: Any) -> Any:
        seen.append(weight)
        return entropy(logits, target, weight, **more)

    monkeypatch.setattr("ofa.training.step.F.cross_entropy", recorded)
    uniform(unequal, tmp_path / "plain")
    assert set(seen) == {None}
    seen.clear()
    uniform(unequal, tmp_path / "weighted", "--class-weights")
    expected = torch.tensor(class_weights(open_photos(unequal, held_out=8), 3))
    assert all(torch.equal(weight, expected) for weight in seen if weight is not None)
    assert sum(weight is not None for weight in seen) == 6  # steps; check-ups do not weigh


def test_begin_says_what_is_trained_on(unequal: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    uniform(unequal, tmp_path / "run")
    said = capsys.readouterr()
    assert "292 images of 3 classes to train on, 8 held out: ant " in said.out
    assert "warning: 1 of 3 classes have less than a tenth" in said.err


@pytest.fixture(scope="module")
def start(unequal: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return uniform(unequal, tmp_path_factory.mktemp("start") / "run")


def test_other_classes_need_new_classes_and_keep_all_else(start: Path, tmp_path: Path) -> None:
    others = folder_of(tmp_path / "others", {"ant": 40, "dog": 40, "emu": 40, "fox": 40})
    with pytest.raises(InputError, match=r"class folder dog is none of the 3 classes .* give --new-classes"):
        uniform(others, tmp_path / "refused", "--start", start)
    assert not (tmp_path / "refused").exists()
    begun: list[Supernet] = []
    original = shrinking.SupernetTraining._stage

    def kept(self: Any, net: Supernet, i: int, *more: Any) -> bool:
        if not begun:
            begun.append(net)
            begun_state.update({name: tensor.clone() for name, tensor in net.state_dict().items()})
        return original(self, net, i, *more)

    begun_state: dict[str, torch.Tensor] = {}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(shrinking.SupernetTraining, "_stage", kept)
        result = uniform(others, tmp_path / "run", "--start", start, "--new-classes")
    old = load_supernet(start).state_dict()
    differ = {
        name
        for name, tensor in begun_state.items()
        if (tensor.shape != old[name].shape or not torch.equal(tensor, old[name]))
    }
    assert differ == {"classifier.linear.weight", "classifier.linear.bias"}
    facts = facts_of_metadata(read_tensors(result)[1], result)
    assert facts is not None
    assert facts.classes == ("ant", "dog", "emu", "fox")


def test_shrinking_with_new_classes_trains_its_teacher_first(
    start: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    others = folder_of(tmp_path / "others", {"dog": 40, "emu": 40})
    assert train(others, tmp_path / "run", "--epochs-scale", 1e-6, "--start", start, "--new-classes") == 0
    rows = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    assert rows[0]["stage"] == "largest"
    same = folder_of(tmp_path / "same", dict.fromkeys(COUNTS, 30))
    original = shrinking.SupernetTraining._stage
    # the first stage says it
    monkeypatch.setattr(shrinking.SupernetTraining, "_stage", lambda *given: original(*given) and False)
    assert train(same, tmp_path / "again", "--epochs-scale", 1e-6, "--start", start) == 130
    rows = [json.loads(line) for line in (tmp_path / "again" / "metrics.jsonl").read_text().splitlines()]
    assert rows[0]["stage"] == "kernel"  # the start is the teacher


def test_a_start_keeps_its_classes_where_one_has_no_images(start: Path, tmp_path: Path) -> None:
    fewer = folder_of(tmp_path / "fewer", {"bee": 60, "cat": 60})
    result = uniform(fewer, tmp_path / "run", "--start", start)
    facts = facts_of_metadata(read_tensors(result)[1], result)
    assert facts is not None
    assert facts.classes == ("ant", "bee", "cat")
    assert load_supernet(result).space.num_classes == 3


def test_a_start_that_was_trained_narrower_is_sorted_for_that_before_the_first_stage(
    start: Path, unequal: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sorted_for: list[tuple[float, ...]] = []

    def sorting(net: Supernet, ratios: tuple[float, ...], widths: tuple[float, ...]) -> None:
        sorted_for.append(ratios)
        sort_channels(net, ratios, widths)

    monkeypatch.setattr(shrinking, "sort_channels", sorting)
    recipe = tmp_path / "largest.json"
    recipe.write_text(
        json.dumps([{"name": "one", "epochs": 1, "learning_rate": 0.1, "kernels": 1, "depths": 1, "expands": 1}])
    )
    assert train(unequal, tmp_path / "largest", "--recipe", recipe) == 0
    uniform(unequal, tmp_path / "a", "--start", tmp_path / "largest" / "supernet.safetensors")
    assert sorted_for == [(6,)]
    uniform(unequal, tmp_path / "b", "--start", start)  # all of its ratios are trained already
    assert sorted_for == [(6,)]
