"""Augmenting whole batches as tensors: random resized crops, flips, brightness and saturation, on CPU or GPU.

A crop and its resizing are two small matrices an image, one for rows and one for columns, with the triangle filter
that Pillow uses (antialiased). Images may have been squashed to squares: crops are drawn in the original's shape.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

ATTEMPTS = 10
RATIOS = (3 / 4, 4 / 3)
BRIGHTNESS, SATURATION = 32 / 255, 0.5
GREY = (0.299, 0.587, 0.114)  # of red, green, blue


@dataclass(frozen=True, eq=False)
class Crops:
    """How each image of a batch is augmented.

    boxes: (N, 4) left, top, width, height as parts of the image, 0 to 1
    flipped: (N,) whether left and right change places
    brightness, saturation: (N,) factors
    """

    boxes: NDArray[np.float64]
    flipped: NDArray[np.bool_]
    brightness: NDArray[np.float64]
    saturation: NDArray[np.float64]

    def rows(self, part: slice) -> Crops:
        """Those of some of the images."""
        return Crops(self.boxes[part], self.flipped[part], self.brightness[part], self.saturation[part])


def draw_crops(rng: np.random.Generator, sizes: NDArray[np.float64], smallest: float) -> Crops:
    """As torchvision's RandomResizedCrop, RandomHorizontalFlip and ColorJitter draw them, but for whole pixels.

    sizes: (N, 2) width and height of the original images
    smallest: least part of an image's area
    """
    n = len(sizes)
    width, height = sizes[:, :1], sizes[:, 1:]
    area = width * height * rng.uniform(smallest, 1, (n, ATTEMPTS))
    ratio = np.exp(rng.uniform(np.log(RATIOS[0]), np.log(RATIOS[1]), (n, ATTEMPTS)))
    widths, heights = np.sqrt(area * ratio), np.sqrt(area / ratio)
    fits = (widths <= width) & (heights <= height)
    chosen = (np.arange(n), fits.argmax(1))
    w, h = widths[chosen], heights[chosen]
    # none fits: the largest central part of an allowed shape
    none = ~fits.any(1)
    shape = np.clip(sizes[:, 0] / sizes[:, 1], *RATIOS)
    w = np.where(none, np.minimum(sizes[:, 0], sizes[:, 1] * shape), w)
    h = np.where(none, np.minimum(sizes[:, 1], sizes[:, 0] / shape), h)
    place = np.where(none[:, None], 0.5, rng.random((n, 2)))
    left, top = (sizes[:, 0] - w) * place[:, 0], (sizes[:, 1] - h) * place[:, 1]
    boxes = np.stack([left, top, w, h], 1) / np.tile(sizes, 2)
    flipped = rng.random(n) < 0.5
    brightness = rng.uniform(1 - BRIGHTNESS, 1 + BRIGHTNESS, n)
    return Crops(boxes, flipped, brightness, rng.uniform(1 - SATURATION, 1 + SATURATION, n))


def cut(pixels: Tensor, crops: Crops, resolution: int) -> Tensor:
    """(N, 3, R, R) float32 in 0 to 255, of pixels (N, 3, S, S)."""
    n, _, _, side = pixels.shape
    # all that is small goes to the device in one piece: each launch takes the host longer than it takes a GPU
    left_to_right = np.where(crops.flipped, -1, 1)
    parts = [
        *(crops.boxes.T.astype(np.float32) * side),  # left, top, width, height
        *(left_to_right, np.ones(n), crops.brightness, crops.saturation),
        *(np.arange(resolution) + (0.5 - resolution / 2), np.arange(side) + 0.5, np.array(GREY)),
    ]
    packed = _moved(np.concatenate([part.astype(np.float32) for part in parts]), pixels.device)
    sizes = [2 * n, 2 * n, 2 * n, 2 * n, resolution, side, len(GREY)]
    starts, lengths, directions, factors, targets, sources, grey = torch.split(packed, sizes)
    weights = _resampling(starts, lengths, resolution / 2 + directions[:, None] * targets, sources)  # (2 N, R, S)
    columns, rows = weights.view(2, n, resolution, side)
    across = torch.bmm(pixels.float().view(n, 3 * side, side), columns.transpose(1, 2))  # (N, 3 S, R)
    images = torch.matmul(rows[:, None], across.view(n, 3, side, resolution))
    brightness, saturation = factors.view(2, n, 1, 1, 1)
    images = (images * brightness).clamp_(0, 255)
    greyish = (images * grey[:, None, None]).sum(1, keepdim=True)
    return torch.lerp(greyish, images, saturation).clamp_(0, 255)


def _resampling(starts: Tensor, lengths: Tensor, places: Tensor, sources: Tensor) -> Tensor:
    """(M, R, S) weights of S source pixels in each of R, for stretches of some `lengths` from some `starts`, (M,).

    places: (M, R) of the results' middles in the stretch, 0 to R; sources: (S,) middles
    """
    scale = lengths / places.shape[1]
    reach = scale.clamp(min=1)[:, None, None]
    centres = starts[:, None] + places * scale[:, None]
    weights = (1 - (sources - centres[:, :, None]).abs() / reach).clamp_(min=0)
    return weights / weights.sum(2, keepdim=True)


def normalised(images: Tensor, mean: tuple[float, ...], std: tuple[float, ...]) -> Tensor:
    """(pixel / 255 - mean) / std of images (N, 3, H, W) in 0 to 255; channels last on a CPU."""
    means, stds = np.array(mean), np.array(std)
    both = np.stack([1 / (255 * stds), means / stds]).astype(np.float32)
    factor, offset = _moved(both, images.device)[:, :, None, None]
    result: Tensor = images * factor - offset
    return result.contiguous(memory_format=torch.channels_last) if images.device.type == "cpu" else result


def moved(tensor: Tensor, device: torch.device, memory_format: torch.memory_format = torch.preserve_format) -> Tensor:
    """The tensor on a device, without waiting for what a GPU has queued."""
    if tensor.device.type == "cpu" and device.type != "cpu":
        tensor = tensor.pin_memory()  # from ordinary memory, more than 64 KB would be waited for
    return tensor.to(device, non_blocking=True, memory_format=memory_format)


def _moved(values: NDArray[Any], device: torch.device) -> Tensor:
    return torch.from_numpy(values).to(device, non_blocking=True)  # small: of a batch, not of its pixels
