"""What to measure, and in which order."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from ofa.blocks import Block
from ofa.blocks.costs import block_macs

# visits between two of the reference's
REFERENCE_EVERY = 20


@dataclass(frozen=True)
class Visit:
    """One timing of one model.

    segment: visits of segment s lie between the reference visits of segments s - 1 and s
    is_reference: made to see the machine drift, beside the reference block's own turns
    """

    number: int
    model: str
    segment: int
    is_reference: bool


@dataclass(frozen=True)
class CutChain:
    """A chain of blocks that is run in parts, one after the other. cuts: where they begin, the first at 0"""

    chain: tuple[Block, ...]
    cuts: tuple[int, ...]

    def __post_init__(self) -> None:
        ends = (*self.cuts, len(self.chain))
        if self.cuts[:1] != (0,) or any(a >= b for a, b in itertools.pairwise(ends)):
            raise ValueError(f"cuts {self.cuts} do not cut {len(self.chain)} blocks into parts")


@dataclass(frozen=True)
class Piece:
    """Some parts of a network in parts, one after the other. parts: first block and end of each, in its chain"""

    of: str
    parts: tuple[tuple[int, int], ...]

    def __post_init__(self) -> None:
        ends = [self.first, *(end for _, end in self.parts)]
        if self.first < 0 or [first for first, _ in self.parts] != ends[:-1] or sorted({*ends}) != ends:
            raise ValueError(f"{self.parts} are no parts that follow each other")

    @property
    def first(self) -> int:
        return self.parts[0][0]

    @property
    def end(self) -> int:
        return self.parts[-1][1]


@dataclass(frozen=True)
class VisitPlan:
    """models: the chain of blocks behind every id, one block or a whole network, in the order they were given

    cuts: for models that are run in parts, one after the other, where the parts begin, the first at 0
    pieces: those of them that were cut out of others, because these do not run whole
    reference: the id that is timed again and again, to see the machine drift
    visits: of the first pass; reference_every: visits between two of the reference's, in this pass and later ones
    """

    models: Mapping[str, tuple[Block, ...]]
    reference: str
    visits: tuple[Visit, ...]
    reference_every: int = REFERENCE_EVERY
    cuts: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    pieces: Mapping[str, Piece] = field(default_factory=dict)

    def with_pieces(self, pieces: Mapping[str, Piece]) -> VisitPlan:
        """The plan with these models too; ValueError for a piece of what is not cut, KeyError of what is not there."""
        for name, piece in pieces.items():
            if name in self.models or piece.of not in self.cuts or piece.end > len(self.models[piece.of]):
                raise ValueError(f"{name} is no piece of {piece.of}")
        return replace(
            self,
            models={**self.models, **{n: self.models[p.of][p.first : p.end] for n, p in pieces.items()}},
            cuts={**self.cuts, **{n: tuple(first - p.first for first, _ in p.parts) for n, p in pieces.items()}},
            pieces={**self.pieces, **pieces},
        )

    def whole(self, model: str) -> Piece:
        """All parts of a model that is run in parts."""
        cuts = self.cuts[model]
        return Piece(model, tuple(itertools.pairwise((*cuts, len(self.models[model])))))

    def parts(self, model: str) -> tuple[tuple[Block, ...], ...]:
        """The chains that a model is run as: itself, unless it is cut."""
        chain, cuts = self.models[model], self.cuts.get(model, (0,))
        return tuple(chain[a:b] for a, b in itertools.pairwise((*cuts, len(chain))))

    def later_pass(self, order: Sequence[str]) -> tuple[Visit, ...]:
        """The visits of models to be timed again, in this order."""
        return with_reference(order, self.reference, self.reference_every)


def model_id(number: int) -> str:
    """What the n-th chain of a plan is called, in journals, manifests and files."""
    return f"b{number:05d}"


def make_plan(
    chains: Sequence[tuple[Block, ...]],
    rounds: int,
    seed: int,
    reference_every: int = REFERENCE_EVERY,
    cut_chains: Sequence[CutChain] = (),
    reference_among: Sequence[int] | None = None,
) -> VisitPlan:
    """Every chain once a round, each round in another order, the reference between every few and at both ends.

    The rounds lie apart in time, so that no passing disturbance hits all of them. The reference is the chain of
    median MACs of those numbered reference_among (default: of all). cut_chains: are run in parts; their ids follow
    those of the chains
    """
    models = {model_id(i): chain for i, chain in enumerate([*chains, *(cut.chain for cut in cut_chains)])}
    cuts = {model_id(i): cut.cuts for i, cut in enumerate(cut_chains, start=len(chains))}
    among = range(len(chains)) if reference_among is None else reference_among
    by_macs = sorted(map(model_id, among), key=lambda name: sum(map(block_macs, models[name])))
    reference = by_macs[len(by_macs) // 2]
    rng = np.random.default_rng(seed)
    order = [name for _ in range(rounds) for name in rng.permutation(list(models)).tolist()]
    return VisitPlan(models, reference, with_reference(order, reference, reference_every), reference_every, cuts)


def with_reference(order: Sequence[str], reference: str, every: int) -> tuple[Visit, ...]:
    """The visits of an order, with the reference before, after, and between every few of them."""
    visits = [Visit(0, reference, 0, True)]
    for segment, start in enumerate(range(0, len(order), every), start=1):
        for name in order[start : start + every]:
            visits.append(Visit(len(visits), name, segment, False))
        visits.append(Visit(len(visits), reference, segment, True))
    return tuple(visits)
