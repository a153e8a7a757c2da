"""What the runtimes of the CPU agent have in common: what runs, parts of networks, and the tensors given to them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Run = Callable[[], object]
Rng = np.random.Generator
# tensors start where no vector straddles two cache lines
_ALIGNMENT = 64
# a standard deviation of quantised noise, in steps: four of them reach the end
_DEVIATION = 32


def nothing() -> None: ...


@dataclass(frozen=True)
class Part:
    """A part of a network. run: on what the part before put out; output: what it put out itself

    hand_on: makes that the next part's input; in a network nothing does, so it is not timed
    """

    run: Run
    output: Callable[[], Any]
    hand_on: Run = nothing


def noise(rng: Rng, shape: Any, kind: Any) -> NDArray[Any]:
    """Normal noise; of integers, around the middle of what they can be, as quantised tensors are."""
    values: NDArray[Any] = rng.standard_normal(shape, dtype=np.float32)
    if kind == np.float32:
        return values
    least, most = np.iinfo(kind).min, np.iinfo(kind).max
    whole = np.rint(_DEVIATION * values + (int(least) + int(most) + 1) // 2)
    clipped: NDArray[Any] = np.clip(whole, least, most)
    return clipped.astype(kind)


class NotComputed(ValueError):
    """A runtime computes in another type than it was asked to."""

    def __init__(self, dtype: str, message: str) -> None:
        super().__init__(message)
        self.reason = f"not_{dtype}"


def aligned(size: int) -> NDArray[np.uint8]:
    """So many bytes from the start of a cache line on."""
    raw = np.zeros(size + _ALIGNMENT, dtype=np.uint8)
    start = -raw.ctypes.data % _ALIGNMENT
    return raw[start : start + size]
