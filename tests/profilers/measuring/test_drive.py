"""Driving agents that work, die, hang, babble and drift."""

import dataclasses
import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ofa.blocks import all_blocks
from ofa.errors import InputError
from ofa.runs.journal import Journal
from ofa.space import get_space
from profilers.measuring.conversation import local_agent
from profilers.measuring.drive import Driver
from profilers.measuring.events import Begins, ConnectionLost, Event, Hello, Result
from profilers.measuring.judge import Outcome
from profilers.measuring.ledger import Ledger
from profilers.measuring.plan import CutChain, VisitPlan, make_plan
from profilers.measuring.run import carry_out
from profilers.measuring.statistics import summarise
from profilers.profiling.table_header import clocks_header, quality_header

BLOCKS = [(block,) for block in all_blocks(get_space("mbv3-w1.0"), [160])[:8]]

# An agent of a few lines: `behave(number, name)` may return samples or do worse
FAKE = """
import json, os, sys, time
manifest = json.load(open(sys.argv[1]))
folder = os.path.dirname(sys.argv[1])
def say(**fields): print(json.dumps(fields), flush=True)
def memory(word):
    # whether the word was said before, by any agent of this test
    path = os.path.join(folder, "memory"); text = open(path).read() if os.path.exists(path) else ""
    open(path, "a").write(word + " "); return word in text.split()
%s
say(type="hello", protocol=PROTOCOL, agent="fake", runtime="fake 1.0", device={"cpu_model": "fake"})
say(type="heartbeat")
for number, name in enumerate(manifest["visits"]):
    say(type="visit", visit=number, id=name)
    samples = behave(number, name)
    say(type="result", visit=number, id=name, samples_ns=samples, cpu_ns=cpu(number), calls_per_sample=1, newer=1)
say(type="done")
"""
SAY_RESULT = "say(type='result', visit=number, id=name, %s)"
WELL = "PROTOCOL = 1\ndef cpu(number): return None\ndef behave(number, name): return [1000, 1001, 1002]\n"


def results_in(folder: Path) -> list[dict]:
    records = [json.loads(line) for line in (folder / "journal.jsonl").read_text().splitlines()]
    return [record for record in records if record["kind"] == "result"]


def run(
    folder: Path,
    behaviour: str,
    plan: VisitPlan | None = None,
    timeout_s: float = 20,
    progress: Callable[[int, int], None] = lambda *_: None,
    tries: int = 1,
    through: Callable[[Iterator[Event]], Iterator[Event]] = lambda events: events,
) -> Outcome:
    agent = folder / "agent.py"
    agent.write_text(FAKE % (WELL + behaviour))
    plan = plan or make_plan(BLOCKS, rounds=2, reference_every=3, seed=0)
    path = folder / "journal.jsonl"
    journal = Journal.resume(path, {}) if path.exists() else Journal.create(path, {})
    files = {name: f"{name}.onnx" for name in plan.models}
    try:
        return carry_out(
            Driver(
                Ledger(plan, journal),
                files,
                {},
                lambda manifest: through(local_agent([sys.executable, str(agent)], folder, manifest, timeout_s)),
                progress=progress,
                tries=tries,
            )
        )
    finally:
        journal.close()


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
        ("print('not json', flush=True)", "said what is no protocol line"),
        (
            "say(type='result', visit=number, id=name, samples_ns=[], cpu_ns=None, calls_per_sample=1)",
            "no sound samples",
        ),
        ("say(type='result', visit=99, id=name, samples_ns=[1], cpu_ns=None, calls_per_sample=1)", "was due"),
        ("say(type='done')", "was done after"),
        ("print('[' * 100000, flush=True)", "said what is no protocol line"),
        ("say(type='heartbeat', temperature_c=float('nan'))", "said what is no protocol line"),
        (SAY_RESULT % "samples_ns=[1000], cpu_ns=None, calls_per_sample=0", "no sound samples"),
        (SAY_RESULT % "samples_ns=[1000], cpu_ns=None, calls_per_sample=True", "no sound samples"),
        (SAY_RESULT % "samples_ns=[1000], cpu_ns=['a'], calls_per_sample=1", "no sound samples"),
        (SAY_RESULT % "samples_ns=[1000], cpu_ns=[1, 1], calls_per_sample=1", "no sound samples"),
        (SAY_RESULT % "samples_ns=[-5], cpu_ns=None, calls_per_sample=1", "no sound samples"),
        (SAY_RESULT % "samples_ns=[5], cpu_ns=None, calls_per_sample=1, energy_mj=-1", "no sound energy_mj"),
        (SAY_RESULT % "samples_ns=[5], cpu_ns=None, calls_per_sample=1, energy_mj='1'", "no sound energy_mj"),
        ("sys.stderr.write('a deep reason\\n'); os._exit(1)", "its last words: a deep reason"),
        ("time.sleep(99)", "no answer within 2 s"),
    ],
)
def test_a_block_that_ends_the_agent_is_reported_and_the_rest_is_kept(
    tmp_path: Path, behaviour: str, message: str
) -> None:
    bad = f"def behave(number, name):\n    if name == 'b00003': {behaviour}\n    return [1000]\n"
    outcome = run(tmp_path, bad, timeout_s=2 if "sleep" in behaviour else 20)
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
    assert list(run(tmp_path, beating, timeout_s=2).failed) == ["b00003"]


def test_a_flood_of_heartbeats_is_found_out(tmp_path: Path) -> None:
    flood = "def behave(number, name):\n    while name == 'b00003': say(type='heartbeat')\n    return [1]\n"
    assert list(run(tmp_path, flood, timeout_s=2).failed) == ["b00003"]


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


def stop_after(visits: int) -> Callable[[int, int], None]:
    """A progress callback that ends the measurement as Ctrl-C would."""

    def progress(made: int, _: int) -> None:
        if made >= visits:
            raise KeyboardInterrupt

    return progress


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
    [("", "told of no parts of 'b00008', which has 2"), ("parts_ns=[[1000]], parts_cpu_ns=None", "told of 1 parts")],
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


def test_what_was_timed_under_a_lower_clock_limit_is_timed_again(tmp_path: Path) -> None:
    plan = make_plan(BLOCKS, rounds=2, reference_every=3, seed=0)
    cut = 5  # the first visits: only what comes later tells that they were slow

    def limited(events: Iterator[Event]) -> Iterator[Event]:
        made = 0
        for event in events:
            if isinstance(event, Result):
                limit = 1700 if made < cut and not repeating else 2800
                event, made = dataclasses.replace(event, watched={"clock_limit_mhz": limit}), made + 1
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
