"""What was found of devices of one model, in words: which is apart, by how much, on which blocks, and how sure."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ofa.blocks import Block
from ofa.errors import one_line
from profilers.lab.siblings.agreement import MOST_BLOCKS, WIDE, SiblingVerdict
from profilers.lab.siblings.compared import Siblings

_NAMED = 3
_FEWEST_OF_A_KIND = 5
# what a table in another unit is off by
_UNITS = {1e3: "microseconds", 1e6: "nanoseconds", 1e-3: "seconds"}
# so near, as a natural log, to that factor; so near to each other's blocks two exchanged rows lie
_NEAR = 0.3


def findings(found: Siblings) -> list[str]:
    """All of it, a sentence or two each: what to make of the devices, then each that is apart."""
    names = [one_line(device.name) for device in found.tables.devices]
    count, merged = len(names), len(found.agreeing)
    lines = []
    if not merged:
        lines.append(_undecided(found, names))
    else:
        lines.append(
            f"{merged} of {count} devices agree: each is shown to be within {_pct(found.effect)} of the others; the "
            f"chance that this is wrong of one is {_pct(found.alpha)}"
        )
    if len(systems := Counter(device.os for device in found.tables.devices)) > 1:
        shown = ", ".join(f"{one_line(name) or 'not stated'} ({n})" for name, n in systems.most_common(_NAMED))
        lines.append(f"the devices run {len(systems)} systems: {shown}: a difference may be the system's")
    if merged:
        lines += [f"{names[number]} {finding(found, number)}" for number in found.apart]
    elif found.pairs:
        lines += [_pair(found, names, pair) for pair in found.pairs]
    return lines


def finding(found: Siblings, number: int) -> str:
    """What one device is, after its name: "agrees with the others: ...", "is apart: ..."."""
    verdict = found.verdicts[number]
    if verdict.state == "differs":
        return f"is apart: {_difference(found, verdict, number)}"
    what = f"{_sum(verdict)} on the sum of all blocks, {_level(verdict)} on all blocks"
    if verdict.state == "agrees":
        return (
            f"agrees: {what}; {100 * verdict.within:.0f} % of its blocks shown to be within {_pct(WIDE * found.effect)}"
        )
    return f"cannot be told from the others, nor shown to be like them: {_why_untold(found, verdict, what)}"


def _why_untold(found: Siblings, verdict: SiblingVerdict, what: str) -> str:
    if verdict.within < MOST_BLOCKS:
        return (
            f"{100 * verdict.within:.0f} % of its blocks are shown to be within {_pct(WIDE * found.effect)}, of "
            f"{_pct(MOST_BLOCKS)} that must be (typical standard error of a block {_pct(verdict.changes.noise)}); "
            "measure it again with more --rounds"
        )
    return f"{what}, too near to {_pct(found.effect)} to say; measure it again with more --rounds"


def _undecided(found: Siblings, names: Sequence[str]) -> str:
    """Why nothing is merged."""
    states = Counter(verdict.state for verdict in found.verdicts)
    if states["differs"] == 0:
        return (
            "no two devices are shown to agree, and none to differ: too little is known; measure them again with more "
            "--rounds"
        )
    if len(names) == 2:
        return f"{names[0]} and {names[1]} differ, and nobody can say which of them is right: a third device would"
    return (
        f"{states['differs']} of {len(names)} devices differ from the others, which is no minority: nobody can say "
        "which are right"
    )


def _pair(found: Siblings, names: Sequence[str], pair: tuple[int, int]) -> str:
    first, second = pair
    verdict = found.pairs[pair]
    if verdict.state == "differs":
        return f"{names[second]} against {names[first]}: {_difference(found, verdict, None)}"
    what = "agree" if verdict.state == "agrees" else "cannot be told apart, nor shown to agree"
    return (
        f"{names[second]} and {names[first]} {what}: {_sum(verdict)} on the sum of all blocks, {_level(verdict)} on all"
    )


def _difference(found: Siblings, verdict: SiblingVerdict, number: int | None) -> str:
    """What a device differs in. number: of the device, where it is one against the others"""
    least = math.log1p(found.effect)
    for factor, unit in _UNITS.items():
        if abs(verdict.level - math.log(factor)) < _NEAR:
            return f"its figures are {math.exp(verdict.level):.4g} times the others': they may be {unit}"
    parts = []
    if abs(verdict.level) > least:
        parts.append(f"{_level(verdict)} on all blocks")
    if verdict.changes.changed.any():
        parts.append(_blocks(found, verdict, number))
    if not parts or (abs(verdict.total) > least and abs(verdict.level) <= least):
        parts.append(f"{_sum(verdict)} on the sum of all blocks")
    return "; ".join(parts)


def _blocks(found: Siblings, verdict: SiblingVerdict, number: int | None) -> str:
    """Which blocks are slower or faster than the level of the device, by how much, and how sure that is."""
    changed = np.flatnonzero(verdict.changes.changed)
    effects, blocks = verdict.changes.effect[changed], verdict.blocks[changed]
    worst = np.argsort(-np.abs(np.log1p(effects)), kind="stable")
    named = "; ".join(str(found.tables.blocks[blocks[i]]) for i in worst[:_NAMED])
    more = f" and {len(worst) - _NAMED} more" if len(worst) > _NAMED else ""
    p = float(verdict.changes.p_adjusted[changed].max())
    text = f"{_sizes(effects)}{_kind(found, verdict, changed)} ({named}{more}; adjusted p at most {max(p, 1e-16):.1g})"
    if number is not None and len(blocks) == 2 and _exchanged(found, number, verdict, changed):
        text += ": their rows look exchanged"
    rest = "; level taken out" if abs(verdict.level) > math.log1p(found.effect) else ""
    return f"{len(changed)} of {len(verdict.blocks)} blocks {text}{rest}"


def _sizes(effects: NDArray[np.float64]) -> str:
    """ "slower by 8 to 31 %", "slower by up to 31 % or faster by up to 5 %" """
    slower, faster = 100 * effects[effects > 0], -100 * effects[effects < 0]
    if len(slower) and len(faster):
        return f"slower by up to {slower.max():.0f} % or faster by up to {faster.max():.0f} %"
    word, sizes = ("slower", slower) if len(slower) else ("faster", faster)
    low, high = f"{sizes.min():.0f}", f"{sizes.max():.0f}"
    return f"{word} by {low if low == high else f'{low} to {high}'} %"


def _kind(found: Siblings, verdict: SiblingVerdict, changed: NDArray[np.intp]) -> str:
    """Where the changed blocks have their length in common, where there are several."""
    if len(changed) < _FEWEST_OF_A_KIND:
        return ""
    logs = np.nanmedian(found.levels.logs[:, verdict.blocks], axis=0)
    low, high = np.quantile(logs, [0.5, 0.5])
    long, short = float((logs[changed] > high).mean()), float((logs[changed] < low).mean())
    for share, words in ((long, "longer"), (short, "shorter")):
        if share >= MOST_BLOCKS:
            return f", {100 * share:.0f} % of which take {words} than the middle one"
    return ""


def _exchanged(found: Siblings, number: int, verdict: SiblingVerdict, changed: NDArray[np.intp]) -> bool:
    """Whether two blocks' figures would be right in each other's row."""
    first, second = verdict.blocks[changed]
    others = np.nanmedian(np.delete(found.levels.logs[:, [first, second]], number, axis=0), axis=0)
    own = found.levels.logs[number, [second, first]] - verdict.level
    return bool(np.abs(own - others).max() < _NEAR * abs(others[0] - others[1]))


def _level(verdict: SiblingVerdict) -> str:
    return f"{100 * math.expm1(verdict.level):+.1f} % (standard error {_pct(verdict.level_error)})"


def _sum(verdict: SiblingVerdict) -> str:
    return f"{100 * math.expm1(verdict.total):+.1f} % (standard error {_pct(verdict.total_error)})"


def _pct(share: float) -> str:
    return f"{100 * share:.2g} %"


def to_json(found: Siblings) -> dict[str, Any]:
    """Everything that was found, for a program to read."""
    devices = found.tables.devices
    return {
        "effect": found.effect,
        "alpha": found.alpha,
        "findings": findings(found),
        "devices": [
            {
                "name": device.name,
                "table": str(device.path),
                "when": device.when,
                "merged": number in found.agreeing,
                **_numbers(found, found.verdicts[number]),
                "finding": finding(found, number),
            }
            for number, device in enumerate(devices)
        ],
        "pairs": [
            {"first": devices[first].name, "second": devices[second].name, **_numbers(found, verdict)}
            for (first, second), verdict in found.pairs.items()
        ],
    }


def _numbers(found: Siblings, verdict: SiblingVerdict) -> dict[str, Any]:
    changed = np.flatnonzero(verdict.changes.changed)
    blocks: list[Block] = [found.tables.blocks[verdict.blocks[i]] for i in changed]
    return {
        "state": verdict.state,
        "level_pct": 100 * math.expm1(verdict.level),
        "level_error_pct": 100 * verdict.level_error,
        "sum_pct": 100 * math.expm1(verdict.total),
        "sum_error_pct": 100 * verdict.total_error,
        "blocks": len(verdict.blocks),
        "within": verdict.within,
        "noise_pct": 100 * verdict.changes.noise,
        "changed": [
            {
                "block": str(block),
                "effect": float(verdict.changes.effect[i]),
                "p_adjusted": float(verdict.changes.p_adjusted[i]),
            }
            for block, i in zip(blocks, changed, strict=True)
        ],
    }
