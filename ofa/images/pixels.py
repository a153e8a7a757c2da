"""Images decoded once and kept in memory at several resolutions, for networks that all see the same ones."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from ofa.errors import InputError
from ofa.images.decoding import decode, unreadable
from ofa.images.folder import ImageFolder
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
        # a tensor as divisor: GPUs multiply by a number's reciprocal, which rounds otherwise
        scale, centre, spread = (torch.tensor(v, device=device) for v in ([255.0] * 3, list(mean), list(std)))
        return ((self.pixels.to(device).float() / scale - centre) / spread).permute(0, 3, 1, 2)


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
        own = torch.Generator()  # or the loader would draw from torch's global generator
        data = _Cropped(folder, indices, resolutions)
        for rows in DataLoader(data, batch_size, num_workers=workers, collate_fn=list, generator=own):
            faults = [(crops, folder.names[i]) for crops, i in rows if isinstance(crops, str)]
            if faults and strict:
                raise InputError(f"{folder.path}: {faults[0][1]} cannot be read as an image: {faults[0][0]}")
            self.broken += [name for _, name in faults]
            good = [(crops, i) for crops, i in rows if not isinstance(crops, str)]
            labels = torch.tensor([folder.labels[i] for _, i in good], dtype=torch.int64)
            for at, batches in enumerate(self.batches.values() if good else ()):
                batches.append(PixelBatch(torch.from_numpy(np.stack([crops[at] for crops, _ in good])), labels))
            advance(len(rows))
        if len(self.broken) == len(indices):
            raise InputError(f"{folder.path}: none of {len(indices)} images can be read, the first is {self.broken[0]}")


class _Cropped(Dataset[tuple[Any, int]]):
    """(crops, index) of some images: an array for every resolution, or what is wrong with the image."""

    def __init__(self, folder: ImageFolder, indices: Sequence[int], resolutions: Sequence[int]) -> None:
        self.folder, self.indices, self.resolutions = folder, indices, resolutions

    def __len__(self) -> int:
        return len(self.indices)

    def __getitem__(self, n: int) -> tuple[Any, int]:
        i = self.indices[n]
        try:
            image = decode(self.folder.read(i))
            return [np.asarray(centre_crop(image, resolution)) for resolution in self.resolutions], i
        except InputError:
            raise
        except unreadable() as error:
            return f"{type(error).__name__}: {error}"[:200], i


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
