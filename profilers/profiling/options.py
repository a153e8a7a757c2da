"""What a profiler is asked for, as values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ofa.blocks import all_blocks
from ofa.errors import InputError
from ofa.space import RESOLUTIONS, SearchSpace, get_space
from profilers.measuring.pace import CPU_PACE, Pace
from profilers.measuring.plan import VisitPlan, make_plan


@dataclass(frozen=True)
class PlanOptions:
    """What is measured, and how often.

    space: name of the search space
    num_classes: classes of the classifier
    resolutions: of the images, pixels
    batch_size: images a run, at least 1
    rounds: visits of a block, apart in time, at least 1; None: as many as the device's pace says
    quick: a fraction of the time, noisier
    limit: only the first so many blocks, at least 1; None: all
    seed: of the order of visits
    """

    space: str = "mbv3-w1.0"
    num_classes: int = 1000
    resolutions: tuple[int, ...] = (128, 160, 192, 208, 224)
    batch_size: int = 1
    rounds: int | None = None
    quick: bool = False
    limit: int | None = None
    seed: int = 0


@dataclass(frozen=True, kw_only=True)
class ProfileOptions(PlanOptions):
    """A space that is measured into a table.

    out: the table, a file that ends in .csv; its journal is written next to it
    energy: also millijoules a block, where the device tells
    timeout_s: seconds before a silent block is given up
    name: what to call the device; None: its model
    resume: go on with the journal of an interrupted run
    overwrite: start anew over an existing table or journal
    """

    out: Path
    energy: bool = False
    timeout_s: float = 60.0
    name: str | None = None
    resume: bool = False
    overwrite: bool = False


@dataclass(frozen=True)
class Work:
    """What is to be measured, by the options. blocks: how many the space has; the plan may be of the first few."""

    space: SearchSpace
    blocks: int
    plan: VisitPlan
    rules: Mapping[str, Any]
    rounds: int


def planned(options: PlanOptions, pace: Pace = CPU_PACE) -> Work:
    """What the options ask for; InputError if they make no sense."""
    for name, value in (
        ("--batch-size", options.batch_size),
        ("--rounds", options.rounds),
        ("--limit", options.limit),
    ):
        at_least_1(name, value)
    space = get_space(options.space, options.num_classes, {*RESOLUTIONS, *options.resolutions})
    blocks = all_blocks(space, options.resolutions)
    rules, rounds = (pace.quick, pace.quick_rounds) if options.quick else (pace.rules, pace.rounds)
    rounds = options.rounds or rounds
    plan = make_plan([(block,) for block in blocks[: options.limit]], rounds, options.seed)
    return Work(space, len(blocks), plan, rules, rounds)


def at_least_1(name: str, value: int | None) -> None:
    """InputError for a count that was given and is below 1. name: of the option."""
    if value is not None and value < 1:
        raise InputError(f"{name} is {value}, expected at least 1")
