"""The GPU agent on CPU tensors: its protocol, its models, and what it is told of the GPU beside."""

import ast
import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from device_agents.cuda.agent import Agent, prepared
from device_agents.cuda.device import Cpu
from device_agents.cuda.model import read_torchscript
from device_agents.cuda.nvml import Nvml
from ofa.blocks import all_blocks, blocks_of
from ofa.graph import network_graph
from ofa.graph.torch import build_torch
from ofa.space import get_space
from tests.device_agents.cuda.manifests import RULES, manifest_of, write_model

ROOT = Path(__file__).resolve().parents[3]
FOLDER = ROOT / "device_agents" / "cuda"


@pytest.fixture
def alone(tmp_path: Path) -> Path:
    """A folder with nothing but the agent's folder and two models."""
    shutil.copytree(FOLDER, tmp_path / "device_agents" / "cuda", ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("a", "b"):
        write_model(tmp_path, name)
    return tmp_path


def talk(folder: Path, code: int = 0, **changes: object) -> list[dict]:
    (folder / "manifest.json").write_text(json.dumps(manifest_of(**changes)))
    done = subprocess.run(
        [sys.executable, "-I", "device_agents/cuda/agent.py", "manifest.json"],
        cwd=folder, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == code, done.stderr
    return [event for event in map(json.loads, done.stdout.splitlines()) if event["type"] != "heartbeat"]


def test_it_imports_nothing_of_the_host() -> None:
    imported = set()
    for path in FOLDER.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                imported |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                imported.add(node.module or "")
    ours = {name for name in imported if name.startswith("device_agents.cuda.")}
    assert {name.split(".")[0] for name in imported - ours} - set(sys.stdlib_module_names) == {
        "numpy", "onnxruntime", "pynvml", "torch",
    }  # fmt: skip


def test_a_copy_of_its_folder_alone_makes_every_visit_and_a_broken_model_is_an_error(alone: Path) -> None:
    (alone / "b.pt").write_bytes(b"not a model")
    hello, *events, done = talk(alone)
    assert (hello["protocol"], hello["agent"]) == (1, "cuda")
    assert hello["runtime"] == f"torch {torch.__version__}"
    assert hello["device"]["nvml"] == "not to be had: this is a CPU"
    assert hello["device"]["energy_counter"] is None
    assert done["type"] == "done"
    assert [(e["type"], e["visit"], e["id"]) for e in events] == [
        (kind, number, name)
        for number, name in enumerate("aba")
        for kind in ("visit", "error" if name == "b" else "result")
    ]
    for r in (e for e in events if e["type"] == "result"):
        # target_error 0 is never reached: the rule on runs ends it
        assert RULES["max_runs"] <= len(r["samples_ns"]) < RULES["max_runs"] + 10
        assert min(r["samples_ns"]) > 0
        assert r["calls_per_sample"] >= 1
        assert r["cpu_ns"] is None
        assert (r["clock_mhz_before"], r["throttling"], r["other_processes"]) == (None, None, None)
        assert (r["input_buffers"], r["input_buffers_bytes"]) == (2, 2 * 4 * 2 * 8 * 7 * 7)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"protocol": 2}, "manifest is of protocol 2, this agent speaks 1"),
        ({"runtime": "tflite"}, "runtime is 'tflite', expected one of torch, onnxruntime-cuda, tensorrt"),
        ({"dtype": "int8"}, "dtype is 'int8', expected one of fp32, tf32, fp16, bf16"),
        ({"mode": "fast"}, "mode is 'fast', expected one of graph, eager, compile"),
    ],
)
def test_a_manifest_it_cannot_follow_is_refused(changes: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        prepared(manifest_of(**changes))


def test_a_path_that_leaves_the_folder_is_one_error(alone: Path) -> None:
    (event,) = talk(alone, code=1, models=[{"id": "a", "path": "../a.pt"}])
    assert (event["type"], event["id"]) == ("error", None)
    assert "leaves the manifest's folder" in event["message"]


# ---- models


@pytest.mark.parametrize("space", ["mbv3-w0.35", "proxyless-w1.3", "resnet50d"])
def test_a_model_read_back_computes_the_same(tmp_path: Path, space: str) -> None:
    searched = get_space(space)
    chains = [
        blocks_of(searched, searched.decode(searched.sample(np.random.default_rng(0), 1, resolutions=[64]))[0]),
        all_blocks(searched, [64])[:1],
    ]
    for chain in chains:
        write_model(tmp_path, "m", chain)
        graph = network_graph(chain, batch=2)
        images = torch.randn(graph.input_shape, generator=torch.Generator().manual_seed(0))
        expected = build_torch(graph)(images)
        model = read_torchscript(tmp_path / "m.pt")
        assert torch.equal(model(images), expected)
        assert not list(model.parameters())
        # weights change their type and their layout with the module
        half = model.to(torch.bfloat16)
        assert {b.dtype for b in half.buffers()} == {torch.bfloat16}
        assert torch.allclose(
            half(images.bfloat16()).float(), expected, rtol=0.2, atol=0.1 * expected.abs().max().item()
        )


# ---- what is watched


def test_after_the_warm_up_the_driver_is_asked_now_and_then(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_model(tmp_path, "a")

    class Ticking:
        """A millisecond passes whenever somebody looks."""

        now = 0

        def perf_counter_ns(self) -> int:
            self.now += 1_000_000
            return self.now

        monotonic_ns = perf_counter_ns

    class Asked(Nvml):
        clocks = reasons = lists = 0

        def clock_mhz(self) -> float:
            self.clocks += 1
            return 1980.0

        def throttling(self) -> list[str]:
            self.reasons += 1
            return ["power cap"]

        def processes(self) -> set[int]:
            self.lists += 1
            return {7}

    rules = {**RULES, "warmup_max_seconds": 0, "min_runs": 200, "max_runs": 200, "min_sample_us": 1}
    asked = Asked(None, "", "none")
    ticking = Ticking()
    monkeypatch.setattr("device_agents.cuda.visits.time", ticking)
    agent = Agent(manifest_of(rules=rules), Cpu(torch.device("cpu")), asked)
    for _ in range(3):
        result = agent.visit("a", tmp_path / "a.pt")
        assert (result["throttling"], result["other_processes"]) == (["power cap"], [7])
        assert (result["clock_mhz_before"], result["clock_mhz_after"]) == (1980.0, 1980.0)
        assert len(result["samples_ns"]) >= 200
    # every batch of at most 10 samples would ask 60 times and more; a list of processes takes milliseconds
    assert 3 <= asked.reasons <= ticking.now // 10_000_000 + 3
    assert asked.lists == 1
    ticking.now += 1_000_000_000
    agent.visit("a", tmp_path / "a.pt")
    assert asked.lists == 2


def test_energy_is_power_times_time_once_a_model(tmp_path: Path) -> None:
    write_model(tmp_path, "a")

    class Counting(Nvml):
        read = 0.0

        def energy_mj(self) -> float:
            self.read += 5
            return self.read

    agent = Agent(manifest_of(energy_seconds=0.02), Cpu(torch.device("cpu")), Counting(None, "", "none"))
    first, second = (agent.visit("a", tmp_path / "a.pt") for _ in range(2))
    assert first["energy_error_mj"] > 0
    assert first["energy_seconds"] >= 0.02
    assert first["energy_mj"] > 0
    assert "energy_mj" not in second
