"""How long one visit takes, and how many visits a model gets."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

# long enough for a counter that moves ten times a second
ENERGY_SECONDS = 0.3


@dataclass(frozen=True)
class InPlacePace:
    """How long visits take where blocks are timed in networks.

    blocks: the protocol's rules of blocks alone, which tell what differs between them; parts: of networks in parts
    """

    blocks: Mapping[str, Any]
    parts: Mapping[str, Any]
    rounds: int
    quick_rounds: int


@dataclass(frozen=True)
class Pace:
    """How long one visit takes, as the protocol's rules, and how many visits there are.

    rules, rounds: of blocks; quick, quick_rounds: for a first look; whole, whole_rounds: of whole networks
    in_place: None where blocks are timed alone only
    """

    rules: Mapping[str, Any]
    rounds: int
    quick: Mapping[str, Any]
    quick_rounds: int
    whole: Mapping[str, Any]
    whole_rounds: int
    in_place: InPlacePace | None = None


CPU_RULES = {
    "warmup_runs": 4,
    "warmup_seconds": 0.02,
    "min_runs": 30,
    "max_runs": 400,
    "max_seconds": 0.15,
    "target_error": 0.002,
    "min_sample_us": 50,
}
CPU_QUICK = {**CPU_RULES, "warmup_seconds": 0.01, "min_runs": 15, "max_seconds": 0.05, "target_error": 0.005}
CPU_IN_PLACE = InPlacePace(
    blocks=CPU_QUICK,
    # a pass is a sample of every block: a few of them settle the caches, and a few tell
    parts={
        **CPU_RULES,
        "warmup_runs": 3,
        "warmup_seconds": 0.03,
        "min_runs": 10,
        "max_runs": 20,
        "max_seconds": 0.1,
        "target_error": 0.003,
    },
    rounds=5,
    quick_rounds=2,
)
CPU_PACE = Pace(
    rules=CPU_RULES,
    rounds=5,
    quick=CPU_QUICK,
    quick_rounds=3,
    # the caches need longer to settle for a whole network than for a block
    whole={**CPU_RULES, "warmup_seconds": 0.15, "max_seconds": 0.4},
    whole_rounds=5,
    in_place=CPU_IN_PLACE,
)

# governors of phones see load only after 50 to 100 ms (schedutil and WALT: as their authors describe them, not measured
# here), so a core that slept warms up for longer, and until its clock no longer rises
AFTER_REST = {"warmup_seconds_after_rest": 0.1, "settle": 0.03, "warmup_max_seconds": 1.0}
PHONE_PACE = Pace(
    rules=CPU_RULES | AFTER_REST,
    rounds=CPU_PACE.rounds,
    quick=CPU_QUICK | AFTER_REST,
    quick_rounds=CPU_PACE.quick_rounds,
    whole={**CPU_PACE.whole, **AFTER_REST},
    whole_rounds=CPU_PACE.whole_rounds,
    in_place=replace(
        CPU_IN_PLACE, blocks={**CPU_IN_PLACE.blocks, **AFTER_REST}, parts={**CPU_IN_PLACE.parts, **AFTER_REST}
    ),
)
