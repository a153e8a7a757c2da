"""Pictures and the bytes of their files."""

import io
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image


def saved(image: Any, kind: str, **options: Any) -> bytes:
    held = io.BytesIO()
    image.save(held, kind, **options)
    return held.getvalue()


def picture(width: int = 60, height: int = 40) -> NDArray[np.uint8]:
    """No two corners alike."""
    rough = np.random.default_rng(1).integers(0, 256, (4, 5, 3), dtype=np.uint8)
    return np.asarray(Image.fromarray(rough).resize((width, height), Image.Resampling.BICUBIC))
