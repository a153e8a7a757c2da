"""Trainings of a supernet as data: which sub-networks each stage draws, for how long, at which learning rate.

The paper's (Cai et al. 2020, sections 3.3 and 4.1; stage lengths and rates from the original implementation), and what
it is compared with: uniform sampling without shrinking, and the sandwich rule (Yu & Huang 2019; Yu et al. 2020).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from ofa.blocks.costs import count_macs
from ofa.errors import InputError
from ofa.reading.numbers import Bounds, cut
from ofa.reading.numbers import short as shown
from ofa.reading.structured import content_of, parse_json
from ofa.space import Genes, SearchSpace

# learning rates of stages are for this many images a step, over all processes, and proportional to them
RATE_IMAGES = 64
EPOCHS, COUNT = Bounds(0, 10**6, "epochs"), Bounds(0, 1000, "sub-networks or choices")
FACTOR = Bounds(0, 1e6, "epochs, a rate or a weight")
TEACHERS = ("first", "previous")


@dataclass(frozen=True)
class Stage:
    """A stretch of training with a learning rate schedule of its own.

    name: of its folder
    epochs: how often the data is seen
    learning_rate: its peak, for 64 images a step
    subnets: sub-networks a step; their gradients add up
    kernels, depths, expands, widths: sub-networks are drawn from so many of the space's largest choices, 0 for all;
        kernels also of the choices between having a step and not: a convolution at the start, squeeze-and-excite
    warmup_epochs: linear increase before the cosine
    final_rate: where the cosine ends
    distill: weight of the soft loss against the teacher's outputs, where the labels' is 1; 0 for none. The loss is
        their weighted mean, so that a learning rate means the same with and without a teacher
    teacher: the largest network as the "first" stage, or as the stage before ("previous"), left it
    sandwich: the largest and the smallest sub-network in every step; the largest learns the labels, the others
        (the smallest too) what the largest says, in the same step; without dropout
    """

    name: str
    epochs: int
    learning_rate: float
    subnets: int = 1
    kernels: int = 0
    depths: int = 0
    expands: int = 0
    widths: int = 0
    warmup_epochs: float = 0.0
    distill: float = 0.0
    teacher: str = "first"
    sandwich: bool = False
    final_rate: float = 0.0

    def __post_init__(self) -> None:
        name = self.name
        if not isinstance(name, str) or not 0 < len(name) <= 100 or not all(c.isalnum() or c in "-_" for c in name):
            raise InputError(f"stage name is {shown(name)}, expected letters, digits, - and _, up to 100")
        where = f"stage {name}"
        for field in fields(self):
            value = getattr(self, field.name)
            if field.type == "int":
                (EPOCHS if field.name == "epochs" else COUNT).whole(f"{where}: {field.name}", value)
            if field.type == "float":
                FACTOR.check(f"{where}: {field.name}", value)
        if self.teacher not in TEACHERS:
            raise InputError(f"{where}: teacher is {shown(self.teacher)}, expected one of {', '.join(TEACHERS)}")
        if not isinstance(self.sandwich, bool):
            raise InputError(f"{where}: sandwich is {shown(self.sandwich)}, expected true or false")
        if self.epochs < 1 or self.subnets < 1 or self.learning_rate <= 0:
            raise InputError(f"{where}: epochs, subnets and learning_rate must be more than 0")
        if self.final_rate > self.learning_rate:
            raise InputError(f"{where}: final_rate is {self.final_rate:g}, more than learning_rate")
        if self.warmup_epochs >= self.epochs:
            raise InputError(f"{where}: warmup_epochs is {self.warmup_epochs:g}, expected less than {self.epochs}")
        if self.sandwich and self.subnets < 3:
            raise InputError(
                f"{where}: subnets is {self.subnets}, but the sandwich rule needs at least 3: the largest, the "
                "smallest and a random one"
            )

    def choices(self, space: SearchSpace) -> tuple[tuple[int, ...], ...]:
        """For every gene of the space but the resolution's, which choice indices this stage draws from."""
        kept = {
            "depths": self.depths,
            "kernel_sizes": self.kernels,
            "expand_ratios": self.expands,
            "width_mults": self.widths,
            "start_kernels": self.kernels,
            "squeeze_excites": self.kernels,
        }
        found: list[tuple[int, ...]] = []
        for field, count in kept.items():
            for values in space.choices[space.columns(field)]:
                everything = range(len(values))
                found.append(tuple(everything[-count:] if count else everything))
        return tuple(found)

    def largest(self, space: SearchSpace, resolution: int) -> Genes:
        """(1, genes): the largest sub-network, at that resolution."""
        return self._extreme(space, resolution, -1)

    def smallest(self, space: SearchSpace, resolution: int) -> Genes:
        """(1, genes): the smallest sub-network of this stage, at that resolution."""
        return self._extreme(space, resolution, 0)

    def _extreme(self, space: SearchSpace, resolution: int, end: int) -> Genes:
        row = [resolution, *(allowed[end] for allowed in self.choices(space))]
        return space.as_genes(np.array([row]))

    def draw(self, space: SearchSpace, rng: np.random.Generator, n: int, resolutions: Sequence[int]) -> Genes:
        """(n, genes): sub-networks of this stage, every choice and the resolution uniform and independent."""
        columns = [
            np.asarray(values)[rng.integers(0, len(values), n)] for values in (resolutions, *self.choices(space))
        ]
        return space.as_genes(np.stack(columns, 1))

    def supported(self, space: SearchSpace) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """The expand ratios and width multipliers that sub-networks of this stage have."""
        return space.expand_choices[-self.expands :], space.width_choices[-self.widths :]


