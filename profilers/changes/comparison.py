"""Two tables of one device compared: which blocks changed, and which only drifted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ofa.blocks import Block
from ofa.errors import InputError
from ofa.tables import LatencyTable
from profilers.changes.change import FEWEST_RUNS, Changes, find_changes, find_changes_from_runs
from profilers.changes.levels import ALPHA, DRIFT_ERRORS, EFFECT
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
    runs: how many runs the old figures rest on, on different days
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
    runs: int = 1

    @property
    def changed(self) -> tuple[BlockChange, ...]:
        return tuple(block for block in self.blocks if block.changed)

    @property
    def drift_pct(self) -> float:
        return 100 * (self.changes.drift - 1)

    def drift_text(self) -> str:
        """The drift in words."""
        large = f", beyond {100 * EFFECT:g} % and {DRIFT_ERRORS:g} standard errors" if self.changes.all_changed else ""
        return (
            f"{self.drift_pct:+.1f} % (standard error {100 * self.changes.drift_error:.1f} %) on all blocks{large}: "
            "clock, load or host; taken out of every change"
        )

    def noise_text(self) -> str:
        """How small a change could be seen, in words."""
        return (
            f"typical standard error of a change {100 * self.changes.noise:.1f} %, of which between runs "
            f"{100 * self.changes.between_runs:.1f} %; {self.runs_text()}"
        )

    def runs_text(self) -> str:
        """What the old figures rest on, in words."""
        if self.runs >= FEWEST_RUNS:
            return f"the old figures are of {self.runs} runs on different days"
        few = f"{FEWEST_RUNS} make a baseline"
        return f"the old figures are of one run, whose luck is in every comparison with it ({few})"


def compare_tables(
    old: LatencyTable,
    new: LatencyTable,
    effect: float = EFFECT,
    alpha: float = ALPHA,
    earlier: Sequence[LatencyTable] = (),
) -> Comparison:
    """Compares what both tables hold; InputError where that is too little. earlier: runs of the old one, of other days

    With the old table's they are a baseline if they are FEWEST_RUNS and each holds all that is compared; else it alone.
    """
    if old.timing != new.timing:
        raise InputError(
            f"{old.path} was timed {old.timing}, {new.path} {new.timing}: their blocks cannot be compared; measure one "
            "of them again as the other (--timing)"
        )
    (before, old_basis), (after, new_basis) = visit_medians(old), visit_medians(new)
    common = [row.block for row in old.rows if row.block in after]
    judged = [block for block in common if before[block] and after[block]]
    others = [visit_medians(run)[0] for run in earlier]
    runs = [before, *(run for run in others if all(block in run for block in judged))]
    was, now = [[run[block] for block in judged] for run in runs], [after[block] for block in judged]
    try:
        if len(runs) < FEWEST_RUNS:
            runs, changes = runs[:1], find_changes(was[0], now, effect=effect, alpha=alpha)
        else:
            changes = find_changes_from_runs(was, now, effect=effect, alpha=alpha)
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
        len(runs),
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
        "all_changed": comparison.changes.all_changed,
        "runs": comparison.runs,
        "noise": comparison.changes.noise,
        "between_runs": comparison.changes.between_runs,
        "blocks": [{**vars(row), "block": str(row.block)} for row in comparison.blocks],
        "not_judged": list(map(str, comparison.not_judged)),
        "only_old": list(map(str, comparison.only_old)),
        "only_new": list(map(str, comparison.only_new)),
    }
