"""Tables of devices of one model, drawn: a level and a scatter of each device, and five visits a block."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from ofa.blocks import all_blocks
from ofa.blocks.costs import block_macs
from ofa.space import get_space
from ofa.tables import TableRow

# more than there are devices or visits
BLOCKS = all_blocks(get_space("mbv3-w0.35"), [64, 128])
BASE_MS = np.array([0.01 + block_macs(block) / 1e7 for block in BLOCKS])
HEADER = {
    "device": "Phone 7",
    "soc": "S7",
    "runtime": "tflite 2.14",
    "threads": "1",
    "dtype": "float32",
    "batch": "1",
    "agent": "android",
    "delegate": "cpu",
    "tool": "ofa-latency 0.1.0",
    "provenance": "measured",
    "source": "drawn",
    "space": "mbv3-w0.35",
    "resolutions": "64, 128",
    "os": "Android 14",
}
Draw = Callable[..., Path]


def drawn(seed: int, factor: np.ndarray | float = 1.0, *, scatter: float = 0.01, visits: int = 5) -> list[TableRow]:
    """factor: of all blocks, or (N,) of each"""
    rng = np.random.default_rng(seed)
    own = BASE_MS * factor * np.exp(0.003 * rng.standard_normal(len(BLOCKS)))
    times = own[:, None] * np.exp(scatter * rng.standard_normal((len(BLOCKS), visits)))
    rows = []
    for block, ms in zip(BLOCKS, np.round(times, 6).tolist(), strict=True):
        rows.append(TableRow(block, round(float(np.median(ms)), 6), 0.001, 0.02, 100, visits_ms=tuple(ms)))
    return rows
