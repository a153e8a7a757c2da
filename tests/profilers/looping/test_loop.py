"""A loop on this machine's CPU by the real agent, a moment long, and agents that break it off."""

import os
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from ofa.blocks import Block
from ofa.errors import InputError
from profilers.devices.local_cpu import cpu_target
from profilers.looping.loop import Loop, make_loop, open_loop
from profilers.looping.minutes import BEHIND, WINDOWS, LoopPlan, Record, sustained_of
from profilers.measuring.events import AgentFailed, Begins, Done, Error, Event, Hello, Result
from profilers.measuring.target import Target

CHAIN = (Block("mbconv", 7, 8, 24, 8, 3, 1, "relu", False, True),)
PLAN = LoopPlan(2, None, minute_s=0.48)


def run(folder: Path, target: Target, plan: LoopPlan = PLAN, watch: Any = lambda _: None, resume: bool = False) -> Loop:
    journal, made = open_loop(folder / "j.jsonl", {"seed": 0}, plan, resume=resume)
    try:
        return made or make_loop(journal, target, CHAIN, plan, 0, watch)
    finally:
        journal.close()


@pytest.fixture
def this_cpu() -> Target:
    return cpu_target("onnxruntime", 1, 1, [max(os.sched_getaffinity(0))], 60.0)


@pytest.mark.live
def test_a_loop_runs_on_from_window_to_window_and_is_read_again(this_cpu: Target, tmp_path: Path) -> None:
    seen: list[int] = []
    loop = run(tmp_path, this_cpu, watch=lambda windows: seen.append(len(windows)))
    assert seen == list(range(1, 2 * WINDOWS + 1))
    begins = [window["loop_ns"] for window in loop.windows]
    # no window begins before the one before has ended, nor before its time
    ends = [window["loop_ns"] + window["timed_ns"] for window in loop.windows]
    assert all(end <= begin for end, begin in zip(ends[:-1], begins[1:], strict=True))
    assert all(begin >= 40_000_000 * i for i, begin in enumerate(begins))
    # loaded and warmed up once
    assert [window["setup_ns"] > 0 for window in loop.windows] == [True] + [False] * (2 * WINDOWS - 1)
    assert all(window["late"] == 0 for window in loop.windows)
    assert sustained_of(loop.windows, PLAN).burst.median_ms > 0
    # what was made whole is not run again
    again = run(tmp_path, replace(this_cpu, start=lambda *_: pytest.fail("started")), resume=True)
    assert again == loop
    with pytest.raises(InputError, match=r"was begun without loop\.rate_hz, but this one has loop\.rate_hz = 30"):
        run(tmp_path, this_cpu, LoopPlan(2, 30.0, PLAN.minute_s), resume=True)


@pytest.mark.live
def test_at_a_rate_runs_begin_at_their_times_and_no_sooner(this_cpu: Target, tmp_path: Path) -> None:
    rate = 100.0
    loop = run(tmp_path, this_cpu, LoopPlan(2, rate, minute_s=0.48))
    made = 0
    for window in loop.windows:
        made += len(window["samples_ns"])
        assert window["calls_per_sample"] == 1
        assert made <= rate * (window["loop_ns"] + window["timed_ns"]) / 1e9
    # a rate that no network keeps: runs follow each other, and say so
    hurried = run(tmp_path, this_cpu, LoopPlan(2, 1e6, minute_s=0.12))
    assert all(window["late"] > 0 for window in hurried.windows)


