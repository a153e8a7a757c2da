"""Every way that images take into a command gives each of them once, with its own label, and names the broken ones.

300 images where batches have 64, in five unequal classes; each tells its number by its colour.
"""

from __future__ import annotations

import zipfile
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from ofa.export.images import ShuffledImages
from ofa.export.metadata import Preprocessing
from ofa.images.facts import ImageFacts
from ofa.images.files.folder import ImageFolder
from ofa.images.files.opening import open_images
from ofa.images.pixels.augment import training_batches
from ofa.images.pixels.store import PixelStore
from ofa.images.preprocessing import IMAGENET
from ofa.images.reading import batches, random_indices, read_chunks
from ofa.networks.calibrate import Calibrating
from ofa.publish.run import RealImages
from ofa.runs.processes import Processes
from ofa.training.supply import Cached, Preparation, Streamed, Supply

from .numbered import (
    CPU,
    IMAGES,
    broken_names,
    colour,
    label_of,
    numbers_of,
    together,
    whole,
    without_jitter,
    write_folder,
)

Batches = Iterable[tuple[Tensor, Tensor]]
EVERY = range(IMAGES)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_folder(tmp_path_factory.mktemp("numbered") / "imgs")


@pytest.fixture(scope="module", params=["folder", "zip"])
def data(request: pytest.FixtureRequest, folder: Path) -> Path:
    if request.param == "folder":
        return folder
    path = folder.with_suffix(".zip")
    with zipfile.ZipFile(path, "w") as archive:
        for file in sorted(folder.rglob("*.*")):
            archive.write(file, file.relative_to(folder))
    return path


@pytest.fixture(autouse=True)
def _no_jitter(monkeypatch: pytest.MonkeyPatch) -> None:
    without_jitter(monkeypatch)


def pairs(given: Batches) -> Counter[tuple[int, int]]:
    """How often each (number, label) came."""
    found: Counter[tuple[int, int]] = Counter()
    for images, labels in given:
        found.update(zip(numbers_of(images, *IMAGENET), labels.tolist(), strict=True))
    return found


def expected(split: str = "train") -> Counter[tuple[int, int]]:
    return Counter((number, label_of(number)) for number in whole(split))


# ---- ways that prepare as for evaluation: each image once, whatever the batch


def of_chunks(given: ImageFolder, size: int, workers: int, broken: set[str]) -> Iterator[tuple[Tensor, Tensor]]:
    for chunk in read_chunks(given, 32, size, workers=workers):
        broken.update(chunk.broken)
        if chunk.images is not None:
            yield chunk.images, chunk.labels


def of_batches(given: ImageFolder, size: int, workers: int, broken: set[str]) -> Iterator[tuple[Tensor, Tensor]]:
    names: list[str] = []
    yield from batches(given, 32, size, workers=workers, indices=random_indices(given, IMAGES), broken=names)
    broken.update(names)


def of_store(given: ImageFolder, size: int, workers: int, broken: set[str]) -> Iterator[tuple[Tensor, Tensor]]:
    store = PixelStore(given, random_indices(given, IMAGES), (32, 48), size, workers=workers)
    broken.update(store.broken)
    assert {r: pairs((b.images(CPU, *IMAGENET), b.labels) for b in found) for r, found in store.batches.items()} == (
        dict.fromkeys((32, 48), expected())
    )
    yield from ((batch.images(CPU, *IMAGENET), batch.labels) for batch in store.batches[48])


def of_export(given: ImageFolder, size: int, _: int, broken: set[str]) -> Iterator[tuple[Tensor, Tensor]]:
    images = ShuffledImages(given, random_indices(given, IMAGES))
    yield from images.batches(Preprocessing(32, "NCHW", *IMAGENET), size)
    broken.update(given.faults)


def of_publish(given: ImageFolder, _: int, __: int, broken: set[str]) -> Iterator[tuple[Tensor, Tensor]]:
    yield from RealImages(given, EVERY, ImageFacts(*IMAGENET), Calibrating()).read(given, 32, EVERY)
    broken.update(given.faults)


# all that worker processes do is done in one place, ofa/images/pixels/decoded.py: each way meets them once
@pytest.mark.parametrize(
    ("data", "way", "workers", "size"),
    [
        (data, way, 0, size)
        for data in ("folder", "zip")
        for way in (of_chunks, of_batches, of_store, of_export, of_publish)
        for size in (64, 100, 7)
    ]
    + [("zip", of_chunks, 2, 7), ("zip", of_batches, 2, 100), ("folder", of_store, 2, 64)],
    indirect=["data"],
)
def test_evaluations_see_each_image_once_with_its_label(
    data: Path,
    way: Callable[[ImageFolder, int, int, set[str]], Batches],
    workers: int,
    size: int,
    capsys: pytest.CaptureFixture[str],
) -> None:
    broken: set[str] = set()
    assert pairs(way(open_images(data, split="train"), size, workers, broken)) == expected()
    assert broken == broken_names("train")
    assert capsys.readouterr() == ("", "")  # who says so is the command


# ---- ways that augment: shuffled, the rest of an epoch dropped


def cached(given: ImageFolder, how: Preparation, procs: Processes) -> Supply:
    return Cached(given, EVERY, how, procs, 40, on_device=False)


def streamed(given: ImageFolder, how: Preparation, procs: Processes) -> Supply:
    return Streamed(given, EVERY, how, procs)


