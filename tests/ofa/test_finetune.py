"""`python -m ofa.finetune`: resuming bit for bit, stopping, and what is refused."""

import json
import shutil
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import onnxruntime
import pytest
import torch
from torch import Tensor

import ofa.finetune.run
from ofa.checkpoints.weights import load_network, read_image_facts, save_checkpoint, save_network
from ofa.errors import InputError
from ofa.evaluate.__main__ import main as evaluate
from ofa.export.__main__ import main as export
from ofa.finetune.__main__ import COMMAND, main
from ofa.finetune.run import finetune_network
from ofa.images.files.folder import ImageFolder
from ofa.images.held_out import facts_of_training, open_photos
from ofa.images.pixels import augment
from ofa.images.pixels.augment import training_batches
from ofa.images.preprocessing import HALF, IMAGENET
from ofa.networks import build_supernet, extract
from ofa.networks.new_classifier import with_new_classifier
from ofa.space import get_space
from ofa.space.description import space_record
from ofa.training.loop import StepResult
from ofa.training.schedule import parameter_groups
from tests.helpers.interrupted import Killed, assert_same, die, terminate
from tests.helpers.photographs import write_classes
from tests.helpers.supernets import TINY

SPACE = get_space(str(TINY), 3)

SUBNET = SPACE.subnet([3] * 6, [3] * 6, [2] * 2, 32)

STEPS = 3  # of a batch of 4, in 14 images


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """imgs: two classes, dark and bright, 7 training and 2 validation images each; a supernet; a network."""
    root = tmp_path_factory.mktemp("finetune")
    write_classes(root / "imgs", {"train": 7, "val": 2}, classes=2, step=100)
    torch.manual_seed(0)
    net = build_supernet(SPACE, dropout=0.2)
    save_checkpoint(net, root / "supernet.safetensors")
    save_network(extract(net, SUBNET), root / "network")
    (root / "subnet.json").write_text(json.dumps({**space_record(SPACE), "subnet": SUBNET.to_dict()}))
    return root


def flags(files: Path, out: Path, *more: object) -> list[str]:
    given = ["--network", files / "network", "--new-classes", "--data", files / "imgs", "--epochs", 3]
    poor = ["--calibration-batch", 4, "--allow-poor-calibration"]  # there are fourteen images
    return [str(flag) for flag in (*given, *poor, "--batch-size", 4, "--learning-rate", 0.01, "--out", out, *more)]


def weights(out: Path) -> dict[str, Tensor]:
    return load_network(out / "network").state_dict()


def lines(out: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]


@contextmanager
def before_step(monkeypatch: pytest.MonkeyPatch, number: int, do: Callable[[], object]) -> Iterator[None]:
    """Does something before the step of that number."""
    original = ofa.finetune.run._step

    def made(*given: Any) -> Any:
        step = original(*given)

        def taken(images: Tensor, labels: Tensor, n: int) -> StepResult:
            if n == number:
                do()
            return step(images, labels, n)

        return taken

    with monkeypatch.context() as patched:
        patched.setattr(ofa.finetune.run, "_step", made)
        yield


def without_seconds(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{key: value for key, value in row.items() if key != "seconds"} for row in rows]


