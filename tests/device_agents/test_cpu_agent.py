"""The CPU agent: it stands alone, and keeps to the protocol."""

import ast
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from device_agents.cpu import machine, runtimes
from device_agents.cpu.timing import relative_error_of_median
from ofa.blocks import Block
from ofa.graph import block_graph, network_graph
from ofa.graph.onnx import write_onnx
from profilers.measuring.models import RUNTIMES, writer_of
from tests.helpers.chains import SameByShape

FOLDER = Path(__file__).resolve().parents[2] / "device_agents" / "cpu"
AGENT = "device_agents/cpu/agent.py"
BLOCK = Block("mbconv", 7, 8, 24, 8, 3, 1, "relu", False, True)
RULES = {
    "warmup_runs": 2, "warmup_seconds": 0, "min_runs": 5, "max_runs": 9, "max_seconds": 5, "target_error": 0,
    "min_sample_us": 50,
}  # fmt: skip


@pytest.fixture
def alone(tmp_path: Path) -> Path:
    """A folder with nothing but the agent's and two models."""
    shutil.copytree(FOLDER, tmp_path / "device_agents" / "cpu", ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("a", "b"):
        (tmp_path / f"{name}.onnx").write_bytes(write_onnx(block_graph(BLOCK)))
    return tmp_path


def talk(folder: Path, code: int = 0, **changes: object) -> list[dict]:
    manifest = {
        "protocol": 1, "runtime": "onnxruntime", "threads": 1, "cpus": [max(os.sched_getaffinity(0))], "seed": 0,
        "rules": RULES, "visits": ["a", "b", "a"], "something_newer": 1,
        "models": [{"id": "a", "path": "a.onnx"}, {"id": "b", "path": "b.onnx"}], **changes,
    }  # fmt: skip
    (folder / "manifest.json").write_text(json.dumps(manifest))
    done = subprocess.run([sys.executable, "-I", AGENT, "manifest.json"], cwd=folder, capture_output=True, text=True)
    assert done.returncode == code, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_it_imports_nothing_of_the_host() -> None:
    imported = set()
    for node in (node for path in FOLDER.glob("*.py") for node in ast.walk(ast.parse(path.read_text()))):
        if isinstance(node, ast.Import):
            imported |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0
            assert node.module is not None
            own = node.module.startswith("device_agents.cpu.")
            imported |= set() if own else {node.module.split(".")[0]}
    runtimes = {"onnxruntime", "openvino", "ai_edge_litert", "tflite_runtime", "torch"}
    assert imported - set(sys.stdlib_module_names) == {"numpy", *runtimes}


def test_a_copy_of_it_alone_makes_every_visit(alone: Path) -> None:
    events = talk(alone)
    assert [e["type"] for e in events if e["type"] != "heartbeat"] == ["hello", *["visit", "result"] * 3, "done"]
    hello, results = events[0], [e for e in events if e["type"] == "result"]
    assert hello["protocol"] == 1
    assert hello["runtime"].startswith("onnxruntime ")
    assert hello["device"]["cpus"] == [max(os.sched_getaffinity(0))]
    assert [(r["visit"], r["id"]) for r in results] == [(0, "a"), (1, "b"), (2, "a")]
    for r in results:
        # target_error 0 is never reached: the rule on runs ends it
        assert len(r["samples_ns"]) == len(r["cpu_ns"]) == RULES["max_runs"]
        assert min(r["samples_ns"]) > 0
        assert sum(r["samples_ns"]) <= r["timed_ns"]


def test_short_calls_share_a_sample(alone: Path) -> None:
    rules = {**RULES, "min_sample_us": 20_000}
    (result,) = [e for e in talk(alone, visits=["a"], rules=rules) if e["type"] == "result"]
    assert result["calls_per_sample"] > 10
    assert min(result["samples_ns"]) > 1_000_000


def test_timing_stops_when_the_median_is_known_well_enough(alone: Path) -> None:
    rules = {**RULES, "max_runs": 1000, "target_error": 1e9}
    (result,) = [e for e in talk(alone, visits=["a"], rules=rules) if e["type"] == "result"]
    assert len(result["samples_ns"]) == RULES["min_runs"]


def test_threads_have_no_cpu_times(alone: Path) -> None:
    (result,) = [e for e in talk(alone, visits=["a"], threads=2) if e["type"] == "result"]
    assert result["cpu_ns"] is None


def test_an_agent_whose_host_is_gone_ends(alone: Path) -> None:
    # the host reads one line and is gone; the one visit would go on for minutes
    endless = {**RULES, "max_runs": 10**9, "max_seconds": 600}
    manifest = {
        "protocol": 1, "runtime": "onnxruntime", "threads": 1, "cpus": [max(os.sched_getaffinity(0))], "seed": 0,
        "rules": endless, "visits": ["a"], "models": [{"id": "a", "path": "a.onnx"}],
        "heartbeat_seconds": 0.1,
    }  # fmt: skip
    (alone / "manifest.json").write_text(json.dumps(manifest))
    agent = subprocess.Popen(
        [sys.executable, AGENT, "manifest.json"], cwd=alone, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    )
    assert agent.stdout is not None
    agent.stdout.readline()
    agent.stdout.close()
    assert agent.wait() == 1


def test_the_error_of_the_median_by_hand() -> None:
    # median 3, deviations 2, 1, 1, 2
    assert relative_error_of_median([1, 2, 4, 5]) == pytest.approx(1.2533 * 1.4826 * 1.5 / 2 / 3)


def test_a_broken_model_is_an_error_and_the_next_is_timed(alone: Path) -> None:
    (alone / "a.onnx").write_bytes(b"not a model")
    events = [e for e in talk(alone) if e["type"] in ("result", "error")]
    assert [(e["type"], e["id"]) for e in events] == [("error", "a"), ("result", "b"), ("error", "a")]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"protocol": 2}, "manifest is of protocol 2, this agent speaks 1"),
        ({"runtime": "ncnn"}, "runtime is 'ncnn', expected one of onnxruntime"),
        ({"models": [{"id": "a", "path": "../a.onnx"}]}, "leaves the manifest's folder"),
        ({"models": [{"id": "a", "path": "/etc/passwd"}]}, "leaves the manifest's folder"),
        ({"models": [{"id": "a", "parts": ["a.onnx", "../a.onnx"]}]}, "leaves the manifest's folder"),
        ({"models": [{"id": "a", "parts": []}]}, "model 'a' has no parts"),
        ({"cpus": [9999]}, "Invalid argument"),
    ],
)
def test_a_manifest_it_cannot_follow_is_one_error(alone: Path, changes: dict, message: str) -> None:
    (event,) = talk(alone, code=1, **changes)
    assert (event["type"], event["id"]) == ("error", None)
    assert message in event["message"]


