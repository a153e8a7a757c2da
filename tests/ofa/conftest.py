"""Toy photographs: three classes of little noisy images, by brightness."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image


@pytest.fixture(scope="session")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Layout train/classN and val/classN; 8 training and 2 validation images a class, 50 x 44 pixels."""
    root = tmp_path_factory.mktemp("photos") / "imgs"
    rng = np.random.default_rng(0)
    for split, count in (("train", 8), ("val", 2)):
        for label in range(3):
            folder = root / split / f"class{label}"
            folder.mkdir(parents=True)
            for i in range(count):
                pixels = rng.integers(70 * label, 70 * label + 100, (6, 7, 3), dtype=np.uint8)
                Image.fromarray(pixels).resize((50, 44)).save(folder / f"{i}.png")
    return root
