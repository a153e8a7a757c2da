"""Runs over hosts: nothing is lost when a host, a device or the run itself goes away, and the right thing is said."""

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from ofa.runs.journal import Journal
from profilers.lab import cluster
from profilers.lab.devices import Host
from profilers.lab.head import LabHead
from profilers.lab.orders import FilePiece, Look
from profilers.lab.plan import Job
from profilers.lab.run.driver import LabRun, Task
from profilers.lab.run.returned import Returned
from profilers.lab.words import asked_cores
from tests.helpers.labs import LocalHosts, job, phone, run_of


def finish(run: LabRun) -> None:
    try:
        run.to_the_end()
    finally:
        run.journal.close()


def alone(folder: Path, each: Job) -> tuple[str, str]:
    """Table and journal of the same command, typed by hand."""
    folder.mkdir()
    subprocess.run([sys.executable, "-m", *each.words], cwd=folder, check=True, env=os.environ, capture_output=True)
    return content(folder, each)


def content(folder: Path, each: Job) -> tuple[str, str]:
    table = folder / f"{each.subject}.csv"
    return table.read_text(), table.with_suffix(".journal.jsonl").read_text()


def test_a_job_of_the_lab_leaves_what_the_command_alone_does(hosts: LocalHosts, tmp_path: Path) -> None:
    jobs = [job(f"phone-{name}", seed=n) for n, name in enumerate(("a1", "a2", "b1", "b2"))]
    run = run_of(hosts, tmp_path / "out", jobs)
    finish(run)
    assert [(task.state, task.code, task.host) for task in run.tasks] == [("done", 0, h) for h in "aabb"]
    for n, each in enumerate(jobs[:2]):
        assert content(tmp_path / "out" / each.name, each) == alone(tmp_path / str(n), each)
    # what has been fetched is not kept on the hosts
    assert [*(tmp_path / "hosts").rglob("*.csv")] == []
    ended = Journal.read(tmp_path / "out" / "lab.journal.jsonl").records
    assert sorted(record["job"] for record in ended) == sorted(each.name for each in jobs)


@pytest.fixture
def half(tmp_path: Path) -> Path:
    """The moods of phones whose profilers stand at half of their visits: however long a machine needs to look at them.

    Without the file "half" they go on.
    """
    moods = tmp_path / "moods"
    moods.mkdir()
    (moods / "half").touch()
    return moods


def test_a_host_that_dies_costs_what_was_in_flight(hosts: LocalHosts, half: Path, tmp_path: Path) -> None:
    each = job("phone-a1", seed=7, visits=60, moods=half)
    said: list[str] = []
    run = run_of(hosts, tmp_path / "out", [each], said.append)
    journal = run.tasks[0].folder / "phone-a1.journal.jsonl"
    lines: list[int] = []

    def show(_: object) -> None:
        there = journal.read_bytes().count(b"\n") if journal.is_file() else 0
        if not lines and there > 20:
            lines.append(there)
            hosts.kill("a")
            (half / "half").unlink()
            hosts.jobs["b"].attach([phone("a1")])  # its cable is put into the other host

    run.show = show
    finish(run)
    assert run.tasks[0].host == "b"
    assert "host a went away (its node died); it goes on when the device is back" in said[0]
    # the visits that had come back were not made again: each stands there once
    table, left = content(run.tasks[0].folder, each)
    assert [record["visit"] for record in Journal.read(journal).records] == [*range(60)]
    assert (table, left) == alone(tmp_path / "alone", each)
    fresh = (tmp_path / "hosts" / "b").rglob("*.jsonl")
    assert [*fresh] == []


def test_a_device_that_goes_away_is_waited_for(hosts: LocalHosts, half: Path, tmp_path: Path) -> None:
    each = job("phone-a1", visits=40, moods=half)
    said: list[str] = []

    def say(line: str) -> None:
        said.append(line)
        if "went away" in line:  # plugged in again
            for mood in ("gone", "half"):
                (half / mood).unlink()
            hosts.jobs["a"].attach([phone("a1")])

    run = run_of(hosts, tmp_path / "out", [each], say)
    journal = run.tasks[0].folder / "phone-a1.journal.jsonl"

    def show(_: object) -> None:
        if journal.is_file() and journal.read_bytes().count(b"\n") > 5 and not said and not (half / "gone").exists():
            (half / "gone").touch()
            hosts.jobs["a"].attach([])

    run.show = show
    finish(run)
    assert said == [
        "tables/phone-a1 waits: its device went away (the phone is gone: go on by --resume); it goes on when the "
        "device is back",
        "tables/phone-a1 ended with 0 on a",
    ]
    assert content(run.tasks[0].folder, each) == alone(tmp_path / "alone", each)


def test_patience_ends(hosts: LocalHosts, tmp_path: Path) -> None:
    hosts.jobs["a"].attach([])
    run = run_of(hosts, tmp_path / "out", [job("phone-a1"), job("phone-b1")], patience_s=0.0)
    finish(run)
    assert [task.state for task in run.tasks] == ["failed", "done"]
    assert run.tasks[0].why == "its device is not in the lab now, for 0 minutes"


def test_a_full_disk_on_one_host_is_named_and_fails_only_there(hosts: LocalHosts, tmp_path: Path) -> None:
    moods = tmp_path / "moods"
    moods.mkdir()
    (moods / "full").touch()
    said: list[str] = []
    run = run_of(hosts, tmp_path / "out", [job("phone-a1", moods=moods), job("phone-b1")], said.append)
    finish(run)
    assert [task.state for task in run.tasks] == ["failed", "done"]
    error = "No space left on device: phone-a1.journal.jsonl"
    assert run.tasks[0].why == f"on a: {error}"
    # which host is first depends on the machine
    assert next(line for line in said if "phone-a1" in line) == f"tables/phone-a1 is tried again on a: {error}"


