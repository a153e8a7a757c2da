"""What an agent says is taken by the protocol's names alone: a planted lie is ignored, or the line refused."""

import json
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from device_agents.cpu import machine as cpu_machine
from device_agents.cuda import device as cuda_device
from device_agents.cuda.nvml import Nvml
from ofa.blocks import all_blocks
from ofa.runs.journal import Journal
from ofa.space import get_space
from profilers.measuring.conversation import local_agent
from profilers.measuring.drive import Driver
from profilers.measuring.events import (
    AGENT_FACTS,
    HOST_FACTS,
    LONGEST_LIST,
    LONGEST_SAMPLE_NS,
    LONGEST_TEXT,
    AgentFailed,
    Begins,
    Done,
    Error,
    Heartbeat,
    Hello,
    Result,
    event_of,
)
from profilers.measuring.ledger import Ledger
from profilers.measuring.plan import make_plan
from profilers.measuring.run import carry_out
from profilers.measuring.target import Target
from profilers.profiling.profile_options import ProfileOptions
from profilers.profiling.profile_report import table_of
from profilers.profiling.work import planned

HELLO = {"type": "hello", "protocol": 1, "agent": "a", "runtime": "r 1", "device": {"cpu_model": "Z80"}}
RESULT = {"type": "result", "visit": 3, "id": "b00001", "samples_ns": [7, 8], "cpu_ns": None, "calls_per_sample": 2}
# two passes through three parts
IN_PARTS = {
    **RESULT, "calls_per_sample": 1, "samples_ns": [60, 70], "cpu_ns": [59, 66],
    "parts_ns": [[10, 11], [20, 22], [30, 37]], "parts_cpu_ns": [[10, 11], [19, 20], [30, 35]],
}  # fmt: skip
# what the reader of a table believes, and no agent may write into one
TABLES_OWN = {
    "batch", "device", "dtype", "energy_blocks", "expected_error", "failed_blocks", "limit", "merged", "omits",
    "provenance", "resolutions", "rows", "runtime", "schema", "source", "space", "sum_correction", "timing", "tool",
    "when",
}  # fmt: skip


def test_every_line_of_the_protocol_is_a_value() -> None:
    assert event_of(HELLO) == Hello("a", "r 1", {"cpu_model": "Z80"})
    assert event_of({"type": "visit", "visit": 3, "id": "b"}) == Begins(3, "b")
    assert event_of({**RESULT, "setup_ns": 5}) == Result(3, "b00001", [7, 8], None, 2, {"setup_ns": 5})
    assert event_of({"type": "error", "visit": 3, "id": "b", "message": "no"}) == Error(3, "b", "no")
    assert event_of({"type": "error", "id": None, "message": "no", "reason": "x"}) == Error(None, None, "no", "x")
    assert event_of({"type": "heartbeat"}) == Heartbeat()
    assert event_of({"type": "done", "more": 1}) == Done()


def test_a_checked_line_is_written_as_it_was_said() -> None:
    lines = (HELLO, {**HELLO, "backend": "litert", "xnnpack": None}, RESULT, {**RESULT, "energy_mj": None}, IN_PARTS)
    for line in lines:
        event = event_of(line)
        assert isinstance(event, Hello | Result)
        assert event.record() == line


@pytest.mark.parametrize(
    "wrong",
    [
        {"parts_ns": []},
        {"parts_ns": 5},
        {"parts_ns": [[10, 11], [20, 22]]},  # they do not add up
        {"parts_ns": [[10, 11], [20, 22], [30]]},
        {"parts_ns": [[10, 11], [20, 22], [30, 37.0]]},
        {"parts_ns": [[10, 11], [50, 22], [0, 37]]},
        {"parts_cpu_ns": None},
        {"parts_cpu_ns": [[10, 11], [49, 55]]},
        {"parts_cpu_ns": [[10, 11], [19, 20], [30, 36]]},
        {"cpu_ns": None},
        {"parts_cpu_ns": [[59 + 10**9, 66], [0, 0], [0, 0]], "cpu_ns": [59 + 10**9, 66]},
    ],
)
def test_parts_that_are_not_sound_are_refused(wrong: dict) -> None:
    with pytest.raises(AgentFailed, match=r"no sound (parts|samples)"):
        event_of({**IN_PARTS, **wrong})


