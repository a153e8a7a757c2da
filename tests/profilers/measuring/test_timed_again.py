"""What was timed beside drift, disturbed or under a lower clock is timed again, or told of."""

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from profilers.measuring.events import Event, Hello, Result
from profilers.measuring.plan import CutChain, make_plan
from profilers.measuring.statistics import summarise
from profilers.profiling.table_header import clocks_header, quality_header
from tests.profilers.measuring.fake_agent import BLOCKS, SAY_RESULT, run


def test_what_was_timed_beside_a_drifted_reference_is_timed_again(tmp_path: Path) -> None:
    plan = make_plan(BLOCKS, rounds=2, reference_every=3, seed=0)
    # slow from visit 5 to 8, the first time round: one reference visit and what lies beside it
    slow = (
        "def behave(number, name):\n"
        "    slow = 5 <= number <= 8 and not memory('v%d' % number)\n"
        "    return [2000] if slow else [1000]\n"
    )
    assert [v.number for v in plan.visits if v.is_reference][:3] == [0, 4, 8]
    outcome = run(tmp_path, slow, plan)
    # segments 2 and 3 (visits 5-7 and 9-11) lie beside the reference visit 8
    assert outcome.repeated == 6
    assert outcome.doubtful == 0
    assert all(r["samples_ns"] == [1000] for results in outcome.results.values() for r in results)
    assert all(len(results) == 2 for results in outcome.results.values())


def test_what_was_disturbed_throughout_is_timed_again(tmp_path: Path) -> None:
    # visits 5 and 6 shared the CPU, the first time round: twice as long, for half of which the thread ran
    busy = (
        "def shared(number): return 5 <= number <= 6 and not os.path.exists(sys.argv[1] + '.again')\n"
        "def behave(number, name): return [2000] * 3 if shared(number) else [1000] * 3\n"
        "def cpu(number):\n"
        "    if number == 22: open(sys.argv[1] + '.again', 'w')\n"
        "    return [1000] * 3\n"
    )
    outcome = run(tmp_path, busy)
    assert (outcome.repeated, outcome.doubtful) == (2, 0)
    assert all(r["samples_ns"] == [1000] * 3 for results in outcome.results.values() for r in results)
    assert all(len(results) == 2 for results in outcome.results.values())


def test_a_doubtful_visit_counts_only_for_want_of_a_good_one(tmp_path: Path) -> None:
    # of one block every visit is disturbed, of another every visit but the first
    busy = (
        "def behave(number, name):\n"
        "    global lost\n"
        "    lost = name == 'b00002' or name == 'b00006' and memory(name)\n"
        "    return [2000 if lost else 1000]\n"
        "def cpu(number): return [1000]\n"
    )
    outcome = run(tmp_path, busy)
    assert [r["samples_ns"] for r in outcome.results["b00006"]] == [[1000]]
    assert {r["samples_ns"][0] for r in outcome.results["b00002"]} == {2000}
    assert outcome.doubtful == len(outcome.results["b00002"]) == 6


def test_a_machine_that_drifts_to_the_last_is_said_to(tmp_path: Path) -> None:
    restless = "def behave(number, name): return [1000 + 300 * (number % 8 >= 4)]\n"
    outcome = run(tmp_path, restless)
    assert outcome.doubtful > 0
    assert sorted(outcome.results) == [f"b{i:05d}" for i in range(8)]


@pytest.mark.parametrize(
    ("parts", "message"),
    [("", "reported no parts of 'b00008', which has 2"), ("parts_ns=[[1000]], parts_cpu_ns=None", "reported 1 parts")],
)
def test_an_agent_that_does_not_tell_of_every_part_is_blamed_for_that_network(
    tmp_path: Path, parts: str, message: str
) -> None:
    plan = make_plan(BLOCKS, 2, 0, 3, [CutChain((BLOCKS[0][0], BLOCKS[1][0]), (0, 1))])
    bad = (
        "def behave(number, name):\n"
        f"    if name == 'b00008': {SAY_RESULT % f'samples_ns=[1000], cpu_ns=None, calls_per_sample=1, {parts}'}\n"
        "    return [1000]\n"
    )
    outcome = run(tmp_path, bad, plan)
    assert list(outcome.failed) == ["b00008"]
    assert message in outcome.failed["b00008"]
    assert sorted(outcome.results) == [f"b{i:05d}" for i in range(8)]


