"""Tables of devices of one model, as files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from ofa.tables import LatencyTable
from tests.profilers.lab.drawn_tables import HEADER, Draw, drawn


@pytest.fixture
def draw(tmp_path: Path) -> Draw:
    """Writes a device's table: draw(name, seed, factor, scatter=..., visits=..., header facts)."""

    def write(
        name: str, seed: int, factor: np.ndarray | float = 1.0, *, scatter: float = 0.01, visits: int = 5, **header: str
    ) -> Path:
        path = tmp_path / f"{name}.csv"
        rows = drawn(seed, factor, scatter=scatter, visits=visits)
        LatencyTable({**HEADER, **header}, rows).save(path)
        return path

    return write
