"""Crops, the cache, what batches hold, CIFAR and held-out images."""

import io
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from ofa.cifar import open_images
from ofa.data import HALF, ImageFolder, decode
from ofa.errors import InputError
from ofa.runs.processes import Processes
from ofa.training.crops import Crops, cut, draw_crops, normalised
from ofa.training.photos import held_out_indices, open_photos
from ofa.training.supply import Cached, Preparation, Streamed, Supply, cache_side, chosen_cache
from ofa.training.torchvision_import import import_transforms

CPU = torch.device("cpu")
ALONE = Processes(0, 1, CPU)


def plain(box: list[float], n: int = 1, flipped: bool = False) -> Crops:
    """One box for all, no jitter."""
    return Crops(np.array([box] * n), np.array([flipped] * n), np.ones(n), np.ones(n))


def as_pixels(image: Any) -> Tensor:
    """(1, 3, H, W) uint8."""
    return torch.from_numpy(np.array(image)).permute(2, 0, 1)[None].contiguous()


def photo(width: int, height: int) -> Any:
    """A smooth picture, as photographs are."""
    rough = np.random.default_rng(0).integers(0, 256, (6, 7, 3), dtype=np.uint8)
    return Image.fromarray(rough).resize((width, height), Image.Resampling.BICUBIC)


# ---- crops: torchvision's augmentation is the judge


def test_the_whole_image_at_its_size_is_the_image() -> None:
    pixels = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (2, 3, 9, 9), dtype=np.uint8))
    torch.testing.assert_close(cut(pixels, plain([0, 0, 1, 1], 2), 9), pixels.float(), rtol=0, atol=1e-3)
    flipped = cut(pixels, plain([0, 0, 1, 1], 2, flipped=True), 9)
    torch.testing.assert_close(flipped, pixels.flip(3).float(), rtol=0, atol=1e-3)


@pytest.mark.parametrize("size", [11, 40, 70])
def test_resizing_is_pillows(size: int) -> None:
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 256, (40, 40, 3), dtype=np.uint8))
    expected = as_pixels(noise.resize((size, size), Image.Resampling.BILINEAR))
    found = cut(as_pixels(noise), plain([0, 0, 1, 1]), size)
    assert float((found - expected).abs().max()) < 1.5  # Pillow rounds twice


@pytest.mark.parametrize("resolution", [24, 48])
@pytest.mark.parametrize(("left", "top", "width", "height"), [(10, 5, 40, 32), (0, 30, 64, 34)])
def test_a_crop_is_torchvisions(resolution: int, left: int, top: int, width: int, height: int) -> None:
    functional = import_transforms().functional
    image = photo(64, 64)
    expected = as_pixels(functional.resized_crop(image, top, left, height, width, [resolution, resolution]))
    box = [side / 64 for side in (left, top, width, height)]
    apart = (cut(as_pixels(image), plain(box), resolution) - expected).abs()
    assert float(apart[..., 2:-2, 2:-2].max()) < 1.5
    assert float(apart.max()) < 8  # at its edges ours sees the pixels beside the box


def test_a_crop_of_a_squashed_photo_is_nearly_that_of_the_photo() -> None:
    functional = import_transforms().functional
    image = photo(90, 60)
    expected = as_pixels(functional.resized_crop(image, 12, 30, 30, 40, [32, 32]))
    squashed = as_pixels(image.resize((80, 80), Image.Resampling.BILINEAR))
    apart = (cut(squashed, plain([30 / 90, 12 / 60, 40 / 90, 30 / 60]), 32) - expected).abs()
    assert float(apart.mean()) < 1
    assert float((cut(squashed, plain([30 / 90, 12 / 60, 30 / 90, 30 / 60]), 32) - expected).abs().mean()) > 5


def test_a_flip_mirrors_the_crop_not_the_photo_it_is_cut_from() -> None:
    pixels, crops = as_pixels(photo(64, 64)), plain([0, 0.25, 0.5, 0.5])
    mirrored = cut(pixels, replace(crops, flipped=np.array([True])), 24)
    assert torch.allclose(mirrored, cut(pixels, crops, 24).flip(3), atol=1e-3)


def test_brightness_and_saturation_are_torchvisions() -> None:
    functional = import_transforms().functional
    image = photo(16, 16)
    for brightness, saturation in ((1.1, 1.0), (0.9, 0.5), (1.12, 1.5)):
        expected = functional.adjust_saturation(functional.adjust_brightness(image, brightness), saturation)
        crops = Crops(np.array([[0, 0, 1, 1.0]]), np.array([False]), np.array([brightness]), np.array([saturation]))
        assert float((cut(as_pixels(image), crops, 16) - as_pixels(expected)).abs().max()) < 2.5  # it rounds thrice


