"""Training images are known again by their content: renamed, moved, zipped, mixed with others."""

import json
import shutil
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ofa.errors import InputError
from ofa.export.images import choose_images
from ofa.finetune.config import FinetuneConfig
from ofa.finetune.data import open_data
from ofa.images.choice import images_to_evaluate
from ofa.images.content import MOST_HASHES, ContentSample, content_sample, share_known
from ofa.images.facts import MOST_CONTENTS, ImageFacts, facts_of_metadata
from ofa.images.files.folder import ImageFolder
from ofa.images.held_out import facts_of_training, open_photos
from ofa.images.preprocessing import HALF

Files = Mapping[str, bytes]


def files(count: int, seed: int, size: int | None = None) -> dict[str, bytes]:
    """Names and contents of files that are called images; of sizes as diverse as photographs', or all of one size."""
    rng = np.random.default_rng(seed)
    sizes = [size or int(n) for n in rng.integers(100, 3000, count)]
    return {f"class{i % 3}/{seed}-{i:05}.jpg": rng.bytes(n) for i, n in enumerate(sizes)}


def zipped(path: Path, content: Files) -> ImageFolder:
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in content.items():
            archive.writestr(name, data)
    return ImageFolder(path)


def unpacked(path: Path, content: Files) -> ImageFolder:
    for name, data in content.items():
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_bytes(data)
    return ImageFolder(path)


def renamed(content: Files) -> dict[str, bytes]:
    """In another order, and in other classes."""
    return {f"group{i % 5}/{i:05}.JPEG": content[name] for i, name in enumerate(reversed(content))}


@pytest.mark.parametrize("size", [None, 500])
def test_the_share_that_is_known_is_estimated_whatever_files_are_called(tmp_path: Path, size: int | None) -> None:
    trained, others = files(9000, 0, size), files(4000, 1, size)
    folder = zipped(tmp_path / "trained.zip", trained)
    sample = content_sample(folder, range(len(folder)))
    assert MOST_HASHES / 8 < len(sample.hashes) <= MOST_HASHES
    assert sample == content_sample(zipped(tmp_path / "renamed.zip", renamed(trained)), range(len(folder)))
    for known in (0, 400, 2000, 4000):
        mixed = dict(list(trained.items())[:known]) | dict(list(others.items())[known:])
        found = share_known(zipped(tmp_path / f"{known}.zip", renamed(mixed)), [sample])
        assert found == pytest.approx(known / 4000, abs=0.04), known
        assert (found == 0) == (known == 0)


def test_of_few_images_all_are_kept_in_a_zip_or_out_of_it(tmp_path: Path) -> None:
    trained = files(300, 0)
    folder = unpacked(tmp_path / "folder", trained)
    sample = content_sample(folder, range(len(folder)))
    assert (sample.size_bits, sample.content_bits, len(sample.hashes)) == (0, 0, 300)
    assert share_known(zipped(tmp_path / "a.zip", renamed(trained)), [sample]) == 1
    mixed = renamed(dict(list(trained.items())[:30]) | files(270, 1))
    assert share_known(unpacked(tmp_path / "mixed", mixed), [sample]) == 0.1
    assert share_known(unpacked(tmp_path / "mixed", mixed), [content_sample(folder, range(1)), sample]) == 0.1
    twin = renamed(dict(list(trained.items())[:1]) | files(9, 1))
    assert share_known(unpacked(tmp_path / "twin", twin), [sample]) == 0


def test_a_sample_goes_through_json_and_damage_is_named() -> None:
    sample = ContentSample(2, 1, (3, 1 << 62, (1 << 64) - 1))
    facts = ImageFacts(*HALF, contents=(sample, ContentSample(0, 0, ())))
    assert facts_of_metadata({"images": facts.to_json()}, "W") == facts
    assert "contents" not in facts.to_dict()  # tables of accuracies and results do without
    for change in ({"hashes": "AAA"}, {"hashes": "AAAA"}, {"size_bits": 65}, {"content_bits": True}, {"hashes": 3}):
        damaged = {**facts.to_dict(), "contents": [{**sample.to_dict(), **change}]}
        with pytest.raises(InputError, match="W: its description of its images is damaged"):
            facts_of_metadata({"images": json.dumps(damaged)}, "W")


def test_a_network_remembers_the_trainings_before() -> None:
    samples = [ContentSample(0, 0, (n,)) for n in range(MOST_CONTENTS + 1)]
    known = None
    for sample in samples:
        known = ImageFacts(*HALF, contents=(sample,)).after(known)
    assert known is not None
    assert known.contents == tuple(samples[:0:-1])
    assert known.after(known) == known


# ---- what the commands make of it


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """300 images that can be decoded, in three classes."""
    root, rng = tmp_path_factory.mktemp("data") / "pictures", np.random.default_rng(0)
    for i in range(300):
        path = root / f"class{i % 3}" / f"{i}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (6, 6, 3), dtype=np.uint8)).save(path)
    return root


