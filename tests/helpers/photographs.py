"""Little noisy images in folders of classes, as people have photographs."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from PIL import Image


def write_classes(
    root: Path, counts: Mapping[str, int], classes: int, step: int = 0, rng: np.random.Generator | None = None
) -> Path:
    """SPLIT/classN/I.png below the root, 50 x 44 pixels; counts: images a class of each split.

    step: how much brighter a class is than the one before it, of 256; 0: classes are alike, and noise alone
    """
    rng = np.random.default_rng(0) if rng is None else rng
    for split, count in counts.items():
        for label in range(classes):
            folder = root / split / f"class{label}"
            folder.mkdir(parents=True)
            for i in range(count):
                low, high = (step * label, step * label + 100) if step else (0, 256)
                pixels = rng.integers(low, high, (6, 7, 3), dtype=np.uint8)
                Image.fromarray(pixels).resize((50, 44)).save(folder / f"{i}.png")
    return root
