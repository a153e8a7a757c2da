"""Which whole networks are measured to validate a table, and what of the table is timed again beside them."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ofa.blocks import Block, blocks_of_all
from ofa.errors import InputError
from ofa.space import RESOLUTIONS, Genes, SearchSpace
from ofa.tables import LatencyTable
from ofa.tables.control_networks import CONTROL_NETWORKS, control_networks

# networks that are drawn for every one that is chosen
CANDIDATES = 50
# beyond 0 and 1 by so much: so that some of them are the smallest or the largest of all
AT_THE_ENDS = 0.1
# what of the table is timed again among the networks, to tell a wrong sum from a changed machine
CONTROLS = 12
# so many of them at most are whole networks, where the table tells of some
NETWORKS_A_CONTROL = 1 / 3
# from the first to the last block of them, as shares of the table's blocks by latency: the fastest are all launch
CONTROLS_FROM, CONTROLS_TO = 0.3, 0.95


@dataclass(frozen=True)
class Control:
    """A block alone, or a whole network, and what it took when the table was made."""

    chain: tuple[Block, ...]
    latency_ms: float

    @property
    def is_network(self) -> bool:
        return len(self.chain) > 1


@dataclass(frozen=True)
class Chosen:
    """What is measured, all in one plan: first the networks, then the controls.

    genes: (N, genes) of networks of the space; controls: of the table, timed again
    beside: the blocks of further networks, which may be of no space: they come after those of the genes
    """

    space: SearchSpace
    genes: Genes
    controls: tuple[Control, ...]
    beside: tuple[tuple[Block, ...], ...] = ()

    @property
    def count(self) -> int:
        """How many networks there are."""
        return len(self.genes) + len(self.beside)

    @property
    def identity(self) -> str:
        """Which networks of the space they are, and in which order: a journal is of these."""
        return hashlib.sha256(repr(self.genes.tolist()).encode()).hexdigest()[:16]

    def chains(self) -> list[tuple[Block, ...]]:
        """The blocks of every network, then of every control."""
        networks = blocks_of_all(self.space, self.genes)
        return [*networks, *self.beside, *(control.chain for control in self.controls)]


def space_of(table: LatencyTable, name: str | None, num_classes: int | None) -> tuple[SearchSpace, tuple[int, ...]]:
    """The space whose networks are measured, and the resolutions at which: those that the table holds whole.

    name: where the table names more than one; num_classes: None for the table's. InputError if there is none.
    """
    space, possible = table.space(name, num_classes), {*RESOLUTIONS, *table.resolutions}
    lookup = table.lookup(space, possible)
    complete = lookup.coverage.complete
    lookup.require(complete or lookup.index.resolutions)
    return space, complete


def choose(table: LatencyTable, space: SearchSpace, resolutions: Sequence[int], count: int, seed: int) -> Chosen:
    """`count` networks from the fastest to the slowest, and CONTROLS blocks.

    By plain sums: a validation corrects the table's, and a journal is of the same networks before and after it.
    """
    genes = stratified(table.uncorrected, space, resolutions, count, np.random.default_rng(seed))
    return Chosen(space, genes, controls_of(table))


def controls_of(table: LatencyTable, count: int = CONTROLS) -> tuple[Control, ...]:
    """What tells whether the machine is as it was: blocks of the table, and the whole networks that it tells of.

    Something that uses up the memory's bandwidth slowed networks by 24 % and blocks, whose weights stay in the fastest
    cache, by 6. InputError where a table of blocks in place does not say what any takes alone, or its networks are
    damaged.
    """
    in_place = table.timing == "in place"
    rows = [row for row in table.rows if row.warm_ms is not None or not in_place]
    if not rows:
        raise InputError(
            f"{table.path}: header timing is 'in place', but no row has warm_ms, which blocks that are timed alone are "
            "compared with: take the table as the profiler wrote it, or measure it again"
        )
    listed = _networks_of(table)
    spread = np.linspace(0, len(listed) - 1, min(len(listed), round(count * NETWORKS_A_CONTROL)))
    networks = [listed[round(i)] for i in spread]
    by_latency = sorted(rows, key=lambda row: row.latency_ms)
    shares = np.linspace(CONTROLS_FROM, CONTROLS_TO, count - len(networks))
    chosen = [by_latency[round(share * (len(by_latency) - 1))] for share in shares]
    return (*(Control((row.block,), row.warm_ms or row.latency_ms) for row in chosen), *networks)


def _networks_of(table: LatencyTable) -> list[Control]:
    """The whole networks that a table tells of, from small to large."""
    if CONTROL_NETWORKS not in table.header:
        return []
    space = table.space(table.spaces[0])
    networks = control_networks(table.header, str(table.path), space)
    chains = blocks_of_all(space, [one.subnet for one in networks])
    return [Control(chain, one.latency_ms) for chain, one in zip(chains, networks, strict=True)]


def stratified(
    table: LatencyTable, space: SearchSpace, resolutions: Sequence[int], count: int, rng: np.random.Generator
) -> Genes:
    """(count, genes) sub-networks from the fastest to the slowest: the middle one of each of `count` equal shares.

    All different, and so fewer where the space has fewer. Of all sizes, down to the smallest and up to the largest, as
    those are what searches find. Sums that hold for networks of middle size may be far off for small ones.
    """
    lean = np.clip(rng.uniform(-AT_THE_ENDS, 1 + AT_THE_ENDS, size=CANDIDATES * count), 0, 1)
    every_as_often = rng.choice(np.array(resolutions, dtype=np.uint16), size=len(lean))
    genes = np.unique(space.sample_leaning(rng, lean, every_as_often), axis=0)
    order = np.argsort(table.latency_ms(space, genes), kind="stable")
    middles = (np.arange(min(count, len(order))) + 0.5) / min(count, len(order))
    chosen: Genes = genes[order[(middles * len(order)).astype(int)]]
    return chosen
