"""Networks in parts that do not run: what is at fault is found, and the rest is measured."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ofa.blocks import Block, all_blocks
from ofa.runs.journal import Journal
from ofa.space import get_space
from profilers.in_place.blocks import blocks_in_place
from profilers.in_place.carriers import carriers_of
from profilers.in_place.failures import failure_lines
from profilers.measuring.drive import DEATHS_IN_A_ROW, Driver
from profilers.measuring.events import AgentFailed, Begins, Done, Error, Event, Hello, Result
from profilers.measuring.halving import MOST_LOST
from profilers.measuring.judge import Outcome
from profilers.measuring.ledger import Ledger
from profilers.measuring.plan import VisitPlan, make_plan
from profilers.measuring.run import carry_out
from profilers.measuring.statistics import summarise

SPACE, ROUNDS = get_space("mbv3-w0.35"), 2
BLOCKS = all_blocks(SPACE, [32])
CARRIERS = carriers_of(SPACE, [32], 0)
PLAN = make_plan([(b,) for b in BLOCKS], ROUNDS, 0, cut_chains=[carrier.cut for carrier in CARRIERS])
ELASTIC = [block for block, n in Counter(b for c in CARRIERS for b in c.cut.chain).items() if n == 1]
KILLED = AgentFailed("the agent was ended by signal 9")


@pytest.fixture(autouse=True)
def quick_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a power cut would lose is no matter here."""
    monkeypatch.setattr("os.fsync", lambda _: None)


Parts = Sequence[Sequence[Block]]
# what becomes of a model that is run in these parts, or alone as one: "" if it runs
Fails = Callable[[Parts], str | AgentFailed]


class Device:
    """An agent double. visits: of every model, those that failed too; begun: how many agents were started

    no_parts: what becomes of whatever is to be run in parts
    """

    def __init__(
        self, fails: Fails = lambda _: "", stop_after: float = np.inf, no_parts: str | AgentFailed = ""
    ) -> None:
        self.fails, self.stop_after, self.no_parts = fails, stop_after, no_parts
        self.visits: Counter[str] = Counter()
        self.begun = 0

    def run(self, path: Path, tries: int = 1, plan: VisitPlan = PLAN) -> Outcome:
        """A measurement into a journal, or on with it; KeyboardInterrupt after so many visits."""
        journal = Journal.resume(path, {}) if path.exists() else Journal.create(path, {})
        try:
            self.ledger = Ledger(plan, journal)
            files = self._write(self.ledger.plan, list(self.ledger.plan.models))
            driver = Driver(
                self.ledger, files, {}, self._agent, progress=lambda *_: None, tries=tries, write=self._write
            )
            return carry_out(driver)
        finally:
            journal.close()

    def _write(self, plan: VisitPlan, names: Sequence[str]) -> Mapping[str, Any]:
        return {n: tuple(f"{n}-{i}" for i in range(len(plan.parts(n)))) if n in plan.cuts else n for n in names}

    def _agent(self, manifest: Mapping[str, Any]) -> Iterator[Event]:
        self.begun += 1
        plan = self.ledger.plan
        for model in manifest["models"]:
            assert len(model.get("parts", [1])) == len(plan.parts(model["id"]))
        yield Hello("double", "double 1", {"cpu_model": "Z80"})
        for visit, name in enumerate(manifest["visits"]):
            if sum(self.visits.values()) >= self.stop_after:
                raise KeyboardInterrupt
            self.visits[name] += 1
            yield Begins(visit, name)
            why = (name in plan.cuts and self.no_parts) or self.fails(plan.parts(name))
            if isinstance(why, AgentFailed):
                raise why
            if why:
                yield Error(visit, name, why, reason="no_parts" if "chain" in why else "")
                continue
            parts = [[1000 * len(chain)] * 3 for chain in plan.parts(name)]
            sums = [sum(times) for times in zip(*parts, strict=True)]
            yield Result(visit, name, sums, sums, 1, **(in_parts(parts) if name in plan.cuts else {}))
        yield Done()


def in_parts(times: list[list[int]]) -> dict[str, Any]:
    return {"parts_ns": times, "parts_cpu_ns": times}


def blocks_of_parts(parts: Parts) -> list[Block]:
    return [block for chain in parts for block in chain]