@pytest.mark.live
def test_a_rate_slower_than_windows_has_a_run_in_each(this_cpu: Target, tmp_path: Path) -> None:
    loop = run(tmp_path, this_cpu, LoopPlan(2, 100.0, minute_s=0.012))
    # by a planted clock it is exactly one: tests/device_agents/test_cpu_loop.py; this machine may stand still
    assert len(loop.windows) == 2 * WINDOWS
    begun = np.cumsum([len(window["samples_ns"]) for window in loop.windows])
    ends = np.array([window["loop_ns"] + window["timed_ns"] for window in loop.windows])
    assert (begun <= ends // 10_000_000).all()


def saying(events: Sequence[Event]) -> Target:
    """A device whose agent says no more than that."""

    def start(_folder: Path, manifest: Any) -> Iterator[Event]:
        assert manifest["sustained"] == {"window_seconds": 0.04, "rate_hz": None}
        yield from events

    return Target("onnxruntime", 1, {}, start, {})


HELLO = Hello("cpu", "onnxruntime 1", {})


def result(visit: int, name: str = "network", **watched: Any) -> Result:
    return Result(visit, name, [1000], None, 1, {"loop_ns": visit, "timed_ns": 1, "late": 0, **watched})


@pytest.mark.parametrize(
    ("events", "kind", "words"),
    [
        ([result(0), result(1), Done()], AgentFailed, "the agent was done after 2 of 24 windows"),
        ([result(0), result(2)], AgentFailed, "spoke of visit 2 of 'network', but visit 1 was due"),
        ([result(0, "other")], AgentFailed, "spoke of visit 0 of 'other'"),
        ([Begins(1, "network")], AgentFailed, "but visit 0 was due"),
        ([Error(0, "network", "no memory")], InputError, "the network cannot be run in a loop: no memory"),
        ([replace(result(0), watched={})], InputError, "the agent on the device knows no loops: build it again"),
        ([result(0, loop_ns=None)], AgentFailed, "the agent's window has no sound loop_ns: nothing"),
        ([result(0, late=-1)], AgentFailed, "the agent's window has no sound late: -1"),
    ],
)
def test_an_agent_that_breaks_a_loop_off_is_told(
    tmp_path: Path, events: list[Event], kind: type[Exception], words: str
) -> None:
    with pytest.raises(kind, match=words):
        run(tmp_path, saying([HELLO, *events]))


def test_a_device_that_sleeps_falls_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # its clock goes on by 40 ms a window, ours by 2 s more from the fifth on
    ours = iter([100 + 0.04 * (i + 1) + (2 if i > 3 else 0) for i in range(2 * WINDOWS)])
    monkeypatch.setattr("profilers.looping.loop.time", SimpleNamespace(monotonic=lambda: next(ours)))
    windows = [result(i, loop_ns=40_000_000 * i, timed_ns=40_000_000) for i in range(2 * WINDOWS)]
    loop = run(tmp_path, saying([HELLO, *windows, Done()]))
    assert [window[BEHIND] for window in loop.windows] == pytest.approx([0.0] * 4 + [2.0] * 20)
    assert sustained_of(loop.windows, PLAN).doubts == ("in minute 1 the device slept, or this computer did, for 2.0 s",)


def test_a_loop_that_was_ended_begins_again_and_a_damaged_one_too(tmp_path: Path) -> None:
    events = [HELLO, *(result(i) for i in range(2 * WINDOWS)), Done()]
    with pytest.raises(AgentFailed):
        run(tmp_path, saying([*events[:20], Done()]))
    kept: list[Record] = []
    loop = run(tmp_path, saying(events), watch=kept.extend, resume=True)
    assert [{key: value for key, value in window.items() if key != BEHIND} for window in loop.windows] == [
        event.record() for event in events if isinstance(event, Result)
    ]
    assert kept
    path = tmp_path / "j.jsonl"
    lines = path.read_bytes().splitlines(keepends=True)
    for damaged in (lines[:-1], [*lines[:-3], b'{"kind": "wind', *lines[-2:]]):
        path.write_bytes(b"".join(damaged))
        journal, made = open_loop(path, {"seed": 0}, PLAN, resume=True)
        journal.close()
        assert made is None
    path.write_bytes(b"".join(lines).replace(b'"type": "hello"', b'"type": "visit"'))
    with pytest.raises(InputError, match="is damaged: remove it, and --resume begins the loop again"):
        open_loop(path, {"seed": 0}, PLAN, resume=True)
