"""How fast this machine is: a few steps of the training that comes, timed."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

SPACE, BATCH = "mbv3-w0.35", 32
REPEATS = 3
PATIENCE_S = 2.0  # no more calls after that: on a busy machine each takes seconds


@dataclass(frozen=True)
class Speed:
    """Seconds on this machine.

    train_s: a step of training, for each image; forward_s: the same without learning
    decode_s: to read and decode a photograph; start_s: until a command has loaded what it needs
    threads: 1 where steps were faster with one than with all: beside other programs, several wait for each other;
        None: as many as torch takes by itself
    """

    train_s: float
    forward_s: float
    decode_s: float
    start_s: float
    threads: int | None = None

    def slower(self, factor: float) -> Speed:
        """Of a machine that takes so many times as long."""
        return replace(
            self,
            train_s=factor * self.train_s,
            forward_s=factor * self.forward_s,
            decode_s=factor * self.decode_s,
            start_s=factor * self.start_s,
        )


def measure_speed(resolutions: Sequence[int], decode_s: float) -> Speed:
    """Times random sub-networks of the smallest space, on random images of each of the resolutions."""
    import torch

    def with_threads(threads: int, resolutions: Sequence[int]) -> tuple[float, float]:
        torch.set_num_threads(threads)
        return _seconds_of_steps(resolutions)

    given = torch.get_num_threads()
    try:
        # the trial is short: several threads on a busy machine take many times as long as one
        threads = min(sorted({1, given}), key=lambda threads: with_threads(threads, resolutions[:1])[0])
        train_s, forward_s = with_threads(threads, resolutions)
    finally:
        torch.set_num_threads(given)
    return Speed(train_s, forward_s, decode_s, _seconds_to_start(), None if threads == given else threads)


def _seconds_of_steps(resolutions: Sequence[int]) -> tuple[float, float]:
    """Of an image in a step of training, and in one without learning, with as many threads as torch has now."""
    import torch
    from torch.nn import functional as F

    from ofa.networks import build_supernet
    from ofa.space import get_space

    space = get_space(SPACE, 10)
    net = build_supernet(space)
    genes = space.sample(np.random.default_rng(0), REPEATS + 1, resolutions=list(resolutions))
    train_s, forward_s = [], []
    labels = torch.arange(BATCH) % 10
    for resolution in resolutions:
        images = torch.randn(BATCH, 3, resolution, resolution)
        genes[:, 0] = resolution
        subnets = space.decode(genes)

        def step(i: int, images: torch.Tensor = images, subnets: Sequence[object] = subnets) -> None:
            F.cross_entropy(net(images, subnets[i]), labels).backward()  # type: ignore[no-untyped-call]

        def forward(i: int, images: torch.Tensor = images, subnets: Sequence[object] = subnets) -> None:
            with torch.no_grad():
                net(images, subnets[i])

        train_s.append(_median_seconds(step) / BATCH)
        forward_s.append(_median_seconds(forward) / BATCH)
    return statistics.mean(train_s), statistics.mean(forward_s)


def _median_seconds(work: Callable[[int], None]) -> float:
    """Of some calls, fewer if they take long, after one that is not counted: the first allocates."""
    work(0)
    taken = []
    for i in range(1, REPEATS + 1):
        began = time.perf_counter()
        work(i)
        taken.append(time.perf_counter() - began)
        if sum(taken) > PATIENCE_S:
            break
    return statistics.median(taken)


def _seconds_to_start() -> float:
    """Until a new process has loaded torch."""
    began = time.perf_counter()
    subprocess.run([sys.executable, "-c", "import torch"], check=False, env=os.environ)
    return time.perf_counter() - began
