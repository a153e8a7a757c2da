"""What python -m ofa.predict writes."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from ofa.predict.__main__ import main

# batches that leave some of 40 images over, and none
BATCHES = {"float.onnx": 7, "int8.onnx": 1, "float.tflite": 1, "int8.tflite": 8}


def predicted(out: Path, *words: object) -> dict[str, NDArray[np.float64]]:
    """Probabilities by image, in the order of the logits, as the command writes them."""
    assert main([*map(str, words), f"--json={out}", "--top=99"]) == 0
    content = json.loads(out.read_text())
    found = {}
    for image in content["images"]:
        assert [content["classes"][guess["index"]] for guess in image["top"]] == [g["class"] for g in image["top"]]
        shares = [guess["probability"] for guess in image["top"]]
        assert shares == sorted(shares, reverse=True)
        by_index = {guess["index"]: guess["probability"] for guess in image["top"]}
        found[image["file"]] = np.array([by_index[i] for i in range(len(by_index))])
    return found


def softmax(logits: NDArray[np.float32]) -> NDArray[np.float64]:
    found: NDArray[np.float64] = torch.from_numpy(logits).double().softmax(1).numpy()
    return found
