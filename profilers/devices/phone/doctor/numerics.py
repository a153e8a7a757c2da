"""What this computer's runtime computes of the model and the random input that an agent has."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from profilers.devices.delegates import Dtype

Floats = NDArray[np.float32]

# by how much outputs may differ, as a share of the largest: the order of additions differs between processors, and of
# float16 3 digits are left. A wrong kernel is off by more than a tenth
TOLERANCES = {"fp32": 1e-4, "fp16": 1e-2}


def tolerance_of(delegate: str, dtype: Dtype) -> float:
    """Of float32 models. A delegate of a GPU or NPU may compute in float16."""
    return TOLERANCES["fp32" if dtype != "fp16" and delegate in ("xnnpack", "none") else "fp16"]


def random_input(count: int, seed: int) -> Floats:
    """(count,) values as the agents of phones and boards make them: of splitmix64 (Steele, Lea, Flood 2014)."""
    steps = np.arange(1, count + 1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    z = steps + np.uint64(seed)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    z ^= z >> np.uint64(31)
    quarters = z[:, None] >> np.array([0, 16, 32, 48], dtype=np.uint64) & np.uint64(0xFFFF)  # (count, 4)
    centred = quarters.sum(axis=1).astype(np.int64) - 2 * 0xFFFF
    values: Floats = centred.astype(np.float32) * np.float32(np.float32(1.7320508) / np.float32(65536))
    return values


def outputs_here(model: Path, seed: int) -> Floats:
    """(N,) the first output of a model for its random input."""
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(str(model), num_threads=1)
    interpreter.allocate_tensors()
    (wanted,) = interpreter.get_input_details()
    images = random_input(int(np.prod(wanted["shape"])), seed)
    interpreter.set_tensor(wanted["index"], images.reshape(wanted["shape"]))
    interpreter.invoke()
    outputs: Floats = interpreter.get_tensor(interpreter.get_output_details()[0]["index"]).ravel()
    return outputs


def difference(there: Sequence[float | None], here: Floats) -> float:
    """The largest of two lists of outputs, as a share of the largest output; infinite where they cannot be compared."""
    if len(there) != len(here) or any(value is None for value in there):
        return float("inf")
    return float(np.abs(np.array(there, dtype=np.float64) - here).max() / np.abs(here).max())
