"""`python -m ofa.train`: stages, resuming bit for bit, stopping, and what is refused."""

import json
import math
import resource
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from ofa.checkpoints.weights import load_checkpoint, load_network, load_supernet, read_facts
from ofa.errors import InputError
from ofa.evaluate.__main__ import main as evaluate
from ofa.images.held_out import open_photos
from ofa.networks import Supernet
from ofa.networks.sorting import sort_channels
from ofa.space import get_space
from ofa.space.description import space_record
from ofa.train.__main__ import main
from ofa.training import shrinking
from ofa.training.loop import StepResult
from ofa.training.shrinking import SupernetTraining
from ofa.training.step import SupernetStep
from tests.helpers.interrupted import Killed, assert_same, die, terminate
from tests.helpers.supernets import TINY

STAGES = ["largest", "kernel", "depth2", "depth3", "expand2", "expand3"]
IMAGES = 22  # of 24, two held out
STEPS = 2  # an epoch, of batches of 8
# a short recipe that has what resuming could lose: two epochs, a teacher, sorting, several sub-networks
SHORT = [
    {"name": "largest", "epochs": 2, "learning_rate": 0.1, "kernels": 1, "depths": 1, "expands": 1},
    {"name": "narrow", "epochs": 2, "learning_rate": 0.05, "subnets": 2, "expands": 2, "distill": 1.0},
]


def flags(photos: Path, out: Path, *more: object) -> list[str]:
    given = ["--data", photos, "--space", TINY, "--held-out", 2, "--batch-size", 8, "--out", out, *more]
    sizes = [] if "--resolutions" in more else ["--resolutions", "32,40"]  # a list that is given twice is refused
    return [str(flag) for flag in (*given, *sizes)]


