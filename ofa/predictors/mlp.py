"""Small multi-layer perceptrons in numpy: what a predictor is made of when it only predicts.

Importing torch takes longer than a whole search, so that inference does without.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Float32 = NDArray[np.float32]

# rows at a time: the widest activations, 400 features of float32, then stay within a core's cache
CHUNK = 512
LARGEST = 1e6  # of a weight


def plausible(*tensors: NDArray[Any]) -> bool:
    """Whether a file's tensors are such as a fit leaves: decimals, no product of which overflows."""
    return all(np.issubdtype(t.dtype, np.floating) and bool((np.abs(t) <= LARGEST).all()) for t in tensors)


@dataclass(frozen=True)
class Mlp:
    """relu(... relu(x W + b) ...) W + b, for features x.

    weights: one (inputs, outputs) matrix a layer, C-contiguous; the last has 1 output
    biases: one (outputs,) vector a layer
    """

    weights: tuple[Float32, ...]
    biases: tuple[Float32, ...]

    def __post_init__(self) -> None:
        width = self.weights[0].shape[0]
        for i, (weight, bias) in enumerate(zip(self.weights, self.biases, strict=True)):
            if weight.ndim != 2 or weight.shape[0] != width or bias.shape != (weight.shape[1],):
                raise ValueError(
                    f"layer {i}: weight {weight.shape} and bias {bias.shape} do not follow {width} features"
                )
            if not plausible(weight, bias):
                raise ValueError(f"layer {i}: holds values that are not finite, or beyond {LARGEST:g}")
            width = weight.shape[1]
        if width != 1:
            raise ValueError(f"the last layer has {width} outputs, expected 1")

    @property
    def num_features(self) -> int:
        return int(self.weights[0].shape[0])


class Ensemble:
    """Several Mlps of one shape on the same features: (N, features) in, (members, N) out."""

    def __init__(self, members: Sequence[Mlp]) -> None:
        shapes = {tuple(w.shape for w in member.weights) for member in members}
        if len(shapes) != 1:
            raise ValueError(f"members of an ensemble have one shape, got {sorted(shapes)}")
        self.members = tuple(members)
        # all first layers as one product: the features are read once
        self._first = np.concatenate([m.weights[0] for m in members], axis=1)
        self._first_bias = np.concatenate([m.biases[0] for m in members])

    def __call__(self, features: NDArray[np.bool_] | Float32) -> Float32:
        """(members, N) outputs for (N, features)."""
        outputs = np.empty((len(self.members), len(features)), dtype=np.float32)
        rows = min(CHUNK, len(features))
        first = np.empty((rows, self._first.shape[1]), dtype=np.float32)
        others = [np.empty((rows, w.shape[1]), dtype=np.float32) for w in self.members[0].weights[1:]]
        for start in range(0, len(features), CHUNK):
            x = features[start : start + CHUNK].astype(np.float32)
            wide = np.matmul(x, self._first, out=first[: len(x)])
            wide += self._first_bias
            width = self.members[0].weights[0].shape[1]
            if len(self.members[0].weights) > 1:
                np.maximum(wide, 0, out=wide)
            for m, member in enumerate(self.members):
                x = wide[:, m * width : (m + 1) * width]
                for i in range(1, len(member.weights)):
                    x = np.matmul(x, member.weights[i], out=others[i - 1][: len(x)])
                    x += member.biases[i]
                    if i < len(member.weights) - 1:
                        np.maximum(x, 0, out=x)
                outputs[m, start : start + CHUNK] = x[:, 0]
        return outputs
