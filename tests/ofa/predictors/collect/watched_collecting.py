"""Measures sub-networks on the pretended GPU, and prints as JSON what the host waited for; also with planted faults."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from typing import Any
from unittest import mock

import numpy as np
import torch
from torch import Tensor

from ofa.evaluate.scores import counts_of
from ofa.images.pixels.store import PixelBatch
from ofa.images.preprocessing import HALF
from ofa.networks import build_supernet, tree
from ofa.networks.calibrate import Calibrating
from ofa.networks.statistics import activated_with_moments
from ofa.predictors.collect import measuring
from ofa.predictors.collect.measuring import PreparedImages, draw, measure
from ofa.space import get_space
from tests.helpers.supernets import TINY
from tests.ofa.training.fake_gpu import GPU, Watcher, pretend

BATCHES, IMAGES, SIZE = 3, 24, 32


def images() -> PreparedImages:
    """Bytes of three batches to calibrate with, and of as many to evaluate on."""
    rng = np.random.default_rng(0)

    def batches() -> list[PixelBatch]:
        pixels = torch.from_numpy(rng.integers(0, 256, (BATCHES, IMAGES, SIZE, SIZE, 3), dtype=np.uint8))
        labels = torch.from_numpy(rng.integers(0, 6, (BATCHES, IMAGES)))
        return [PixelBatch(*pair) for pair in zip(pixels, labels, strict=True)]

    return PreparedImages(batches(), batches(), *HALF, Calibrating(IMAGES))


def waits(fault: Callable[[Tensor], object] | None = None, at: str = "evaluating") -> list[list[str]]:
    """What was waited for in the batches, one after the other, and after the last of each of both passes.

    fault: done with every layer's output while calibrating, or with every network's logits while evaluating
    """
    space = get_space(str(TINY), 6)
    seen: list[list[str]] = []

    def counted(logits: Tensor, labels: Tensor) -> Tensor:
        if fault is not None and at == "evaluating":
            fault(logits)
        return counts_of(logits, labels)

    def normalised(bn: torch.nn.BatchNorm2d, x: Tensor, name: str, *more: str, **ways: Any) -> object:
        if fault is not None and at == "calibrating":
            fault(x)
        return activated_with_moments(bn, x, name, *more, **ways)

    with Watcher() as watcher:
        net = build_supernet(space, dropout=0.0).eval().to(GPU)
        there = images().to(torch.device(GPU))
        watcher.waits.clear()

        def advance(_: float) -> None:
            seen.append(watcher.waits[:])
            watcher.waits.clear()

        with (
            mock.patch.object(torch, "inference_mode", torch.no_grad),  # whose tensors nothing can pretend to be
            mock.patch.object(measuring, "counts_of", counted),
            mock.patch.object(tree, "activated_with_moments", normalised),
        ):
            measure(net, draw(space, (SIZE,), 0, range(2)), there, advance)
        advance(0)
    return seen


def main() -> None:
    pretend()
    found = {"as it is": waits()}
    for at in ("calibrating", "evaluating"):
        found[f"item, {at}"] = waits(lambda x: x.sum().item(), at)
        found[f"tolist, {at}"] = waits(lambda x: x[0].tolist(), at)
    json.dump(found, sys.stdout)


if __name__ == "__main__":
    main()