def test_two_jobs_of_a_device_run_one_after_the_other_and_another_runs_device_is_named(
    hosts: LocalHosts, half: Path, tmp_path: Path
) -> None:
    most: list[int] = []

    def show(_: object) -> None:
        most.append(len(hosts.jobs["a"].doing()))

    first = run_of(hosts, tmp_path / "1", [job("phone-a1", visits=50, moods=half)], run="one")
    first._step()
    said: list[str] = []

    def say(line: str) -> None:
        said.append(line)
        (half / "half").unlink(missing_ok=True)

    jobs = [job("phone-a1", seed=1), replace(job("phone-a1", seed=2), entry="more")]
    second = run_of(hosts, tmp_path / "2", jobs, say, show=show, run="two")
    finish(second)
    first.journal.close()
    assert said[0] == "tables/phone-a1 waits: on a: in use by me (one), for tables/phone-a1"
    assert [task.state for task in second.tasks] == ["done", "done"]
    assert max(most) == 1


def test_ctrl_c_ends_jobs_and_fetches_what_they_measured(hosts: LocalHosts, half: Path, tmp_path: Path) -> None:
    each = job("phone-a1", visits=100, moods=half)

    def show(tasks: list[Task]) -> None:
        journal = tasks[0].folder / "phone-a1.journal.jsonl"
        if journal.is_file() and journal.read_bytes().count(b"\n") > 5:
            raise KeyboardInterrupt

    run = run_of(hosts, tmp_path / "out", [each], show=show)
    with pytest.raises(KeyboardInterrupt):
        finish(run)
    (left,) = (tmp_path / "hosts" / "a").rglob("*.journal.jsonl")
    assert (run.tasks[0].folder / left.name).read_bytes() == left.read_bytes()
    assert hosts.jobs["a"].doing() == []


def test_a_run_that_was_killed_finds_its_job_still_running(hosts: LocalHosts, half: Path, tmp_path: Path) -> None:
    each = job("phone-a1", visits=60, moods=half)
    killed = run_of(hosts, tmp_path / "out", [each])
    killed._step()
    began = hosts.jobs["a"].doing()[0].began
    killed.journal.close()
    again = run_of(hosts, tmp_path / "out", [each])
    again._step()
    assert hosts.jobs["a"].doing()[0].began == began
    (half / "half").unlink()
    finish(again)
    assert content(again.tasks[0].folder, each) == alone(tmp_path / "alone", each)


def test_a_host_of_another_package_is_left_out(hosts: LocalHosts, tmp_path: Path) -> None:
    said: list[str] = []
    run = run_of(hosts, tmp_path / "out", [job("phone-a1")], said.append, patience_s=0, own="ofa-latency 9")
    finish(run)
    assert run.tasks[0].state == "failed"
    assert f"host a is left out: it has {hosts.package}, here is ofa-latency 9: install the same on all hosts" in said


def test_what_a_host_sends_stays_in_the_jobs_folder_and_is_checked(tmp_path: Path) -> None:
    returned = Returned(tmp_path / "job")
    for name in ("../x.csv", "/tmp/x", "a/../../x", "a\\..\\x", ""):
        with pytest.raises(ValueError, match="no name in a job's folder"):
            returned.take(Look("runs", (FilePiece(name, 0, b"1", "1"),)))
    returned.take(Look("runs", (FilePiece("j.jsonl", 0, b"12", "2"),)))
    returned.take(Look("runs", (FilePiece("j.jsonl", 2, b"34", "4"), FilePiece("new/t.csv", 0, b"5", "x", whole=True))))
    assert (tmp_path / "job/j.jsonl").read_bytes() == b"1234"
    assert returned.marks == {"j.jsonl": "4", "new/t.csv": "x"}
    assert returned.differing({"j.jsonl": "0" * 64}) == ["j.jsonl"]
    assert returned.marks == {"new/t.csv": "x"}


def test_the_cores_that_a_command_asks_for() -> None:
    assert asked_cores(["m", "--threads", "4", "--cpu", "2, 3"]) == (4, (2, 3))
    assert asked_cores(["m", "--threads=2", "--cpu=1"]) == (2, (1,))
    assert asked_cores(["m", "--threads"]) == (0, ())


def test_a_host_that_hangs_is_known_for_a_while_and_keeps_nobody_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    """Over Ray, whose answers are made up: what was asked is not asked again, and only a new host has all its time."""
    asked: list[str] = []
    waited: list[float] = []
    hanging: set[str] = set()

    class Actor:
        def __init__(self, name: str) -> None:
            self.facts = SimpleNamespace(remote=lambda: asked.append(name) or name)

    def answers(asked: dict[str, str], timeout_s: float, late: object) -> dict[str, object]:
        waited.append(timeout_s)
        return {host: late if host in hanging else Host(host, "1", {}) for host in asked}

    there = {name: Actor(name) for name in ("a", "b")}
    monkeypatch.setattr(cluster, "actors", lambda: there)
    monkeypatch.setattr(cluster, "answers", answers)
    hosts = cluster.RayHosts(LabHead({}))
    assert hosts.look().keys() == {"a", "b"}
    hanging.add("b")
    assert hosts.look().keys() == hosts.look().keys() == {"a", "b"}
    assert asked == ["a", "b", "a", "b", "a"]
    monkeypatch.setattr(cluster, "ANSWER_S", 0.0)
    assert hosts.look().keys() == {"a"}
    hanging.clear()
    assert hosts.look().keys() == {"a", "b"}
    del there["a"]
    assert hosts.look().keys() == {"b"}
    assert waited == [10.0, *[cluster.SLOW_S] * 5]
