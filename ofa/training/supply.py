"""Training batches of a supernet: each step's images at the step's resolution, this process's share of them.

Either decoded and augmented one by one (any data set), or from a cache: every image decoded once, squashed to a
square and kept as bytes, then augmented a batch at a time. What a batch holds derives from seed, epoch and step, and
how processes share it changes nothing: process r of P takes the r-th part of a batch of P times the images.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ofa.errors import InputError
from ofa.images.files.folder import ImageFolder
from ofa.images.pixels.augment import derived_seed, training_batches
from ofa.images.pixels.crops import cut, draw_crops, moved, normalised
from ofa.images.pixels.decoded import Broken, decoded
from ofa.images.pixels.decoding import image_size, unreadable
from ofa.images.preprocessing import Triple
from ofa.runs.processes import Processes
from ofa.runs.system import usable_cpus

CACHE_BYTES = 4 << 30  # data sets up to this size are cached unless asked otherwise
SIZES_LOOKED_AT = 64  # images, to know how large those of a folder are
BATCHES, STEPS_AN_EPOCH = (256, 64), 32  # the larger batch fills a GPU; where there are fewer steps, little is learnt
MOST_WORKERS = 8
CACHES = ("auto", "device", "memory", "off")


@dataclass(frozen=True)
class Preparation:
    """How images become batches, whatever their resolution.

    batch_size: images a step, of each process
    smallest_crop: least part of an image's area that a crop takes
    """

    batch_size: int
    mean: Triple
    std: Triple
    smallest_crop: float = 0.08
    workers: int = 0
    strict: bool = False


class Supply(Protocol):
    """Where batches come from. indices: of the images that are trained on."""

    indices: Sequence[int]
    broken: set[str]

    def batches(
        self, epoch: int, first: int, seed: int, resolution: Callable[[int], int]
    ) -> Iterator[tuple[Tensor, Tensor]]:
        """This process's batches of an epoch from the `first`-th on; `resolution` tells that of a batch."""


@dataclass(eq=False)
class Streamed:
    """Images decoded every epoch: nothing is kept. Needs torchvision."""

    folder: ImageFolder
    indices: Sequence[int]
    how: Preparation
    procs: Processes
    broken: set[str] = field(default_factory=set)

    def batches(
        self, epoch: int, first: int, seed: int, resolution: Callable[[int], int]
    ) -> Iterator[tuple[Tensor, Tensor]]:
        """See `Supply`. A broken image makes its batch smaller."""
        return training_batches(
            self.folder,
            resolution,
            self.how.batch_size,
            seed=seed,
            epoch=epoch,
            first=first,
            indices=self.indices,
            mean=self.how.mean,
            std=self.how.std,
            workers=self.how.workers,
            strict=self.how.strict,
            broken=self.broken,
            smallest_crop=self.how.smallest_crop,
            share=(self.procs.rank, self.procs.count),
        )


