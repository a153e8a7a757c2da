"""Models that the CPU agent loads before the first visit, several at once."""

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from device_agents.cpu import ahead, machine, openvino_runtime
from device_agents.cpu.ahead import awaited, files_of_visits, load_ahead, smallest_then_longest
from device_agents.cpu.machine import computes
from ofa.blocks import Block
from profilers.devices import local_cpu
from profilers.devices.local_cpu import cpu_target
from profilers.measuring import conversation
from profilers.measuring.events import AgentFailed, Begins, Done, Error, Event, Hello, Loading, Result
from profilers.measuring.models import write_models

AGENT = Path(__file__).resolve().parents[2] / "device_agents" / "cpu" / "agent.py"
RULES = {
    "warmup_runs": 2, "warmup_seconds": 0, "min_runs": 3, "max_runs": 5, "max_seconds": 5, "target_error": 0,
    "min_sample_us": 50,
}  # fmt: skip
# more than twice as many as are loaded at once anywhere
COUNT = 2 * ahead._MOST_AT_ONCE + 3
KERNEL = ("layerType", "primitiveType", "runtimePrecision", "outputPrecisions", "outputLayouts")
HERE = [max(os.sched_getaffinity(0))]
bf16 = pytest.param("bf16", marks=pytest.mark.skipif(not computes("bf16"), reason="this CPU has no bf16"))


@pytest.fixture
def models(tmp_path: Path) -> dict[str, str]:
    """{id: file} of different blocks."""
    pytest.importorskip("openvino", reason="OpenVINO is not installed: pip install 'ofa-latency[openvino]'")
    blocks = {f"b{i}": (Block("mbconv", 8, 8, 24 + 8 * i, 8, 3, 1, "h_swish", i % 2 == 0, True),) for i in range(COUNT)}
    return write_models(blocks, "openvino", tmp_path, 1)


def said(folder: Path, files: Mapping[str, str], told: str = "", **changes: Any) -> list[dict[str, Any]]:
    """What the agent says but heartbeats. told: over its standard input"""
    manifest = {
        "protocol": 1, "runtime": "openvino", "threads": 1, "cpus": HERE, "seed": 0, "rules": RULES,
        "visits": [*files, *files], "models": [{"id": name, "path": file} for name, file in files.items()],
        "load_ahead": True, **changes,
    }  # fmt: skip
    (folder / "manifest.json").write_text(json.dumps(manifest))
    done = subprocess.run([sys.executable, AGENT, folder / "manifest.json"], capture_output=True, text=True, input=told)
    assert done.returncode == 0, done.stderr
    return [event for event in map(json.loads, done.stdout.splitlines()) if event["type"] != "heartbeat"]


def test_every_model_is_loaded_once_before_the_first_visit(tmp_path: Path, models: dict[str, str]) -> None:
    hello, *events = said(tmp_path, models)
    loading, visits = events[: COUNT + 1], events[COUNT + 1 :]
    assert hello["type"] == "hello"
    assert loading == [{"type": "loading", "loaded": n, "files": COUNT} for n in range(COUNT + 1)]
    assert [e["type"] for e in visits] == ["visit", "result"] * (2 * COUNT) + ["done"]


def test_nothing_is_loaded_ahead_unless_it_is_asked_for_or_where_each_visit_loads_anew(
    tmp_path: Path, models: dict[str, str]
) -> None:
    for changes in ({"load_ahead": False}, {"runtime": "onnxruntime"}):
        assert not [e for e in said(tmp_path, dict([*models.items()][:3]), **changes) if e["type"] == "loading"]


def test_a_model_that_cannot_be_loaded_fails_at_its_visit_and_the_others_do_not(
    tmp_path: Path, models: dict[str, str]
) -> None:
    (tmp_path / models["b4"]).write_bytes(b"no model")
    (tmp_path / models["b5"]).unlink()
    ends = {(e["id"], e["type"]) for e in said(tmp_path, models) if e["type"] in ("result", "error")}
    assert ends == {(name, "error" if name in ("b4", "b5") else "result") for name in models}