def timed(outcome: Outcome) -> dict[str, list[tuple[Block, ...]]]:
    """The parts in which each of the plan's networks was timed, in order of the visits that count."""
    found: dict[str, list[tuple[Block, ...]]] = {}
    for name in (name for name in outcome.plan.cuts if name in outcome.results):
        piece = outcome.plan.pieces.get(name)
        found.setdefault(piece.of if piece else name, []).extend(outcome.plan.parts(name))
    return found


def seen_in_place(outcome: Outcome) -> set[Block]:
    warm = {n: summarise(r) for n, r in outcome.results.items() if n not in outcome.plan.cuts}
    found = blocks_in_place(outcome, warm)
    return set() if found is None else {PLAN.models[name][0] for name in found.seen}


def of_plan(outcome: Outcome) -> dict[str, Counter[Block]]:
    """Of every network, the blocks that were timed in it."""
    return {name: Counter(blocks_of_parts(parts)) for name, parts in timed(outcome).items()}


WHOLE = {name: Counter(PLAN.models[name]) for name in PLAN.cuts}


def without(blocks: set[Block]) -> dict[str, Counter[Block]]:
    return {name: Counter({b: n for b, n in held.items() if b not in blocks}) for name, held in WHOLE.items()}


@pytest.mark.parametrize("death", [False, True])
@pytest.mark.parametrize("bad", [{ELASTIC[7]}, {ELASTIC[3], ELASTIC[40]}, {BLOCKS[0]}])
def test_a_block_that_fails_alone_is_named_alone_and_costs_no_other(
    tmp_path: Path, bad: set[Block], death: bool
) -> None:
    why: str | AgentFailed = AgentFailed("the agent was ended by signal 11") if death else "no such op"
    outcome = Device(lambda parts: why if bad & {*blocks_of_parts(parts)} else "").run(tmp_path / "j")
    assert {PLAN.models[name][0] for name in outcome.failed} == bad
    assert set(outcome.failed.values()) == {str(why)}
    assert of_plan(outcome) == without(bad)
    assert seen_in_place(outcome) == {*BLOCKS} - bad
    assert not any(settled.faults for settled in outcome.settled.values())
    # as many visits as if nothing had failed
    assert {len(results) for results in outcome.results.values()} == {ROUNDS}


@pytest.mark.parametrize("number", [0, 1, 9, 30, 95])
def test_a_block_that_fails_in_one_model_with_others_is_found_and_timed_in_a_part_of_its_own(
    tmp_path: Path, number: int
) -> None:
    bad = BLOCKS[number]
    device = Device(lambda parts: "cannot be fused" if any(bad in p and len(p) > 1 for p in parts) else "")
    outcome = device.run(tmp_path / "j")
    assert outcome.failed == {}
    assert of_plan(outcome) == WHOLE
    assert all((bad,) in parts for parts in timed(outcome).values() if bad in blocks_of_parts(parts))
    # every network runs in one piece, as the network would
    assert {len(settled.pieces) for settled in outcome.settled.values()} == {1}
    lines = failure_lines(outcome)
    assert lines[0] == (
        f"fails in networks: {bad}: it runs alone, but not in one model with its neighbours: cannot be fused; it was "
        "timed in a part of its own"
    )
    count = len(outcome.settled)
    assert lines[1:] == [
        f"{count} of 9 networks in which blocks are timed do not run whole: cannot be fused: timed in 1 piece"
    ]


@pytest.mark.parametrize("number", [0, 9, 30, 95])
def test_a_block_that_fails_beside_any_other_is_left_out_of_networks(tmp_path: Path, number: int) -> None:
    bad = BLOCKS[number]
    outcome = Device(lambda parts: "spoils memory" if bad in (b := blocks_of_parts(parts)) and len(b) > 1 else "").run(
        tmp_path / "j"
    )
    assert outcome.failed == {}
    assert of_plan(outcome) == without({bad})
    assert seen_in_place(outcome) == {*BLOCKS} - {bad}
    assert failure_lines(outcome)[0].startswith(f"fails in networks: {bad}: it runs alone, but not beside others: spoi")
    # what stands on either side of it is one piece
    assert all(len(settled.pieces) <= 2 for settled in outcome.settled.values())


