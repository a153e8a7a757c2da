"""The second measurement that an alarm needs: of what, and which changes it confirms."""

from __future__ import annotations

from collections.abc import Sequence

from ofa.blocks import Block, all_blocks
from ofa.errors import InputError
from ofa.space import get_space
from ofa.tables import LatencyTable
from profilers.changes.comparison import BlockChange, Comparison
from profilers.changes.levels import ALPHA, EFFECT
from profilers.changes.tables_config import TableEntry


def second_arguments(entry: TableEntry, suspects: Sequence[BlockChange]) -> dict[str, str]:
    """{option: its value} to measure the suspects once more: another order, and no more resolutions than they need.

    Without suspects it is all blocks together that are asked about.
    """
    options = entry.options
    arguments = {"--seed": str(options.seed + 1)}
    if options.limit is not None:
        return arguments
    space = get_space(options.space, options.num_classes)
    blocks = {resolution: set(all_blocks(space, [resolution])) for resolution in options.resolutions}
    left, chosen = {suspect.block for suspect in suspects}, []
    if not left:  # all blocks together: any resolution tells
        return {**arguments, "--resolutions": str(options.resolutions[0])}
    while left:
        most = max(options.resolutions, key=lambda resolution: len(blocks[resolution] & left))
        if not blocks[most] & left:
            return arguments
        chosen.append(most)
        left -= blocks[most]
    return {**arguments, "--resolutions": ",".join(map(str, sorted(chosen)))}


def timing_arguments(entry: TableEntry, old: LatencyTable) -> dict[str, str]:
    """{option: its value} to time blocks as those of the committed table were, which others cannot be compared with.

    InputError, before anything is measured, where the entry asks for the other way.
    """
    options = entry.options
    if not hasattr(options, "timing"):
        return {}
    word = {"warm": "warm", "in place": "in-place"}[old.timing]
    if options.timing is None and options.limit is None:
        return {"--timing": word}
    if (asked := options.timing or "warm") != word:
        raise InputError(
            f"the committed table was timed {old.timing}, its args ask for {asked}: their blocks cannot be compared; "
            f"take --timing {word}, or move the committed table away to have a new one"
        )
    return {}


def confirm(first: Comparison, second: Comparison) -> tuple[tuple[BlockChange, ...], tuple[Block, ...]]:
    """The changes of the first that the second shows too, the same way; and the blocks that it does not.

    The second asks only about the suspects: it is adjusted for those alone.
    """
    from scipy.stats import false_discovery_control

    now = {row.block: row for row in second.blocks}
    asked = [row.block for row in first.changed if row.block in now]
    p = false_discovery_control([now[block].p for block in asked]) if asked else []
    adjusted = dict(zip(asked, p, strict=True))
    confirmed = tuple(
        row
        for row in first.changed
        if row.block in adjusted
        and adjusted[row.block] < ALPHA
        and abs(now[row.block].effect) > EFFECT
        and (now[row.block].effect > 0) == (row.effect > 0)
    )
    return confirmed, tuple(row.block for row in first.changed if row not in confirmed)


def all_changed(first: Comparison, second: Comparison) -> bool:
    """Whether all blocks together became slower or faster in both, the same way."""
    same_way = (first.changes.drift > 1) == (second.changes.drift > 1)
    return first.changes.all_changed and second.changes.all_changed and same_way
