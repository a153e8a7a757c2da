"""Which visits count: the judge beside a plain reading of the rule, over passes of hundreds of visits."""

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from ofa.blocks import all_blocks
from ofa.runs.journal import Journal
from ofa.space import get_space
from profilers.measuring.events import Hello, Result
from profilers.measuring.judge import DRIFT_THRESHOLD, SPELL, good_and_doubtful, judge, lacking
from profilers.measuring.ledger import Ledger
from profilers.measuring.plan import Visit, make_plan
from profilers.measuring.statistics import slowness

BLOCKS = all_blocks(get_space("mbv3-w0.35"), [128, 160, 192, 224])[:300]


class Machine:
    """Times of a machine that drifts now and then, and is busy at some visits."""

    def __init__(self, seed: int) -> None:
        self.rng = np.random.default_rng(seed)

    def make(self, ledger: Ledger, keep: float) -> None:
        """Makes a share of the last pass's visits."""
        slow = 1.0
        for visit in ledger.pending(set()):
            if visit.is_reference:
                slow = self.rng.choice([1.0, 1.07, 1.3], p=[0.6, 0.2, 0.2])
            if not visit.is_reference and self.rng.random() > keep:
                continue
            time = round(1e6 * slow * (1 + int(visit.model[1:]) % 7) * (1 + 0.01 * self.rng.random()))
            busy = not visit.is_reference and self.rng.random() < 0.1
            ledger.credit(visit, Result(0, visit.model, [time] * 3, [time // 2 if busy else time] * 3, 1))


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    """Three passes of 300 blocks, the first two with gaps."""
    plan = make_plan([(block,) for block in BLOCKS], rounds=2, seed=0)
    made = Ledger(plan, Journal.create(tmp_path / "j", {}))
    made.greet(Hello("a", "r", {}))
    machine = Machine(0)
    machine.make(made, keep=0.9)
    for keep in (0.95, 1.0):
        made.begin_pass(lacking(made))
        machine.make(made, keep)
    yield made
    made.journal.close()


def reference_medians(ledger: Ledger) -> dict[tuple[int, int], float]:
    """{(pass, number of a reference visit): its median, ns}."""
    return {
        (p, v.number): float(np.median(ledger.results[p, v.number]["samples_ns"]))
        for p, visits in enumerate(ledger.passes)
        for v in visits
        if v.is_reference and (p, v.number) in ledger.results
    }


def known_slowness(ledger: Ledger) -> dict[tuple[int, int], float]:
    """{(pass, number of a visit): how slow the machine was around it}; busy visits are told by CPU time"""
    made = list(ledger.results.values())
    found = slowness([result["id"] for result in made], [np.median(result["cpu_ns"]) for result in made])
    return dict(zip(ledger.results, found, strict=True))


def is_good(ledger: Ledger, number: int, visit: Visit, slow: dict[tuple[int, int], float]) -> bool:
    """By the words of docs/measuring.md: undisturbed, and the machine as usual beside it, or known to be nearly so.

    slow: {} where nobody knows
    """
    medians = reference_medians(ledger)
    as_told = {turn: median / slow.get(turn, np.nan) for turn, median in medians.items()}
    visits, place = ledger.passes[number], visit.number
    before = next(v for v in reversed(visits[:place]) if v.is_reference)
    after = next(v for v in visits[place:] if v.is_reference)
    beside = [(number, r.number) for r in (before, after) if (number, r.number) in medians]

    def far(values: dict[tuple[int, int], float], share: float) -> list[tuple[int, int]]:
        usual = float(np.median(list(values.values())))
        return [turn for turn in beside if not abs(values[turn] / usual - 1) <= share]

    drifting = far(medians, DRIFT_THRESHOLD)
    explained = not set(drifting) & set(far(as_told, SPELL)) and 0.9 <= slow.get((number, place), np.nan) <= 1.1
    result = ledger.results[number, place]
    return result["cpu_ns"] == result["samples_ns"] and (not drifting or explained)


def test_good_and_doubtful_are_as_the_rule_says(ledger: Ledger) -> None:
    good, doubtful = good_and_doubtful(ledger)
    slow = known_slowness(ledger)
    expected: dict[bool, dict[str, list[dict]]] = {True: {}, False: {}}
    for number, visits in enumerate(ledger.passes):
        for v in visits:
            if not v.is_reference and (number, v.number) in ledger.results:
                made = expected[is_good(ledger, number, v, slow)].setdefault(v.model, [])
                made.append(ledger.results[number, v.number])
    assert (good, doubtful) == (expected[True], expected[False])
    assert len(good) > 200
    assert len(doubtful) > 100
    kept = [v for v in ledger.plan.visits if not v.is_reference and (0, v.number) in slow]
    usual_only = [is_good(ledger, 0, v, {}) for v in kept]
    assert usual_only.count(True) < sum(len(good.get(name, ())) for name in ledger.plan.models)


def test_a_visit_beside_a_drift_is_good_only_where_the_machine_is_known_to_be_nearly_as_usual(tmp_path: Path) -> None:
    """All take 8 % longer in the middle third; 30 %; 8 % with blocks that are visited once; the reference takes more.

    By less than `SPELL` it may be off over its neighbours, which are within `KNOWN_SLOWNESS`: 1.2 / 1.08 is 1.11.
    """
    cases = (
        *((2, 1.08, 1.08, True), (2, 1.3, 1.3, False), (1, 1.08, 1.08, False)),
        *((2, 1.2, 1.0, False), (2, 1.13, 1.0, True), (2, 1.2, 1.08, True), (2, 1.26, 1.08, False)),
    )
    for rounds, slow, blocks_slow, expected in cases:
        plan = make_plan([(block,) for block in BLOCKS], rounds=rounds, seed=0)
        made = Ledger(plan, Journal.create(tmp_path / f"{rounds}-{slow}-{blocks_slow}", {}))
        made.greet(Hello("a", "r", {}))
        third = len(plan.visits) // 3
        for visit in made.pending(set()):
            factor = slow if visit.is_reference else blocks_slow
            time = round(1e6 * (1 + int(visit.model[1:]) % 7) * (factor if third <= visit.number < 2 * third else 1))
            made.credit(visit, Result(0, visit.model, [time] * 3, [time] * 3, 1))
        good, _ = good_and_doubtful(made)
        middle = [v for v in plan.visits[third + 30 : 2 * third - 30] if not v.is_reference]
        judged = {id(result) for results in good.values() for result in results}
        assert {id(made.results[0, v.number]) in judged for v in middle} == {expected}, (rounds, slow, blocks_slow)
        made.journal.close()


def made_with(
    path: Path, count: int, blocks_slow: Callable[[int], float], reference_slow: Callable[[int], float], most: int
) -> Ledger:
    """The first `most` visits of two rounds of so many blocks. slow: the factor at a visit's number"""
    plan = make_plan([(block,) for block in BLOCKS[:count]], rounds=2, seed=0)
    made = Ledger(plan, Journal.create(path, {}))
    made.greet(Hello("a", "r", {}))
    for visit in made.pending(set())[:most]:
        factor = (reference_slow if visit.is_reference else blocks_slow)(visit.number)
        credit(made, visit, factor)
    return made


def credit(made: Ledger, visit: Visit, factor: float) -> None:
    time = round(1e6 * (1 + int(visit.model[1:]) % 7) * factor)
    made.credit(visit, Result(0, visit.model, [time] * 3, [time] * 3, 1))


def good_turns(made: Ledger) -> set[tuple[int, int]]:
    return {(r["pass"], r["number"]) for results in good_and_doubtful(made)[0].values() for r in results}


@pytest.mark.parametrize("most", [99, 100])
def test_a_run_counts_visits_beside_a_drift_from_its_hundredth_on(tmp_path: Path, most: int) -> None:
    def slow(number: int) -> float:
        return 1.08 if 63 <= number < 84 else 1.0

    made = made_with(tmp_path / "j", 60, slow, slow, most)
    beside = {(0, v.number) for v in made.plan.visits[65:84] if not v.is_reference}
    assert (beside & good_turns(made) == beside) == (most == 100)
    assert bool(beside & good_turns(made)) == (most == 100)
    made.journal.close()


def test_a_short_later_pass_is_judged_by_all_passes(tmp_path: Path) -> None:
    """60 visits, all 8 % slow: neither short for itself, nor usual for itself."""
    made = made_with(tmp_path / "j", 300, lambda _: 1.0, lambda _: 1.0, 10**9)
    made.begin_pass(list(made.plan.models)[::5])
    for visit in made.pending(set()):
        credit(made, visit, 1.08)
    later = [v for v in made.passes[1] if not v.is_reference]
    assert len(later) == 60
    assert {(1, v.number) for v in later[13:]} <= good_turns(made)
    assert judge(made).results[later[-1].model][-1]["slowness"] == pytest.approx(1.08)
    made.journal.close()


def test_a_reference_that_is_as_usual_is_no_spell_whatever_its_neighbours_say(tmp_path: Path) -> None:
    """Blocks 8 % slow, the reference too; then blocks 25 %, but the reference as usual."""
    made = made_with(
        tmp_path / "j",
        300,
        lambda n: 1.08 if 250 <= n < 300 else 1.25 if 300 <= n < 340 else 1.0,
        lambda n: 1.08 if 250 <= n < 300 else 1.0,
        10**9,
    )
    ends = [v.number for v in made.plan.visits if v.is_reference and 280 <= v.number < 330]
    assert ends == [294, 315]
    assert 1 / known_slowness(made)[0, 315] < 1 - SPELL
    assert (0, 296) in good_turns(made)
    made.journal.close()


def test_every_visit_that_is_used_tells_how_slow_the_machine_was_around_it(ledger: Ledger) -> None:
    slow = {turn: float(np.nan_to_num(value, nan=1.0)) for turn, value in known_slowness(ledger).items()}
    outcome = judge(ledger)
    used = {(r["pass"], r["number"]): r["slowness"] for results in outcome.results.values() for r in results}
    assert used == {turn: slow[turn] for turn in used}
    assert outcome.slowness == list(slow.values())
    # all passes are used, and the slowness of a visit of a later one is not that of its number in the first
    assert {number for number, _ in used} == {0, 1, 2}
    assert any(used[turn] != slow.get((0, turn[1])) for turn in used if turn[0] > 0)


def test_every_model_is_asked_for_once_for_every_good_visit_that_it_lacks(ledger: Ledger) -> None:
    good, _ = good_and_doubtful(ledger)
    again = lacking(ledger)
    assert {name: again.count(name) for name in set(again)} == {
        name: 2 - len(good.get(name, ())) for name in ledger.plan.models if len(good.get(name, ())) < 2
    }
    # the second turn of a model begins after the first of all
    first = list(dict.fromkeys(again))
    assert again[: len(first)] == first


def test_a_doubtful_visit_is_used_for_want_of_a_good_one_alone(ledger: Ledger) -> None:
    good, doubtful = good_and_doubtful(ledger)
    outcome = judge(ledger)
    assert outcome.results.keys() == good.keys() | doubtful.keys()
    assert outcome.without_good == doubtful.keys() - good.keys()
    assert outcome.doubtful == sum(len(doubtful[name]) for name in outcome.without_good)
    for name, results in outcome.results.items():
        plain = [{key: value for key, value in r.items() if key != "slowness"} for r in results]
        assert plain == (good.get(name) or doubtful[name])
    assert outcome.repeated == sum(not ledger.passes[p][n].is_reference for p, n in ledger.results if p > 0)


def test_what_failed_is_neither_judged_nor_asked_for_again(ledger: Ledger) -> None:
    name = lacking(ledger)[0]
    ledger.fail(next(v for v in ledger.plan.visits if v.model == name), "it burnt")
    assert name not in judge(ledger).results
    assert name not in lacking(ledger)
    assert judge(ledger).failed == {name: "it burnt"}
