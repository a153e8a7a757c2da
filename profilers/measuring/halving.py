"""Networks in parts that do not run: halved until what is at fault is found, and timed without it, or piece by piece.

What one network has taught is tried on the others first. So a block that fails in every network is searched for once.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Sequence, Set
from itertools import pairwise

import numpy as np

from ofa.blocks import Block
from profilers.measuring.drive import DEATHS_IN_A_ROW, Driver, TooManyLost
from profilers.measuring.ledger import Fault, Settled
from profilers.measuring.plan import Piece

# agents that may end while pieces are tried: each takes a second, or as long as a visit may
MOST_LOST = 40


def mend(driver: Driver) -> None:
    """Settles which pieces are timed of every network in parts that failed, and makes their visits."""
    if driver.write is None:
        return
    if not driver.ledger.no_parts:
        driver.most_lost = driver.lost + MOST_LOST
        try:
            _Halving(driver).settle_all()
        except TooManyLost:
            driver.write = None  # a resumed measurement goes on with those that are left
        driver.most_lost = math.inf
    _time_pieces(driver)


def _time_pieces(driver: Driver) -> None:
    """Makes the visits that pieces lack: each gets as many as the network has that it is of."""
    ledger = driver.ledger
    made = Counter(result["id"] for result in ledger.results.values())
    lacks = {name: n - made[name] for name, n in ledger.turns().items() if name in ledger.plan.pieces}
    order = [name for turn in range(max(lacks.values(), default=0)) for name in lacks if lacks[name] > turn]
    if order := [name for name in order if name not in ledger.failed]:
        ledger.begin_pass(order)
        driver.make_pass()


class _Halving:
    """One session's search, and what it has learnt of blocks and networks."""

    def __init__(self, driver: Driver) -> None:
        self._driver, self._ledger = driver, driver.ledger
        # blocks that run alone and in no network; those that run in networks as parts of their own
        self._never: set[Block] = set()
        self._apart: set[Block] = set()
        # into how many pieces a network was cut that had no block at fault
        self._count = 1
        # what was tried of each network
        self._tried: set[tuple[Piece, ...]] = set()

    def settle_all(self) -> None:
        """TooManyLost, with what was settled until then."""
        while failed := self._failed():
            if not self._try_what_is_known(failed):
                searched = [name for name in failed if name not in self._driver.put_off]
                if not searched:
                    self._run([self._ledger.plan.whole(name) for name in failed[:DEATHS_IN_A_ROW]])
                elif self._runs_any(searched[0]):
                    self._search(searched[0])
                else:
                    return

    def _failed(self) -> list[str]:
        """The networks that are still to be settled."""
        ledger = self._ledger
        failed = ledger.failed.keys() - ledger.measured - ledger.plan.pieces.keys()
        return [name for name in ledger.in_parts if name in failed]

    # ---- trying

    def _run(self, pieces: Sequence[Piece]) -> dict[Piece, str]:
        """Visits each piece once, unless it was; {piece: "" or why it does not run}."""
        driver, ledger = self._driver, self._ledger
        cut = [piece for piece in pieces if piece != ledger.plan.whole(piece.of)]
        names = {**{piece: piece.of for piece in pieces}, **dict(zip(cut, ledger.cut_out(cut), strict=True))}
        for name in names.values():
            if name in driver.put_off:
                driver.put_off.remove(name)
                del ledger.failed[name]
        if new := [name for name in names.values() if name not in ledger.measured | ledger.failed.keys()]:
            assert driver.write is not None
            driver.files |= driver.write(ledger.plan, [name for name in new if name not in driver.files])
            ledger.begin_pass(new)
            driver.make_pass()
        made = ledger.measured
        return {piece: "" if name in made else ledger.failed[name] for piece, name in names.items()}

    def _try_what_is_known(self, failed: Sequence[str]) -> bool:
        """Settles the networks that run as it is known of others; False where that says nothing new."""
        forms = {name: self._known(name) for name in failed}
        new = {
            name: form
            for name, form in forms.items()
            if form not in self._tried and form != (self._ledger.plan.whole(name),)
        }
        self._tried |= {*new.values()}
        why = self._run([piece for form in new.values() for piece in form])
        for name, form in new.items():
            if not any(why[piece] for piece in form):
                self._settle(name, form)
        return bool(new)

    def _known(self, name: str) -> tuple[Piece, ...]:
        """How a network may run, by what is known: without some blocks, with others as parts of their own."""
        plan, ledger = self._ledger.plan, self._ledger
        given_up = [plan.models[model] for model in ledger.failed.keys() - plan.cuts.keys()]
        never = self._never | {chain[0] for chain in given_up if len(chain) == 1}
        runs: list[list[tuple[int, int]]] = [[]]
        for first, end in plan.whole(name).parts:
            begun = first
            for i, block in enumerate(plan.models[name][first:end], start=first):
                if block in never or block in self._apart:
                    runs[-1] += [(begun, i)] * (begun < i)
                    if block in never:
                        runs.append([])
                    else:
                        runs[-1].append((i, i + 1))
                    begun = i + 1
            runs[-1] += [(begun, end)] * (begun < end)
        return tuple(Piece(name, parts) for run in runs for parts in _shared_out(run, self._count))

    def _runs_any(self, name: str) -> bool:
        """Whether any network runs in parts here, be it of one block; else `no_parts` says why."""
        ledger = self._ledger
        if ledger.measured & ledger.plan.cuts.keys():
            return True
        alone = {ledger.plan.models[model] for model in ledger.measured}
        able = [i for i, block in enumerate(ledger.plan.models[name]) if (block,) in alone]
        if not able:
            return True
        why = self._run([Piece(name, ((i, i + 1),)) for i in sorted({able[0], able[len(able) // 2], able[-1]})])
        if all(why.values()):
            ledger.no_parts = next(iter(why.values()))
        return not ledger.no_parts

    # ---- searching

    def _search(self, name: str) -> None:
        """Halves a network until all that is left runs, and settles it."""
        form = self._known(name)
        why = self._run(form)
        runs, failing = [p for p in form if not why[p]], [p for p in form if why[p]]
        faults: list[Fault] = []
        while failing:
            halves = {piece: _halves(piece) for piece in failing}
            tried = self._run([half for pair in halves.values() for half in pair])
            borders = [_at(b.first, len(p.parts) == 1, name) for p, (a, b) in halves.items() if not tried[a] + tried[b]]
            why |= tried | self._run(borders)
            faults += [self._fault_at(border, why[border]) for border in borders if why[border]]
            runs += [half for half in tried if not tried[half]]
            broken = [half for half in tried if tried[half]]
            faults += [Fault((p.first,), why[p], in_parts=False) for p in broken if p.end - p.first == 1]
            failing = [p for p in broken if p.end - p.first > 1]
        pieces = self._joined(name, runs, faults)
        self._learn(name, pieces, faults)
        self._settle(name, pieces, faults)

    def _fault_at(self, pair: Piece, message: str) -> Fault:
        """The fault of two blocks that do not run together."""
        blocks, apart = self._to_blame(pair), _at(pair.first + 1, False, pair.of)
        return Fault(blocks, message, in_parts=not self._run([apart])[apart])

    def _to_blame(self, pair: Piece) -> tuple[int, ...]:
        """Which of two blocks that do not run together is at fault, as other neighbours tell; both, if unclear."""
        blocks = (pair.first, pair.first + 1)
        others = {
            block: _at(border, len(pair.parts) == 1, pair.of)
            for block, border in zip(blocks, (pair.first, pair.end), strict=True)
            if 0 < border < len(self._ledger.plan.models[pair.of])
        }
        why = self._run(list(others.values()))
        guilty = {block for block, other in others.items() if why[other]}
        suspects = guilty or {*blocks} - others.keys()
        return tuple(suspects) if len(suspects) == 1 else blocks

    def _joined(self, name: str, runs: Sequence[Piece], faults: Sequence[Fault]) -> tuple[Piece, ...]:
        """What runs, but for blocks that spoil the others: pieces that follow each other as one, where that runs."""
        chain, bad = self._ledger.plan.models[name], [fault for fault in faults if not fault.in_parts]
        spoils = {chain[fault.blocks[0]] for fault in bad if len(fault.blocks) == 1}
        left = sorted((p for p in runs if p.end - p.first > 1 or chain[p.first] not in spoils), key=lambda p: p.first)
        groups = list(_neighbours(left, {fault.blocks[1] for fault in bad if len(fault.blocks) == 2}))
        whole = [Piece(name, tuple(part for piece in group for part in piece.parts)) for group in groups]
        why = self._run(whole)
        found: list[Piece] = []
        for joined, group in zip(whole, groups, strict=True):
            found += group if why[joined] else [joined]
        return tuple(found)

    def _learn(self, name: str, pieces: Sequence[Piece], faults: Sequence[Fault]) -> None:
        chain = self._ledger.plan.models[name]
        for fault in faults:
            if fault.in_parts:
                self._apart |= {chain[i] for i in fault.blocks}
            elif len(fault.blocks) == 1:
                self._never.add(chain[fault.blocks[0]])
        if not faults:
            self._count = max(self._count, len(pieces))

    def _settle(self, name: str, pieces: Sequence[Piece], faults: Sequence[Fault] = ()) -> None:
        names = tuple(self._ledger.cut_out(pieces))
        self._ledger.settle(name, Settled(names, self._ledger.failed[name], tuple(faults)))


def _shared_out(parts: Sequence[tuple[int, int]], count: int) -> Iterator[tuple[tuple[int, int], ...]]:
    """Parts that follow each other in at least so many groups; parts are cut where there are fewer of them."""
    if count <= len(parts):
        for group in np.array_split(np.arange(len(parts)), count):
            yield tuple(parts[i] for i in group.tolist())
        return
    for first, end in parts:
        ends = np.linspace(first, end, min(math.ceil(count / len(parts)), end - first) + 1).round().astype(int).tolist()
        yield from (((a, b),) for a, b in pairwise(ends))


def _halves(piece: Piece) -> tuple[Piece, Piece]:
    """Of a piece of two blocks or more; cut between parts, if it has several."""
    parts, middle = piece.parts, len(piece.parts) // 2
    if len(parts) == 1:
        (first, end), middle = parts[0], 1
        half = (first + end) // 2
        parts = ((first, half), (half, end))
    return Piece(piece.of, parts[:middle]), Piece(piece.of, parts[middle:])


def _at(border: int, in_one: bool, name: str) -> Piece:
    """The two blocks at a border, in one model or as a part each."""
    return Piece(name, ((border - 1, border + 1),) if in_one else ((border - 1, border), (border, border + 1)))


def _neighbours(pieces: Sequence[Piece], apart: Set[int]) -> Iterator[list[Piece]]:
    """Groups of pieces, in order, of which each begins where the one before ends, but for the borders `apart`."""
    breaks = [i for i, (a, b) in enumerate(pairwise(pieces), start=1) if a.end != b.first or b.first in apart]
    for first, end in pairwise((0, *breaks, len(pieces))):
        if first < end:
            yield list(pieces[first:end])