@pytest.mark.parametrize(("width", "height"), [(500, 300), (300, 500), (1000, 100), (300, 300)])
def test_boxes_are_drawn_as_torchvision_draws_them(width: int, height: int) -> None:
    """2,000 draws each; equal distributions are 0.06 apart once in a thousand. Theirs are of whole pixels."""
    crop = import_transforms().RandomResizedCrop
    blank = torch.empty(3, height, width)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        drawn = [crop.get_params(blank, [0.08, 1], [3 / 4, 4 / 3]) for _ in range(2000)]
    top, left, high, wide = np.array(drawn, float).T
    expected = np.stack([left / width, top / height, wide / width, high / height], 1)
    crops = draw_crops(np.random.default_rng(0), np.tile([[width, height]], (2000, 1)).astype(float), 0.08)
    assert (crops.boxes >= 0).all()
    assert (crops.boxes[:, :2] + crops.boxes[:, 2:] <= 1 + 1e-12).all()
    for found, known in zip(features(crops.boxes, width / height), features(expected, width / height), strict=True):
        at = np.unique(known)
        assert (share(found, at - 0.005, "right") - share(known, at, "right")).max() < 0.06
        assert (share(known, at, "left") - share(found, at + 0.005, "left")).max() < 0.06


def share(values: NDArray[np.float64], bounds: NDArray[np.float64], side: Any) -> NDArray[np.float64]:
    """How large a part of the values lies below each bound; "right": or at it."""
    return np.searchsorted(np.sort(values), bounds, side) / len(values)


def features(boxes: NDArray[np.float64], shape: float) -> Iterator[NDArray[np.float64]]:
    """Left, top, area and aspect ratio."""
    left, top, width, height = boxes.T
    yield from (left, top, width * height, np.log(width * shape / height))


def test_a_strip_that_no_allowed_shape_fits_gives_its_centre() -> None:
    strip = draw_crops(np.random.default_rng(0), np.array([[1000.0, 10.0]]), 1.0)
    assert strip.boxes[0] == pytest.approx([0.5 - 0.01333 / 2, 0, 0.01333, 1], abs=1e-4)


def test_flips_and_jitter_are_as_likely_as_they_should_be() -> None:
    crops = draw_crops(np.random.default_rng(0), np.full((4000, 2), 100.0), 0.08)
    assert crops.flipped.mean() == pytest.approx(0.5, abs=0.03)
    for factors, reach in ((crops.brightness, 32 / 255), (crops.saturation, 0.5)):
        assert (factors.min(), factors.max()) == (
            pytest.approx(1 - reach, abs=0.01),
            pytest.approx(1 + reach, abs=0.01),
        )
        assert factors.mean() == pytest.approx(1, abs=0.02)


def test_normalised_is_as_for_evaluation() -> None:
    images = torch.rand(2, 3, 4, 4, generator=torch.Generator().manual_seed(0)) * 255
    mean, std = (0.4, 0.5, 0.6), (0.2, 0.3, 0.1)
    expected = (images / 255 - torch.tensor(mean)[:, None, None]) / torch.tensor(std)[:, None, None]
    torch.testing.assert_close(normalised(images, mean, std), expected)


# ---- batches