@pytest.fixture(scope="module")
def whole(files: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("whole") / "run"
    assert main(flags(files, out)) == 0
    return out


def test_a_run_trains_validates_and_saves(files: Path, whole: Path, tmp_path: Path) -> None:
    rows = lines(whole)
    assert [row["epoch"] for row in rows] == [1, 2, 3]
    assert [row["train_images"] for row in rows] == [12, 12, 12]
    assert rows[-1]["val_images"] == 4
    network = load_network(whole / "network")
    assert network.spec.num_classes == 2
    assert network.spec.calibrated
    assert json.loads((whole / "classes.json").read_text()) == {"class0": 0, "class1": 1}
    arguments = ["--checkpoint", whole / "network", "--data", files / "imgs", "--out", tmp_path / "r.json"]
    assert evaluate([*map(str, arguments), "--batch-size", "4"]) == 0
    found = json.loads((tmp_path / "r.json").read_text())["results"][0]
    result = json.loads((whole / "result.json").read_text())
    assert found["loss"] == pytest.approx(result["val_loss"], rel=1e-5)
    assert result["calibration_images"] == 14
    assert result["val_loss"] != pytest.approx(rows[-1]["val_loss"], rel=1e-3)  # that was by running statistics
    with pytest.raises(InputError, match="already has a run: continue it with --resume"):
        main(flags(files, whole))


def test_what_was_chosen_goes_into_the_network_and_on_to_its_export(files: Path, tmp_path: Path) -> None:
    """`--mean half`, then the export that is suggested, gave 51 % where 81 was right, and a file with other means."""
    out = tmp_path / "run"
    assert main(flags(files, out, "--epochs", 1, "--mean", "half", "--smallest-crop", 0.4)) == 0
    known = read_image_facts(out / "network")
    assert known is not None
    assert (known.mean, known.std, known.classes) == (*HALF, ("class0", "class1"))
    assert (known.resolution, known.smallest_crop) == (32, 0.4)
    assert known.held_out is not None
    assert known.held_out.count == 0  # there is val
    assert known.marks[0].startswith("calibrated with 14 images")
    arguments = ["--checkpoint", out / "network", "--data", files / "imgs", "--out", tmp_path / "r.json"]
    assert evaluate([*map(str, arguments)]) == 0
    found = json.loads((tmp_path / "r.json").read_text())
    stated = json.loads((out / "result.json").read_text())
    assert found["results"][0]["loss"] == pytest.approx(stated["val_loss"], rel=1e-5)
    assert found["mean"] == [0.5, 0.5, 0.5]
    assert export(["--checkpoint", str(out / "network"), "--format", "onnx", "--out", str(tmp_path / "m.onnx")]) == 0
    said = onnxruntime.InferenceSession(tmp_path / "m.onnx").get_modelmeta().custom_metadata_map
    assert said["labels"].split("\n") == ["class0", "class1"]
    assert json.loads(said["mean"]) == json.loads(said["std"]) == [0.5, 0.5, 0.5]
    assert "calibrated with 14 images" in said["marks"]
    with pytest.raises(InputError, match="was trained on these 14 images"):
        evaluate([*map(str, arguments), "--split", "train"])


def test_it_crops_and_holds_out_as_the_training_did(
    files: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    photos = open_photos(files / "imgs" / "train", held_out=5)
    known = facts_of_training(photos, *HALF, 0.3)
    network = load_network(files / "network")
    save_network(with_new_classifier(network, 2), tmp_path / "network", known)
    crops: list[float] = []
    trained_on: set[int] = set()
    means: set[Any] = set()

    def batches(*given: Any, smallest_crop: float, indices: Any, mean: Any, **more: Any) -> Any:
        crops.append(smallest_crop)
        trained_on.update(indices)
        means.add(mean)
        return training_batches(*given, smallest_crop=smallest_crop, indices=indices, mean=mean, **more)

    monkeypatch.setattr(augment, "training_batches", batches)
    given = ["--network", tmp_path / "network", "--data", files / "imgs" / "train", "--epochs", 1, "--batch-size", 4]
    poor = ["--allow-poor-calibration", "--out", tmp_path / "run"]
    assert main([*map(str, [*given, *poor])]) == 0
    assert set(crops) == {0.3}
    assert means == {HALF[0]}
    assert trained_on == set(photos.indices)
    found = read_image_facts(tmp_path / "run" / "network")
    assert found is not None
    assert (found.held_out, found.trained_on, found.classes) == (known.held_out, known.trained_on, known.classes)
    assert json.loads((tmp_path / "run" / "result.json").read_text())["val_images"] == 5
    with pytest.raises(InputError, match=r"was trained with mean 0\.5,0\.5,0\.5.*--override-preprocessing"):
        main([*map(str, [*given, *poor]), "--mean", "imagenet"])
    assert main([*map(str, [*given, "--allow-poor-calibration", "--out", tmp_path / "odd"]), "--mean", "imagenet",
                 "--override-preprocessing"]) == 0  # fmt: skip
    odd = read_image_facts(tmp_path / "odd" / "network")
    assert odd is not None
    assert odd.mean == IMAGENET[0]
    assert "prepared with mean 0.485,0.456,0.406" in odd.marks[0]


def test_the_same_seed_gives_the_same_network_and_another_seed_does_not(
    files: Path, whole: Path, tmp_path: Path
) -> None:
    torch.manual_seed(99)  # the caller's generator is not used ...
    before = torch.get_rng_state()
    assert main(flags(files, tmp_path / "a")) == 0
    assert torch.equal(before, torch.get_rng_state())  # ... nor moved
    assert_same(weights(tmp_path / "a"), weights(whole))
    assert main(flags(files, tmp_path / "b", "--seed", 1)) == 0
    name = "unit_1_layer_1.depthwise.conv.weight"
    assert not torch.equal(weights(tmp_path / "b")[name], weights(whole)[name])


@pytest.mark.parametrize("number", [1, STEPS, STEPS + 1])
def test_stopped_by_sigterm_it_continues_to_the_same_weights(
    files: Path, whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    handler = signal.getsignal(signal.SIGTERM)
    with before_step(monkeypatch, number, terminate):
        assert main(flags(files, tmp_path / "run")) == 130
    assert signal.getsignal(signal.SIGTERM) == handler
    assert not (tmp_path / "run" / "network").exists()
    assert main(flags(files, tmp_path / "run", "--resume")) == 0
    assert_same(weights(tmp_path / "run"), weights(whole))
    assert without_seconds(lines(tmp_path / "run")) == without_seconds(lines(whole))
    # once more, there is nothing left to do
    assert main(flags(files, tmp_path / "run", "--resume")) == 0
    assert_same(weights(tmp_path / "run"), weights(whole))


@pytest.mark.parametrize("number", [1, 2 * STEPS + 1])
def test_killed_it_continues_from_the_last_epoch(
    files: Path, whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    with before_step(monkeypatch, number, die), pytest.raises(Killed):
        main(flags(files, tmp_path / "run"))
    if number > STEPS:
        with (tmp_path / "run" / "metrics.jsonl").open("a") as file:
            file.write('{"epoch": 3')
        with pytest.raises(InputError, match=r"with learning_rate = 0\.01, but this run has 0\.02"):
            main(flags(files, tmp_path / "run", "--resume", "--learning-rate", 0.02))
    assert main(flags(files, tmp_path / "run", "--resume")) == 0
    assert_same(weights(tmp_path / "run"), weights(whole))
    assert without_seconds(lines(tmp_path / "run")) == without_seconds(lines(whole))


def test_from_a_supernet_resumed_too(files: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    given = flags(files, tmp_path / "whole")
    at = given.index("--network")
    given[at : at + 2] = ["--checkpoint", str(files / "supernet.safetensors"), "--subnet", str(files / "subnet.json")]
    assert main(given) == 0
    assert load_network(tmp_path / "whole" / "network").spec.subnet == SUBNET
    given[given.index("--out") + 1] = str(tmp_path / "run")
    with before_step(monkeypatch, STEPS + 1, terminate):
        assert main(given) == 130
    assert main([*given, "--resume"]) == 0
    assert_same(weights(tmp_path / "run"), weights(tmp_path / "whole"))


def test_a_run_is_known_by_the_content_of_its_network(
    files: Path, whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Paths were compared: another file of that name was trained on without a word."""
    start = tmp_path / "start"
    shutil.copytree(files / "network", start)
    config = COMMAND.parse(flags(files, tmp_path / "run", "--network", start))
    with before_step(monkeypatch, STEPS + 1, terminate):
        assert not finetune_network(config).finished
    renamed = start.rename(tmp_path / "renamed")
    torch.manual_seed(5)
    save_network(extract(build_supernet(SPACE), SUBNET), start)
    with pytest.raises(InputError, match=r"with network = start \(SHA-256 .*, but this run has start \(SHA-256"):
        finetune_network(replace(config, resume=True))
    assert finetune_network(replace(config, network=renamed, resume=True)).finished
    assert_same(weights(tmp_path / "run"), weights(whole))
    assert capsys.readouterr() == ("", "")  # who prints is the command


def test_a_new_classifier_keeps_all_other_weights(files: Path) -> None:
    network = load_network(files / "network")
    fresh = with_new_classifier(network, 5, seed=1)
    assert fresh.spec.num_classes == 5
    old, new = network.state_dict(), fresh.state_dict()
    assert {name for name in new if not torch.equal(new[name], old[name])} == {
        "classifier.linear.weight",
        "classifier.linear.bias",
    }
    assert_same(with_new_classifier(network, 5, seed=1).state_dict(), new)


def test_mistakes_are_named(files: Path, tmp_path: Path) -> None:
    def fails(match: str, *more: object, drop: tuple[str, ...] = ()) -> None:
        given = [flag for flag in flags(files, tmp_path / "run", *more) if flag not in drop]
        with pytest.raises(InputError, match=match):
            main(given)
        assert not (tmp_path / "run").exists()

    def folders(name: str, *kept: str) -> Path:
        for folder in kept:
            shutil.copytree(files / "imgs" / folder, tmp_path / name / folder)
        return tmp_path / name

    fails("14 training images are fewer than a batch of 15", "--batch-size", 15)
    fails("--batch-size is 1, expected at least 2", "--batch-size", 1)
    fails("2 class folders, but the network 3 classes: give .*--new-classes for a new", drop=("--new-classes",))
    fails("has one class folder, class0", "--data", folders("one", "train/class0"))
    fails("has no class folders", "--data", files / "imgs" / "train" / "class0")
    (folders("empty", "train/class0") / "train" / "nothing").mkdir()
    fails("class folders without images: nothing", "--data", tmp_path / "empty")
    fails(
        "class folder class1 is none of the 2 classes of .*renamed",
        "--val-data",
        files / "imgs",
        "--data",
        _renamed(files, tmp_path),
    )
    fails("either --network FOLDER, or --checkpoint", "--checkpoint", files / "supernet.safetensors")
    fails("warm-up is 3.0 epochs", "--warmup-epochs", 3)
    fails("--learning-rate is nan, expected a number above 0", "--learning-rate", "nan")
    fails("--label-smoothing is 1.0", "--label-smoothing", 1)
    fails("is made for 32 px", "--resolution", 64)


def _renamed(files: Path, tmp_path: Path) -> Path:
    shutil.copytree(files / "imgs" / "train", tmp_path / "renamed")
    return (tmp_path / "renamed" / "class1").rename(tmp_path / "renamed" / "other").parent


def test_broken_images_make_batches_smaller_or_are_refused(
    files: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(files / "imgs", tmp_path / "imgs")
    (tmp_path / "imgs" / "train" / "class0" / "3.png").write_bytes(b"broken")
    given = flags(files, tmp_path / "run", "--data", tmp_path / "imgs", "--epochs", 1, "--batch-size", 7)
    assert main(given) == 0
    assert lines(tmp_path / "run")[0]["train_images"] == 13
    assert "1 broken image is skipped: train/class0/3.png" in capsys.readouterr().err
    with pytest.raises(InputError, match=r"train/class0/3\.png cannot be read as an image"):
        main([*given, "--out", str(tmp_path / "strict"), "--strict"])


# ---- the loop


def test_augmentation_depends_on_seed_epoch_and_image_alone(files: Path) -> None:
    folder = ImageFolder(files / "imgs", split="train")

    def epoch(n: int = 0, first: int = 0, workers: int = 0) -> list[tuple[Tensor, Tensor]]:
        return list(training_batches(folder, 24, 4, seed=0, epoch=n, first=first, workers=workers))

    everything = epoch()
    assert [images.shape for images, _ in everything] == [(4, 3, 24, 24)] * STEPS
    for images, labels, others, other_labels in [
        (*everything[1], *epoch(first=1)[0]),
        (*everything[0], *epoch(workers=1)[0]),
    ]:
        assert torch.equal(images, others)
        assert torch.equal(labels, other_labels)
    assert not torch.equal(everything[0][0], epoch(1)[0][0])


def test_weight_decay_spares_normalisation_and_biases(files: Path) -> None:
    network = load_network(files / "network")
    decayed, kept = ({id(p) for p in group["params"]} for group in parameter_groups(network, 0.1))
    assert len(decayed) + len(kept) == len(list(network.parameters()))
    for name, parameter in network.named_parameters():
        assert (id(parameter) in kept) == (".bn." in name or name.endswith(".bias")), name
