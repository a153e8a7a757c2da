"""Driving agents that work, die, hang and babble."""

from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from ofa.errors import InputError
from profilers.measuring import conversation
from profilers.measuring.events import Begins, ConnectionLost, Event, Heartbeat
from profilers.measuring.plan import make_plan
from profilers.measuring.statistics import summarise
from profilers.profiling.table_header import quality_header
from tests.profilers.measuring.fake_agent import BLOCKS, SAY_RESULT, results_in, run, stop_after


def test_every_block_gets_a_result_a_round(tmp_path: Path) -> None:
    outcome = run(tmp_path, "")
    assert {name: len(results) for name, results in outcome.results.items()} == {f"b{i:05d}": 2 for i in range(8)}
    assert (outcome.failed, outcome.repeated, outcome.doubtful) == ({}, 0, 0)
    assert outcome.greeted.runtime == "fake 1.0"


@pytest.mark.parametrize(
    ("behaviour", "message"),
    [
        ("os._exit(3)", "the agent exited with code 3"),
        ("os.kill(os.getpid(), 9)", "the agent was ended by signal 9"),
        ("print('not json', flush=True)", "sent a line that is not of the protocol"),
        (
            "say(type='result', visit=number, id=name, samples_ns=[], cpu_ns=None, calls_per_sample=1)",
            "no sound samples",
        ),
        ("say(type='result', visit=99, id=name, samples_ns=[1], cpu_ns=None, calls_per_sample=1)", "was due"),
        ("say(type='done')", "was done after"),
        ("print('[' * 100000, flush=True)", "sent a line that is not of the protocol"),
        ("say(type='heartbeat', temperature_c=float('nan'))", "sent a line that is not of the protocol"),
        (SAY_RESULT % "samples_ns=[1000], cpu_ns=None, calls_per_sample=0", "no sound samples"),
        (SAY_RESULT % "samples_ns=[1000], cpu_ns=None, calls_per_sample=True", "no sound samples"),
        (SAY_RESULT % "samples_ns=[1000], cpu_ns=['a'], calls_per_sample=1", "no sound samples"),
        (SAY_RESULT % "samples_ns=[1000], cpu_ns=[1, 1], calls_per_sample=1", "no sound samples"),
        (SAY_RESULT % "samples_ns=[-5], cpu_ns=None, calls_per_sample=1", "no sound samples"),
        (SAY_RESULT % "samples_ns=[5], cpu_ns=None, calls_per_sample=1, energy_mj=-1", "no sound energy_mj"),
        (SAY_RESULT % "samples_ns=[5], cpu_ns=None, calls_per_sample=1, energy_mj='1'", "no sound energy_mj"),
        ("sys.stderr.write('a deep reason\\n'); os._exit(1)", "its last words: a deep reason"),
        ("time.sleep(99)", "no answer within 5 s"),
    ],
)
def test_a_block_that_ends_the_agent_is_reported_and_the_rest_is_kept(
    tmp_path: Path, behaviour: str, message: str
) -> None:
    bad = f"def behave(number, name):\n    if name == 'b00003': {behaviour}\n    return [1000]\n"
    outcome = run(tmp_path, bad, timeout_s=5 if "sleep" in behaviour else 20)
    assert list(outcome.failed) == ["b00003"]
    assert message in outcome.failed["b00003"]
    assert sorted(outcome.results) == [f"b{i:05d}" for i in range(8) if i != 3]
    assert all(len(results) == 2 for results in outcome.results.values())


def test_a_hanging_runtime_is_found_out_though_the_heart_beats(tmp_path: Path) -> None:
    beating = (
        "def behave(number, name):\n"
        "    while name == 'b00003': say(type='heartbeat'); time.sleep(0.1)\n"
        "    return [1]\n"
    )
    assert list(run(tmp_path, beating, timeout_s=5).failed) == ["b00003"]


