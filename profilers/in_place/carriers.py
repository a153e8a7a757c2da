"""Carriers: the networks in which blocks are measured where they stand, so that every block of a space occurs.

A block that runs alone finds its weights in the fastest cache; in a network it finds what the other blocks left there.
So blocks are timed in networks of maximum depth, whose slots take their options in turn: of mbv3's nine options a
slot, nine networks hold every block once or, where slots have blocks in common, several times. A carrier is cut into
parts that are run one after the other, each on the output of the one before, and each timed.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from ofa.blocks import Block, block_index, blocks_of
from ofa.space import SearchSpace, Subnet
from profilers.measuring.plan import CutChain


@dataclass(frozen=True)
class Cut:
    """How a carrier is cut. length: blocks of a part; first: of its first part, so that carriers differ in their cuts

    A last part of a single block joins the one before.
    """

    length: int
    first: int

    def starts(self, blocks: int) -> tuple[int, ...]:
        """Where the parts of a network of so many blocks begin."""
        return (0, *(start for start in range(self.first, blocks, self.length) if blocks - start > 1))


# in turn, so that borders between parts lie elsewhere in every carrier, and long parts tell what borders cost
CUTS = (Cut(5, 5), Cut(9, 9), Cut(5, 3))


@dataclass(frozen=True)
class Carrier:
    """A network of maximum depth, and where it is cut."""

    subnet: Subnet
    cut: CutChain


def carriers_of(
    space: SearchSpace, resolutions: Sequence[int], seed: int, cuts: Sequence[Cut] = CUTS
) -> tuple[Carrier, ...]:
    """Networks of maximum depth in which every block occurs that the space has at those resolutions."""
    rng = np.random.default_rng(seed)
    found = []
    for resolution in resolutions:
        for number, subnet in enumerate(_covering(space, resolution, rng)):
            chain = blocks_of(space, subnet)
            found.append(Carrier(subnet, CutChain(chain, cuts[number % len(cuts)].starts(len(chain)))))
    return tuple(found)


def _covering(space: SearchSpace, resolution: int, rng: np.random.Generator) -> Iterator[Subnet]:
    """Networks of maximum depth, until every slot had every block that can stand there."""
    depths = {column: len(space.choices[column]) - 1 for column in _depth_columns(space)}
    options = [_options(space, columns, blocks, depths) for columns, blocks in _slots(space, resolution)]
    used: list[Counter[Block]] = [Counter() for _ in options]
    while unused := [s for s, of in enumerate(options) if len(used[s]) < len({block for _, block in of})]:
        # slots may share genes, such as a width: one that lacks a block chooses before the others
        first = rng.permutation(unused).tolist()
        genes = dict(depths)
        for s in (*first, *(s for s in range(len(options)) if s not in first)):
            chosen, block = _least_used(options[s], genes, used[s], rng)
            genes |= chosen
            used[s][block] += 1
        row = [[resolution, *(genes.get(column, 0) for column in range(1, len(space.choices)))]]
        yield space.decode(np.array(row, dtype=np.uint16))[0]


def _depth_columns(space: SearchSpace) -> range:
    columns = space.columns("depths")
    return range(columns.start, columns.stop)


def _slots(space: SearchSpace, resolution: int) -> Iterator[tuple[tuple[int, ...], tuple[Block | None, ...]]]:
    """Of every slot, the genes that decide and the block for each of their combinations, the last gene fastest."""
    for slot in block_index(space, [resolution]).slots:
        yield slot.columns, slot.at(resolution)


def _options(
    space: SearchSpace, columns: Sequence[int], blocks: Sequence[Block | None], depths: dict[int, int]
) -> list[tuple[dict[int, int], Block]]:
    """What can stand in a slot at maximum depth: the genes, as indices of choices, and the block."""
    combinations = itertools.product(*(range(len(space.choices[column])) for column in columns))
    named = [dict(zip(columns, values, strict=True)) for values in combinations]
    return [
        (genes, block)
        for genes, block in zip(named, blocks, strict=True)
        if block is not None and all(genes.get(column, deepest) == deepest for column, deepest in depths.items())
    ]


def _least_used(
    options: Sequence[tuple[dict[int, int], Block]],
    genes: dict[int, int],
    used: Counter[Block],
    rng: np.random.Generator,
) -> tuple[dict[int, int], Block]:
    """An option that the genes chosen so far allow, one of those that stood in the slot least often."""
    allowed = [
        option for option in options if all(genes.get(column, value) == value for column, value in option[0].items())
    ]
    least = min(used[block] for _, block in allowed)
    rarest = [option for option in allowed if used[option[1]] == least]
    return rarest[int(rng.integers(len(rarest)))]
