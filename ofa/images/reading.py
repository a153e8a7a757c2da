"""Images of a folder in batches, prepared as networks are evaluated; the broken ones are named."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ofa.errors import InputError
from ofa.images.files.folder import ImageFolder
from ofa.images.pixels.decoded import Broken, decoded
from ofa.images.preprocessing import IMAGENET, centre_crop, to_tensor


@dataclass(frozen=True)
class _Prepare:
    resolution: int
    mean: tuple[float, ...]
    std: tuple[float, ...]

    def __call__(self, image: Any, _: int) -> Tensor:
        return to_tensor(centre_crop(image, self.resolution), self.mean, self.std)


@dataclass(frozen=True, eq=False)
class Chunk:
    """A stretch of the images asked for.

    images: (N, 3, R, R) float32 of those that can be read, None if none can
    labels: (N,) int64
    broken: names of the others
    """

    images: Tensor | None
    labels: Tensor
    broken: tuple[str, ...]


def read_chunks(
    dataset: ImageFolder,
    resolution: int,
    batch_size: int,
    *,
    mean: Sequence[float] = IMAGENET[0],
    std: Sequence[float] = IMAGENET[1],
    strict: bool = False,
    workers: int = 0,
    indices: Sequence[int] | None = None,
) -> Iterator[Chunk]:
    """A chunk for every `batch_size` of the indices (default: all), in order, whatever is broken in it.

    strict, workers: as of `batches`
    """
    if batch_size < 1:
        raise InputError(f"batch size is {batch_size}, expected at least 1")
    chosen = range(len(dataset)) if indices is None else indices
    prepare = _Prepare(resolution, tuple(mean), tuple(std))
    for rows in decoded(dataset, chosen, batch_size, prepare, workers=workers, strict=strict):
        good = [(image, chosen[n]) for n, image in rows if not isinstance(image, Broken)]
        images = torch.stack([image for image, _ in good]) if good else None
        labels = torch.tensor([dataset.labels[i] for _, i in good], dtype=torch.int64)
        broken = tuple(dataset.names[chosen[n]] for n, image in rows if isinstance(image, Broken))
        yield Chunk(images, labels, broken)


def batches(
    dataset: ImageFolder,
    resolution: int,
    batch_size: int,
    *,
    mean: Sequence[float] = IMAGENET[0],
    std: Sequence[float] = IMAGENET[1],
    limit: int | None = None,
    strict: bool = False,
    workers: int = 0,
    indices: Sequence[int] | None = None,
    broken: list[str] | None = None,
) -> Iterator[tuple[Tensor, Tensor]]:
    """Images (N, 3, R, R) float32 and labels (N,) int64, N <= batch_size, in order.

    limit: only the first so many images (of a sorted folder: those of its first classes; see `random_indices`)
    indices: these images, in this order (default: all); batches are cut from this list, so that a broken image
        makes its batch smaller and moves no other
    strict: whether a broken image is an InputError rather than skipped
    workers: processes that decode; 0 decodes here
    broken: takes the names of skipped images; `dataset.faults` has them in any case, see `broken_lines`
    Raises InputError where not one image can be read.
    """
    chosen = list(range(len(dataset)) if indices is None else indices)[:limit]
    skipped: list[str] = []
    for chunk in read_chunks(
        dataset, resolution, batch_size, mean=mean, std=std, strict=strict, workers=workers, indices=chosen
    ):
        skipped += chunk.broken
        if broken is not None:
            broken += chunk.broken
        if chunk.images is not None:
            yield chunk.images, chunk.labels
    if skipped and len(skipped) == len(chosen):
        raise InputError(f"{dataset.path}: none of {len(chosen)} images can be read, the first is {skipped[0]}")


def broken_line(dataset: ImageFolder, names: Sequence[str]) -> str:
    """A warning that names the images which could not be read, and what is wrong with the first."""
    shown = ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
    skipped = "1 broken image is skipped" if len(names) == 1 else f"{len(names)} broken images are skipped"
    reason = next((dataset.faults[name] for name in names if dataset.faults.get(name)), "")
    why = "" if not reason else f"; {'' if len(names) == 1 else 'the first: '}{reason}"
    return f"warning: {dataset.called}: {skipped}: {shown}{why} (--strict makes this an error)"


def broken_lines(*datasets: ImageFolder | None) -> list[str]:
    """A warning a data set that had broken images so far, each of them named once, whatever opened it how often."""
    found: dict[Path, ImageFolder] = {}
    for dataset in datasets:
        if dataset is not None and dataset.faults:
            other = found.setdefault(dataset.path, copy.copy(dataset))
            other.faults = {**other.faults, **dataset.faults}
    return [broken_line(dataset, sorted(dataset.faults)) for dataset in found.values()]


def left_out_lines(*datasets: ImageFolder | None) -> list[str]:
    """A line a data set that has files which are not used; one that was opened twice has it once."""
    lines = [dataset.left_out_line() for dataset in datasets if dataset is not None]
    return list(dict.fromkeys(line for line in lines if line is not None))


def random_indices(dataset: ImageFolder, count: int, seed: int = 0) -> list[int]:
    """At most `count` different images, chosen at random, in random order.

    A folder's own order would make batches of one class each, and calibrating normalises by the batch.
    """
    return [int(i) for i in np.random.default_rng(seed).permutation(len(dataset))[:count]]
