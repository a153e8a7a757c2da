"""How long one visit takes, and how many visits a model gets."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

# long enough for a counter that moves ten times a second
ENERGY_SECONDS = 0.3


@dataclass(frozen=True)
class Pace:
    """How long one visit takes, as the protocol's rules, and how many visits there are.

    rules, rounds: of blocks; quick, quick_rounds: for a first look; whole, whole_rounds: of whole networks
    """

    rules: Mapping[str, Any]
    rounds: int
    quick: Mapping[str, Any]
    quick_rounds: int
    whole: Mapping[str, Any]
    whole_rounds: int


CPU_RULES = {
    "warmup_runs": 4,
    "warmup_seconds": 0.02,
    "min_runs": 30,
    "max_runs": 400,
    "max_seconds": 0.15,
    "target_error": 0.002,
    "min_sample_us": 50,
}
CPU_PACE = Pace(
    rules=CPU_RULES,
    rounds=5,
    quick={**CPU_RULES, "warmup_seconds": 0.01, "min_runs": 15, "max_seconds": 0.05, "target_error": 0.005},
    quick_rounds=3,
    # the caches need longer to settle for a whole network than for a block
    whole={**CPU_RULES, "warmup_seconds": 0.15, "max_seconds": 0.4},
    whole_rounds=5,
)