class Cached:
    """All images as (N, 3, S, S) bytes in memory or on the GPU. Broken ones are left out."""

    def __init__(
        self,
        folder: ImageFolder,
        indices: Sequence[int],
        how: Preparation,
        procs: Processes,
        side: int,
        *,
        on_device: bool,
        advance: Callable[[int], None] = lambda _: None,
    ) -> None:
        """side: S; advance: told of images decoded. Processes share the decoding.

        Raises InputError where no image can be read, or with `strict` one cannot.
        """
        self.how, self.procs = how, procs
        pixels = torch.zeros(len(indices), 3, side, side, dtype=torch.uint8)
        sizes = torch.zeros(len(indices), 2, dtype=torch.int64)  # 0, 0: broken
        mine = range(procs.rank, len(indices), procs.count)
        prepare, listed = _Squash(side), [indices[n] for n in mine]
        faults = []
        # broken ones are refused below, by all processes together
        for batch in decoded(folder, listed, 64, prepare, workers=how.workers):
            for number, result in batch:
                n = mine[number]
                if isinstance(result, Broken):
                    faults.append((folder.names[indices[n]], result.reason))
                else:
                    squashed, size = result
                    pixels[n] = torch.from_numpy(squashed)
                    sizes[n] = torch.tensor(size)
            advance(len(batch) * procs.count)
        faults = [fault for found in procs.gathered(faults) for fault in found]
        if faults and how.strict:
            raise InputError(f"{folder.path}: {faults[0][0]} cannot be read as an image: {faults[0][1]}")
        self.broken = {name for name, _ in faults}
        sizes = procs.total(sizes)
        whole = sizes[:, 0] > 0
        if not whole.any():
            raise InputError(f"{folder.path}: none of {len(indices)} images can be read")
        pixels = procs.total(pixels)
        self.pixels = (pixels if not faults else pixels[whole]).to(procs.device if on_device else "cpu")
        self._sizes: NDArray[np.float64] = sizes[whole].double().numpy()
        self.indices: Sequence[int] = [i for i, good in zip(indices, whole.tolist(), strict=True) if good]
        self._labels = torch.tensor([folder.labels[i] for i in self.indices])

    def batches(
        self, epoch: int, first: int, seed: int, resolution: Callable[[int], int]
    ) -> Iterator[tuple[Tensor, Tensor]]:
        """See `Supply`."""
        order = np.random.default_rng([seed, epoch]).permutation(len(self.indices))
        together = self.how.batch_size * self.procs.count
        share = slice(self.procs.rank * self.how.batch_size, (self.procs.rank + 1) * self.how.batch_size)
        for number in range(first, len(order) // together):
            chosen = order[number * together : (number + 1) * together]
            rng = np.random.default_rng([derived_seed(seed, epoch), number])
            crops = draw_crops(rng, self._sizes[chosen], self.how.smallest_crop).rows(share)
            rows = torch.from_numpy(chosen[share])
            pixels = moved(self.pixels[moved(rows, self.pixels.device)], self.procs.device)
            yield normalised(cut(pixels, crops, resolution(number)), self.how.mean, self.how.std), self._labels[rows]


@dataclass(frozen=True)
class _Squash:
    """An image as (3, S, S) bytes, and its width and height."""

    side: int

    def __call__(self, image: Any, _: int) -> tuple[NDArray[np.uint8], tuple[int, int]]:
        from PIL import Image

        squashed = image.resize((self.side, self.side), Image.Resampling.BILINEAR)
        return np.ascontiguousarray(np.asarray(squashed).transpose(2, 0, 1)), image.size


def cache_side(folder: ImageFolder, largest_resolution: int, smallest_crop: float) -> int:
    """Side of cached images: so that the smallest crop still has a pixel for every one of the largest resolution.

    Never more than the images have themselves: the longest side among 64 of them, evenly spread.
    """
    wanted = math.ceil(largest_resolution / math.sqrt(smallest_crop))
    longest = 0
    for n in range(min(len(folder), SIZES_LOOKED_AT)):
        try:
            longest = max(longest, *image_size(folder.read(n * len(folder) // min(len(folder), SIZES_LOOKED_AT))))
        except unreadable():
            continue  # whoever decodes it says so
    return min(wanted, longest) if longest else wanted


def chosen_batch_size(asked: int | None, images: int, procs: Processes) -> int:
    """Images a step, of each process. None: 256 on GPUs where an epoch of `images` has 32 such steps, else 64."""
    if asked is not None:
        return asked
    large, usual = BATCHES
    return large if procs.device.type == "cuda" and images >= large * procs.count * STEPS_AN_EPOCH else usual


def chosen_workers(asked: int | None, cache: str, procs: Processes) -> int:
    """Processes that decode. None: with a GPU and no cache, this process's share of the CPUs, at most 8; else 0."""
    if asked is not None:
        return asked
    cpus = len(usable_cpus() or range(os.cpu_count() or 1))  # a cluster lends but some of a machine's
    return min(MOST_WORKERS, cpus // procs.count) if procs.device.type == "cuda" and cache == "off" else 0


def chosen_cache(asked: str, images: int, side: int) -> str:
    """ "auto" is "device" for up to 4 GiB of pixels, else "off": the same on every machine, as runs move."""
    if asked not in CACHES:
        raise InputError(f"--cache is {asked!r}, expected one of {', '.join(CACHES)}")
    if asked != "auto":
        return asked
    return "device" if images * 3 * side * side <= CACHE_BYTES else "off"
