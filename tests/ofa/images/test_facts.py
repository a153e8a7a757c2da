"""What a network knows of its images: through files and back, recognised elsewhere, and refused where damaged."""

import json
import shutil
import unicodedata
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from ofa.checkpoints.weights import read_image_facts, save_checkpoint, save_network
from ofa.errors import InputError
from ofa.export.images import choose_images
from ofa.images.choice import images_to_calibrate, images_to_evaluate
from ofa.images.classes import matched
from ofa.images.facts import ImageFacts, data_identity, facts_of_metadata
from ofa.images.files.folder import ImageFolder
from ofa.images.files.names import shown
from ofa.images.held_out import facts_of_training, open_photos
from ofa.images.preprocessing import HALF, IMAGENET, decided
from ofa.networks import build_supernet, extract
from ofa.space import get_space

CLASSES = ("cat", "Äpfel und Birnen", "zebra", "狗")
SPACE = get_space("mbv3-w0.1", 4)


def fill(root: Path, counts: dict[str, int], seed: int = 0) -> Path:
    """A folder of images in class folders."""
    rng = np.random.default_rng(seed)
    for name, count in counts.items():
        (root / name).mkdir(parents=True)
        for i in range(count):
            Image.fromarray(rng.integers(0, 256, (4, 4, 3), dtype=np.uint8)).save(root / name / f"{i}.png")
    return root


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """300 images in four classes."""
    return fill(tmp_path_factory.mktemp("data") / "my pictures", dict(zip(CLASSES, (120, 90, 60, 30), strict=True)))


@pytest.fixture(scope="module")
def known(pictures: Path) -> ImageFacts:
    return facts_of_training(open_photos(pictures), *HALF, 0.25)


def test_facts_of_a_training(known: ImageFacts) -> None:
    assert known.classes == tuple(sorted(CLASSES))
    assert (known.mean, known.std, known.smallest_crop) == (*HALF, 0.25)
    assert known.trained_on is not None
    assert (known.trained_on.name, known.trained_on.images) == ("my pictures", 300)
    assert known.held_out is not None
    assert known.held_out.count == 30


def test_facts_go_through_every_file(known: ImageFacts, tmp_path: Path) -> None:
    torch.manual_seed(0)
    net = build_supernet(SPACE, resolutions=[32]).eval()
    subnet = SPACE.decode(SPACE.sample(np.random.default_rng(0), 1, resolutions=[32]))[0]
    marked = known.marked("calibrated with 8 images", None, "calibrated with 8 images")
    assert marked.marks == ("calibrated with 8 images",)
    save_checkpoint(net, tmp_path / "a.safetensors", images=marked, facts={"method": "uniform"})
    assert read_image_facts(tmp_path / "a.safetensors") == marked
    save_network(extract(net, subnet), tmp_path / "network", marked)
    assert read_image_facts(tmp_path / "network") == replace(marked, resolution=32)
    assert read_image_facts(tmp_path / "network" / "network.safetensors") == replace(marked, resolution=32)
    assert ImageFacts.from_dict(json.loads(known.to_json()), "x") == known


def test_files_that_say_nothing_or_less(tmp_path: Path) -> None:
    net = build_supernet(SPACE, resolutions=[32])
    save_checkpoint(net, tmp_path / "none.safetensors")
    save_checkpoint(net, tmp_path / "mit.pt", "mit")
    old = {"classes": list(CLASSES), "mean": [0.5] * 3, "std": [0.5] * 3, "images": 8523, "held_out": 946}
    save_checkpoint(net, tmp_path / "old.safetensors", facts=old)
    assert read_image_facts(tmp_path / "none.safetensors") is None
    assert read_image_facts(tmp_path / "mit.pt") is None
    assert read_image_facts(tmp_path / "old.safetensors") == ImageFacts(*HALF, classes=CLASSES)
    exported = {"mean": "[0.5, 0.5, 0.5]", "std": "[0.5, 0.5, 0.5]", "crop_ratio": "0.875", "labels": "a\nb"}
    assert facts_of_metadata(exported, "x") == ImageFacts(*HALF, classes=("a", "b"))
    # ImageNet has two classes called crane
    assert facts_of_metadata({**exported, "labels": "crane\ncrane"}, "x") == ImageFacts(*HALF)


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"std": [0.5, 0.5, 0]}, "std is .*expected more than 0"),
        ({"mean": [0.5, 0.5]}, "expected three numbers"),
        ({"mean": [0.5, 0.5, "x"]}, "expected three numbers"),
        ({"classes": ["a", "a"]}, "two classes are called a"),
        ({"classes": "ab"}, "expected a list of texts"),
        ({"crop_ratio": 0.9}, "crop_ratio is 0.9, but images are prepared with 0.875"),
        ({"held_out": {"count": 1}}, "missing"),
    ],
)
def test_damaged_facts_are_refused(known: ImageFacts, change: dict[str, object], match: str) -> None:
    with pytest.raises(InputError, match=f"w.safetensors: its description of its images is damaged: .*{match}"):
        facts_of_metadata({"images": json.dumps({**known.to_dict(), **change})}, "w.safetensors")
    with pytest.raises(InputError, match=r"w\.safetensors: damaged metadata"):
        facts_of_metadata({"images": "{"}, "w.safetensors")