def test_a_hello_tells_facts_of_its_device_and_nothing_of_the_table() -> None:
    assert not (AGENT_FACTS | HOST_FACTS) & TABLES_OWN
    lies = dict.fromkeys(TABLES_OWN | (HOST_FACTS - AGENT_FACTS), "a lie")
    event = event_of({**HELLO, **lies, "protocol": 1, "runtime": "r 1", "device": {"cpu_model": "Z80", **lies}})
    assert event == Hello("a", "r 1", {"cpu_model": "Z80"})


def test_the_agents_of_this_house_tell_what_is_taken_from_them() -> None:
    assert cpu_machine.machine([0]).keys() <= AGENT_FACTS
    assert cuda_device.Cpu(torch.device("cpu")).facts().keys() <= AGENT_FACTS
    assert Nvml(None, "", "not installed").facts().keys() <= AGENT_FACTS


@pytest.mark.parametrize(
    ("device", "taken"),
    [
        ({"soc": "Exynos\u00a09825 \n\x1b[31m"}, {"soc": "Exynos 9825 ?[31m"}),
        ({"soc": "x" * 10**6}, {"soc": "x" * LONGEST_TEXT}),
        ({"other_processes": [17, "a\nb"]}, {"other_processes": [17, "a b"]}),
        ({"cores": [{"cpu": 0, "max_mhz": None}]}, {"cores": [{"cpu": 0, "max_mhz": None}]}),
        ({"cores": [{"cpu": {"deep": []}}]}, {"cores": None}),
    ],
)
def test_facts_are_cleaned_and_not_refused_for_their_letters(device: dict[str, Any], taken: dict[str, Any]) -> None:
    event = event_of({**HELLO, "device": device})
    assert isinstance(event, Hello)
    assert event.device == taken


@pytest.mark.parametrize(
    ("device", "message"),
    [
        ({"l2_cache_kib": "many"}, "hello has no sound l2_cache_kib: 'many'"),
        ({"clock_mhz": True}, "hello has no sound clock_mhz"),
        ({"memory_mib": 10**30}, "hello has no sound memory_mib"),
        ({"governor": {"deep": 1}}, "hello has no sound governor"),
        ({"other_processes": [[1]]}, "hello has no sound other_processes"),
        ({"cpus": [1] * (LONGEST_LIST + 1)}, "hello has no sound cpus"),
    ],
)
def test_facts_of_another_kind_are_refused(device: dict[str, Any], message: str) -> None:
    with pytest.raises(AgentFailed, match=message):
        event_of({**HELLO, "device": device})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"samples_ns": [LONGEST_SAMPLE_NS + 1]}, "no sound samples"),
        ({"samples_ns": [10**300]}, "no sound samples"),
        ({"samples_ns": [1e9]}, "no sound samples"),
        ({"cpu_ns": [70_000_000_000, 8]}, "no sound samples"),
        ({"calls_per_sample": 10**300}, "no sound samples"),
        ({"energy_mj": 1.0}, "no sound energy_error_mj: nothing"),
        ({"energy_mj": 1.0, "energy_error_mj": -1}, "no sound energy_error_mj"),
        ({"throttling": "heat"}, "no sound throttling"),
        ({"throttling": ["a\nb"]}, "no sound throttling"),
        ({"input_buffers_bytes": "7"}, "no sound input_buffers_bytes"),
        ({"temperature_c_before": [40]}, "no sound temperature_c_before"),
        ({"visit": "3"}, "expected a number and an id"),
        ({"visit": True}, "expected a number and an id"),
        ({"id": ["b"]}, "expected a number and an id"),
    ],
)
def test_results_that_cannot_be_are_refused(change: dict[str, Any], message: str) -> None:
    with pytest.raises(AgentFailed, match=message):
        event_of({**RESULT, **change})


