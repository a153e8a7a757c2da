"""python -m ofa.publish: a supernet that is calibrated without its photographs."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from ofa.checkpoints.tensors import read_tensors
from ofa.checkpoints.weights import CALIBRATION, load_supernet, read_calibration, read_facts, save_checkpoint
from ofa.errors import InputError
from ofa.export.__main__ import main as export
from ofa.export.runtimes import runner
from ofa.images.files.folder import ImageFolder
from ofa.images.reading import batches
from ofa.networks import calibrate_bn
from ofa.networks.synthetic import prepared, synthetic_images
from ofa.publish.__main__ import main
from tests.ofa.export.exported import metadata_of

from .conftest import CATEGORIES, PIXELS, Toy

MEAN, STD = [0.5, 0.4, 0.3], [0.2, 0.25, 0.3]
FACTS = {"mean": MEAN, "std": STD, "classes": list(CATEGORIES), "data": "stripes"}


def batch(folder: Path, split: str) -> tuple[torch.Tensor, torch.Tensor]:
    """All images of a split."""
    ((images, labels),) = batches(ImageFolder(folder, split=split), PIXELS, 200, mean=MEAN, std=STD)
    return images, labels


@pytest.fixture(scope="module")
def trained(toy: Toy, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("trained") / "supernet.safetensors"
    save_checkpoint(toy.net, path, facts=FACTS)
    return path


@pytest.fixture(scope="module")
def published(trained: Path, photographs: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("published") / "deep" / "small.safetensors"
    assert main(arguments(trained, photographs, path, "--steps=32")) == 0
    return path


def arguments(checkpoint: Path, data: Path, out: Path, *more: str) -> list[str]:
    small = ["--images=24", "--subnets=3", "--check-subnets=2", "--allow-poor-calibration"]
    return [f"--checkpoint={checkpoint}", f"--data={data}", f"--out={out}", *small, *more]


def test_the_file_is_half_as_large_and_says_what_it_holds(trained: Path, published: Path) -> None:
    images = read_calibration(published)
    assert images is not None
    assert images.shape == (24, 3, PIXELS, PIXELS)
    assert published.stat().st_size < 0.6 * trained.stat().st_size + images.numel()
    before, after = load_supernet(trained).state_dict(), load_supernet(published).state_dict()
    for name, weight in before.items():
        torch.testing.assert_close(after[name], weight, rtol=1e-3, atol=1e-6)
    facts = read_facts(published)
    assert {key: facts[key] for key in FACTS} == FACTS
    assert facts["published"]["synthetic_images"] == 24
    assert [row["resolution"] for row in facts["published"]["compared"]] == [PIXELS] * 2


def test_synthetic_images_calibrate_another_sub_network_like_real_ones(published: Path, photographs: Path) -> None:
    net, (real, _) = load_supernet(published).eval(), batch(photographs, "train")
    images = read_calibration(published)
    assert images is not None
    other = net.space.decode(net.space.sample(np.random.default_rng(77), 1, resolutions=[PIXELS]))[0]
    wanted = calibrate_bn(net, other, [real])
    barely = synthetic_images(net, [wanted], 24, 1, MEAN, STD)
    distance = []
    for pixels in (images, barely):
        found = calibrate_bn(net, other, [prepared(pixels, PIXELS, MEAN, STD)])
        early = list(wanted.means)[:5]  # whose errors go through all that follow
        ratios = [torch.log((found.variances[n] + 1e-5) / (wanted.variances[n] + 1e-5)).abs().mean() for n in early]
        distance.append(torch.stack(ratios).mean())
    assert distance[0] < 0.5 * distance[1]


def test_labels_that_are_the_class_names_in_another_order_are_refused(toy: Toy, trained: Path, tmp_path: Path) -> None:
    (tmp_path / "labels.txt").write_text("\n".join(reversed(CATEGORIES)))
    given = [f"--subnet={toy.result}", f"--checkpoint={trained}", f"--labels={tmp_path / 'labels.txt'}"]
    with pytest.raises(InputError, match=f"label 0 is {CATEGORIES[-1]}, but that logit is {CATEGORIES[0]}"):
        export([*given, "--format=onnx", f"--out={tmp_path / 'net.onnx'}"])
    assert not (tmp_path / "net.onnx").exists()


def test_export_needs_no_images_labels_or_normalisation(
    toy: Toy, published: Path, photographs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "net.onnx"
    assert export([f"--subnet={toy.result}", f"--checkpoint={published}", "--format=onnx", f"--out={out}"]) == 0
    assert "24 synthetic images" in capsys.readouterr().out
    said = metadata_of(out)
    assert said["labels"].split("\n") == list(CATEGORIES)
    assert said["mean"] == str(MEAN)
    assert said["batch_norm_calibrated"] == "true"
    assert "synthetic" in said["calibration"]
    images, labels = batch(photographs, "val")
    run = runner("onnx", out.read_bytes(), 1)
    # four classes; with real images all are right (test_shipped: how near it comes on a real supernet)
    assert (run(images.numpy()).argmax(1) == labels.numpy()).mean() > 0.6


def test_the_same_seed_gives_the_same_images(toy: Toy, photographs: Path) -> None:
    target = calibrate_bn(toy.net, toy.subnet, [batch(photographs, "train")[0]])
    left: list[float] = []
    first, again, other = (
        synthetic_images(toy.net, [target], 4, 3, MEAN, STD, seed=seed, advance=left.append) for seed in (1, 1, 2)
    )
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert left[2] < left[0]
    assert all(parameter.requires_grad for parameter in toy.net.parameters())


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--images=1"], "--images is 1, expected 2 or more"),
        (["--subnets=1"], "--subnets is 1, expected 2 or more"),
        (["--out=net.pth"], r"expected a name that ends in \.safetensors"),
    ],
)
def test_bad_numbers_and_names(trained: Path, photographs: Path, tmp_path: Path, more: list[str], message: str) -> None:
    with pytest.raises(InputError, match=message):
        main(arguments(trained, photographs, tmp_path / "a.safetensors", *more))


def test_a_checkpoint_that_does_not_say_its_normalisation(toy: Toy, photographs: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"does not state how its images are normalised"):
        main(arguments(toy.checkpoint, photographs, tmp_path / "a.safetensors"))


def test_images_of_another_kind_in_a_file_are_refused(published: Path, tmp_path: Path) -> None:
    tensors, path = load_file(published), tmp_path / "a.safetensors"
    save_file({**tensors, CALIBRATION: torch.zeros(2, 3, 4)}, path, metadata=read_tensors(published)[1])
    with pytest.raises(InputError, match=r"calibration\.images is torch\.float32 of shape \(2, 3, 4\)"):
        read_calibration(path)


def test_a_space_without_a_shipped_supernet_is_named(tmp_path: Path) -> None:
    subnet = tmp_path / "subnet.json"
    genes = {"ks": [3] * 20, "e": [3] * 20, "d": [2] * 5, "r": 64}
    subnet.write_text(json.dumps({"space": "mbv3-w3.9", **genes}))
    with pytest.raises(InputError, match=r"no supernet is shipped for mbv3-w3\.9"):
        export([f"--subnet={subnet}", "--format=onnx"])
