"""The latency of a block at a size that was not measured, from the sizes on both sides of it.

Convolution kernels take a few pixels at a time, and the last few cost as much as full ones: a 5 x 5 map costs like 28
pixels, not 25. So latency is taken to be linear, between two measured sizes, in the block's multiply-accumulates
with the pixels of every map rounded up to a multiple of four; what does not grow with the map drops out. What this
gives, against linear in the area and other roundings: docs/transfer.md.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from ofa.blocks import Block, at_size
from ofa.blocks.costs import block_macs

TILE = 4  # pixels


class Interpolation:
    """Latencies, ms (or energies, mJ), of measured blocks, and of the same blocks at sizes between."""

    def __init__(self, known: Mapping[Block, float]) -> None:
        self._known = dict(known)
        self._points: dict[Block, list[tuple[int, float]]] = {}  # (in_size, ms) ascending, by the block at size 1
        for block, latency_ms in known.items():
            self._points.setdefault(at_size(block, 1), []).append((block.in_size, latency_ms))
        for points in self._points.values():
            points.sort()

    def values(self, blocks: Sequence[Block]) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
        """(U,) of U blocks, NaN where not known; (U,) which of them are interpolated."""
        found, between = np.full(len(blocks), np.nan), np.zeros(len(blocks), dtype=bool)
        for u, block in enumerate(blocks):
            if block in self._known:
                found[u] = self._known[block]
            elif (value := self.between(block)) is not None:
                found[u], between[u] = value, True
        return found, between

    def between(self, block: Block) -> float | None:
        """Of a block that was not measured, from the nearest sizes below and above; None where one is lacking."""
        points = self._points.get(at_size(block, 1), [])
        above = bisect_left(points, (block.in_size, 0.0))
        return None if above in (0, len(points)) else _between(block, points[above - 1], points[above])

    def error_pct(self) -> float | None:
        """Mean absolute error, per cent, of one block: every one that has measured sizes on both sides, from those.

        The sizes are then twice as far apart as in use, and a network's error is smaller than its blocks': an upper
        estimate. None where no block has three sizes.
        """
        errors = []
        for shape, points in self._points.items():
            for below, (size, latency_ms), above in zip(points[:-2], points[1:-1], points[2:], strict=True):
                errors.append(abs(_between(at_size(shape, size), below, above) / latency_ms - 1))
        return float(100 * np.mean(errors)) if errors else None


def _between(block: Block, below: tuple[int, float], above: tuple[int, float]) -> float:
    """Linear in work between two (in_size, ms); halfway where rounding gives both the same work."""
    low, here, high = (_work(at_size(block, size)) for size in (below[0], block.in_size, above[0]))
    share = (here - low) / (high - low) if high > low else 0.5
    return below[1] + share * (above[1] - below[1])


def _work(block: Block) -> int:
    """What latency is linear in; pooling has no multiply-accumulates, and reads its pixels one by one."""
    return block_macs(block, TILE) or block.in_size**2