def test_a_data_set_is_recognised_in_a_zip_and_below_train(pictures: Path, known: ImageFacts, tmp_path: Path) -> None:
    assert known.trained_on is not None
    shutil.copytree(pictures, tmp_path / "x" / "train")
    with zipfile.ZipFile(tmp_path / "p.zip", "w") as archive:
        for file in sorted(pictures.rglob("*.png"), reverse=True):
            archive.write(file, "around/" + file.relative_to(pictures).as_posix())
    for path in (tmp_path / "x", tmp_path / "x" / "train", tmp_path / "p.zip"):
        assert data_identity(ImageFolder(path, split="train")).same_images(known.trained_on), path
    fill(tmp_path / "others", {name: len(list((pictures / name).iterdir())) for name in CLASSES}, seed=1)
    others = data_identity(ImageFolder(tmp_path / "others"))
    assert others.names_sha256 == known.trained_on.names_sha256
    assert not others.same_images(known.trained_on)  # the same names, other images


def test_what_was_held_out_is_evaluated_and_the_rest_calibrates(pictures: Path, known: ImageFacts) -> None:
    photos = open_photos(pictures)
    chosen = images_to_evaluate(pictures, known, "W")
    assert (chosen.split, chosen.mark) == ("held-out", None)
    assert tuple(chosen.indices) == photos.held_out
    rest = images_to_calibrate(None, pictures, known, chosen, "W")
    assert tuple(rest.indices) == photos.indices
    assert rest.mark is None
    given = images_to_calibrate(pictures, pictures, known, chosen, "W")
    assert tuple(given.indices) == photos.indices
    assert sorted(chosen.at_random(None, 3)) == sorted(chosen.indices)
    assert chosen.at_random(5, 3) == chosen.at_random(None, 3)[:5] != sorted(chosen.at_random(5, 3))


def test_training_images_are_refused_or_marked(pictures: Path, known: ImageFacts, tmp_path: Path) -> None:
    shutil.copytree(pictures, tmp_path / "imgs" / "train")
    fill(tmp_path / "imgs" / "val", dict.fromkeys(CLASSES, 2), seed=1)
    for path, split in ((tmp_path / "imgs", "train"), (pictures, "all"), (pictures, "train")):
        with pytest.raises(InputError, match=r"was trained on these 300 images.*--split held-out, or insist with"):
            images_to_evaluate(path, known, "W", split=split)
        chosen = images_to_evaluate(path, known, "W", split=split, allow_training=True)
        assert chosen.mark == "evaluated on images that W was trained on"
        assert len(chosen.indices) == 300
    none = replace(known, held_out=replace(known.held_out, count=0))  # type: ignore[type-var]
    with pytest.raises(InputError, match="Give others, or insist with"):
        images_to_evaluate(pictures, none, "W")
    assert images_to_evaluate(tmp_path / "imgs", known, "W").split == "val"
    assert images_to_evaluate(tmp_path / "imgs", known, "W", split="held-out").split == "held-out"


def test_another_folder_is_told_from_a_changed_one(pictures: Path, known: ImageFacts, tmp_path: Path) -> None:
    changed = tmp_path / "my pictures"
    shutil.copytree(pictures, changed)
    (changed / "zebra" / "0.png").unlink()
    match = "is not the my pictures that W was trained on: it has 299 images, not 300"
    trained, known = known, replace(known, contents=())  # as a file of before contents were kept
    for split in (None, "held-out"):
        for facts in (known, trained):
            with pytest.raises(InputError, match=match):
                images_to_evaluate(changed, facts, "W", split=split)
    assert len(images_to_evaluate(changed, known, "W", split="all").indices) == 299
    with pytest.raises(InputError, match="90 % of 299 images are images that W was trained on, whatever they are"):
        images_to_evaluate(changed, trained, "W", split="all")
    insisted = images_to_evaluate(changed, known, "W", allow_training=True)
    assert (len(insisted.indices), insisted.mark) == (299, f"{changed} {match}")
    plan = choose_images(changed, None, (100, 100), 0, known, Path("W"))  # of an export, which has no --split
    assert plan.evaluation is not None
    assert plan.evaluation.mark == insisted.mark
    plan = choose_images(changed, changed, (100, 100), 0, known, Path("W"))
    assert plan.evaluation is not None
    assert plan.evaluation.mark == insisted.mark
    others = changed.rename(tmp_path / "others")
    assert images_to_evaluate(others, known, "W").split == "all"
    with pytest.raises(InputError, match="90 % of 299 images are images that W was trained on"):
        images_to_evaluate(others, trained, "W")
    with pytest.raises(InputError, match="give --calibration DIR"):
        images_to_calibrate(None, others, known, images_to_evaluate(others, known, "W"), "W")
    same = images_to_calibrate(others, others, known, images_to_evaluate(others, known, "W"), "W")
    assert same.mark == "calibrated with the images that it is evaluated on"
    forged = replace(known, held_out=replace(known.held_out, sha256="0"))  # type: ignore[type-var]
    with pytest.raises(InputError, match="not those that this version would choose"):
        images_to_evaluate(pictures, forged, "W")
    for nothing in (None, ImageFacts(*HALF)):
        with pytest.raises(InputError, match="W does not record which images its training held out"):
            images_to_evaluate(pictures, nothing, "W", split="held-out")