def powercap(folder: Path, **zones: tuple[str, int]) -> None:
    """A made-up /sys/class/powercap: zone name and microjoules counted so far, which begin again at 1000."""
    for zone, (name, counted) in zones.items():
        (folder / zone).mkdir(parents=True)
        for file, text in (("name", name), ("energy_uj", str(counted)), ("max_energy_range_uj", "1000")):
            (folder / zone / file).write_text(f"{text}\n")


def test_energy_is_that_of_all_packages_over_the_runs_and_counters_start_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(machine, "POWERCAP", tmp_path)
    powercap(tmp_path, a=("package-0", 900), b=("package-1", 0), c=("psys", 0), d=("core", 0))
    counted = {"a": 900, "b": 0, "c": 0, "d": 0}
    runs = 0

    def run() -> None:
        nonlocal runs
        runs += 1
        for zone in counted:
            counted[zone] = (counted[zone] + 50) % 1000
            (tmp_path / zone / "energy_uj").write_text(str(counted[zone]))

    energy = machine.measure_energy(run, run_ns=1e6, seconds=0.01)
    assert runs == 10
    # 50 uJ a package and run: 0.1 mJ a run of both
    assert energy["energy_mj"] == pytest.approx(0.1)
    assert energy["energy_error_mj"] == pytest.approx(0.1 * 0.002 / energy["energy_seconds"])


def test_without_a_readable_counter_there_is_no_energy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "POWERCAP", tmp_path)
    assert machine.rapl_zones() == []
    assert machine.measure_energy(lambda: None, 1e6, 0.001) == {"energy_mj": None, "energy_error_mj": None}
    powercap(tmp_path, a=("package-0", 0))
    assert machine.rapl_zones() == [(tmp_path / "a" / "energy_uj", 1000)]
    (tmp_path / "a" / "energy_uj").unlink()  # as where only root may read it
    assert machine.rapl_zones() == []


CHAIN = (
    BLOCK,
    Block("mbconv", 7, 8, 16, 12, 5, 2, "h_swish", True, False),
    Block("conv", 4, 12, 0, 20, 1, 1, "relu6", False, False),
)


