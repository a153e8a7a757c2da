"""Images that tell their number: whatever is done to them, it can be seen whether the right label came with them."""

from __future__ import annotations

import io
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import pytest
import torch
from PIL import Image
from torch import Tensor

from ofa.images.pixels import augment, crops
from ofa.runs.processes import Processes

T = TypeVar("T")
CPU = torch.device("cpu")
COUNTS = (20, 40, 60, 80, 100)  # of the five classes
IMAGES = sum(COUNTS)
BROKEN = (31, 128, 255)  # no image at all, an empty file, one that is cut off
LEVELS, STEP, DARKEST = 9, 28, 12  # of each colour: its digit of the number, far above what resizing rounds


def colour(number: int) -> tuple[int, int, int]:
    digits = (number % LEVELS, number // LEVELS % LEVELS, number // LEVELS**2)
    return (DARKEST + STEP * digits[0], DARKEST + STEP * digits[1], DARKEST + STEP * digits[2])


def numbers_of(images: Tensor, mean: Sequence[float], std: Sequence[float]) -> list[int]:
    """The number of each of the images (N, 3, H, W), normalised; -1 for what is none of ours."""
    scale, shift = (torch.tensor(values, dtype=torch.float32).view(3, 1, 1) for values in (std, mean))
    pixels = (images.detach().cpu().float() * scale + shift) * 255
    means = pixels.mean((2, 3))
    digits = ((means - DARKEST) / STEP).round()
    apart = (pixels - (DARKEST + STEP * digits)[:, :, None, None]).abs().amax((1, 2, 3))
    weights = torch.tensor([1, LEVELS, LEVELS**2])
    return [int(n) if far < STEP / 4 else -1 for n, far in zip((digits * weights).sum(1), apart, strict=True)]


def label_of(number: int) -> int:
    """The class of an image of either split."""
    within = number % IMAGES
    return next(label for label in range(len(COUNTS)) if within < sum(COUNTS[: label + 1]))


def name_of(number: int) -> str:
    split = "train" if number < IMAGES else "val"
    ending = "jpg" if number % 7 == 3 else "png"
    return f"{split}/class{label_of(number)}/{number % IMAGES:03d}.{ending}"


def encoded(number: int) -> bytes:
    """Of other sizes and shapes in turn; the two splits share no file."""
    width, height = 36 + number % 5 * 6, 40 + number // IMAGES
    file = io.BytesIO()
    Image.new("RGB", (width, height), colour(number)).save(file, "JPEG" if number % 7 == 3 else "PNG", quality=95)
    content = file.getvalue()
    return {BROKEN[0]: b"no image", BROKEN[1]: b"", BROKEN[2]: content[:50]}.get(number % IMAGES, content)


def write_folder(root: Path) -> Path:
    """train and val, 300 images each in five classes, three of them broken; those of val have numbers from 300 on."""
    for number in range(2 * IMAGES):
        path = root / name_of(number)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(encoded(number))
    return root


def whole(split: str) -> set[int]:
    """The numbers of a split's images that can be read."""
    first = IMAGES if split == "val" else 0
    return {first + n for n in range(IMAGES) if n not in BROKEN}


def broken_names(split: str) -> set[str]:
    return {name_of(n + (IMAGES if split == "val" else 0)) for n in BROKEN}


def without_jitter(monkeypatch: pytest.MonkeyPatch) -> None:
    """Crops and flips remain: colours are what images are known by."""
    for module in (augment, crops):
        monkeypatch.setattr(module, "BRIGHTNESS", 0.0)
        monkeypatch.setattr(module, "SATURATION", 0.0)


# ---- processes that are threads


@dataclass
class Board:
    """Where threads leave what they exchange."""

    count: int
    slots: list[Any] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.slots = [None] * self.count
        self.barrier = threading.Barrier(self.count)


@dataclass(frozen=True)
class Rank(Processes):
    """One of several processes, which are threads here: no time is lost by starting them."""

    board: Board

    def gathered(self, value: Any) -> list[Any]:
        self.board.slots[self.rank] = value
        self.board.barrier.wait()
        values = list(self.board.slots)
        self.board.barrier.wait()
        return values

    def total(self, tensor: Tensor) -> Tensor:
        first, *others = self.gathered(tensor)
        found: Tensor = first.clone()
        for other in others:
            found += other
        return found

    def wait(self) -> None:
        self.gathered(None)


def together(count: int, work: Callable[[Processes], T]) -> list[T]:
    """What each of so many processes makes of the work, in order of rank."""
    if count == 1:
        return [work(Processes(0, 1, CPU))]
    board = Board(count)
    found: dict[int, T] = {}
    faults: list[BaseException] = []

    def run(rank: int) -> None:
        try:
            found[rank] = work(Rank(rank, count, CPU, board))
        except BaseException as fault:
            faults.append(fault)
            board.barrier.abort()

    threads = [threading.Thread(target=run, args=(rank,)) for rank in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if faults:
        raise faults[0]
    return [found[rank] for rank in range(count)]