def shrinking(space: SearchSpace, epochs_scale: float = 1.0, distill: float = 1.0) -> tuple[Stage, ...]:
    """Progressive shrinking as in the paper: kernel sizes, then depths, then widths become elastic.

    epochs_scale: factor on all epochs and warm-ups; no stage is shorter than one epoch
    distill: weight of the soft loss from the second stage on; the teacher is the first stage's network

    The original adds both losses, where here they are averaged: its rates are multiplied by 1 + distill.
    """
    largest: dict[str, Any] = {"kernels": 1, "depths": 1, "expands": 1, "widths": 1}
    kernel: dict[str, Any] = {**largest, "kernels": 0}
    stages = [Stage("largest", 180, 2.6 / 32, 1, **largest, warmup_epochs=5)]
    if any(map(space.has, ("kernel_sizes", "start_kernels", "squeeze_excites"))):
        stages.append(Stage("kernel", 125, 3e-2, 1, **kernel, warmup_epochs=5, distill=distill))
    stages += _two("depth", 2, "depths", kernel, max(len(u.depth_choices) for u in space.units), distill)
    deep = {**kernel, "depths": 0}
    stages += _two("expand", 4, "expands", deep, len(space.expand_choices), distill)
    if len(space.width_choices) > 1:
        stages += _two("width", 4, "widths", {**deep, "expands": 0}, len(space.width_choices), distill)
    stages = [replace(stage, learning_rate=stage.learning_rate * (1 + stage.distill)) for stage in stages]
    return tuple(scaled(stage, epochs_scale) for stage in stages)


def short(
    space: SearchSpace, resolutions: tuple[int, ...], epochs_scale: float, distill: float = 0.0
) -> tuple[Stage, ...]:
    """For trainings of a small part of the paper's length: everything is elastic from the start.

    One sub-network a step, one cosine, and the arithmetic that the paper's recipe takes at this scale. Progressive
    shrinking, in six stages, is no better there (measured: docs/results/training.md).
    """
    return (one_stage("uniform", space, resolutions, None, epochs_scale, 1, distill),)


def _two(name: str, subnets: int, field: str, choices: Mapping[str, Any], count: int, distill: float) -> list[Stage]:
    """The largest two choices for 25 epochs, then all of them."""
    common: dict[str, Any] = {"subnets": subnets, "distill": distill}
    last = Stage(f"{name}{count}", 125, 7.5e-3, **{**choices, field: 0}, **common, warmup_epochs=5)
    return [Stage(f"{name}2", 25, 2.5e-3, **{**choices, field: 2}, **common), last] if count > 2 else [last]