@pytest.mark.parametrize("runtime", ["onnxruntime", "tflite", "tflite-runtime", "torch"])
def test_parts_in_turn_compute_what_the_network_computes(tmp_path: Path, runtime: str) -> None:
    if runtime == "tflite-runtime":
        pytest.importorskip("tflite_runtime", reason="tflite-runtime has wheels up to Python 3.11")
    write, ending = writer_of(runtime), RUNTIMES[runtime][0]
    outputs = []
    for cut in ((CHAIN,), (CHAIN[:1], CHAIN[1:]), tuple((block,) for block in CHAIN)):
        paths = [tmp_path / f"{len(cut)}-{i}{ending}" for i in range(len(cut))]
        for path, chain in zip(paths, cut, strict=True):
            graph = network_graph(chain, weights=SameByShape())
            path.write_bytes(write(graph))
            path.with_suffix(".json").write_text(json.dumps({"input_shape": graph.input_shape}))
        parts = runtimes.RUNTIMES[runtime].load_parts(paths, 1, np.random.default_rng(7))
        assert len(parts) == len(cut)
        for _ in range(3):
            for part in parts:
                part.run()
                part.hand_on()
        outputs.append(np.array(parts[-1].output()))
    assert np.abs(outputs[0]).max() > 0.1
    for other in outputs[1:]:
        np.testing.assert_allclose(other, outputs[0], rtol=1e-4, atol=1e-4)


def test_a_network_in_parts_is_timed_part_by_part(alone: Path) -> None:
    models = [{"id": "a", "path": "a.onnx"}, {"id": "n", "parts": ["a.onnx", "b.onnx", "a.onnx"]}]
    own = {**RULES, "min_runs": 6, "max_runs": 6}
    results = [
        e for e in talk(alone, models=models, visits=["n", "a"], parts_rules=own) if e["type"] in ("result", "error")
    ]
    n, a = results
    assert [len(times) for times in n["parts_ns"]] == [len(times) for times in n["parts_cpu_ns"]] == [6, 6, 6]
    assert n["samples_ns"] == [sum(times) for times in zip(*n["parts_ns"], strict=True)]
    assert n["cpu_ns"] == [sum(times) for times in zip(*n["parts_cpu_ns"], strict=True)]
    assert n["calls_per_sample"] == 1
    assert "parts_ns" not in a
    assert len(a["samples_ns"]) == RULES["max_runs"]
    (threads,) = [e for e in talk(alone, models=models, visits=["n"], threads=2) if e["type"] == "result"]
    assert (threads["cpu_ns"], threads["parts_cpu_ns"]) == (None, None)
    assert len(threads["samples_ns"]) == RULES["max_runs"]  # without rules of their own, parts have the models'


def test_a_part_that_breaks_costs_its_network_alone(alone: Path) -> None:
    (alone / "bad.onnx").write_bytes(b"not a model")
    models = [{"id": "n", "parts": ["a.onnx", "bad.onnx"]}, {"id": "m", "parts": ["a.onnx", "b.onnx"]}]
    events = [e for e in talk(alone, models=models, visits=["n", "m"]) if e["type"] in ("result", "error")]
    assert [(e["type"], e["id"]) for e in events] == [("error", "n"), ("result", "m")]


def test_in_a_loop_a_model_stays_loaded_until_another_is_run(alone: Path) -> None:
    events = talk(alone, visits=["a"] * 25 + ["b", "a"], sustained={"window_seconds": 0.02, "rate_hz": None})
    made = [e for e in events if e["type"] == "result"]
    assert [(i, r["id"]) for i, r in enumerate(made) if r["setup_ns"] > 0] == [(0, "a"), (25, "b"), (26, "a")]
    assert [i for i, r in enumerate(made) if r["warmup_ns"] > 0] == [0, 25, 26]
    assert all(r["loop_ns"] >= 20_000_000 * i for i, r in enumerate(made[:25]))
    # another model's loop begins anew; how soon, the machine decides, which may stand still for a while
    assert max(r["loop_ns"] for r in made[25:]) < made[24]["loop_ns"]


def test_a_broken_model_in_a_loop_is_an_error_and_the_next_is_run(alone: Path) -> None:
    (alone / "a.onnx").write_bytes(b"not a model")
    models = [{"id": "a", "path": "a.onnx"}, {"id": "b", "path": "b.onnx"}, {"id": "c", "parts": ["b.onnx"]}]
    loop = {"window_seconds": 0.01, "rate_hz": None}
    events = talk(alone, models=models, visits=["a", "b", "c", "b"], sustained=loop)
    ends = [e for e in events if e["type"] in ("result", "error")]
    assert [e["type"] for e in ends] == ["error", "result", "error", "result"]
    assert "a loop is of whole models, not of parts" in ends[2]["message"]