def epochs(
    way: Callable[[ImageFolder, Preparation, Processes], Supply],
    path: Path,
    size: int,
    workers: int,
    processes: int,
    numbers: Sequence[int],
) -> tuple[list[Counter[tuple[int, int]]], list[set[str]]]:
    """Of each epoch what all processes saw of it, and what each found broken."""
    how = Preparation(size, *IMAGENET, workers=workers)

    def work(procs: Processes) -> Supply:
        return way(open_images(path, split="train"), how, procs)

    supplies = together(processes, work)
    found = [
        sum((pairs(supply.batches(epoch, 0, 5, lambda n: (32, 40)[n % 2])) for supply in supplies), Counter())
        for epoch in numbers
    ]
    return found, [set(supply.broken) for supply in supplies]


# a batch that leaves nothing over: the cache has no broken images any more, what is streamed still counts them
@pytest.mark.parametrize(("way", "size", "processes"), [(cached, 33, 1), (streamed, 50, 1), (streamed, 25, 2)])
@pytest.mark.parametrize(("data", "workers"), [("folder", 0), ("zip", 0), ("zip", 2)], indirect=["data"])
def test_an_epoch_of_training_is_every_image_once_with_its_label(
    data: Path,
    way: Callable[[ImageFolder, Preparation, Processes], Supply],
    size: int,
    processes: int,
    workers: int,
) -> None:
    found, broken = epochs(way, data, size, workers, processes, [3])
    assert found == [expected()]
    assert set().union(*broken) == broken_names("train")


@pytest.mark.parametrize("processes", [1, 2])
@pytest.mark.parametrize("way", [cached, streamed])
def test_what_a_batch_leaves_over_is_dropped_and_comes_in_another_epoch(
    folder: Path, way: Callable[[ImageFolder, Preparation, Processes], Supply], processes: int
) -> None:
    size = 64 // processes
    found, broken = epochs(way, folder, size, 0, processes, range(5))
    for epoch in found:
        assert not epoch - expected()
        assert 4 * 64 - 3 * (way is streamed) <= epoch.total() <= 4 * 64
    assert len({pair for epoch in found for pair in epoch}) == IMAGES - 3
    assert set().union(*broken) == broken_names("train")
    if way is cached:  # processes share the decoding, and tell each other
        assert broken == [broken_names("train")] * processes


@pytest.mark.parametrize(("data", "workers"), [("folder", 0), ("zip", 0), ("zip", 2)], indirect=["data"])
def test_fine_tuning_sees_every_image_once_with_its_label(data: Path, workers: int) -> None:
    given, broken = open_images(data, split="train"), set[str]()
    chosen = random_indices(given, IMAGES)
    assert pairs(training_batches(given, 32, 50, seed=1, epoch=2, indices=chosen, workers=workers, broken=broken)) == (
        expected()
    )
    assert broken == broken_names("train")


def test_ways_take_up_an_epoch_where_it_was_left(folder: Path) -> None:
    given = open_images(folder, split="train")
    for way in (cached, streamed):
        supply = way(given, Preparation(33, *IMAGENET), Processes(0, 1, CPU))
        parts = [pairs(supply.batches(1, first, 5, lambda _: 32)) for first in (0, 4)]
        assert not parts[1] - parts[0]
        assert parts[0].total() - parts[1].total() in range(4 * 33 - 3, 4 * 33 + 1)


# ---- CIFAR


def write_cifar(folder: Path) -> None:
    """300 training images in five files, each of one colour."""
    labels = np.array([label_of(n) for n in EVERY], np.uint8)
    mixed = np.random.default_rng(0).permutation(IMAGES)  # CIFAR's files are in no order
    rows = np.zeros((IMAGES, 3073), np.uint8)
    rows[:, 0] = labels[mixed]
    rows[:, 1:] = np.repeat(np.array([colour(n) for n in mixed], np.uint8), 1024, axis=1)
    for i, part in enumerate(np.split(rows, 5), 1):
        part.tofile(folder / f"data_batch_{i}.bin")
    rows.tofile(folder / "test_batch.bin")
    (folder / "batches.meta.txt").write_text("\n".join(f"class{i}" for i in range(5)))


@pytest.mark.parametrize("workers", [0, 2])
def test_cifar_is_the_same_by_every_way(tmp_path: Path, workers: int) -> None:
    write_cifar(tmp_path)
    given = open_images(tmp_path, split="train")
    every = Counter((n, label_of(n)) for n in EVERY)
    assert pairs(batches(given, 32, 64, workers=workers)) == every
    store = PixelStore(given, EVERY, (32,), 64, workers=workers)
    assert pairs((batch.images(CPU, *IMAGENET), batch.labels) for batch in store.batches[32]) == every
    how = Preparation(50, *IMAGENET, workers=workers)
    for way in (cached, streamed):
        supply = way(given, how, Processes(0, 1, CPU))
        assert pairs(supply.batches(0, 0, 5, lambda _: 32)) == every


# ---- the colours themselves


def test_an_image_tells_its_number_and_what_is_none_of_ours_tells_so(folder: Path) -> None:
    given = open_images(folder, split="val")
    assert pairs(batches(given, 32, 64)) == expected("val")
    noise = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    assert numbers_of(noise, *IMAGENET) == [-1, -1]
    assert numbers_of((torch.zeros(1, 3, 32, 32) - torch.tensor(IMAGENET[0]).view(3, 1, 1)), *IMAGENET) == [-1]
