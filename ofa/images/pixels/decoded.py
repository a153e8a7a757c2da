"""Images decoded in batches, here or in worker processes: the one place where broken images are told from good ones."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import torch
from torch.utils.data import DataLoader, Dataset

from ofa.errors import InputError
from ofa.images.files.folder import ImageFolder
from ofa.images.pixels.decoding import decode, reason_of, unreadable

T = TypeVar("T")


@dataclass(frozen=True)
class Broken:
    """An image that cannot be read, and why, in one line."""

    reason: str


class _Decoded(Dataset[tuple[int, "T | Broken"]], Generic[T]):
    def __init__(self, folder: ImageFolder, indices: Sequence[int], prepare: Callable[[Any, int], T]) -> None:
        self.folder, self.indices, self.prepare = folder, indices, prepare

    def __len__(self) -> int:
        return len(self.indices)

    def __getitem__(self, n: int) -> tuple[int, T | Broken]:
        try:
            image = decode(self.folder.read(self.indices[n]))
        except InputError:
            raise
        except unreadable() as error:
            return n, Broken(reason_of(error))
        return n, self.prepare(image, n)


def decoded(
    folder: ImageFolder,
    indices: Sequence[int],
    batch_size: int,
    prepare: Callable[[Any, int], T],
    *,
    workers: int = 0,
    strict: bool = False,
) -> Iterator[list[tuple[int, T | Broken]]]:
    """(n, what `prepare` makes of the n-th of the indices' images), in order, a list for every `batch_size` of them.

    The number travels with the image: counted beside it, the two could come apart.

    prepare: called with the PIL image in RGB, and n; worker processes get a copy of it
    workers: processes that decode; 0 decodes here
    strict: whether a broken image is an InputError; its reason goes to `folder.faults` in any case
    """
    own = torch.Generator()  # or each loader would draw from torch's global generator
    data = _Decoded(folder, indices, prepare)
    for rows in DataLoader(data, batch_size, num_workers=workers, collate_fn=list, generator=own):
        for n, result in rows:
            if isinstance(result, Broken):
                name = folder.names[indices[n]]
                folder.faults[name] = result.reason
                if strict:
                    raise InputError(f"{folder.path}: {name} cannot be read as an image: {result.reason}")
        yield rows