@pytest.mark.parametrize(
    "low",
    [
        {"clock_limit_mhz": 1700},
        # a limit that could not be read just then: the clocks tell
        {"clock_limit_mhz": None, "clock_mhz_before": 1700, "clock_mhz_after": None},
    ],
)
def test_what_was_timed_under_a_lower_clock_limit_is_timed_again(tmp_path: Path, low: dict[str, Any]) -> None:
    plan = make_plan(BLOCKS, rounds=2, reference_every=3, seed=0)
    cut = 5  # the first visits: only what comes later tells that they were slow

    def limited(events: Iterator[Event]) -> Iterator[Event]:
        made = 0
        for event in events:
            if isinstance(event, Result):
                watched = low if made < cut and not repeating else {"clock_limit_mhz": 2800}
                event, made = dataclasses.replace(event, watched=watched), made + 1
            yield event
        repeating.append(True)

    repeating: list[bool] = []
    outcome = run(tmp_path, "", plan, through=limited)
    assert outcome.repeated == sum(not visit.is_reference for visit in plan.visits[:cut])
    assert outcome.doubtful == 0


def test_a_clock_limit_that_stays_low_is_told(tmp_path: Path) -> None:
    def sags(events: Iterator[Event]) -> Iterator[Event]:
        for event in events:
            if isinstance(event, Hello):
                begun.append(True)
            if isinstance(event, Result):
                limit = 2800 if len(begun) == 1 and event.visit == 0 else 1700
                event = dataclasses.replace(event, watched={"clock_limit_mhz": limit, "throttling": []})
            yield event

    begun: list[bool] = []
    plan = make_plan(BLOCKS, rounds=2, reference_every=3, seed=0)
    outcome = run(tmp_path, "", plan, through=sags)
    header = quality_header(plan, outcome, {m: summarise(made) for m, made in outcome.results.items()})
    assert outcome.doubtful > 0
    assert header["throttling"].startswith("clock limit lowered in ")


@pytest.mark.parametrize(
    ("clocks", "said"),
    [
        ([1900.0] * 40, "on, clocks constant at 1900 MHz"),
        ([1900.0] * 20 + [2800.0] * 20, "on, but clocks moved, mostly between 1900 and 2800 MHz"),
        ([], "on, not verified: no clock can be read"),
    ],
)
def test_a_fixed_performance_mode_is_believed_when_clocks_are_constant(clocks: list[float], said: str) -> None:
    visits = [{"clock_mhz_before": mhz, "clock_mhz_after": mhz} for mhz in clocks]
    header = clocks_header({"fixed_performance_mode": "on"}, visits)
    assert header["fixed_performance_mode"] == said
    assert header.get("clock_mhz_seen") == (f"{min(clocks):.0f} to {max(clocks):.0f}" if clocks else None)
    assert "fixed_performance_mode" not in clocks_header({"fixed_performance_mode": "this phone has none"}, visits)


@pytest.mark.parametrize(
    ("limits", "line"),
    [
        ([1680.0] * 9, "at most 1680, where the core's highest is 2800"),
        # once was enough: that some visits had less is told as throttling
        ([1680.0, 2800.0], None),
        ([2790.0], None),
        ([None], None),
    ],
)
def test_clocks_that_were_cut_before_the_first_visit_are_told_by_the_cores_own_highest(
    limits: list[float | None], line: str | None
) -> None:
    device = {"cpus": [7], "cores": [{"cpu": 0, "max_mhz": 1800}, {"cpu": 7, "max_mhz": 2800}]}
    visits = [{"clock_limit_mhz": limit} for limit in limits]
    assert clocks_header(device, visits).get("clock_limit_mhz") == line
    for untold in ({}, {"cpus": [7]}, {"cpus": [3], "cores": device["cores"]}, {"cpus": [7], "cores": [{"cpu": 7}]}):
        assert "clock_limit_mhz" not in clocks_header(untold, visits)
