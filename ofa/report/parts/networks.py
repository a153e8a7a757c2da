"""Networks block by block, and where their milliseconds go: the blocks of a table, in the places where they stand."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ofa.blocks import Block, slots_of
from ofa.blocks.index import index_of
from ofa.errors import InputError
from ofa.report.inputs.searched import FoundNetwork
from ofa.report.parts.devices import DeviceFindings
from ofa.space import SearchSpace

CHANGED = 1e-3  # of a sum: what blocks may differ by from what the search wrote, which is rounded
PLACE = re.compile(r"unit (\d+) layer (\d+)")


@dataclass(frozen=True)
class PlacedBlock:
    """A block in its place.

    place: the slot's number; expand: of an elastic layer, else None
    ms: what it adds to a network; None where no table tells
    """

    place: int
    block: Block
    expand: float | None
    ms: float | None
    interpolated: bool


@dataclass(frozen=True)
class DrawnNetworks:
    """N networks over S places.

    places: (unit, layer) of each slot, such as ("Unit 1", "layer 2") or ("Stem", "")
    blocks: each that any network has, once
    networks: (N,) the numbers among `blocks` of each network's own, in order; what a network skips is not there
    remark: what keeps the milliseconds from being the search's; "" where nothing does
    """

    places: tuple[tuple[str, str], ...]
    blocks: tuple[PlacedBlock, ...]
    networks: tuple[tuple[int, ...], ...]
    remark: str


def drawn_networks(findings: DeviceFindings) -> DrawnNetworks:
    """The networks of a device, with the latencies of its table's blocks where there is a table."""
    space = findings.space
    genes = space.encode([network.subnet for network in findings.networks])
    index = index_of(space, genes)
    block_ms = np.full(len(index.blocks), math.nan)
    interpolated = np.zeros(len(index.blocks), dtype=bool)
    remark = findings.lacking
    if findings.table is not None:
        try:
            lookup = findings.table.lookup(space, index.resolutions)
            block_ms, interpolated = lookup.block_ms, lookup.block_interpolated
        except InputError as error:
            remark = str(error)
    numbers = index.block_numbers(genes)
    remark = remark or _difference(findings.networks, np.append(block_ms, 0.0)[numbers].sum(1).tolist())
    seen: dict[tuple[int, int, float | None], int] = {}
    blocks: list[PlacedBlock] = []
    networks = []
    for network, row in zip(findings.networks, numbers.tolist(), strict=True):
        own = []
        for place, number in enumerate(row):
            if number == len(index.blocks):
                continue  # skipped
            expand = _expand_ratio(space, network, place)
            key = (place, number, expand)
            if key not in seen:
                seen[key] = len(blocks)
                ms = None if math.isnan(block_ms[number]) else float(block_ms[number])
                blocks.append(PlacedBlock(place, index.blocks[number], expand, ms, bool(interpolated[number])))
            own.append(seen[key])
        networks.append(tuple(own))
    places = tuple(_spelled(slot.name) for slot in index.slots)
    return DrawnNetworks(places, tuple(blocks), tuple(networks), remark)


def _difference(networks: Sequence[FoundNetwork], sums: Sequence[float]) -> str:
    """Where the table's sums are not the search's: it was measured again, or edited, since."""
    unknown = sum(map(math.isnan, sums))
    if unknown:
        return f"the table lacks blocks of {unknown} of {len(sums)} networks"
    worst = max(abs(total / network.sum_ms - 1) for network, total in zip(networks, sums, strict=True))
    if worst <= CHANGED:
        return ""
    return f"the table has changed since the search: its sums differ by up to {100 * worst:.1f} %"


def _expand_ratio(space: SearchSpace, network: FoundNetwork, place: int) -> float | None:
    """The choice of an elastic layer; None for what has none."""
    match = PLACE.fullmatch(slots_of(space)[place].name)
    if match is None:
        return None
    layer = (int(match[1]) - space.first_unit, int(match[2]) - 1)
    return network.subnet.expand_ratios[space.layers.index(layer)] or None


def _spelled(slot: str) -> tuple[str, str]:
    match = PLACE.fullmatch(slot)
    return (f"Unit {match[1]}", match[2]) if match else (slot[:1].upper() + slot[1:], "")
