"""Training batches: shuffled, augmented images whose randomness depends on seed, epoch and image alone.

So a run that continues from the middle of an epoch, or with other worker processes, sees the very same batches.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ofa.errors import InputError
from ofa.images.files.folder import ImageFolder
from ofa.images.pixels.crops import BRIGHTNESS, SATURATION
from ofa.images.pixels.decoded import Broken, decoded
from ofa.images.pixels.torchvision_import import import_transforms
from ofa.images.preprocessing import IMAGENET, to_tensor


def derived_seed(*numbers: int) -> int:
    """A seed for torch from several numbers: others give another stream."""
    return int(np.random.SeedSequence(numbers).generate_state(1, np.uint64)[0] >> np.uint64(1))


class _Augment:
    """The n-th image, cropped, flipped and jittered; its draws depend on seed, epoch and image alone."""

    def __init__(
        self,
        order: Sequence[tuple[int, int]],
        mean: Sequence[float],
        std: Sequence[float],
        seed: int,
        epoch: int,
        smallest_crop: float,
    ) -> None:
        """order: an image and its resolution each"""
        self.order, self.mean, self.std = order, mean, std
        self.seed, self.epoch, self.smallest_crop = seed, epoch, smallest_crop
        self.transforms = self._made()

    def _made(self) -> dict[int, Any]:
        """torchvision's transforms, by resolution."""
        transforms = import_transforms()
        return {
            resolution: transforms.Compose(
                [
                    transforms.RandomResizedCrop(resolution, scale=(self.smallest_crop, 1.0)),
                    transforms.RandomHorizontalFlip(),
                    transforms.ColorJitter(brightness=BRIGHTNESS, saturation=SATURATION),
                ]
            )
            for resolution in {r for _, r in self.order}
        }

    def __getstate__(self) -> dict[str, Any]:
        return {**vars(self), "transforms": None}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        self.transforms = self._made()  # a process that is spawned imports torchvision as this one did

    def __call__(self, image: Any, n: int) -> Tensor:
        i, resolution = self.order[n]
        # torchvision draws from torch's global generator, which is not ours to move
        state = torch.get_rng_state()
        try:
            torch.default_generator.manual_seed(derived_seed(self.seed, self.epoch, i))
            return to_tensor(self.transforms[resolution](image), self.mean, self.std)
        finally:
            torch.set_rng_state(state)


def training_batches(
    folder: ImageFolder,
    resolution: int | Callable[[int], int],
    batch_size: int,
    *,
    seed: int,
    epoch: int,
    first: int = 0,
    indices: Sequence[int] | None = None,
    mean: Sequence[float] = IMAGENET[0],
    std: Sequence[float] = IMAGENET[1],
    workers: int = 0,
    strict: bool = False,
    broken: set[str] | None = None,
    smallest_crop: float = 0.08,
    share: tuple[int, int] = (0, 1),
) -> Iterator[tuple[Tensor, Tensor]]:
    """The batches of an epoch from the `first`-th on: images (N, 3, R, R) float32, labels (N,) int64.

    resolution: R, or what tells it of a batch by its number
    smallest_crop: least part of an image's area that a crop takes
    share: (r, P): the r-th part of each batch of P times `batch_size` images, for the r-th of P processes

    Shuffled; random crops resized, flips, brightness and saturation jitter; what is left over a full batch is
    dropped. A broken image makes its batch smaller: its name goes to `broken`, or with `strict` is an InputError.
    """
    listed = np.arange(len(folder)) if indices is None else np.asarray(indices)
    order = np.random.default_rng([seed, epoch]).permutation(listed).tolist()
    together, mine = batch_size * share[1], batch_size * share[0]
    kept = [
        (i, resolution if isinstance(resolution, int) else resolution(number))
        for number in range(first, len(order) // together)
        for i in order[number * together + mine : number * together + mine + batch_size]
    ]
    prepare = _Augment(kept, mean, std, seed, epoch, smallest_crop)
    images = [i for i, _ in kept]
    for rows in decoded(folder, images, batch_size, prepare, workers=workers, strict=strict):
        good = [(image, folder.labels[images[n]]) for n, image in rows if not isinstance(image, Broken)]
        if broken is not None:
            broken.update(folder.names[images[n]] for n, image in rows if isinstance(image, Broken))
        if len(good) < 2:
            raise InputError(f"{folder.path}: in a batch of {len(rows)} only {len(good)} images can be read")
        yield torch.stack([image for image, _ in good]), torch.tensor([label for _, label in good])
