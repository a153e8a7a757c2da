"""Images kept in memory: the same as read one by one, decoded once."""

import re
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from ofa.errors import InputError
from ofa.images.files.folder import ImageFolder
from ofa.images.pixels import decoded
from ofa.images.pixels.store import PixelBatch, PixelStore, memory_passes
from ofa.images.preprocessing import HALF, IMAGENET, to_tensor
from ofa.images.reading import batches


@pytest.fixture
def photographs(tmp_path: Path) -> Path:
    """Two classes of 4 images of several sizes and modes; the second of class b is broken."""
    rng = np.random.default_rng(0)
    for label in "ab":
        (tmp_path / "imgs" / label).mkdir(parents=True)
        for i in range(4):
            image = Image.fromarray(rng.integers(0, 256, (50 + 9 * i, 71, 3), dtype=np.uint8))
            image.convert("L" if i == 3 else "RGB").save(tmp_path / "imgs" / label / f"{i}.png")
    (tmp_path / "imgs" / "b" / "1.png").write_bytes(b"broken")
    return tmp_path / "imgs"


@pytest.mark.parametrize("mean_std", [IMAGENET, HALF])
def test_images_are_to_the_bit_those_that_evaluation_reads(photographs: Path, mean_std: tuple) -> None:
    folder = ImageFolder(photographs)
    indices = [0, 3, 4, 5, 6]
    store = PixelStore(folder, indices, [32, 48], 2)
    assert store.broken == ["b/1.png"]
    for resolution in (32, 48):
        expected = list(batches(folder, resolution, 2, indices=indices, mean=mean_std[0], std=mean_std[1], broken=[]))
        found = store.batches[resolution]
        assert [batch.labels.tolist() for batch in found] == [[0, 0], [1], [1]]
        for batch, (images, labels) in zip(found, expected, strict=True):
            assert torch.equal(batch.images(torch.device("cpu"), *mean_std), images)
            assert torch.equal(batch.labels, labels)


def test_every_byte_is_normalised_alike() -> None:
    every = torch.arange(256, dtype=torch.uint8).view(1, 16, 16, 1).expand(1, 16, 16, 3)
    found = PixelBatch(every, torch.zeros(1)).images(torch.device("cpu"), *IMAGENET)
    image = Image.fromarray(every[0].numpy())
    assert torch.equal(found[0], to_tensor(image, *IMAGENET))


def test_an_image_is_decoded_once(photographs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []
    original = decoded.decode
    monkeypatch.setattr(decoded, "decode", lambda source: calls.append(1) or original(source))
    seen = []
    PixelStore(ImageFolder(photographs), range(4), [32, 40, 48], 3, advance=seen.append)
    assert len(calls) == 4
    assert seen == [3, 1]


def test_broken_images_are_named_where_that_ends_it(photographs: Path) -> None:
    folder = ImageFolder(photographs)
    with pytest.raises(InputError, match=re.escape("b/1.png cannot be read as an image")):
        PixelStore(folder, range(8), [32], 3, strict=True)
    with pytest.raises(InputError, match="none of 1 images can be read"):
        PixelStore(folder, [5], [32], 3)


def test_resolutions_are_read_in_as_few_passes_as_fit_into_memory() -> None:
    image = 3 * 32 * 32
    assert list(memory_passes([32, 32, 32], 10, 20 * image)) == [[32, 32], [32]]
    assert list(memory_passes([32, 64, 224], 10, 50 * image)) == [[32, 64], [224]]  # too large alone, but must be
    assert list(memory_passes([], 10, 1)) == []
