"""What is done to a decoded image before a network sees it: crop, size, mean and std."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ofa.errors import InputError
from ofa.images.facts import CROP_RATIO, ImageFacts
from ofa.images.facts import Triple as Triple
from ofa.images.pixels.decoding import decode
from ofa.reading.numbers import plain_decimal, short

if TYPE_CHECKING:
    from torch import Tensor

STRIP = 8  # sides: what is longer is cropped before it is resized, which may round otherwise by a level or two

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
    if max(width, height) <= STRIP * short:
        return image.resize((width, height), Image.Resampling.BILINEAR).crop(
            (left, top, left + resolution, top + resolution)
        )
    # of a strip only the centre is resized: all of an image of 1 x 65,535 would be 12 GB
    across, down = image.width / width, image.height / height
    right, bottom = (left + resolution) * across, (top + resolution) * down
    box = (left * across, top * down, min(right, image.width), min(bottom, image.height))
    return image.resize((resolution, resolution), Image.Resampling.BILINEAR, box=box)


def to_tensor(image: Any, mean: Sequence[float], std: Sequence[float]) -> Tensor:
    """(3, H, W) float32, normalised, of a PIL image in RGB."""
    import torch

    return torch.from_numpy(to_array(image, mean, std))


def to_array(image: Any, mean: Sequence[float], std: Sequence[float]) -> NDArray[np.float32]:
    """(3, H, W), normalised, of a PIL image in RGB."""
    pixels = np.asarray(image, np.float32) / np.float32(255)
    normalised = (pixels - np.array(mean, np.float32)) / np.array(std, np.float32)
    return np.ascontiguousarray(normalised.transpose(2, 0, 1))


def normalisation(mean: str, std: str | None = None) -> tuple[Triple, Triple]:
    """Mean and std as flags give them: "imagenet", "half", one number or three, "0.485,0.456,0.406".

    std: default the std that goes with the mean's name. Raises InputError for anything else.
    """
    if std is None and mean not in NORMALISATIONS:
        raise InputError(f"--mean {mean} needs --std (only --mean imagenet and --mean half bring their own)")
    std = mean if std is None else std
    means = NORMALISATIONS[mean][0] if mean in NORMALISATIONS else _triple("--mean", mean)
    stds = NORMALISATIONS[std][1] if std in NORMALISATIONS else _triple("--std", std)
    if min(stds) <= 0:
        raise InputError(f"--std is {std}, expected more than 0")
    return means, stds


def decided(
    known: ImageFacts | None, mean: str | None, std: str | None, *, override: bool, source: object
) -> tuple[ImageFacts, str | None]:
    """How images are prepared for a network, by what its file, `source`, knows and what options say; a line on it.

    mean, std: as of `normalisation`; None: not given
    override: whether options may contradict the file, which is then marked
    Raises InputError, naming both values, where they do and may not.
    """
    if known is None:
        line = None
        if mean is None and std is None:
            line = (
                f"{source} does not state how its images were prepared: ImageNet's mean and std are used; --mean and "
                "--std name others"
            )
        return ImageFacts(*normalisation(mean or "imagenet", std)), line
    if std is None and mean in NORMALISATIONS:
        std = mean
    means = known.mean if mean is None else normalisation(mean, "1")[0]
    stds = known.std if std is None else normalisation("0", std)[1]
    if all(math.isclose(a, b, abs_tol=1e-6) for a, b in zip(means + stds, known.mean + known.std, strict=True)):
        return known, None
    asked, stored = (f"mean {_text(m)}, std {_text(s)}" for m, s in ((means, stds), (known.mean, known.std)))
    if not override:
        raise InputError(
            f"{source} was trained with {stored}, but --mean and --std are {asked}: leave them out, or insist with "
            "--override-preprocessing, which marks the result"
        )
    return replace(known, mean=means, std=stds).marked(f"prepared with {asked}, trained with {stored}"), None


def _text(values: Triple) -> str:
    return ",".join(f"{value:g}" for value in values)


def _triple(flag: str, text: str) -> Triple:
    found = [plain_decimal(number) for number in text.split(",")[:4]]
    numbers = [number for number in found if number is not None and math.isfinite(number)]
    numbers = numbers * 3 if len(found) == 1 else numbers
    if len(numbers) != 3 or len(found) not in (1, 3):
        names = ", ".join(NORMALISATIONS)
        raise InputError(f"{flag} is {short(text)}, expected {names}, a number, or three such as 0.485,0.456,0.406")
    return numbers[0], numbers[1], numbers[2]
