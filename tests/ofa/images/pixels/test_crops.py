"""Crops, flips and jitter of whole batches: torchvision's augmentation is the judge."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from ofa.images.pixels.crops import Crops, cut, draw_crops, normalised
from ofa.images.pixels.torchvision_import import import_transforms


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
