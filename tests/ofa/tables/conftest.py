"""The file of a table of made-up latencies."""

from pathlib import Path

import pytest

from tests.ofa.tables.made_up import made_up


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    path = tmp_path / "device.csv"
    made_up([160]).save(path)
    return path
