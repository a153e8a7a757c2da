"""Images recognised by their content, whatever they are called and wherever they lie: what a network was trained on.

A file of weights keeps the hashes of some training images. Which ones is decided by sizes and hashes alone, so that of
any other folder the same images are looked at, and the share of them that is known tells how much of it was trained on.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from hashlib import blake2b
from typing import TYPE_CHECKING, Any

import numpy as np

from ofa.errors import InputError

if TYPE_CHECKING:
    from ofa.images.files.folder import ImageFolder

MOST_HASHES = 2048  # kept of a training: 22 kB as text
MOST_LOOKED_AT = 8192  # images of a folder that are read to be compared
SMALL_SHARE = 0.02  # up to so many known images say little: data sets hold a few twins
_BITS = 64


@dataclass(frozen=True)
class ContentSample:
    """The hashes of some images: those whose size's hash begins with `size_bits` zeros, and their own with so many.

    size_bits: decides which files are read; content_bits: which of these are kept
    hashes: 64 bits each, ascending
    """

    size_bits: int
    content_bits: int
    hashes: tuple[int, ...]

    def to_dict(self) -> dict[str, Any]:
        """As JSON: the hashes in base64, 8 bytes each, the highest first."""
        packed = np.array(self.hashes, dtype=">u8").tobytes()
        return {
            "size_bits": self.size_bits,
            "content_bits": self.content_bits,
            "hashes": base64.b64encode(packed).decode(),
        }

    @classmethod
    def from_dict(cls, content: Any) -> ContentSample:
        """Reads `to_dict`'s form. KeyError, TypeError or InputError where it is damaged."""
        bits = [content["size_bits"], content["content_bits"]]
        if not all(type(n) is int and 0 <= n <= _BITS for n in bits):
            raise InputError(f"bits are {bits}, expected whole numbers from 0 to {_BITS}")
        try:
            if len(content["hashes"]) > 12 * (MOST_HASHES + 1):
                raise InputError(f"more than {MOST_HASHES} hashes of images")
            packed = base64.b64decode(content["hashes"], validate=True)
            hashes = np.frombuffer(packed, dtype=">u8").tolist()
        except (binascii.Error, ValueError) as error:
            raise InputError(f"hashes of images: {error}") from None
        return cls(bits[0], bits[1], tuple(hashes))


def content_sample(folder: ImageFolder, indices: Iterable[int]) -> ContentSample:
    """The sample of some of a folder's images, of at most MOST_HASHES. Reads a few thousand files, at most four times
    as many as it keeps, unless many have one size."""
    sizes = {i: _hash_of_size(folder.size(i)) for i in indices}
    size_bits = 0
    while sum(_begins(h, size_bits + 1) for h in sizes.values()) >= MOST_HASHES:
        size_bits += 1
    hashes = _hashes(folder, [i for i, h in sizes.items() if _begins(h, size_bits)])
    content_bits = 0
    while len(hashes) > MOST_HASHES:
        content_bits += 1
        hashes = {h for h in hashes if _begins(h, content_bits)}
    return ContentSample(size_bits, content_bits, tuple(sorted(hashes)))


def share_known(folder: ImageFolder, samples: Sequence[ContentSample], indices: Sequence[int] | None = None) -> float:
    """The share of a folder's images that the sample knows which knows most of them; 0 where it is a single image.

    indices: of these images (default: all). An estimate, where samples are not of all that was trained on.
    """
    largest, indices = 0.0, range(len(folder)) if indices is None else indices
    for sample in samples:
        alike = [i for i in indices if _begins(_hash_of_size(folder.size(i)), sample.size_bits)]
        step = max(1, -(-len(alike) // MOST_LOOKED_AT))
        looked_at = [h for h in _hashes(folder, alike[::step]) if _begins(h, sample.content_bits)]
        known = len(set(looked_at) & set(sample.hashes))
        if known > 1:
            largest = max(largest, known / len(looked_at))
    return largest


def _hashes(folder: ImageFolder, indices: Iterable[int]) -> set[int]:
    """The hashes of the images that can be read."""
    found = set()
    for i in indices:
        try:
            found.add(_hash(folder.read(i)))
        except Exception:
            continue
    return found


@lru_cache(maxsize=1 << 16)
def _hash_of_size(size: int) -> int:
    return _hash(size.to_bytes(8, "big"))


def _hash(content: bytes) -> int:
    return int.from_bytes(blake2b(content, digest_size=_BITS // 8).digest(), "big")


def _begins(number: int, bits: int) -> bool:
    """Whether its first so many bits are zeros."""
    return number >> (_BITS - bits) == 0
