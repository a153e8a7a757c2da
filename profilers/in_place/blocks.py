"""What a measurement in place says of every block: parts' times out of its visits, blocks' times out of theirs.

A whole network is called once, as a block that runs alone is. That call is counted with the block that ends the
network, which every network has once. Networks that were timed whole among the blocks are used as parts without cuts.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ofa.blocks import Block
from ofa.blocks.costs import block_params
from profilers.in_place.solve import Alone, Factors, Floats, Parts, aliased, blocks_ms, refit, solve
from profilers.measuring.judge import Outcome
from profilers.measuring.ledger import networks_in_parts
from profilers.measuring.plan import VisitPlan
from profilers.measuring.statistics import Summary, part_medians_ns, visit_median_ns

MB_PER_VALUE = 4e-6  # of float32, for one image, as in ofa.tables.sum_correction


@dataclass(frozen=True)
class _Timed:
    """A network in parts, or a piece of one, and which of its parts are used; without any, it ran whole."""

    name: str
    parts: list[int]

    def took_ms(self, visit: Mapping[str, Any]) -> Floats:
        """(parts,) of one visit; (1,) if it ran whole."""
        return part_medians_ns(visit)[self.parts] / 1e6 if self.parts else np.array([visit_median_ns(visit) / 1e6])


@dataclass(frozen=True)
class InPlace:
    """Blocks as networks run them.

    latency_ms: of every block that was measured alone; visits_ms: the same of each round alone
    factors: what all blocks have in common; carriers, parts: how many were measured; networks: and how many whole
    seen: blocks that stand in a part that was measured; what the others take rests on the factors alone
    """

    latency_ms: Mapping[str, float]
    visits_ms: Mapping[str, tuple[float, ...]]
    factors: Factors
    carriers: int
    parts: int
    networks: int
    seen: frozenset[str]


def blocks_in_place(outcome: Outcome, warm: Mapping[str, Summary], whole: Sequence[str] = ()) -> InPlace | None:
    """Every block of `warm`, the summaries of what was measured alone, in place; None where no network ran in parts.

    whole: networks of the plan that ran whole, and say what cutting costs. Parts in which a block stands that could not
    be measured alone tell nothing, and nor do such networks.
    """
    plan = outcome.plan
    names = [name for name in warm if name not in plan.cuts]
    number = {plan.models[name][0]: i for i, name in enumerate(names)}
    timed = [
        _Timed(name, used)
        for name in networks_in_parts(plan, outcome.settled)
        if name in outcome.results
        and (used := [i for i, chain in enumerate(plan.parts(name)) if all(block in number for block in chain)])
    ]
    if not timed:
        return None
    timed += [
        _Timed(name, [])
        for name in whole
        if name in outcome.results and all(block in number for block in plan.models[name])
    ]
    visits = [[of.took_ms(visit) for visit in outcome.results[of.name]] for of in timed]
    chains = [plan.models[name] for name in plan.cuts if name not in plan.pieces]
    alone = _alone(list(number), chains, np.array([warm[name].latency_ms for name in names]))
    parts = _parts(plan, timed, number, [np.median(each, axis=0) for each in visits])
    ends = np.zeros(len(number))
    ends[[number[block] for block in {chain[-1] for chain in chains} if block in number]] = 1
    latency, factors = solve(parts, alone)
    rounds = max(map(len, visits))
    each = np.stack([
        _round(
            _parts(plan, timed, number, [of[turn % len(of)] for of in visits]),
            replace(
                alone, warm_ms=np.array([warm[name].visits_ms[turn % len(warm[name].visits_ms)] for name in names])
            ),
            ends,
            factors,
        )
        for turn in range(rounds)
    ])  # fmt: skip
    held = parts.holds.any(axis=0)
    return InPlace(
        latency_ms={name: round(float(ms), 6) for name, ms in zip(names, latency + factors.alone * ends, strict=True)},
        visits_ms={
            name: tuple(round(float(ms), 6) for ms in column) for name, column in zip(names, each.T, strict=True)
        },
        factors=factors,
        carriers=len({plan.pieces[of.name].of if of.name in plan.pieces else of.name for of in timed if of.parts}),
        networks=sum(not of.parts for of in timed),
        parts=int((parts.whole == 0).sum()),
        seen=frozenset(name for name, is_held in zip(names, held, strict=True) if is_held),
    )


def _round(parts: Parts, blocks: Alone, ends: Floats, factors: Factors) -> Floats:
    """(U,) ms of every block by one round alone. ends: (U,) 1 for blocks that end a network"""
    own = refit(parts, blocks, factors)
    return blocks_ms(parts, blocks, own) + own.alone * ends


def _alone(blocks: Sequence[Block], networks: Sequence[Sequence[Block]], warm_ms: Floats) -> Alone:
    """The blocks, each by itself. networks: whole ones; what these are given and give, they are given alone, too"""
    first, last = ({chain[end] for chain in networks} for end in (0, -1))
    given = np.array([0.0 if block in first else _given_mb(block) for block in blocks])
    gives = np.array(
        [0.0 if block in last else MB_PER_VALUE * block.out_size**2 * block.out_channels for block in blocks]
    )
    weights = np.array([MB_PER_VALUE * block_params(block) for block in blocks])
    in_planes = np.array([float(aliased(block.in_size)) for block in blocks])
    return Alone(warm_ms, weights, given + gives, given * in_planes)


def _parts(plan: VisitPlan, timed: Sequence[_Timed], number: Mapping[Block, int], took_ms: Sequence[Floats]) -> Parts:
    """The parts of networks, over the blocks as they are numbered. took_ms: for every network, of its parts"""
    rows, cut_mb = [], []
    whole = [float(not of.parts) for of in timed for _ in of.parts or (0,)]
    for of in timed:
        if not of.parts:
            rows.append(_counted(plan.models[of.name], number))
            cut_mb.append(0.0)
            continue
        piece = plan.pieces.get(of.name) or plan.whole(of.name)
        chain = plan.models[piece.of]
        for first, end in (piece.parts[i] for i in of.parts):
            rows.append(_counted(chain[first:end], number))
            # what a network is given and gives is no cut's
            given = _given_mb(chain[first]) if first > 0 else 0.0
            cut_mb.append(given + (_given_mb(chain[end]) if end < len(chain) else 0.0))
    return Parts(np.stack(rows), np.array(cut_mb), np.concatenate(took_ms), np.array(whole))


def _counted(chain: Sequence[Block], number: Mapping[Block, int]) -> Floats:
    """(U,) how often each block stands in a chain."""
    return np.bincount([number[block] for block in chain], minlength=len(number)).astype(np.float64)


def _given_mb(block: Block) -> float:
    """Megabytes of a block's input."""
    return MB_PER_VALUE * block.in_size**2 * block.in_channels