def test_only_train_is_there(pictures: Path, known: ImageFacts, tmp_path: Path) -> None:
    shutil.copytree(pictures, tmp_path / "imgs" / "train")
    assert images_to_evaluate(tmp_path / "imgs", known, "W").split == "held-out"
    with pytest.raises(InputError, match="has no folder val"):
        images_to_evaluate(tmp_path / "imgs", None, "W")
    fill(tmp_path / "imgs" / "val", dict.fromkeys(CLASSES, 2), seed=1)
    with pytest.raises(InputError, match="has the folders train, val: choose one of them with --split"):
        images_to_evaluate(tmp_path / "imgs", known, "W", split="all")


# ---- classes by name


def folder_of(tmp_path: Path, *names: str) -> ImageFolder:
    return ImageFolder(fill(tmp_path / "imgs", dict.fromkeys(names, 2)))


def test_classes_are_matched_by_name(known: ImageFacts, tmp_path: Path) -> None:
    decomposed = unicodedata.normalize("NFD", CLASSES[1])
    assert decomposed != CLASSES[1]
    folder, line = matched(folder_of(tmp_path, "zebra", decomposed), known, 4, source="W")
    assert folder.class_index == {"zebra": known.classes.index("zebra"), CLASSES[1]: known.classes.index(CLASSES[1])}
    assert set(folder.labels) == {1, 2}
    for name, label in zip(folder.names, folder.labels, strict=True):
        assert label == folder.class_index[unicodedata.normalize("NFC", name.split("/")[0])]
    assert line == f"{folder.path} lacks 2 of 4 classes: cat, 狗"


def test_an_unknown_class_is_named_unless_it_is_mapped(known: ImageFacts, tmp_path: Path) -> None:
    folder = folder_of(tmp_path, "cat", "zzebra\x1b")
    with pytest.raises(InputError, match=r"class folder zzebra\\x1b is none of the 4 classes of W \(cat, zebra, "):
        matched(folder, known, 4, source="W")
    mapped, line = matched(folder, known, 4, {"cat": 3, "zzebra\x1b": 1}, source="W")
    assert set(mapped.labels) == {3, 1}
    assert line is None


def test_without_names_classes_are_counted(tmp_path: Path) -> None:
    folder = folder_of(tmp_path, "a", "b")
    assert matched(folder, None, 2, source="W")[0].class_index == {"a": 0, "b": 1}
    with pytest.raises(InputError, match="2 class folders, but the network 3 classes"):
        matched(folder, ImageFacts(*HALF), 3, source="W")
    with pytest.raises(InputError, match="class folder b is class 7, but the network has 3"):
        matched(folder, None, 3, {"a": 0, "b": 7}, source="W")


def test_labels_that_begin_with_a_synset(tmp_path: Path) -> None:
    folder = folder_of(tmp_path, "n01440764", "n02102040")
    names = ImageFacts(*HALF, classes=("x", "n02102040 English springer", "n01440764, tench"))
    assert set(matched(folder, names, 3, source="W")[0].labels) == {1, 2}


# ---- mean and std


def test_options_that_contradict_the_file_are_refused_or_marked(known: ImageFacts) -> None:
    assert decided(known, None, None, override=False, source="W") == (known, None)
    assert decided(known, "half", None, override=False, source="W") == (known, None)
    assert decided(known, "0.5", None, override=False, source="W") == (known, None)
    with pytest.raises(
        InputError,
        match=r"W was trained with mean 0\.5,0\.5,0\.5, std 0\.5,0\.5,0\.5, but --mean and --std are mean 0\.485,",
    ):
        decided(known, "imagenet", None, override=False, source="W")
    with pytest.raises(InputError, match=r"std 0\.25,0\.25,0\.25: leave them out, or insist with --override-prep"):
        decided(known, None, "0.25", override=False, source="W")
    found, _ = decided(known, "imagenet", None, override=True, source="W")
    assert (found.mean, found.std) == IMAGENET
    assert found.classes == known.classes
    assert "prepared with mean 0.485,0.456,0.406" in found.marks[0]


def test_a_file_that_says_nothing_gets_imagenets_and_a_line() -> None:
    found, line = decided(None, None, None, override=False, source="W")
    assert (found.mean, found.std) == IMAGENET
    assert line is not None
    assert "W does not state" in line
    assert decided(None, "half", None, override=False, source="W") == (ImageFacts(*HALF), None)
    with pytest.raises(InputError, match="needs --std"):
        decided(None, "0.4", None, override=False, source="W")


def test_names_are_escaped() -> None:
    assert shown("Äpfel 狗 [red]") == "Äpfel 狗 [red]"
    assert shown("a\x1b[31m\nb\udcff") == "a\\x1b[31m\\nb\\xff"