@pytest.fixture(scope="module")
def short(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("recipe") / "short.json"
    path.write_text(json.dumps(SHORT))
    return path


def weights(out: Path) -> dict[str, Tensor]:
    return load_supernet(out / "supernet.safetensors").state_dict()


def lines(out: Path) -> list[dict[str, Any]]:
    rows = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    return [{key: value for key, value in row.items() if key != "seconds"} for row in rows]


def test_shrinking_goes_through_all_stages_and_its_result_is_evaluated(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "run"
    sorted_for: list[tuple[float, ...]] = []

    def sorting(net: Supernet, ratios: tuple[float, ...], widths: tuple[float, ...]) -> None:
        sorted_for.append(ratios)
        sort_channels(net, ratios, widths)

    monkeypatch.setattr(shrinking, "sort_channels", sorting)
    assert main(flags(photos, out, "--epochs-scale", 1e-6)) == 0
    rows = lines(out)
    assert [row["stage"] for row in rows] == STAGES
    assert sorted_for == [(6,), (4, 6)]  # before either width stage; what is trained by then keeps its outputs
    assert [row["train_images"] for row in rows] == [STEPS * 8] * 6
    assert all(row["largest_images"] == 2 for row in rows)
    assert "smallest_top1" not in rows[0]
    net = load_supernet(out / "supernet.safetensors")
    assert (net.space.name, net.space.num_classes, net.resolutions) == ("tiny", 3, (32, 40))
    facts = read_facts(out / "supernet.safetensors")
    assert facts["classes"] == ["class0", "class1", "class2"]
    assert facts["mean"] == [0.485, 0.456, 0.406]
    assert [stage["name"] for stage in facts["stages"]] == STAGES
    asked = ["--checkpoint", out / "supernet.safetensors", "--random", 2, "--data", photos, "--allow-poor-calibration"]
    assert evaluate([*map(str, asked), "--out", str(tmp_path / "r.json")]) == 0
    with pytest.raises(InputError, match="already has a run: continue it with --resume"):
        main(flags(photos, out, "--epochs-scale", 1e-6))


def test_a_teacher_is_the_first_or_the_previous_stage_s_network(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    loaded: list[str] = []

    def loading(net: Supernet, path: Path) -> None:
        loaded.append(path.parent.name)
        load_checkpoint(net, path)

    monkeypatch.setattr(shrinking, "load_checkpoint", loading)
    common = {"epochs": 1, "learning_rate": 0.05}
    taught = {**common, "distill": 1.0}
    rows = [
        {"name": "a", **common},
        {"name": "b", **common},
        {"name": "c", **taught, "teacher": "first"},
        {"name": "d", **taught, "teacher": "previous"},
    ]
    recipe = tmp_path / "recipe.json"
    recipe.write_text(json.dumps(rows))
    assert main(flags(photos, tmp_path / "run", "--recipe", recipe)) == 0
    assert loaded == ["1-a", "3-c"]


def test_the_short_recipe_is_uniform_without_dropout_and_smoothing(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    short = ["--recipe", "short", "--epochs-scale", 1e-6, "--check-every", 99]
    assert main(flags(photos, tmp_path / "run", *short)) == 0
    assert {row["stage"] for row in lines(tmp_path / "run")} == {"uniform"}
    hyper = read_facts(tmp_path / "run" / "supernet.safetensors")["hyper"]
    assert (hyper["dropout"], hyper["label_smoothing"]) == (0, 0)
    begun: list[SupernetTraining] = []
    monkeypatch.setattr(SupernetTraining, "run", lambda self: begun.append(self) or False)
    assert main(flags(photos, tmp_path / "asked", *short, "--dropout", 0.2)) == 130
    hyper = begun[0].facts["hyper"]
    assert (hyper["dropout"], hyper["label_smoothing"]) == (0.2, 0)


@pytest.mark.parametrize("method", ["uniform", "sandwich"])
def test_one_stage_methods(photos: Path, tmp_path: Path, method: str) -> None:
    more = ["--method", method, "--epochs", 1, "--subnets-per-step", 3, "--cache", "off"]
    assert main(flags(photos, tmp_path / "run", *more)) == 0
    (row,) = lines(tmp_path / "run")
    assert row["stage"] == method
    assert math.isfinite(row["smallest_loss"])


def test_a_sub_network_alone_becomes_an_ordinary_network(photos: Path, tmp_path: Path) -> None:
    space = get_space(str(TINY))
    subnet = space.subnet([3] * 6, [3] * 6, [2] * 2, 36).to_dict()
    (tmp_path / "subnet.json").write_text(json.dumps({**space_record(space), "subnet": subnet}))
    given = flags(photos, tmp_path / "run", "--method", "alone", "--subnet", tmp_path / "subnet.json", "--epochs", 1)
    at = given.index("--resolutions")
    del given[at : at + 2]
    assert main(given) == 0
    network = load_network(tmp_path / "run" / "network")
    assert (network.spec.resolution, network.spec.num_classes, network.spec.calibrated) == (36, 3, True)
    assert lines(tmp_path / "run")[0]["alone_images"] == 2


# ---- resuming


# each way of images meets one of the two things that steps keep
@pytest.fixture(scope="module", params=["--ema=0.9 --clip-norm=1", "--cache=off --precision=bf16"])
def whole(request: Any, photos: Path, short: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[list[str], Path]:
    """Flags of a run beside the folder's, and an uninterrupted run."""
    more = ["--recipe", str(short), *request.param.split()]
    out = tmp_path_factory.mktemp("whole") / "run"
    assert main(flags(photos, out, *more)) == 0
    return more, out


def _at(monkeypatch: pytest.MonkeyPatch, stage: str, number: int, do: Any) -> None:
    """Calls `do` before a step of a stage."""
    original = SupernetStep.__call__

    def taken(self: SupernetStep, images: Tensor, labels: Tensor, n: int) -> StepResult:
        if (self.stage.name, n) == (stage, number):
            do()
        return original(self, images, labels, n)

    monkeypatch.setattr(SupernetStep, "__call__", taken)


def test_stopped_it_continues_to_the_same_weights(
    photos: Path, whole: tuple[list[str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Three times in one run: what is lost at one of them is missing at the end."""
    more, expected = whole
    out, resume = tmp_path / "run", list[str]()
    for stage, number in (("largest", 0), ("largest", STEPS), ("narrow", 1)):
        with monkeypatch.context() as patched:
            _at(patched, stage, number, terminate)
            assert main(flags(photos, out, *more, *resume)) == 130, (stage, number)
        assert not (out / "supernet.safetensors").exists()
        resume = ["--resume"]
    assert main(flags(photos, out, *more, *resume)) == 0
    assert_same(weights(out), weights(expected))
    assert lines(out) == lines(expected)


def test_killed_it_continues_from_the_last_epoch(
    photos: Path, whole: tuple[list[str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Three times in one run, as above."""
    more, expected = whole
    out, resume = tmp_path / "run", list[str]()
    for stage, number in (("largest", 1), ("narrow", 0), ("narrow", STEPS + 1)):
        with monkeypatch.context() as patched:
            _at(patched, stage, number, die)
            with pytest.raises(Killed):
                main(flags(photos, out, *more, *resume))
        resume = ["--resume"]
    assert main(flags(photos, out, *more, *resume)) == 0
    assert_same(weights(out), weights(expected))
    assert lines(out) == lines(expected)


def test_another_recipe_is_refused_by_name(photos: Path, tmp_path: Path) -> None:
    def refused(match: str, *more: object) -> None:
        with pytest.raises(InputError, match=match):
            main(flags(photos, out, "--recipe", recipe, "--resume", *more))

    recipe, out = tmp_path / "recipe.json", tmp_path / "run"
    recipe.write_text(json.dumps(SHORT[:1]))
    assert main(flags(photos, out, "--recipe", recipe)) == 0
    refused(r"begun with weight_decay = 3e-05, but this run has 0\.0001", "--weight-decay", 1e-4)
    refused(r"begun with held_out = 2, but this run has 3", "--held-out", 3)
    refused(r"begun with resolutions\[1\] = 40, but this run has 48", "--resolutions", "32,48")
    recipe.write_text(json.dumps([{**SHORT[0], "epochs": 3}]))
    refused(r"begun with stages\[0\]\.epochs = 2, but this run has 3")


def test_the_same_seed_gives_the_same_supernet_and_another_seed_does_not(photos: Path, tmp_path: Path) -> None:
    brief = tmp_path / "brief.json"
    brief.write_text(json.dumps([{**stage, "epochs": 1} for stage in SHORT]))
    torch.manual_seed(99)  # the caller's generator is not used ...
    before = torch.get_rng_state()
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        assert main(flags(photos, tmp_path / name, "--recipe", brief, "--seed", seed)) == 0
    assert torch.equal(before, torch.get_rng_state())  # ... nor moved
    assert_same(weights(tmp_path / "a"), weights(tmp_path / "b"))
    assert not torch.equal(weights(tmp_path / "a")["stem.conv.weight"], weights(tmp_path / "c")["stem.conv.weight"])


# ---- what goes wrong


def test_a_loss_that_is_not_finite_is_named_and_the_checkpoint_kept(
    photos: Path, short: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    original, calls = Supernet.run, [0]

    def failing(self: Supernet, *arguments: Any) -> Tensor:
        calls[0] += torch.is_grad_enabled()
        logits = original(self, *arguments)
        # two epochs of the first stage, one of the second with 2 sub-networks a step, then the second sub-network
        return logits * math.nan if calls[0] == 2 * STEPS + 2 * STEPS + 2 and torch.is_grad_enabled() else logits

    with monkeypatch.context() as patched:
        patched.setattr(Supernet, "run", failing)
        match = r"loss of sub-network 2 of stage narrow, \{\"kernel_sizes\": .* in epoch 2, step 1, .*is kept in"
        with pytest.raises(InputError, match=match):
            main(flags(photos, tmp_path / "run", "--recipe", short))
    assert main(flags(photos, tmp_path / "run", "--recipe", short, "--resume")) == 0


def test_a_full_disk_keeps_the_checkpoint(photos: Path, short: Path, tmp_path: Path) -> None:
    """A limit on the size of files stands in for a full disk: writing fails half-way."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, before[1]))
    try:
        with pytest.raises(InputError, match=r"cannot be written \(.*; there is no checkpoint before it: make room"):
            main(flags(photos, tmp_path / "run", "--recipe", short))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert [file.name for file in (tmp_path / "run" / "1-largest").iterdir()] == []
    assert main(flags(photos, tmp_path / "run", "--recipe", short, "--resume")) == 0


def test_mistakes_are_named(photos: Path, tmp_path: Path) -> None:
    def fails(match: str, *more: object) -> None:
        with pytest.raises(InputError, match=match):
            main(flags(photos, tmp_path / "run", *more))
        assert not (tmp_path / "run").exists()

    fails("22 training images are fewer than a batch of 23 x 1 processes", "--batch-size", 23)
    fails("24 training images: 24 cannot be held out", "--held-out", 24)
    fails("--batch-size is 1, expected at least 2", "--batch-size", 1)
    fails("--method alone needs --subnet", "--method", "alone")
    fails("--epochs is for uniform", "--epochs", 3)
    fails('Invalid value "fp8" for --precision', "--precision", "fp8")
    fails('Invalid value "disk" for --cache', "--cache", "disk")
    fails("--epochs-scale is 0.0, expected a number above 0", "--epochs-scale", 0)
    fails("--recipe short is a recipe of shrinking", "--method", "uniform", "--recipe", "short")
    fails("no such recipe", "--recipe", tmp_path / "none.json")
    fails("unknown space 'mbv4'", "--space", "mbv4")
    for name, kept in (("one", ["class0"]), ("empty", ["class0", "class1"])):
        for folder in kept:
            shutil.copytree(photos / "train" / folder, tmp_path / name / folder)
    fails("has one class folder, class0", "--data", tmp_path / "one")
    (tmp_path / "empty" / "nothing").mkdir()
    fails("class folders without images: nothing", "--data", tmp_path / "empty")
    bad = tmp_path / "bad.json"
    bad.write_text(json.dumps([{**SHORT[0], "epoch": 3}]))
    fails(r"bad\.json: \[0\]: unknown fields: epoch", "--recipe", bad)
    bad.write_text(json.dumps([SHORT[1]]))
    with pytest.raises(InputError, match="stage narrow distils, but nothing comes before it: give --teacher"):
        main(flags(photos, tmp_path / "taught", "--recipe", bad))


@pytest.mark.parametrize("cache", ["auto", "off"])
def test_broken_images_are_left_out_or_refused(
    photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], cache: str
) -> None:
    shutil.copytree(photos, tmp_path / "imgs")
    for name in ("2.png", "3.png"):
        (tmp_path / "imgs" / "train" / "class0" / name).write_bytes(b"broken")
    more = ["--data", tmp_path / "imgs", "--method", "uniform", "--epochs", 1, "--cache", cache, "--held-out", 0]
    assert main(flags(photos, tmp_path / "run", *more)) == 0
    assert "2 broken images are skipped: train/class0/2.png, train/class0/3.png" in capsys.readouterr().err
    with pytest.raises(InputError, match=r"train/class0/[23]\.png cannot be read as an image"):
        main(flags(photos, tmp_path / "strict", *more, "--strict"))


def test_what_is_not_used_is_said_once_held_out_images_too(
    photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(photos, tmp_path / "imgs")
    held_out = open_photos(tmp_path / "imgs", held_out=6).held_out
    name = open_photos(tmp_path / "imgs", held_out=6).folder.names[held_out[2]]
    (tmp_path / "imgs" / name).write_bytes(b"broken")
    (tmp_path / "imgs" / "train" / "class0" / "readme.txt").write_bytes(b"")
    more = ["--data", tmp_path / "imgs", "--method", "uniform", "--epochs", 3, "--held-out", 6, "--check-every", 1]
    assert main(flags(photos, tmp_path / "run", *more)) == 0
    error = capsys.readouterr().err
    assert error.count(f"1 broken image is skipped: {name}; UnidentifiedImageError") == 1
    assert error.count("1 file is left out: 1 .txt\n") == 1
