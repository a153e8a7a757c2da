"""Toy photographs: three classes of little noisy images, by brightness."""

from pathlib import Path

import pytest

from tests.helpers.photographs import write_classes


@pytest.fixture(scope="session")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Layout train/classN and val/classN; 8 training and 2 validation images a class, 50 x 44 pixels."""
    return write_classes(tmp_path_factory.mktemp("photos") / "imgs", {"train": 8, "val": 2}, classes=3, step=70)