def scaled(stage: Stage, factor: float) -> Stage:
    """With `factor` times the epochs, rounded, at least 1; a warm-up takes at most half of them."""
    if not (math.isfinite(factor) and factor > 0):
        raise InputError(f"epochs scale is {factor}, expected more than 0")
    epochs = max(1, round(stage.epochs * factor))
    return replace(stage, epochs=epochs, warmup_epochs=min(stage.warmup_epochs * factor, epochs / 2))


RECIPES = ("paper", "short")


def one_stage(
    method: str,
    space: SearchSpace,
    resolutions: tuple[int, ...],
    epochs: int | None,
    epochs_scale: float,
    subnets: int,
    distill: float,
) -> Stage:
    """The only stage of a training without shrinking.

    method: "uniform", "sandwich", or "alone" (one sub-network; its epochs must be given)
    epochs: None for as much arithmetic as `shrinking` takes at `epochs_scale`: see `macs_per_image`
    Every sub-network's gradient adds up, so the learning rate is the first stage's, divided by their number.
    """
    count = 1 if method == "alone" else subnets
    stage = Stage(method, 1, 2.6 / 32 / count, count, distill=distill, sandwich=method == "sandwich")
    if epochs is None:
        budget = sum(s.epochs * macs_per_image(space, resolutions, s) for s in shrinking(space, epochs_scale))
        epochs = max(1, round(budget / macs_per_image(space, resolutions, stage)))
    return replace(stage, epochs=epochs, warmup_epochs=epochs * 5 / 180)


@lru_cache(maxsize=64)
def macs_per_image(space: SearchSpace, resolutions: tuple[int, ...], stage: Stage) -> float:
    """What a step costs for each image, on average: forward and backward (three times the forward MACs) of each
    sub-network, forward of the teacher. Estimated from 256 draws."""
    macs = count_macs(space, stage.draw(space, np.random.default_rng(0), 256, resolutions)).mean()
    total = 3.0 * stage.subnets * float(macs)
    if stage.sandwich:
        extremes = np.concatenate([end(space, max(resolutions)) for end in (stage.largest, stage.smallest)])
        total += 3.0 * float(count_macs(space, extremes).sum() - 2 * macs)
    if stage.distill and not stage.sandwich:
        teachers = np.concatenate([stage.largest(space, resolution) for resolution in resolutions])
        total += float(count_macs(space, teachers).mean())
    return total


def read_stages(path: Path) -> tuple[Stage, ...]:
    """A recipe of one's own: a JSON list of stages, with the fields of `Stage`. InputError names what is wrong."""
    if not path.is_file():
        raise InputError(f"{path}: no such recipe: give paper, short, or a JSON file with a list of stages")
    listed = parse_json(content_of(path), path)
    if not isinstance(listed, list) or not listed or not all(isinstance(row, dict) for row in listed):
        raise InputError(f"{path}: expected a JSON list of stages, each an object")
    known = {field.name for field in fields(Stage)}
    stages = []
    for i, row in enumerate(listed):
        wrong = (("unknown", set(row) - known), ("missing", {"name", "epochs", "learning_rate"} - set(row)))
        if words := [f"{what} fields: {cut(', '.join(sorted(some)), 120)}" for what, some in wrong if some]:
            raise InputError(f"{path}: [{i}]: {'; '.join(words)}")
        stages.append(_in_file(path, i, row))
    names = [stage.name for stage in stages]
    if len(set(names)) < len(names):
        raise InputError(f"{path}: two stages have the same name")
    return tuple(stages)


def _in_file(path: Path, i: int, row: Mapping[str, Any]) -> Stage:
    if not isinstance(row["name"], str):
        raise InputError(f"{path}: [{i}]: name is {shown(row['name'])}, expected text")
    try:
        return Stage(**row)
    except InputError as error:
        raise InputError(f"{path}: [{i}]: {error}") from None


def as_json(stages: Sequence[Stage]) -> list[dict[str, Any]]:
    """What `read_stages` reads."""
    return [asdict(stage) for stage in stages]
