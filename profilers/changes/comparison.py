"""Two tables of one device compared: which blocks changed, and which only drifted."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from ofa.blocks import Block
from ofa.errors import InputError
from ofa.tables import LatencyTable
from profilers.changes.change import Changes, find_changes
from profilers.changes.levels import ALPHA, EFFECT
from profilers.changes.visit_medians import visit_medians

# header facts that two tables of the same measurement have in common; what neither states is no difference
SAME = ("space", "soc", "runtime", "threads", "batch", "dtype", "delegate", "mode", "memory_format", "inputs")


@dataclass(frozen=True)
class BlockChange:
    """One block in both tables; effect, p, p_adjusted, changed: see profilers.changes.change.Changes."""

    block: Block
    old_ms: float
    new_ms: float
    effect: float
    p: float
    p_adjusted: float
    changed: bool


@dataclass(frozen=True)
class Comparison:
    """Two tables compared.

    differences: facts in which the tables differ: then what changed is no news
    blocks: those in both that could be judged, the worst change first
    not_judged: blocks of which one table has only disturbed visits
    only_old, only_new: blocks in one table
    basis: what the old and the new figures rest on
    """

    old: LatencyTable
    new: LatencyTable
    changes: Changes
    differences: tuple[str, ...]
    blocks: tuple[BlockChange, ...]
    not_judged: tuple[Block, ...]
    only_old: tuple[Block, ...]
    only_new: tuple[Block, ...]
    basis: tuple[str, str]

    @property
    def changed(self) -> tuple[BlockChange, ...]:
        return tuple(block for block in self.blocks if block.changed)

    @property
    def drift_pct(self) -> float:
        return 100 * (self.changes.drift - 1)

    def drift_text(self) -> str:
        """The drift in words."""
        return (
            f"{self.drift_pct:+.1f} % (standard error {100 * self.changes.drift_error:.1f} %) on all blocks: clock, "
            f"load or host; taken out of every change"
        )

    def noise_text(self) -> str:
        """How small a change could be seen, in words."""
        return (
            f"typical standard error of a change {100 * self.changes.noise:.1f} %, of which between runs "
            f"{100 * self.changes.between_runs:.1f} %"
        )


def compare_tables(old: LatencyTable, new: LatencyTable, effect: float = EFFECT, alpha: float = ALPHA) -> Comparison:
    """Compares what both tables hold; InputError where that is too little."""
    if old.timing != new.timing:
        raise InputError(
            f"{old.path} was timed {old.timing}, {new.path} {new.timing}: their blocks cannot be compared; measure one "
            "of them again as the other (python -m profilers.cpu --timing)"
        )
    (before, old_basis), (after, new_basis) = visit_medians(old), visit_medians(new)
    common = [row.block for row in old.rows if row.block in after]
    judged = [block for block in common if before[block] and after[block]]
    try:
        changes = find_changes(
            [before[block] for block in judged], [after[block] for block in judged], effect=effect, alpha=alpha
        )
    except InputError as reason:
        raise InputError(f"{old.path} and {new.path} cannot be compared: {reason}") from None
    old_ms, new_ms = ({row.block: row.latency_ms for row in table.rows} for table in (old, new))
    found = zip(judged, changes.effect, changes.p, changes.p_adjusted, changes.changed, strict=True)
    rows = [
        BlockChange(block, old_ms[block], new_ms[block], float(size), float(p), float(adjusted), bool(changed))
        for block, size, p, adjusted, changed in found
    ]
    rows.sort(key=lambda row: (not row.changed, -abs(np.log1p(row.effect)), str(row.block)))
    return Comparison(
        old,
        new,
        changes,
        tuple(differences(old.header, new.header)),
        tuple(rows),
        tuple(block for block in common if not (before[block] and after[block])),
        tuple(row.block for row in old.rows if row.block not in after),
        tuple(row.block for row in new.rows if row.block not in before),
        (old_basis, new_basis),
    )


def differences(old: Mapping[str, str], new: Mapping[str, str]) -> list[str]:
    """The facts in which two headers differ, in words; the device's name counts where no soc is stated."""
    keys = [*SAME, *([] if old.get("soc") and new.get("soc") else ["device"])]
    return [
        f"{key}: {old.get(key, 'not stated')} against {new.get(key, 'not stated')}"
        for key in keys
        if old.get(key) != new.get(key)
    ]


def to_json(comparison: Comparison) -> dict[str, Any]:
    """Everything that was found, for a program to read."""
    return {
        "old": str(comparison.old.path),
        "new": str(comparison.new.path),
        "changed": len(comparison.changed),
        "differences": list(comparison.differences),
        "basis": list(comparison.basis),
        "drift": comparison.changes.drift,
        "drift_error": comparison.changes.drift_error,
        "noise": comparison.changes.noise,
        "between_runs": comparison.changes.between_runs,
        "blocks": [{**vars(row), "block": str(row.block)} for row in comparison.blocks],
        "not_judged": list(map(str, comparison.not_judged)),
        "only_old": list(map(str, comparison.only_old)),
        "only_new": list(map(str, comparison.only_new)),
    }
