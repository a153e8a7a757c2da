"""What a journal says is credited to the visit it was made for, or refused."""

from pathlib import Path
from typing import Any

import pytest

from ofa.blocks import all_blocks
from ofa.errors import InputError
from ofa.runs.journal import Journal
from ofa.space import get_space
from profilers.measuring.events import Hello, Result
from profilers.measuring.judge import judge
from profilers.measuring.ledger import Ledger
from profilers.measuring.plan import make_plan

PLAN = make_plan([(block,) for block in all_blocks(get_space("mbv3-w0.35"), [128])[:30]], rounds=2, seed=0)
FIRST = {
    "kind": "result", "pass": 0, "number": 0, "type": "result", "visit": 0, "id": PLAN.visits[0].model,
    "samples_ns": [1000], "cpu_ns": None, "calls_per_sample": 1,
}  # fmt: skip


def filled(path: Path) -> Ledger:
    """Every visit made, in two sessions."""
    ledger = Ledger(PLAN, Journal.create(path, {}))
    ledger.greet(Hello("a", "r 1", {"cpu_model": "Z80"}))
    for visit in PLAN.visits[:40]:
        ledger.credit(visit, Result(0, visit.model, [1000 + visit.number], None, 1))
    ledger.journal.close()
    again = Ledger(PLAN, Journal.resume(path, {}))
    for visit in again.pending(again.closed_segments()):
        again.credit(visit, Result(0, visit.model, [1000 + visit.number], None, 1))
    return again


def test_a_journal_holds_what_the_ledger_does(tmp_path: Path) -> None:
    ledger = filled(tmp_path / "j")
    ledger.begin_pass([PLAN.reference] * 2)
    ledger.journal.close()
    journal = Journal.read(tmp_path / "j")
    again = Ledger(PLAN, journal)
    assert (again.passes, again.results, again.hello) == (ledger.passes, ledger.results, ledger.hello)
    assert list(again.results) == list(ledger.results)
    assert judge(again) == judge(ledger)
    assert sorted(r["samples_ns"][0] for r in again.results.values()) == [1000 + v.number for v in PLAN.visits]


@pytest.mark.parametrize(
    "change",
    [
        {"pass": 1},
        {"pass": -1},
        {"pass": "0"},
        {"number": 10**6},
        {"number": -1},
        {"number": None},
        {"id": "b99999"},
        {"samples_ns": []},
        {"samples_ns": None},
        {"kind": "hello"},
        {"kind": "pass", "order": ["b99999"]},
        {"kind": "pass", "order": 7},
    ],
)
def test_a_record_that_is_not_of_the_plan_is_refused_by_one_line(tmp_path: Path, change: dict[str, Any]) -> None:
    journal = Journal.create(tmp_path / "j", {})
    journal.append({**FIRST, **change})
    journal.close()
    with pytest.raises(InputError, match=r"j is not of this plan: start again with --overwrite"):
        Ledger(PLAN, journal)


@pytest.mark.parametrize(
    ("hello", "message"),
    [
        (Hello("a", "r 2", {"cpu_model": "Z80"}), "begun on runtime 'r 1', this is 'r 2'"),
        (Hello("a", "r 1", {"cpu_model": "6502"}), "begun on device 'Z80', this is '6502'"),
    ],
)
def test_another_device_is_not_gone_on_with(tmp_path: Path, hello: Hello, message: str) -> None:
    ledger = filled(tmp_path / "j")
    with pytest.raises(InputError, match=message):
        ledger.greet(hello)
    ledger.journal.close()
    assert ledger.hello == Hello("a", "r 1", {"cpu_model": "Z80"})
