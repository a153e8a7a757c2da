"""A space drawn in text: a line a part, as long as its channels, with a box for every block."""

from __future__ import annotations

import math
from collections.abc import Sequence

from ofa.space import SearchSpace, Unit

ALWAYS, OPTIONAL = "■", "□"
_BAR = 24  # characters of the widest part


def drawing(space: SearchSpace, resolution: int) -> list[str]:
    """From the image down. Boxes: blocks that every sub-network has, and those that some leave out."""
    widest = max(max(unit.out_channels) for unit in space.units)
    size = -(-resolution // 2)
    rows = [(resolution, 3, "image", "")]
    rows.append((size, space.stem.channels[-1], "stem", ALWAYS))
    if space.first_block is not None:
        rows.append((size, space.first_block.channels, "first block", ALWAYS))
    for u, unit in enumerate(space.units):
        size = -(-size // unit.stride)
        name = "rest of the stem" if unit.op == "stem" else f"unit {u + space.first_unit}"
        rows.append((size, max(unit.out_channels), name, _boxes(unit)))
    named = max(len(name) for _, _, name, _ in rows)
    return [
        f"{size:>4} px {_bar(channels, widest):{_BAR}} {channels:>5}  {name:{named}}  {boxes}".rstrip()
        for size, channels, name, boxes in rows
    ]


def _boxes(unit: Unit) -> str:
    if not unit.num_layers:
        return ALWAYS
    least = unit.base_depth + min(unit.depth_choices)
    return ALWAYS * least + OPTIONAL * (unit.num_layers - least)


def _bar(channels: int, widest: int) -> str:
    """By the root: widths of a network differ by a factor of twenty."""
    return "█" * max(1, round(_BAR * math.sqrt(channels / max(widest, channels))))


def choices_in_words(values: Sequence[float]) -> str:
    """ "3, 5, 7", or the one there is."""
    return ", ".join(f"{value:g}" for value in values)
