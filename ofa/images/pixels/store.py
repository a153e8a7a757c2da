"""Images decoded once and kept in memory at several resolutions, for networks that all see the same ones."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ofa.errors import InputError
from ofa.images.files.folder import ImageFolder
from ofa.images.pixels.decoded import Broken, decoded
from ofa.images.preprocessing import centre_crop


@dataclass(frozen=True, eq=False)
class PixelBatch:
    """Images as bytes: a quarter of the memory of what networks take.

    pixels: (N, R, R, 3) uint8; labels: (N,) int64
    """

    pixels: Tensor
    labels: Tensor

    def images(self, device: torch.device, mean: Sequence[float], std: Sequence[float]) -> Tensor:
        """(N, 3, R, R) float32, channels last: bit for bit what `ofa.images.preprocessing.load_image` makes of them."""
        scale, centre, spread = _constants(device, (255.0,) * 3, tuple(mean), tuple(std))
        return ((self.pixels.to(device).float() / scale - centre) / spread).permute(0, 3, 1, 2)

    def to(self, device: torch.device) -> PixelBatch:
        """The same on a device."""
        return PixelBatch(self.pixels.to(device), self.labels.to(device))


@lru_cache(maxsize=8)  # or every batch would wait for three copies to the GPU
def _constants(device: torch.device, *rows: tuple[float, ...]) -> list[Tensor]:
    # a tensor as divisor: GPUs multiply by a number's reciprocal, which rounds otherwise
    return [torch.tensor(row).to(device, non_blocking=True) for row in rows]


class PixelStore:
    """Some images of a folder, prepared as for evaluation at every resolution.

    batches: by resolution; a broken image makes its batch smaller and moves no other, and a batch without a readable
        image is left out: the batches of `ofa.images.reading.batches`
    broken: names of images that cannot be read
    """

    def __init__(
        self,
        folder: ImageFolder,
        indices: Sequence[int],
        resolutions: Sequence[int],
        batch_size: int,
        *,
        workers: int = 0,
        strict: bool = False,
        advance: Callable[[int], object] = lambda _: None,
    ) -> None:
        """workers: processes that decode, 0 for none extra; strict: whether a broken image is an InputError
        advance: called with the number of images of each batch that is done

        Raises InputError where not one image can be read.
        """
        self.batches: dict[int, list[PixelBatch]] = {resolution: [] for resolution in resolutions}
        self.broken: list[str] = []
        prepare = _Crop(tuple(resolutions))
        for rows in decoded(folder, indices, batch_size, prepare, workers=workers, strict=strict):
            self.broken += [folder.names[indices[n]] for n, crops in rows if isinstance(crops, Broken)]
            good = [(crops, indices[n]) for n, crops in rows if not isinstance(crops, Broken)]
            labels = torch.tensor([folder.labels[i] for _, i in good], dtype=torch.int64)
            for at, batches in enumerate(self.batches.values() if good else ()):
                batches.append(PixelBatch(torch.from_numpy(np.stack([crops[at] for crops, _ in good])), labels))
            advance(len(rows))
        if len(self.broken) == len(indices):
            raise InputError(f"{folder.path}: none of {len(indices)} images can be read, the first is {self.broken[0]}")


@dataclass(frozen=True)
class _Crop:
    """Of an image, an (R, R, 3) array for every resolution."""

    resolutions: tuple[int, ...]

    def __call__(self, image: Any, _: int) -> list[NDArray[np.uint8]]:
        return [np.asarray(centre_crop(image, resolution)) for resolution in self.resolutions]


def memory_passes(resolutions: Sequence[int], images: int, limit_bytes: int) -> Iterator[list[int]]:
    """The resolutions, in order, in stretches whose images fit into the memory, each at least one long."""
    part: list[int] = []
    for resolution in resolutions:
        if part and images * 3 * sum(r * r for r in (*part, resolution)) > limit_bytes:
            yield part
            part = []
        part.append(resolution)
    if part:
        yield part
