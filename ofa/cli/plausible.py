"""What a number can be in any option: finite, of its kind, and no more than anyone means.

A slip of the hand, `--rounds 1000000000`, is told at once rather than after days, or when memory is full.
"""

from __future__ import annotations

from numbers import Integral, Real

USUAL = 10**12
# By the field's name, so that an option means the same in every command
MOST: dict[str, float] = {
    **dict.fromkeys(("batch", "batch_size", "calibration_batch"), 65_536),
    **dict.fromkeys(("cool_seconds", "timeout"), 86_400),
    **dict.fromkeys(("distill", "epochs_scale", "learning_rate", "learning_rate_scale", "weight_decay"), 1000),
    **dict.fromkeys(("epochs", "networks", "num_classes", "random", "suggest"), 10**6),
    **dict.fromkeys(("samples", "steps", "subnets"), 10**7),
    "hidden": 8192,
    "max_temperature": 1000,
    "members": 1000,
    "rounds": 1000,
    "seed": 2**63 - 1,
    "subnets_per_step": 1000,
    "threads": 100_000,  # how many there are, the device says
    "workers": 256,
}


def kind_fault(kind: type, value: object) -> str | None:
    """What was expected of a field of that kind, int or float, instead; None if it is one."""
    if isinstance(value, bool) or not isinstance(value, Integral if kind is int else Real):
        return "expected a whole number" if kind is int else "expected a number"
    return None


def size_fault(name: str, value: float) -> str | None:
    """What was expected of a number in a field of that name instead; None if it is plausible."""
    most = MOST.get(name, USUAL)
    if value > most:
        return f"expected at most {most:,}"
    return None if value >= -USUAL else "expected a finite number"  # so does NaN not
