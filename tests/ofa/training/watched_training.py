"""Trains on the pretended GPU, and prints as JSON what each step waited for; also with each of the faults PLANTED."""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from ofa.images.files.folder import ImageFolder
from ofa.images.preprocessing import HALF
from ofa.networks import build_supernet
from ofa.runs.processes import Processes
from ofa.space import get_space
from ofa.training.draws import Draws
from ofa.training.loop import StepResult, Training
from ofa.training.precision import Precision
from ofa.training.recipe import Stage
from ofa.training.schedule import Plan
from ofa.training.step import SupernetStep, supernet_run
from ofa.training.supply import Cached, Preparation
from tests.helpers.supernets import TINY
from tests.ofa.training.fake_gpu import GPU, Watcher, pretend

STEPS, BATCH, SIDE = 11, 8, 160  # a batch of bytes is more than a driver takes at once
PLANTED: dict[str, Callable[[Tensor], object]] = {
    "item": lambda images: images.sum().item(),
    "bool": lambda images: bool(images.sum() > 0),
    "tolist": lambda images: images[0, 0, 0].tolist(),
    "cpu": lambda images: images.cpu(),
    "new_tensor": lambda images: images.new_tensor([1.0, 2.0]),
    "tensor": lambda images: torch.tensor(1.0, device=images.device),
    "mask": lambda images: images[images > 0],
    "nonzero": lambda images: images.nonzero(),
    "unpinned": lambda images: torch.zeros(1 << 20).to(images.device, non_blocking=True),
}


class _Unscaled(Precision):
    """Without autocast, which torch does not have for a pretended device."""

    def autocast(self) -> Any:
        return nullcontext()


def waits(
    folder: Path, precision: str, *, on_device: bool, steps: int = STEPS, planted: str | None = None
) -> list[list[str]]:
    """Of each step of a training with a teacher, clipped gradients and an averaged network."""
    device = torch.device(GPU)
    procs, how = Processes(0, 1, device), _Unscaled(precision, device)
    space = get_space(str(TINY), 2)
    stage = Stage("last", 1, 0.1, subnets=2, distill=1.0)
    seen: list[list[str]] = []
    with tempfile.TemporaryDirectory() as out, Watcher() as watcher:
        net, teacher = build_supernet(space).to(device), build_supernet(space, 0.0).requires_grad_(False).to(device)
        plan = Plan(epochs=1, steps_per_epoch=steps, learning_rate=0.01, clip_norm=1.0, ema=0.9)
        training = Training(net, plan, Path(out) / "run", {}, procs, precision=how)
        training.start()
        weights = torch.ones(2, device=device)
        step = SupernetStep(supernet_run(net), stage, Draws(space, stage, (32,), 0), how, teacher, 0.1, weights)
        supply = Cached(
            ImageFolder(folder), range(steps * BATCH), Preparation(BATCH, *HALF), procs, SIDE, on_device=on_device
        )

        def batches(epoch: int, first: int) -> Iterator[tuple[Tensor, Tensor]]:
            watcher.waits.clear()
            return supply.batches(epoch, first, 0, lambda _: 32)

        def faulty(images: Tensor, labels: Tensor, number: int) -> StepResult:
            if planted is not None:
                try:
                    PLANTED[planted](images)
                except NotImplementedError:  # torch copies Python's numbers to a device past every watcher
                    watcher.waits.append("made of Python's numbers")
            return step(images, labels, number)

        def on_step(_: int) -> None:
            seen.append(watcher.waits[:])
            watcher.waits.clear()

        training.run(batches, faulty, on_step=on_step)
    return seen


def main() -> None:
    pretend()
    rng = np.random.default_rng(0)
    with tempfile.TemporaryDirectory() as folder:
        for n in range(STEPS * BATCH):
            (Path(folder) / f"class{n % 2}").mkdir(exist_ok=True)
            Image.fromarray(rng.integers(0, 256, (SIDE, SIDE, 3), np.uint8)).save(
                Path(folder) / f"class{n % 2}" / f"{n}.png"
            )
        found = {
            "fp32, on the device": waits(Path(folder), "fp32", on_device=True),
            "fp16, in memory": waits(Path(folder), "fp16", on_device=False),
        }
        found |= {name: waits(Path(folder), "fp32", on_device=True, steps=1, planted=name) for name in PLANTED}
    json.dump(found, sys.stdout)


if __name__ == "__main__":
    main()