def test_a_flood_of_heartbeats_is_found_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    flood = "def behave(number, name):\n    while name == 'b00003': say(type='heartbeat')\n    return [1]\n"
    parse, passed = conversation._parse, [0.0]

    def counted(line: bytes) -> Event:
        event = parse(line)
        passed[0] += 0.01 * isinstance(event, Heartbeat)
        return event

    # a clock that heartbeats alone move, by 10 ms each: five real seconds of a flood keep two cores busy
    monkeypatch.setattr(conversation, "_parse", counted)
    monkeypatch.setattr(conversation, "time", SimpleNamespace(monotonic=lambda: passed[0]))
    failed = run(tmp_path, flood, timeout_s=5).failed
    assert failed == {"b00003": "no answer within 5 s, only heartbeats"}


def test_of_a_flood_of_last_words_the_end_is_kept(tmp_path: Path) -> None:
    flood = (
        "def behave(number, name):\n"
        "    if name == 'b00003':\n"
        "        for _ in range(300): sys.stderr.write('x' * 65536)\n"
        "        sys.stderr.write('\\nthe last\\n'); os._exit(1)\n"
        "    return [1]\n"
    )
    failed = run(tmp_path, flood).failed
    assert failed == {"b00003": "the agent exited with code 1; its last words: the last"}


def test_an_error_line_fails_its_block_only(tmp_path: Path) -> None:
    failing = (
        "def behave(number, name):\n"
        "    if name == 'b00002': say(type='error', visit=number, id=name, message='no such op')\n"
        "    return [1000]\n"
    )
    outcome = run(tmp_path, failing)
    assert outcome.failed == {"b00002": "no such op"}
    assert "b00002" not in outcome.results
    assert len(outcome.results) == 7


@pytest.mark.parametrize(
    ("behaviour", "message"),
    [
        ("say(type='done'); sys.exit()", "cannot start: the agent began without a hello"),
        (
            "_say = say\ndef say(**f): _say(**{**f, 'device': None})",
            "cannot start: the agent's hello names no runtime or",
        ),
        (
            "_say = say\ndef say(**f): _say(**f); f['type'] == 'hello' and _say(type='done')",
            "cannot start: the agent was done after 0 of 23 visits",
        ),
        ("PROTOCOL = 2", "cannot start: the agent speaks protocol 2, this host speaks 1"),
        ("sys.exit('no runtime here')", "cannot start: the agent exited with code 1; its last words: no runtime here"),
        ("say(type='error', id=None, message='no such CPU'); sys.exit(1)", "cannot start: no such CPU"),
        ("def behave(number, name): os._exit(1)", "died on 5 blocks in a row"),
    ],
)
def test_an_agent_that_cannot_work_is_not_restarted_for_ever(tmp_path: Path, behaviour: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        run(tmp_path, behaviour)


def test_what_is_journalled_is_not_measured_again(tmp_path: Path) -> None:
    plan = make_plan(BLOCKS, rounds=2, reference_every=3, seed=0)
    noting = "def behave(number, name):\n    memory(name)\n    return [1000]\n"
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path, noting, plan, progress=stop_after(9))
    held = results_in(tmp_path)
    assert len(held) == 9
    (tmp_path / "memory").unlink()
    outcome = run(tmp_path, noting, plan)
    assert len((tmp_path / "memory").read_text().split()) == len(plan.visits) - 9
    assert results_in(tmp_path)[:9] == held
    assert all(len(results) == 2 for results in outcome.results.values())


def test_a_failed_block_is_retried_beside_fresh_references(tmp_path: Path) -> None:
    plan = make_plan(BLOCKS, rounds=2, reference_every=3, seed=0)
    bad = next(name for name in plan.models if name != plan.reference)
    assert list(
        run(tmp_path, f"def behave(number, name): return os._exit(1) if name == {bad!r} else [1000]", plan).failed
    )
    noting = "def behave(number, name):\n    memory(name)\n    return [1000]\n"
    outcome = run(tmp_path, noting, plan)
    assert (tmp_path / "memory").read_text().split() == [plan.reference, bad, bad, plan.reference]
    assert outcome.failed == {}
    assert all(len(results) == 2 for results in outcome.results.values())