def test_a_whole_network_that_fails_says_nothing_of_its_first_block(tmp_path: Path) -> None:
    bad = CARRIERS[2].cut.chain[9]
    plan = make_plan([*((b,) for b in BLOCKS), CARRIERS[2].cut.chain], 1, 0, cut_chains=[CARRIERS[2].cut])
    device = Device(lambda parts: "cannot be fused" if any(bad in p and len(p) > 1 for p in parts) else "")
    outcome = device.run(tmp_path / "j", plan=plan)
    assert list(outcome.failed) == ["b00096"]
    assert of_plan(outcome) == {"b00097": Counter(CARRIERS[2].cut.chain)}


def test_two_blocks_that_fail_together_are_named_together(tmp_path: Path) -> None:
    pair = CARRIERS[4].cut.chain[6:8]
    device = Device(lambda parts: "cannot be fused" if any(pair in pairwise(p) for p in parts) else "")
    outcome = device.run(tmp_path / "j")
    assert of_plan(outcome) == WHOLE
    assert failure_lines(outcome)[0] == (
        f"fails in networks: {pair[0]}; {pair[1]}: each runs alone, but not both in one model: cannot be fused; they "
        "were timed in parts of their own"
    )


@pytest.mark.parametrize("most", [25, 13, 4])
def test_networks_that_do_not_fit_memory_are_timed_in_pieces_that_do(tmp_path: Path, most: int) -> None:
    device = Device(lambda parts: KILLED if len(blocks_of_parts(parts)) > most else "")
    outcome = device.run(tmp_path / "j")
    assert outcome.failed == {}
    assert of_plan(outcome) == WHOLE
    assert all(len(PLAN.models[name]) > most for name in outcome.settled)
    for settled in outcome.settled.values():
        sizes = [len(outcome.plan.models[name]) for name in settled.pieces]
        assert max(sizes) <= most
    # what one network taught helped the others
    assert device.begun <= 9 + MOST_LOST
    assert any("(as the system ends what takes too much memory)" in line for line in failure_lines(outcome))
    assert {len(results) for results in outcome.results.values()} == {ROUNDS}


@pytest.mark.parametrize("why", ["cannot chain", "no such thing", KILLED])
def test_a_device_that_runs_no_network_in_parts_is_asked_few_times_and_blocks_are_timed_alone(
    tmp_path: Path, why: str | AgentFailed
) -> None:
    plan = make_plan([(b,) for b in BLOCKS], 1, 0, cut_chains=[carrier.cut for carrier in CARRIERS * 9])
    device = Device(no_parts=why)
    outcome = device.run(tmp_path / "j", plan=plan)
    assert outcome.no_parts == str(why)
    assert outcome.failed == {}
    assert set(outcome.results) == set(plan.models) - set(plan.cuts)
    visits = sum(n for name, n in device.visits.items() if name in outcome.plan.cuts)
    # an agent that says so is asked once; of one that dies, five networks and three blocks in a part of their own
    assert visits == {"cannot chain": 1, "no such thing": 81 + 3, str(KILLED): 5 + 3}[str(why)]


def test_what_networks_left_in_an_agents_memory_costs_no_block(tmp_path: Path) -> None:
    # an agent that ran a network has no room for this block any more
    big, spoilt = BLOCKS[50], [0]
    device = Device()

    def fails(parts: Parts) -> str:
        if len(blocks_of_parts(parts)) > 1:
            spoilt[0] = device.begun
        return "MemoryError" if tuple(blocks_of_parts(parts)) == (big,) and spoilt[0] == device.begun else ""

    device.fails = fails
    outcome = device.run(tmp_path / "j")
    assert outcome.failed == {}
    assert seen_in_place(outcome) == {*BLOCKS}


def test_an_agent_in_which_a_network_failed_times_nothing_more(tmp_path: Path) -> None:
    spoilt = [0]
    device = Device()

    def fails(parts: Parts) -> str:
        if spoilt[0] == device.begun or len(blocks_of_parts(parts)) > 13:
            spoilt[0] = device.begun
            return "MemoryError"
        return ""

    device.fails = fails
    outcome = device.run(tmp_path / "j")
    assert outcome.failed == {}
    assert of_plan(outcome) == WHOLE
    assert {len(settled.pieces) for settled in outcome.settled.values()} <= {2, 3, 4}