@pytest.fixture(scope="module")
def known(pictures: Path) -> ImageFacts:
    """Of a training on 270 of them; 30 were held out."""
    return facts_of_training(open_photos(pictures), *HALF, 0.25)


def one_added(root: Path) -> None:
    Image.new("RGB", (6, 6)).save(root / "class0" / "added.png")


def all_renamed(root: Path) -> None:
    rng = np.random.default_rng(1)
    for path in sorted(root.rglob("*.png")):
        path.rename(path.with_name(f"{rng.integers(1 << 40)}.png"))


@pytest.mark.parametrize("change", [one_added, all_renamed])
@pytest.mark.parametrize("pack", [False, True])
def test_a_renamed_folder_is_refused_or_marked(
    pictures: Path, known: ImageFacts, tmp_path: Path, change: Callable[[Path], None], pack: bool
) -> None:
    copy = Path(shutil.copytree(pictures, tmp_path / "holiday"))
    change(copy)
    if pack:
        copy = Path(shutil.make_archive(str(tmp_path / "other"), "zip", copy))
    before = replace(known, contents=())  # what it knew by names alone
    assert images_to_evaluate(copy, before, "W").mark is None
    match = r"about 9[01] % of 30[01] images are images that W was trained on"
    for split in (None, "all"):
        with pytest.raises(InputError, match=f"{match}, whatever they are called: .*--allow-training-images"):
            images_to_evaluate(copy, known, "W", split=split)
    chosen = images_to_evaluate(copy, known, "W", allow_training=True)
    assert chosen.mark is not None
    assert chosen.notices == (f"warning: {chosen.mark}",)
    plan = choose_images(copy, None, (100, 100), 0, known, Path("W"))  # of an export, which only marks
    assert plan.evaluation is not None
    assert plan.evaluation.mark == chosen.mark


def test_what_was_held_out_or_is_new_is_unseen_wherever_it_lies(
    pictures: Path, known: ImageFacts, tmp_path: Path
) -> None:
    photos = open_photos(pictures)
    apart = {f"other/{n}.png": photos.folder.read(i) for n, i in enumerate(photos.held_out)}
    unpacked(tmp_path / "apart", apart)
    assert images_to_evaluate(tmp_path / "apart", known, "W").mark is None
    assert images_to_evaluate(pictures, known, "W").mark is None  # what was held out, by default
    # a twin or two do not make a test set a training set
    twins = {f"other/twin{n}.png": photos.folder.read(i) for n, i in enumerate(photos.indices[:2])}
    more = {f"other/new{n}.jpg": data for n, data in enumerate(files(100, 2).values())}
    unpacked(tmp_path / "twins", {**apart, **twins, **more})
    assert images_to_evaluate(tmp_path / "twins", known, "W").mark is None
    unpacked(tmp_path / "twins", {f"other/{n}.png": photos.folder.read(i) for n, i in enumerate(photos.indices[:8])})
    with pytest.raises(InputError, match="% of 132 images are images that W was trained on"):
        images_to_evaluate(tmp_path / "twins", known, "W")


def test_fine_tuning_says_what_it_validates_with(pictures: Path, known: ImageFacts, tmp_path: Path) -> None:
    def mark(data: Path, facts: ImageFacts, val: Path | None = None) -> str | None:
        config = FinetuneConfig(network=tmp_path, data=data, val_data=val, out=tmp_path / "out")
        found = open_data(config, facts, "W", 3, None)
        if found.mark is not None:
            assert f"warning: {found.mark}" in found.notices
        assert found.facts(facts, new_classes=False, mapped=False, smallest_crop=0.2).marks == tuple(
            [found.mark] if found.mark else []
        )
        return found.mark

    assert mark(pictures, known) is None  # what the training held out
    copy = Path(shutil.copytree(pictures, tmp_path / "holiday"))
    all_renamed(copy)
    assert mark(copy, replace(known, contents=())) is None
    assert "% of 30 images are images that W was trained on" in str(mark(copy, known))
    unseen = replace(known, contents=())
    assert mark(pictures, unseen, copy) == f"{copy}: validated on images that are fine-tuned on"
    apart = {f"class{n % 3}/{n}.jpg": data for n, data in enumerate(files(60, 3).values())}
    unpacked(tmp_path / "apart", apart)
    assert mark(pictures, known, tmp_path / "apart") is None


def test_what_was_seen_before_a_fine_tuning_is_remembered(pictures: Path, known: ImageFacts, tmp_path: Path) -> None:
    unpacked(tmp_path / "new", files(150, 4))
    config = FinetuneConfig(network=tmp_path, data=tmp_path / "new", out=tmp_path / "out")
    facts = open_data(config, known, "W", 3, None).facts(known, new_classes=False, mapped=False, smallest_crop=0.2)
    assert len(facts.contents) == 2
    for folder in (pictures, tmp_path / "new"):
        copy = Path(shutil.copytree(folder, tmp_path / "copies" / folder.name / "x"))
        one_added(copy)
        with pytest.raises(InputError, match="images that W2 was trained on"):
            images_to_evaluate(copy, facts, "W2")
