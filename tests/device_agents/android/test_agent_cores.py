"""The phone agent and its cores: it stays where it was put, says when it did not, and waits until the clock is up."""

import json
import os
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Talk = Callable[..., list[dict]]
WriteFake = Callable[[Path, str, str], None]
CPUS = os.cpu_count() or 1
QUICK = {
    "warmup_runs": 1, "warmup_seconds": 0, "min_runs": 2, "max_runs": 2, "max_seconds": 5, "target_error": 0,
    "min_sample_us": 0,
}  # fmt: skip
several_cores = pytest.mark.skipif(CPUS < 2, reason="there is one core")


def results(events: list[dict]) -> list[dict]:
    return [event for event in events if event["type"] == "result"]


def test_a_core_that_slept_is_warmed_until_its_clock_no_longer_rises(system: Any, write_fake: WriteFake) -> None:
    clock = system.clock(0, "scaling_cur_freq", 1_000_000)
    write_fake(system.agent, "a", f"spin 100 ramp {clock}")
    rules = {**QUICK, "settle": 0.03, "warmup_max_seconds": 60}
    (result,) = results(system.heard(visits=["a"], cpus=[0], rules=rules))
    assert (result["clock_mhz_before"], result["clock_mhz_after"]) == (2800, 2800)


def test_the_clock_before_is_that_of_a_warm_core(system: Any, write_fake: WriteFake) -> None:
    clock = system.clock(0, "scaling_cur_freq", 1_000_000)
    write_fake(system.agent, "a", f"spin 10 ramp {clock}")
    (result,) = results(system.heard(visits=["a"], cpus=[0], rules={**QUICK, "warmup_runs": 200}))
    assert result["clock_mhz_before"] == 2800


def test_after_a_rest_the_warm_up_is_as_long_as_asked(fake: Path, talk: Talk) -> None:
    (result,) = results(talk(fake, visits=["a"], rules={**QUICK, "warmup_seconds_after_rest": 0.1}))
    assert result["warmup_ns"] >= 100_000_000


def test_a_clock_that_never_settles_is_not_waited_for_for_ever(system: Any, write_fake: WriteFake) -> None:
    clock = system.clock(0, "scaling_cur_freq", 1_000_000)
    write_fake(system.agent, "a", f"spin 1000 ramp {clock}")
    rules = {**QUICK, "settle": 1e-9, "warmup_max_seconds": 0}
    (result,) = results(system.heard(visits=["a"], cpus=[0], rules=rules))
    assert result["clock_mhz_before"] < 2800


def test_what_a_clock_may_rise_to_is_told(system: Any) -> None:
    system.clock(0, "scaling_max_freq", 2_100_000)
    (result,) = results(system.heard(visits=["a"], cpus=[0]))
    assert result["clock_limit_mhz"] == 2100


@several_cores
def test_a_visit_that_ran_elsewhere_says_so_and_the_next_is_pinned_again(system: Any, write_fake: WriteFake) -> None:
    write_fake(system.agent, "a", f"flee {CPUS - 1} spin 10")
    first, second = results(system.heard(visits=["a", "b"], cpus=[0], rules=QUICK))
    assert (first["cpu"], first["throttling"]) == (CPUS - 1, ["ran on another core"])
    assert (second["cpu"], second["throttling"]) == (0, [])


def test_a_core_that_cannot_be_had_is_said_after_it_was_called(fake: Path, talk: Talk) -> None:
    (event,) = talk(fake, code=1, cpus=[min(CPUS + 100, 1000)])
    assert "cannot be pinned to cpus: Invalid argument: CPU " in event["message"]
    assert event["message"].endswith("is off, or kept for others: choose another by --cpu")


@several_cores
def test_heartbeats_do_not_come_from_the_timed_core(
    fake: Path, manifest_with: Callable[..., dict], write_fake: WriteFake
) -> None:
    write_fake(fake, "a", "sleep 60")
    (fake / "manifest.json").write_text(json.dumps(manifest_with(visits=["a"], cpus=[0], heartbeat_seconds=0.1)))
    agent = subprocess.Popen(
        ["./agent", "manifest.json"],
        cwd=fake,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        preexec_fn=lambda: os.sched_setaffinity(0, range(CPUS)),
    )
    assert agent.stdout is not None
    try:
        while b"heartbeat" not in agent.stdout.readline():
            time.sleep(0.01)
        threads = {int(task.name) for task in Path(f"/proc/{agent.pid}/task").iterdir()} - {agent.pid}
        assert os.sched_getaffinity(agent.pid) == {0}
        assert set(range(1, CPUS)) in [os.sched_getaffinity(thread) for thread in threads]
    finally:
        agent.kill()
        agent.wait()
        agent.stdout.close()


def test_several_threads_tell_the_time_of_all_of_them(fake: Path, talk: Talk, write_fake: WriteFake) -> None:
    # another thread computes for 2 ms of its own time, for which the one that calls waits
    write_fake(fake, "a", "helper 2000")
    result, *_ = results(talk(fake, threads=2))
    assert result["cpu_ns"] is None
    assert len(result["process_cpu_ns"]) == len(result["samples_ns"])
    assert min(result["process_cpu_ns"]) >= 2_000_000
    alone, *_ = results(talk(fake, threads=1))
    assert max(alone["cpu_ns"]) < 2_000_000