@pytest.fixture(scope="module")
def numbered(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Nine images, each the only one of its class, so that a label tells the image; other sizes, other shades."""
    root = tmp_path_factory.mktemp("numbered")
    for i in range(9):
        (root / f"class{i}").mkdir()
        Image.new("RGB", (30 + 5 * i, 40), (20 * i, 20 * i, 20 * i)).save(root / f"class{i}" / "image.png")
    return root


KINDS = pytest.mark.parametrize("kind", ["cached", "streamed"])
MINE = [0, 1, 2, 4, 5, 6, 8]


def supply(kind: str, path: Path, size: int, procs: Processes = ALONE, indices: list[int] = MINE) -> Supply:
    folder, how = ImageFolder(path), Preparation(size, *HALF)
    if kind == "streamed":
        return Streamed(folder, indices, how, procs)
    cached = Cached(folder, indices, how, ALONE, 48, on_device=False)  # decoding is not shared here
    cached.procs = procs
    return cached


def batches(
    kind: str,
    path: Path,
    size: int,
    *,
    procs: Processes = ALONE,
    indices: list[int] = MINE,
    epoch: int = 1,
    first: int = 0,
    seed: int = 7,
) -> list[tuple[Tensor, Tensor]]:
    return list(supply(kind, path, size, procs, indices).batches(epoch, first, seed, lambda n: (32, 48)[n % 2]))


@KINDS
def test_an_epoch_visits_each_of_its_images_once_and_no_other(numbered: Path, kind: str) -> None:
    orders = []
    for epoch in range(4):
        found = batches(kind, numbered, 7, epoch=epoch)
        assert [images.shape for images, _ in found] == [(7, 3, 32, 32)]
        orders.append(found[0][1].tolist())
        assert sorted(orders[-1]) == MINE
    assert len({tuple(order) for order in orders}) == 4
    # what is left over a full batch is dropped, another image every epoch
    kept = [torch.cat([labels for _, labels in batches(kind, numbered, 3, epoch=n)]).tolist() for n in range(8)]
    assert all(len(set(labels)) == 6 for labels in kept)
    assert len({(set(MINE) - set(labels)).pop() for labels in kept}) > 3


@KINDS
def test_an_images_label_stays_with_it(numbered: Path, kind: str) -> None:
    for images, labels in batches(kind, numbered, 3):
        # shades are 20 times the number; brightness changes by an eighth at most
        shades = (images.mean((1, 2, 3)) * 0.5 + 0.5) * 255
        torch.testing.assert_close(shades, 20.0 * labels, rtol=0.13, atol=1)


EVERY = list(range(24))  # of the toy photographs: noise, so that another crop shows


@KINDS
def test_an_epoch_is_taken_up_in_its_middle_bit_for_bit(photos: Path, kind: str) -> None:
    whole = batches(kind, photos / "train", 8, indices=EVERY)
    assert [images.shape[-1] for images, _ in whole] == [32, 48, 32]
    for first in (1, 2, 3):
        rest = batches(kind, photos / "train", 8, indices=EVERY, first=first)
        assert len(rest) == 3 - first
        for (images, labels), (expected, expected_labels) in zip(rest, whole[first:], strict=True):
            assert torch.equal(images, expected)
            assert torch.equal(labels, expected_labels)
    for seed, epoch in ((8, 1), (7, 2)):
        other = batches(kind, photos / "train", 8, indices=EVERY, seed=seed, epoch=epoch)
        assert not torch.equal(other[0][0], whole[0][0])


@KINDS
def test_processes_together_have_one_processs_larger_batch(photos: Path, kind: str) -> None:
    def epoch(size: int, rank: int, count: int) -> list[tuple[Tensor, Tensor]]:
        return batches(kind, photos / "train", size, indices=EVERY, procs=Processes(rank, count, CPU))

    shares = [epoch(4, rank, 3) for rank in range(3)]
    whole = epoch(12, 0, 1)
    assert [len(share) for share in shares] == [2, 2, 2]
    for number, (images, labels) in enumerate(whole):
        torch.testing.assert_close(torch.cat([share[number][0] for share in shares]), images)
        assert torch.equal(torch.cat([share[number][1] for share in shares]), labels)
    assert epoch(13, 0, 2) == []  # 24 images are no batch of 26


@KINDS
def test_callers_generators_are_neither_used_nor_moved(numbered: Path, kind: str) -> None:
    torch.manual_seed(0)
    before = torch.get_rng_state()
    first = batches(kind, numbered, 3)
    assert torch.equal(before, torch.get_rng_state())
    torch.manual_seed(1)
    assert torch.equal(batches(kind, numbered, 3)[0][0], first[0][0])


def test_the_cache_keeps_squashed_images(numbered: Path) -> None:
    folder = ImageFolder(numbered)
    cached = Cached(folder, [3, 8], Preparation(2, *HALF), ALONE, 24, on_device=False)
    expected = [as_pixels(decode(folder.read(i)).resize((24, 24), Image.Resampling.BILINEAR)) for i in (3, 8)]
    assert torch.equal(cached.pixels, torch.cat(expected))


def test_which_cache() -> None:
    assert chosen_cache("auto", 9_469, 256) == "device"  # Imagenette: 1.7 GiB
    assert chosen_cache("auto", 1_281_167, 256) == "off"  # ImageNet: 235 GiB
    assert chosen_cache("memory", 1_281_167, 256) == "memory"
    with pytest.raises(InputError, match="--cache is 'disk', expected one of auto, device, memory, off"):
        chosen_cache("disk", 1, 1)


# ---- damaged images


@pytest.fixture
def damaged(numbered: Path, tmp_path: Path) -> Path:
    """Image 2 is no image, 5 is cut off."""
    for i in range(9):
        content = (numbered / f"class{i}" / "image.png").read_bytes()
        (tmp_path / f"class{i}").mkdir()
        (tmp_path / f"class{i}" / "image.png").write_bytes({2: b"no image", 5: content[:60]}.get(i, content))
    return tmp_path


@KINDS
def test_damaged_images_are_left_out_and_named(damaged: Path, kind: str) -> None:
    source = supply(kind, damaged, 7 if kind == "streamed" else 5)
    ((images, labels),) = source.batches(0, 0, 0, lambda _: 32)
    assert sorted(labels.tolist()) == [0, 1, 4, 6, 8]
    torch.testing.assert_close((images.mean((1, 2, 3)) * 0.5 + 0.5) * 255, 20.0 * labels, rtol=0.13, atol=1)
    assert source.broken == {"class2/image.png", "class5/image.png"}


def test_where_too_few_images_can_be_read_it_is_said(damaged: Path) -> None:
    with pytest.raises(InputError, match="none of 2 images can be read"):
        supply("cached", damaged, 2, indices=[2, 5])
    with pytest.raises(InputError, match="in a batch of 3 only 1 images can be read"):
        list(supply("streamed", damaged, 3, indices=[2, 5, 6]).batches(0, 0, 0, lambda _: 32))


# ---- held-out images, CIFAR


def test_held_out_images_are_the_same_for_every_run_and_never_trained_on(photos: Path) -> None:
    opened, again = open_photos(photos, held_out=6), open_photos(photos, held_out=6, limit=5)
    assert opened.held_out == again.held_out == tuple(held_out_indices(opened.folder, 6))
    assert sorted((*opened.indices, *opened.held_out)) == list(range(24))
    assert len(again.indices) == 5
    assert set(again.indices) < set(opened.indices)
    assert len(open_photos(photos).held_out) == 2  # a tenth
    assert open_photos(photos, held_out=0).indices == tuple(range(24))
    assert all(name.startswith("train/") for name in opened.folder.names)  # validation images are not there at all


def test_held_out_images_are_of_all_classes(tmp_path: Path) -> None:
    """Chosen at random, not from the end of a list that is sorted by class."""
    _cifar(tmp_path)
    photos = open_photos(tmp_path, held_out=10)
    counts = np.bincount([photos.folder.labels[i] for i in photos.held_out])
    assert len(counts) == 3
    assert counts.min() >= 1


def test_images_without_classes_cannot_be_learnt_from(tmp_path: Path) -> None:
    for i in range(3):
        Image.new("RGB", (8, 8)).save(tmp_path / f"{i}.png")
    with pytest.raises(InputError, match="has no class folders: there is nothing to learn"):
        open_photos(tmp_path)


def _cifar(folder: Path, *, hundred: bool = False) -> NDArray[np.uint8]:
    rows = np.random.default_rng(0).integers(0, 256, (6, 3072 + 1 + hundred), dtype=np.uint8)
    rows[:, int(hundred)] = [0, 1, 2, 2, 1, 0]
    files = ["train.bin", "test.bin"] if hundred else [*(f"data_batch_{i}.bin" for i in range(1, 6)), "test_batch.bin"]
    for name in files:
        rows.tofile(folder / name)
    (folder / ("fine_label_names.txt" if hundred else "batches.meta.txt")).write_text("cat\ndog\nemu\n\n")
    return rows


@pytest.mark.parametrize("hundred", [False, True])
def test_cifar(tmp_path: Path, hundred: bool) -> None:
    rows = _cifar(tmp_path, hundred=hundred)
    train, validation = open_images(tmp_path, split="train"), open_images(tmp_path)
    assert (len(train), len(validation)) == (6 if hundred else 30, 6)
    assert train.classes == ("cat", "dog", "emu")
    assert train.labels[:6] == (0, 1, 2, 2, 1, 0)
    expected = rows[3, 1 + hundred :].reshape(3, 32, 32).transpose(1, 2, 0)
    assert np.array_equal(np.asarray(Image.open(io.BytesIO(train.read(3)))), expected)
    assert cache_side(train, 64) == 32  # there is no more to keep
    (tmp_path / ("test.bin" if hundred else "test_batch.bin")).write_bytes(b"short")
    with pytest.raises(InputError, match="damaged: 5 bytes are not rows"):
        open_images(tmp_path)


def test_cifars_pickles_are_refused(tmp_path: Path) -> None:
    (tmp_path / "data_batch_1").write_bytes(b"pickle")
    with pytest.raises(InputError, match="take the binary version"):
        open_images(tmp_path)


def test_photographs_are_kept_as_large_as_evaluation_resizes_them(photos: Path) -> None:
    assert cache_side(ImageFolder(photos), 64) == 74
