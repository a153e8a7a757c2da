"""The cache, and what training batches hold."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from ofa.errors import InputError
from ofa.images.files.folder import ImageFolder
from ofa.images.pixels.decoding import decode
from ofa.images.preprocessing import HALF
from ofa.runs.processes import Processes
from ofa.training.supply import (
    Cached,
    Preparation,
    Streamed,
    Supply,
    cache_side,
    chosen_batch_size,
    chosen_cache,
    chosen_workers,
)

CPU = torch.device("cpu")
ALONE = Processes(0, 1, CPU)


def as_pixels(image: Any) -> Tensor:
    """(1, 3, H, W) uint8."""
    return torch.from_numpy(np.array(image)).permute(2, 0, 1)[None].contiguous()


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


@pytest.mark.parametrize(
    ("asked", "images", "processes", "device", "expected"),
    [
        (None, 8_192, 1, "cuda", 256),
        (None, 8_191, 1, "cuda:1", 64),  # not 32 steps an epoch
        (None, 8_192, 2, "cuda", 64),
        (None, 1_281_167, 8, "cuda", 256),
        (None, 1_281_167, 1, "cpu", 64),
        (512, 100, 1, "cuda", 512),
    ],
)
def test_batches_are_larger_on_gpus(asked: int | None, images: int, processes: int, device: str, expected: int) -> None:
    assert chosen_batch_size(asked, images, Processes(0, processes, torch.device(device))) == expected


@pytest.mark.parametrize(
    ("asked", "cache", "processes", "device", "expected"),
    [
        (None, "off", 1, "cuda", 8),
        (None, "off", 4, "cuda", 3),
        (None, "off", 16, "cuda", 0),
        (None, "device", 1, "cuda", 0),
        (None, "off", 1, "cpu", 0),
        (2, "off", 1, "cuda", 2),
        (0, "off", 1, "cuda", 0),
    ],
)
def test_on_gpus_other_processes_decode_what_is_not_cached(
    asked: int | None, cache: str, processes: int, device: str, expected: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    procs = Processes(0, processes, torch.device(device))
    for there, usable in ((12, None), (128, list(range(4, 16)))):  # all of them, or those that a cluster lends
        monkeypatch.setattr("os.cpu_count", lambda there=there: there)
        monkeypatch.setattr("ofa.training.supply.usable_cpus", lambda usable=usable: usable)
        assert chosen_workers(asked, cache, procs) == expected


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


def test_the_cache_has_a_pixel_for_each_of_the_smallest_crops(tmp_path: Path) -> None:
    for n in range(300):
        (tmp_path / f"class{n % 2}").mkdir(exist_ok=True)
        Image.new("RGB", (150, 100 + n % 7)).save(tmp_path / f"class{n % 2}" / f"{n}.png")
    folder = ImageFolder(tmp_path, split="train")
    assert cache_side(folder, 64, 0.25) == 128
    assert cache_side(folder, 64, 1.0) == 64
    assert cache_side(folder, 64, 0.08) == 150  # 227 wanted, but the images have no more