def test_a_search_that_never_ends_is_ended_and_the_rest_is_measured(tmp_path: Path) -> None:
    # no two blocks run together: every network is searched to the last, and 81 of them are too many
    plan = make_plan([(b,) for b in BLOCKS], 1, 0, cut_chains=[carrier.cut for carrier in CARRIERS * 9])
    device = Device(lambda parts: KILLED if len(blocks_of_parts(parts)) > 1 else "")
    outcome = device.run(tmp_path / "j", plan=plan)
    assert device.begun <= DEATHS_IN_A_ROW + MOST_LOST + 40
    assert {name for name in outcome.failed if name not in plan.cuts} == set()
    assert set(plan.models) - set(plan.cuts) <= set(outcome.results)
    assert all("ended by signal 9" in why for why in outcome.failed.values())


def test_an_agent_that_fails_once_gets_its_tries(tmp_path: Path) -> None:
    died = []

    def once(parts: Parts) -> str | AgentFailed:
        if len(blocks_of_parts(parts)) > 1 and not died:
            died.append(True)
            return KILLED
        return ""

    outcome = Device(once).run(tmp_path / "a", tries=2)
    assert (outcome.settled, outcome.failed) == ({}, {})
    died.clear()
    outcome = Device(once).run(tmp_path / "b", tries=1)
    assert list(map(len, (outcome.settled, outcome.failed))) == [1, 0]
    assert of_plan(outcome) == WHOLE


@pytest.mark.parametrize("kind", ["alone", "part", "beside", "memory"])
def test_a_search_that_is_stopped_anywhere_goes_on(tmp_path: Path, kind: str) -> None:
    bad = ELASTIC[11]
    fails: dict[str, Fails] = {
        "alone": lambda parts: "x" if bad in blocks_of_parts(parts) else "",
        "part": lambda parts: "x" if any(bad in p and len(p) > 1 for p in parts) else "",
        "beside": lambda parts: "x" if bad in (b := blocks_of_parts(parts)) and len(b) > 1 else "",
        "memory": lambda parts: KILLED if len(blocks_of_parts(parts)) > 10 else "",
    }
    whole = Device(fails[kind])
    expected = of_plan(whole.run(tmp_path / "whole"))
    first = len(PLAN.visits) - 10
    for stop in range(first, sum(whole.visits.values()), 11):
        path = tmp_path / f"{stop}"
        device = Device(fails[kind], stop)
        with pytest.raises(KeyboardInterrupt):
            device.run(path)
        held = {(p, n): r["samples_ns"] for (p, n), r in device.ledger.results.items()}
        again = Device(fails[kind])
        outcome = again.run(path)
        assert of_plan(outcome) == expected
        assert held.items() <= {key: r["samples_ns"] for key, r in again.ledger.results.items()}.items()
        assert {len(results) for results in outcome.results.values()} == {ROUNDS}
    # what is finished is not measured again, but for what failed
    idle = Device(fails[kind])
    again_outcome = idle.run(tmp_path / "whole")
    assert of_plan(again_outcome) == expected
    assert failure_lines(again_outcome) == failure_lines(outcome)
    assert set(idle.visits) <= {PLAN.reference, *(again_outcome.failed)}


def test_whatever_fails_the_rest_is_measured_and_only_the_guilty_are_named(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for number in range(8):
        alone, part, beside = ({*rng.choice(len(BLOCKS), rng.integers(0, 4), replace=False).tolist()} for _ in range(3))
        alone, part, beside = ({BLOCKS[i] for i in of} for of in (alone, part, beside))
        most = int(rng.choice([11, 18, 99]))

        def fails(parts: Parts, alone=alone, part=part, beside=beside, most=most) -> str | AgentFailed:
            held = blocks_of_parts(parts)
            if len(held) > most:
                return KILLED
            if alone & {*held} or any(part & {*p} and len(p) > 1 for p in parts):
                return "wrong"
            return "too" if beside & {*held} and len(held) > 1 else ""

        outcome = Device(fails).run(tmp_path / str(number))
        assert {PLAN.models[name][0] for name in outcome.failed} == alone
        for name, held in WHOLE.items():
            lost = held - of_plan(outcome).get(name, Counter())
            assert {*lost} <= alone | beside, number
        chains = {name: PLAN.models[name] for name in outcome.settled}
        named = {
            chains[n][i] for n, s in outcome.settled.items() for f in s.faults if len(f.blocks) == 1 for i in f.blocks
        }
        assert named <= part | beside
