"""CIFAR through the one way in."""

import io
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from ofa.errors import InputError
from ofa.images.files.opening import open_images
from ofa.images.held_out import open_photos
from ofa.training.supply import cache_side


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
    assert cache_side(train, 64, 0.25) == 32  # there is no more to keep
    (tmp_path / ("test.bin" if hundred else "test_batch.bin")).write_bytes(b"short")
    with pytest.raises(InputError, match="damaged: 5 bytes are not rows"):
        open_images(tmp_path)


def test_cifars_pickles_are_refused(tmp_path: Path) -> None:
    (tmp_path / "data_batch_1").write_bytes(b"pickle")
    with pytest.raises(InputError, match="take the binary version"):
        open_images(tmp_path)


def test_held_out_images_are_of_all_classes(tmp_path: Path) -> None:
    """ChosenImages at random, not from the end of a list that is sorted by class."""
    _cifar(tmp_path)
    photos = open_photos(tmp_path, held_out=10)
    counts = np.bincount([photos.folder.labels[i] for i in photos.held_out])
    assert len(counts) == 3
    assert counts.min() >= 1


def test_names_of_cifars_classes_are_different(tmp_path: Path) -> None:
    _cifar(tmp_path)
    for names, fault in ((b"cat\ndog\ncat\n", "cat is listed twice"), (b"\xff", "is not UTF-8")):
        (tmp_path / "batches.meta.txt").write_bytes(names)
        with pytest.raises(InputError, match=fault):
            open_images(tmp_path)
