"""The measurement that a profiler's options ask for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ofa.blocks import all_blocks
from ofa.space import SearchSpace, get_space
from profilers.measuring.pace import CPU_PACE, Pace
from profilers.measuring.plan import VisitPlan, make_plan
from profilers.profiling.profile_options import PlanOptions


@dataclass(frozen=True)
class Work:
    """What is to be measured, by the options. blocks: how many the space has; the plan may be of the first few."""

    space: SearchSpace
    blocks: int
    plan: VisitPlan
    rules: Mapping[str, Any]
    rounds: int


def planned(options: PlanOptions, pace: Pace = CPU_PACE) -> Work:
    """What the options ask for; InputError for a space or resolutions that there are not."""
    space = get_space(options.space, options.num_classes)
    blocks = all_blocks(space, options.resolutions)
    rules, rounds = (pace.quick, pace.quick_rounds) if options.quick else (pace.rules, pace.rounds)
    rounds = options.rounds or rounds
    plan = make_plan([(block,) for block in blocks[: options.limit]], rounds, options.seed)
    return Work(space, len(blocks), plan, rules, rounds)
