"""What a profiler is asked for, as values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ofa.blocks import all_blocks
from ofa.errors import InputError
from ofa.space import SearchSpace, get_space
from profilers.measuring.pace import CPU_PACE, Pace
from profilers.measuring.plan import VisitPlan, make_plan


@dataclass(frozen=True, kw_only=True)
class PlanOptions:
    """What is measured, and how often."""

    space: str = "mbv3-w1.0"
    """name of the search space"""

    num_classes: int = 1000
    """classes of the classifier"""

    resolutions: tuple[int, ...] = (128, 160, 192, 208, 224)
    """of the images, pixels"""

    batch_size: int = 1
    """images a run, at least 1"""

    rounds: int | None = None
    """visits of a block, apart in time, at least 1 (default: as many as the device's pace says)"""

    quick: bool = False
    """a fraction of the time, noisier"""

    limit: int | None = None
    """only the first so many blocks, at least 1 (default: all)"""

    seed: int = 0
    """of the order of visits"""


@dataclass(frozen=True, kw_only=True)
class ProfileOptions(PlanOptions):
    """A space that is measured into a table."""

    out: Path
    """the table, a file that ends in .csv; its journal is written next to it"""

    energy: bool = False
    """also millijoules a block, where the device tells"""

    timeout: float = 60.0
    """seconds before a silent block is given up"""

    name: str | None = None
    """what to call the device (default: its model)"""

    resume: bool = False
    """go on with the journal of an interrupted run"""

    overwrite: bool = False
    """start anew over an existing table or journal"""


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
    space = get_space(options.space, options.num_classes)
    blocks = all_blocks(space, options.resolutions)
    rules, rounds = (pace.quick, pace.quick_rounds) if options.quick else (pace.rules, pace.rounds)
    rounds = options.rounds or rounds
    plan = make_plan([(block,) for block in blocks[: options.limit]], rounds, options.seed)
    return Work(space, len(blocks), plan, rules, rounds)


def at_least_1(name: str, value: int | None) -> None:
    """InputError for a count that was given and is below 1. name: of the option."""
    if value is not None and value < 1:
        raise InputError(f"{name} is {value}, expected at least 1")