def test_an_agent_that_is_to_stay_makes_further_visits_until_nobody_asks(
    tmp_path: Path, models: dict[str, str]
) -> None:
    few = dict([*models.items()][:3])
    told = "".join(json.dumps({"visits": names}) + "\n" for names in (["b2"], ["b0", "b2"]))
    events = said(tmp_path, few, told, stay=True)
    assert [e["id"] for e in events if e["type"] == "result"] == [*few, *few, "b2", "b0", "b2"]
    assert [e for e in events if e["type"] == "done"] == 3 * [{"type": "done", "stays": True}]
    # where each visit loads anew, another agent may as well be started
    (*_, last) = said(tmp_path, few, told, stay=True, runtime="onnxruntime")
    assert last == {"type": "done"}


@pytest.mark.parametrize("dtype", ["fp32", "int8", bf16])
def test_models_loaded_several_at_once_have_the_kernels_and_numbers_of_those_loaded_alone(
    tmp_path: Path, dtype: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("openvino", reason="OpenVINO is not installed: pip install 'ofa-latency[openvino]'")
    blocks = {f"b{i}": (Block("mbconv", 8, 8, 24 + 8 * i, 8, 3, 1, "relu", i % 2 == 0, True),) for i in range(COUNT)}
    files = [tmp_path / name for name in write_models(blocks, "openvino", tmp_path, 1, dtype).values()]
    computed = "bf16" if dtype == "bf16" else "fp32"
    monkeypatch.setattr(ahead, "pin_all", lambda _: None)
    monkeypatch.setattr(ahead, "near", lambda *_: [0, 1, 2, 3])

    def found() -> list[tuple[list[tuple[str, ...]], np.ndarray]]:
        both = []
        for file in files:
            compiled = openvino_runtime._compiled(file, 1, computed)
            nodes = [node.get_rt_info() for node in compiled.get_runtime_model().get_ordered_ops()]
            kernels = [tuple(facts[key].astype(str) for key in KERNEL if key in facts) for facts in nodes]
            request = compiled.create_infer_request()
            given = request.get_input_tensor()
            given.data[:] = openvino_runtime._noise_like(given, np.random.default_rng(1))
            request.infer()
            both.append((kernels, request.get_output_tensor().data.copy()))
        return both

    monkeypatch.setattr(openvino_runtime, "_loaded", {})
    prepare = lambda file: openvino_runtime.prepare_openvino(file, 1, computed)  # noqa: E731
    assert list(load_ahead(prepare, files, [0], [0, 1, 2, 3])) == list(range(COUNT + 1))
    assert len(openvino_runtime._loaded) == COUNT
    together = found()
    monkeypatch.setattr(openvino_runtime, "_loaded", {})
    for (kernels, values), (kernels_alone, values_alone) in zip(together, found(), strict=True):
        assert kernels == kernels_alone
        np.testing.assert_array_equal(values, values_alone)


def test_where_memory_is_short_nothing_is_loaded_ahead(
    tmp_path: Path, models: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(openvino_runtime, "half_is_available", lambda: False)
    monkeypatch.setattr(openvino_runtime, "_loaded", {})
    openvino_runtime.prepare_openvino(tmp_path / models["b0"], 1)
    assert not openvino_runtime._loaded
    assert not list(tmp_path.glob("*.blob"))


def test_the_files_of_what_is_visited_each_once() -> None:
    models = {"a": {"path": Path("1")}, "b": {"parts": [Path("1"), Path("2")]}, "c": {"path": Path("3")}}
    assert files_of_visits(["b", "a", "b", "a"], models) == [Path("1"), Path("2")]


def test_the_process_may_use_the_other_cpus_as_long_as_it_loads(monkeypatch: pytest.MonkeyPatch) -> None:
    pinned: list[Sequence[int]] = []
    loaded: list[tuple[str, Sequence[int]]] = []
    monkeypatch.setattr(ahead, "pin_all", pinned.append)
    monkeypatch.setattr(ahead, "near", lambda _, usable: [*usable])
    steps = load_ahead(
        lambda path: loaded.append((str(path), pinned[-1:])), [Path("a"), Path("b"), Path("c")], [3], [2, 3]
    )
    assert list(steps) == [0, 1, 2, 3]
    # the first, which starts the runtime, where it is timed; the others on both
    assert [on for _, on in loaded] == [[], [[2, 3]], [[2, 3]]]
    assert pinned == [[2, 3], [3]]


def test_the_smallest_comes_first_and_then_the_longest(tmp_path: Path) -> None:
    paths = [tmp_path / f"m{size}" for size in (3, 9, 1, 5)]
    for path in paths[:3]:
        path.write_bytes(bytes(int(path.name[1:])))
    assert [path.name for path in smallest_then_longest(paths)] == ["m5", "m9", "m3", "m1"]  # m5 is not there
    assert [*load_ahead(lambda _: None, smallest_then_longest([]), [], [])] == [0]


# ---- while models are being written


def appear(paths: Sequence[Path], contents: Sequence[bytes], pause_s: float) -> threading.Thread:
    """Writes files one after the other, each after a pause."""

    def work() -> None:
        for path, content in zip(paths, contents, strict=True):
            time.sleep(pause_s)
            path.with_suffix(".partial").write_bytes(content)
            path.with_suffix(".partial").replace(path)

    thread = threading.Thread(target=work)
    thread.start()
    return thread


def test_files_are_awaited_in_their_order_those_that_nobody_wants_too(tmp_path: Path) -> None:
    paths = [tmp_path / f"m{i}" for i in range(20)]
    thread = appear(paths, [b"whole"] * 20, 0.03)
    besides = tmp_path / "a piece, written before"
    besides.touch()
    wanted = [besides, *paths[1:19:2]]
    assert [path for path in awaited(paths, wanted) if path is not None] == [*wanted[1:], besides]
    assert paths[-1].is_file()
    thread.join()


def test_what_is_waited_for_long_is_said_to_be(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ahead, "_LOOK_S", 0.0)
    late = tmp_path / "late"
    coming = awaited([late], [late])
    assert [next(coming), next(coming)] == [None, None]
    late.touch()
    assert [*coming] == [late]
    steps = load_ahead(lambda _: None, iter([None, tmp_path, None, tmp_path, tmp_path]), [], [])
    assert [*steps] == [0, 0, 1, 1, 2, 3]


@pytest.mark.parametrize("load_ahead", [True, False])
def test_an_agent_visits_nothing_before_all_that_it_awaits_is_written(
    tmp_path: Path, models: dict[str, str], load_ahead: bool
) -> None:
    paths = [tmp_path / file for file in models.values()][:8]
    contents = [path.read_bytes() for path in paths]
    for path in paths:
        path.unlink()
    few = dict([*models.items()][:3])  # a resumed measurement visits some of them
    thread = appear(paths, contents, 0.25)
    events = said(tmp_path, few, load_ahead=load_ahead, awaits=[path.name for path in paths])
    thread.join()
    assert [e["type"] for e in events].count("result") == 2 * len(few)
    begun = [e["type"] for e in events].index("visit")
    assert {e["type"] for e in events[1:begun]} == {"loading"}
    assert {e["type"] for e in events[begun:]} == {"visit", "result", "done"}


def test_only_cpus_with_the_same_memory_load(tmp_path: Path) -> None:
    for cpu, node in ((0, 0), (1, 0), (2, 1), (3, 1)):
        (tmp_path / f"cpu{cpu}" / f"node{node}").mkdir(parents=True)
    assert machine.near([1], [0, 1, 2], tmp_path) == [0, 1]
    assert machine.near([1, 2], [0, 2, 3], tmp_path) == [0, 2, 3]
    # a kernel that tells of no nodes has one
    assert machine.near([1], [0, 1, 2], tmp_path / "none") == [0, 1, 2]
    assert machine.near([], [], tmp_path) == []


def test_all_threads_of_a_process_are_pinned() -> None:
    """In a process of its own, which the test's other threads are none of."""
    if len(cpus := sorted(os.sched_getaffinity(0))) < 2:
        pytest.skip("this process may use one CPU")
    program = (
        "import os, sys, threading; sys.path.insert(0, sys.argv[1])\n"
        "from device_agents.cpu.machine import pin_all\n"
        f"os.sched_setaffinity(0, {cpus})\n"
        "threading.Thread(target=threading.Event().wait, daemon=True).start()\n"
        f"pin_all([{cpus[-1]}])\n"
        "print({tuple(os.sched_getaffinity(int(t))) for t in os.listdir('/proc/self/task')}, flush=True)\n"
        "os._exit(0)"
    )
    done = subprocess.run([sys.executable, "-c", program, str(AGENT.parents[2])], capture_output=True, text=True)
    assert done.stdout.strip() == f"{{({cpus[-1]},)}}", done.stderr


# ---- the host

HELLO = Hello("cpu", "openvino 1", {})


def events_of(agents: list[list[Event | AgentFailed]], patched: pytest.MonkeyPatch) -> tuple[list[Event], list[bool]]:
    """What the host hears of agents that say this, one after the other, and which of them were to load ahead."""
    asked: list[bool] = []

    def agent(*given: Any) -> Iterator[Event]:
        asked.append(given[2].get("load_ahead", False))
        for event in agents[len(asked) - 1]:
            if isinstance(event, AgentFailed):
                raise event
            yield event

    patched.setattr(local_cpu, "local_agent", agent)
    patched.setattr(local_cpu, "check_runtime", lambda _: None)
    return list(cpu_target("openvino", 1, 1, None, 9.0).start(Path(), {})), asked


def test_an_agent_that_ends_while_it_loads_is_followed_by_one_that_loads_at_each_visit(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ended = [HELLO, Loading(), Loading(), AgentFailed("the agent was ended by signal 9")]
    rest: list[Event | AgentFailed] = [HELLO, Begins(0, "a"), Error(0, "a", "m"), Done()]
    assert events_of([[*ended], rest], monkeypatch) == ([*ended[:-1], *rest], [True, False])


@pytest.mark.parametrize("before", [[], [HELLO], [HELLO, Loading(), Begins(0, "a")]])
def test_an_agent_that_ends_at_any_other_time_is_the_drivers_business(
    before: list[Event | AgentFailed], monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(AgentFailed, match="ended by signal 9"):
        events_of([[*before, AgentFailed("the agent was ended by signal 9")]], monkeypatch)


def test_a_real_agent_that_is_killed_while_it_loads(
    tmp_path: Path, models: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    started = 0

    def agent(command: Sequence[str], folder: Path, manifest: Mapping[str, Any], timeout_s: float) -> Iterator[Event]:
        nonlocal started
        started += 1
        doomed = started == 1
        for event in conversation.local_agent(command, folder, manifest, timeout_s):
            if doomed and isinstance(event, Loading):
                (pid,) = [p for p in Path("/proc").glob("[0-9]*") if str(folder).encode() in read(p / "cmdline")]
                os.kill(int(pid.name), 9)
                doomed = False
            yield event

    monkeypatch.setattr(local_cpu, "local_agent", agent)
    manifest = {
        "protocol": 1, "runtime": "openvino", "threads": 1, "cpus": HERE, "seed": 0, "rules": RULES,
        "visits": [*models], "models": [{"id": name, "path": file} for name, file in models.items()],
    }  # fmt: skip
    events = [*cpu_target("openvino", 1, 1, HERE, 60.0).start(tmp_path, manifest)]
    assert started == 2
    assert [event.id for event in events if isinstance(event, Result)] == [*models]


def read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        return b""