@pytest.mark.parametrize("bad", ["b00002", "b00006"])
@pytest.mark.parametrize("stopped", [3, 11, 15])
def test_results_stay_with_their_block_through_failure_drift_and_interruption(
    tmp_path: Path, bad: str, stopped: int
) -> None:
    plan = make_plan(BLOCKS, rounds=2, reference_every=3, seed=0)
    restless = "def behave(number, name): return [(1000 + int(name[1:])) * (2 if number % 8 >= 4 else 1)]\n"
    dies = restless.replace("return", f"return os._exit(1) if name == {bad!r} else")
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path, dies, plan, progress=stop_after(len(plan.visits) - 2 + stopped))
    assert {record["pass"] for record in results_in(tmp_path)} == {0, 1}, "it was stopped in the second pass"
    outcome = run(tmp_path, restless, plan)
    assert sorted(outcome.results) == sorted(plan.models)
    for name, results in outcome.results.items():
        assert {result["id"] for result in results} == {name}


def test_an_agent_that_dies_between_visits_costs_no_block(tmp_path: Path) -> None:
    dies = "_say = say\ndef say(**f):\n    _say(**f)\n    if f.get('visit') == 4 and 'samples_ns' in f: os._exit(1)\n"
    outcome = run(tmp_path, dies)
    assert outcome.failed == {}
    assert all(len(results) == 2 for results in outcome.results.values())


def cut(*places: int) -> Callable[[Iterator[Event]], Iterator[Event]]:
    """A line that is cut when an agent begins its visit of the first number, the next agent's of the second, ..."""
    left = list(places)

    def through(events: Iterator[Event]) -> Iterator[Event]:
        for event in events:
            yield event
            if left and isinstance(event, Begins) and event.visit == left[0]:
                del left[0]
                raise ConnectionLost("the cable was pulled")

    return through


@pytest.mark.parametrize(
    ("places", "failed"),
    [((4,), []), ((4, 3, 2), []), ((4, 0), ["the cable was pulled"]), ((4, 0, 0), ["the cable was pulled"])],
)
def test_a_lost_device_is_no_blocks_fault_unless_it_is_lost_there_again(
    tmp_path: Path, places: tuple[int, ...], failed: list[str]
) -> None:
    outcome = run(tmp_path, "", tries=2, through=cut(*places))
    assert list(outcome.failed.values()) == failed
    assert all(len(results) == 2 for results in outcome.results.values())
    visits = [(record["pass"], record["number"]) for record in results_in(tmp_path)]
    assert len(visits) == len(set(visits))


def test_an_agent_that_dies_gets_as_many_tries_as_it_may(tmp_path: Path) -> None:
    once = "def behave(number, name): return [1000] if name != 'b00003' or memory(name) else os._exit(1)\n"
    assert run(tmp_path, once, tries=2).failed == {}
    assert len(results_in(tmp_path)) == 2 * 8 + 7


def test_a_device_that_is_lost_again_and_again_is_not_looked_for_for_ever(tmp_path: Path) -> None:
    def lost(_: Iterator[Event]) -> Iterator[Event]:
        raise ConnectionLost("the cable was pulled")
        yield

    with pytest.raises(InputError, match="the cable was pulled, 5 times in a row; what was measured before is in"):
        run(tmp_path, "", through=lost)


def test_without_a_reference_drift_is_not_known(tmp_path: Path) -> None:
    plan = make_plan(BLOCKS, rounds=2, reference_every=3, seed=0)
    outcome = run(
        tmp_path, f"def behave(number, name): return os._exit(1) if name == {plan.reference!r} else [1]", plan
    )
    assert list(outcome.failed) == [plan.reference]
    summaries = {name: summarise(results) for name, results in outcome.results.items()}
    assert "drift is not known" in quality_header(plan, outcome, summaries)["reference_block"]


def test_a_journal_of_another_runtime_version_is_not_gone_on_with(tmp_path: Path) -> None:
    plan = make_plan(BLOCKS, rounds=1, reference_every=3, seed=0)
    run(tmp_path, "def behave(number, name):\n    if number > 3: os._exit(1)\n    return [1]\n", plan)
    agent = "\n_say = say\ndef say(**f): _say(**{**f, **({'runtime': 'fake 2.0'} if f['type'] == 'hello' else {})})\n"
    with pytest.raises(InputError, match=r"begun on runtime 'fake 1.0', this is 'fake 2.0'"):
        run(tmp_path, agent, plan)
