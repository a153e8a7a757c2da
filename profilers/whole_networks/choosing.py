"""Which whole networks are measured to validate a table, and which of its blocks are timed again beside them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ofa.blocks import Block, blocks_of
from ofa.errors import InputError
from ofa.space import RESOLUTIONS, Genes, SearchSpace, get_space
from ofa.tables import LatencyTable, TableRow

# random networks for every one that is chosen
CANDIDATES = 50
# blocks of the table that are timed again among the networks, to tell a wrong sum from a changed machine
CONTROLS = 12
# from the first to the last of them, as shares of the table's blocks by latency: the fastest are all launch
CONTROLS_FROM, CONTROLS_TO = 0.3, 0.95


@dataclass(frozen=True)
class Chosen:
    """What is measured, all in one plan: first the networks, then the blocks.

    genes: (N, genes) of the networks; controls: rows of the table whose blocks are timed again
    """

    space: SearchSpace
    genes: Genes
    controls: tuple[TableRow, ...]

    def chains(self) -> list[tuple[Block, ...]]:
        """The blocks of every network, then every control block alone."""
        networks = [blocks_of(self.space, subnet) for subnet in self.space.decode(self.genes)]
        return [*networks, *((row.block,) for row in self.controls)]


def space_of(table: LatencyTable, name: str | None, num_classes: int | None) -> tuple[SearchSpace, tuple[int, ...]]:
    """The space whose networks are measured, and the resolutions at which: those that the table holds whole.

    name: where the table names more than one; num_classes: None for the table's. InputError if there is none.
    """
    spaces = [name] if name else table.spaces
    if len(spaces) != 1:
        raise InputError(f"{table.path} names the spaces {', '.join(spaces)}: choose with --space")
    classes = table.num_classes if num_classes is None else num_classes
    space, possible = get_space(spaces[0], classes), {*RESOLUTIONS, *table.resolutions}
    lookup = table.lookup(space, possible)
    complete = lookup.coverage.complete
    lookup.require(complete or lookup.index.resolutions)
    return space, complete


def choose(table: LatencyTable, space: SearchSpace, resolutions: Sequence[int], count: int, seed: int) -> Chosen:
    """`count` networks from the fastest to the slowest, and CONTROLS blocks."""
    genes = stratified(table, space, resolutions, count, np.random.default_rng(seed))
    return Chosen(space, genes, controls_of(table))


def controls_of(table: LatencyTable, count: int = CONTROLS) -> tuple[TableRow, ...]:
    """Rows of the table, from fast ones to slow ones, whose blocks tell whether the machine is as it was.

    They are timed alone: InputError where a table of blocks in place does not say what any takes alone.
    """
    in_place = table.timing == "in place"
    rows = [row for row in table.rows if row.warm_ms is not None or not in_place]
    if not rows:
        raise InputError(
            f"{table.path}: header timing is 'in place', but no row has warm_ms, which blocks that are timed alone are "
            "compared with: take the table as the profiler wrote it, or measure it again"
        )
    by_latency = sorted(rows, key=lambda row: row.latency_ms)
    shares = np.linspace(CONTROLS_FROM, CONTROLS_TO, count)
    return tuple(by_latency[round(share * (len(by_latency) - 1))] for share in shares)


def stratified(
    table: LatencyTable, space: SearchSpace, resolutions: Sequence[int], count: int, rng: np.random.Generator
) -> Genes:
    """(count, genes) sub-networks from the fastest to the slowest: the middle one of each of `count` equal shares."""
    genes = space.sample(rng, CANDIDATES * count, resolutions=resolutions)
    order = np.argsort(table.latency_ms(space, genes), kind="stable")
    chosen: Genes = genes[order[CANDIDATES // 2 :: CANDIDATES]]
    return chosen
