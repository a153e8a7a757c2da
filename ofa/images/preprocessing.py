"""What is done to a decoded image before a network sees it: crop, size, mean and std."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ofa.errors import InputError
from ofa.images.decoding import decode

if TYPE_CHECKING:
    from torch import Tensor

CROP_RATIO = 0.875

Triple = tuple[float, float, float]
IMAGENET: tuple[Triple, Triple] = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
HALF: tuple[Triple, Triple] = ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
# mean and std of (red, green, blue) in 0 to 1, by name
NORMALISATIONS = {"imagenet": IMAGENET, "half": HALF}


def load_image(
    source: str | os.PathLike[str] | bytes,
    resolution: int,
    mean: Sequence[float] = IMAGENET[0],
    std: Sequence[float] = IMAGENET[1],
) -> Tensor:
    """(3, R, R) float32: the shorter side resized to R / 0.875 (bilinear), the centre cut out, normalised.

    source: a file, or its bytes
    mean, std: of (red, green, blue) in 0 to 1: the result is (pixel / 255 - mean) / std
    Raises one of `unreadable()` for what is not an image.
    """
    return to_tensor(centre_crop(decode(source), resolution), mean, std)


def centre_crop(image: Any, resolution: int) -> Any:
    """R x R pixels of a PIL image: the shorter side resized to R / 0.875 (bilinear), the centre cut out."""
    from PIL import Image

    short = round(resolution / CROP_RATIO)
    scale = short / min(image.size)
    width, height = (max(short, int(side * scale)) for side in image.size)
    left, top = round((width - resolution) / 2), round((height - resolution) / 2)
    image = image.resize((width, height), Image.Resampling.BILINEAR)
    return image.crop((left, top, left + resolution, top + resolution))


def to_tensor(image: Any, mean: Sequence[float], std: Sequence[float]) -> Tensor:
    """(3, H, W) float32, normalised, of a PIL image in RGB."""
    import torch

    pixels = np.asarray(image, np.float32) / np.float32(255)
    normalised = (pixels - np.array(mean, np.float32)) / np.array(std, np.float32)
    return torch.from_numpy(np.ascontiguousarray(normalised.transpose(2, 0, 1)))


def normalisation(mean: str, std: str | None = None) -> tuple[Triple, Triple]:
    """Mean and std as flags give them: "imagenet", "half", one number or three, "0.485,0.456,0.406".

    std: default the std that goes with the mean's name. Raises InputError for anything else.
    """
    if std is None and mean not in NORMALISATIONS:
        raise InputError(f"--mean {mean} needs --std (it comes of itself with --mean imagenet and --mean half)")
    std = mean if std is None else std
    means = NORMALISATIONS[mean][0] if mean in NORMALISATIONS else _triple("--mean", mean)
    stds = NORMALISATIONS[std][1] if std in NORMALISATIONS else _triple("--std", std)
    if min(stds) <= 0:
        raise InputError(f"--std is {std}, expected more than 0")
    return means, stds


def _triple(flag: str, text: str) -> Triple:
    try:
        numbers = [float(number) for number in text.split(",")]
    except ValueError:
        numbers = []
    numbers = numbers * 3 if len(numbers) == 1 else numbers
    if len(numbers) != 3 or not all(math.isfinite(n) for n in numbers):
        names = ", ".join(NORMALISATIONS)
        raise InputError(f"{flag} is {text!r}, expected {names}, a number, or three such as 0.485,0.456,0.406")
    return numbers[0], numbers[1], numbers[2]
