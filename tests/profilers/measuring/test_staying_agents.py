"""Agents that stay from pass to pass, with what they have loaded, and are gone in the end."""

import os
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from ofa.runs.journal import Journal
from profilers.cpu import main
from profilers.measuring.conversation import agents_stay, local_agent
from profilers.measuring.events import AgentFailed, Begins, Done, Event, Hello, Result
from tests.helpers.machines import plant_machine

# notes who it is, makes its visits, and stays; dies of what is asked of it by a model's name
AGENT = """
import json, os, sys
def say(**line): print(json.dumps(line), flush=True)
def visits(names):
    for number, name in enumerate(names):
        if name == "dies first": os._exit(3)
        say(type="visit", visit=number, id=name)
        if name == "dies": os._exit(3)
        say(type="result", visit=number, id=name, samples_ns=[1000], cpu_ns=None, calls_per_sample=1)
    say(type="done", stays=manifest.get("stay", False) and manifest["able"])
manifest = json.load(open(sys.argv[1]))
open(os.path.join(os.path.dirname(sys.argv[1]), "pids"), "a").write(f"{os.getpid()}\\n")
say(type="hello", protocol=1, agent="a", runtime="r", device={})
visits(manifest["visits"])
for line in sys.stdin: visits(json.loads(line)["visits"])
"""
Ask = Callable[..., list[Event]]


@pytest.fixture
def ask(tmp_path: Path) -> Ask:
    """Asks for visits, and returns what is said."""
    (tmp_path / "agent.py").write_text(AGENT)

    def asked(*visits: str, others: tuple[str, ...] = (), able: bool = True, **more: Any) -> list[Event]:
        models = [{"id": name, "path": name} for name in ("a", "b", "dies", "dies first", *others)]
        manifest = {"protocol": 1, "able": able, "models": models, "visits": [*visits], **more}
        return list(local_agent([sys.executable, str(tmp_path / "agent.py")], tmp_path, manifest, 20.0))

    return asked


def started(folder: Path) -> list[int]:
    return [int(line) for line in (folder / "pids").read_text().split()]


def lives(pid: int) -> bool:
    return Path(f"/proc/{pid}").exists()


def made(events: list[Event]) -> list[str]:
    return [event.id for event in events if isinstance(event, Result)]


def test_an_agent_that_stays_makes_the_visits_of_later_passes(tmp_path: Path, ask: Ask) -> None:
    with agents_stay(tmp_path):
        first, second, third = ask("a", "b", "a"), ask("b"), ask("a", "b")
        (pid,) = started(tmp_path)
        assert lives(pid)
    assert not lives(pid)
    assert [made(events) for events in (first, second, third)] == [["a", "b", "a"], ["b"], ["a", "b"]]
    # it said hello once
    assert [sum(isinstance(event, Hello) for event in events) for events in (first, second, third)] == [1, 0, 0]
    assert all(isinstance(events[-1], Done) for events in (first, second, third))


def test_where_no_agent_may_stay_none_does(tmp_path: Path, ask: Ask) -> None:
    ask("a")
    with agents_stay(tmp_path / "another"):
        ask("a")
    assert len(started(tmp_path)) == 2
    assert not any(map(lives, started(tmp_path)))


@pytest.mark.parametrize("change", [{"others": ("c",)}, {"seed": 1}])
def test_what_it_does_not_know_another_agent_is_asked(tmp_path: Path, ask: Ask, change: dict[str, Any]) -> None:
    with agents_stay(tmp_path):
        ask("a")
        assert isinstance(ask("b", **change)[0], Hello)
        first, second = started(tmp_path)
        assert (lives(first), lives(second)) == (False, True)


def test_one_that_says_nothing_of_staying_is_gone(tmp_path: Path, ask: Ask) -> None:
    with agents_stay(tmp_path):
        ask("a", able=False)
        assert not lives(*started(tmp_path))
        ask("a", able=False)
    assert len(started(tmp_path)) == 2


def test_one_that_died_meanwhile_is_followed_by_another(tmp_path: Path, ask: Ask) -> None:
    with agents_stay(tmp_path):
        ask("a")
        os.kill(started(tmp_path)[0], 9)
        while b"Z" not in Path(f"/proc/{started(tmp_path)[0]}/stat").read_bytes().rsplit(b")")[1][:3]:
            time.sleep(0.01)
        assert made(ask("b", "a")) == ["b", "a"]
    assert len(started(tmp_path)) == 2


def test_one_that_dies_before_it_says_anything_is_followed_by_another_and_a_visit_is_blamed_as_ever(
    tmp_path: Path, ask: Ask
) -> None:
    with agents_stay(tmp_path):
        ask("a")
        # both do, the second as a new agent whose visits the driver knows how to take
        with pytest.raises(AgentFailed, match="exited with code 3"):
            ask("dies first")
        assert len(started(tmp_path)) == 2
        ask("a")
        with pytest.raises(AgentFailed, match="exited with code 3"):
            ask("a", "dies", "b")
        assert len(started(tmp_path)) == 3
        assert made(ask("a")) == ["a"]
    assert not any(map(lives, started(tmp_path)))


def test_one_that_is_not_listened_to_is_gone(tmp_path: Path, ask: Ask) -> None:
    del ask
    models = [{"id": "a", "path": "a"}]
    manifest = {"protocol": 1, "able": True, "models": models, "visits": ["a", "a"]}
    with agents_stay(tmp_path):
        events: Iterator[Event] = local_agent([sys.executable, str(tmp_path / "agent.py")], tmp_path, manifest, 20.0)
        assert isinstance(next(event for event in events if isinstance(event, Begins)), Begins)
        events.close()  # type: ignore[attr-defined]
        assert not lives(*started(tmp_path))


def test_an_error_on_the_way_leaves_none(tmp_path: Path, ask: Ask) -> None:
    with pytest.raises(KeyboardInterrupt), agents_stay(tmp_path):
        ask("a")
        raise KeyboardInterrupt
    assert not lives(*started(tmp_path))


@pytest.mark.slow
def test_visits_that_are_made_again_are_made_by_the_same_openvino_agent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("openvino", reason="OpenVINO is not installed: pip install 'ofa-latency[openvino]'")
    plant_machine(monkeypatch, "busy")
    asked = ["--space", "mbv3-w0.35", "--resolutions", "32", "--limit", "6", "--timing", "warm", "--quick"]

    def records(runtime: str) -> list[dict[str, Any]]:
        out = tmp_path / f"{runtime}.csv"
        assert main([*asked, "--runtime", runtime, "--out", str(out)]) == 0
        return Journal.read(out.with_suffix(".journal.jsonl")).records

    for runtime, agents in (("openvino", 1), ("onnxruntime", 3)):
        kinds = [record["kind"] for record in records(runtime)]
        assert (kinds.count("pass"), kinds.count("hello")) == (2, agents)