scalars = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5)
anything = scalars | st.lists(scalars, max_size=3) | st.dictionaries(st.text(max_size=3), scalars, max_size=2)
names = st.sampled_from(sorted({*HELLO, *RESULT, *AGENT_FACTS, "message", "energy_mj", "throttling", "pass", "kind"}))


@given(
    kind=st.sampled_from(["hello", "result", "error", "visit", "done"]),
    more=st.dictionaries(names, anything, max_size=5),
)
def test_whatever_is_said_is_an_event_or_refused(kind: str, more: dict[str, Any]) -> None:
    base = {"hello": HELLO, "result": RESULT}.get(kind, {"visit": 1, "id": "b"})
    try:
        event = event_of({**base, **more, "type": kind})
    except AgentFailed:
        return
    if isinstance(event, Hello | Result):
        assert event_of(json.loads(json.dumps(event.record()))) == event


# ---- through a whole measurement

LIAR = """
import json, sys
manifest = json.load(open(sys.argv[2]))
def say(**fields): print(json.dumps(fields), flush=True)
lies = json.loads(sys.argv[1])
say(**{**lies, "type": "hello", "protocol": 1, "agent": "liar", "runtime": "r 1",
       "device": {"cpu_model": "Z80", **lies}})
for number, name in enumerate(manifest["visits"]):
    say(**{"type": "visit", "visit": number, "id": name})
    say(**{**lies, "type": "result", "visit": number, "id": name, "samples_ns": [1000], "cpu_ns": None,
           "calls_per_sample": 1})
say(type="done")
"""
LIES = {
    **dict.fromkeys(TABLES_OWN, "a lie"), "emulated": "yes", "sum_correction": "scale=0.1", "number": 0, "pass": 7,
    "kind": "hello", "slowness": 1000.0,
}  # fmt: skip


def test_what_an_agent_lies_is_in_no_journal_and_no_table(tmp_path: Path) -> None:
    options = ProfileOptions(space="mbv3-w0.35", resolutions=(64,), limit=30, rounds=2, out=tmp_path / "t.csv")
    work = planned(options)
    agent = tmp_path / "agent.py"
    agent.write_text(LIAR)
    # without the lies that would break the lines themselves
    told = json.dumps({key: value for key, value in LIES.items() if key not in ("runtime", "device")})
    tables = []
    for argument in (told, "{}"):
        journal = Journal.create(tmp_path / "t.journal.jsonl", {})
        command = [sys.executable, str(agent), argument]
        driver = Driver(
            Ledger(work.plan, journal),
            {name: f"{name}.onnx" for name in work.plan.models},
            {},
            lambda manifest, command=command: local_agent(command, tmp_path, manifest, 20),
            progress=lambda *_: None,
        )
        outcome = carry_out(driver)
        journal.close()
        for record in journal.records:
            assert not {key for key, value in record.items() if value == "a lie"}
        visits = [(r["pass"], r["number"]) for r in journal.records if r["kind"] == "result"]
        assert visits == [(0, v.number) for v in work.plan.visits]
        target = Target("onnxruntime", 1, {}, lambda *_: iter(()), {"threads": "1"})
        tables.append(table_of(options, work, outcome, target, "a command"))
    lied, honest = tables
    different = {key for key in {**lied.header, **honest.header} if lied.header.get(key) != honest.header.get(key)}
    assert different <= {"when"}
    assert lied.rows == honest.rows


def test_a_planted_slowness_in_a_journal_is_not_believed(tmp_path: Path) -> None:
    """A journal of an older host holds whatever its agent said."""
    plan = make_plan([(block,) for block in all_blocks(get_space("mbv3-w0.35"), [128])[:3]], rounds=1, seed=0)
    journal = Journal.create(tmp_path / "j", {})
    for visit in plan.visits:
        journal.append(
            {**RESULT, "id": visit.model, "kind": "result", "pass": 0, "number": visit.number, "slowness": 9}
        )
    journal.close()
    assert all("slowness" not in record for record in Ledger(plan, journal).results.values())
