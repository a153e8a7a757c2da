"""ONNX models on the GPU agent: the CPU's provider in a GPU's place, and fakes of what onnxruntime and CUDA may do."""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import ClassVar

import numpy as np
import onnxruntime
import pytest
import torch

from device_agents.cuda import onnx_session
from device_agents.cuda.agent import prepared
from device_agents.cuda.device import Cpu, Waited
from device_agents.cuda.onnx_session import CPU, PROBE, Model, NotUsed, Provider, tensorrt_version
from device_agents.cuda.onnx_visits import onnx_agent, provider_of
from device_agents.cuda.torch_visits import Agent
from device_agents.cuda.visits import NoParts
from ofa.graph import network_graph
from ofa.graph.torch import build_torch
from tests.device_agents.cuda.manifests import RULES, manifest_of
from tests.device_agents.cuda.onnx_models import CUDA, NO_NVML, ONNX, agent_of, fake_cuda, write
from tests.device_agents.test_cpu_agent import CHAIN
from tests.helpers.chains import SameByShape

FOLDER = Path(__file__).resolve().parents[3] / "device_agents" / "cuda"
# ---- visits


@pytest.mark.parametrize("runtime", ["onnxruntime-cuda", "tensorrt"])
def test_a_copy_of_its_folder_alone_makes_every_visit(tmp_path: Path, runtime: str) -> None:
    shutil.copytree(FOLDER, tmp_path / "device_agents" / "cuda", ignore=shutil.ignore_patterns("__pycache__"))
    write(tmp_path, "a")
    (tmp_path / "b.onnx").write_bytes(b"not a model")
    models = [{"id": n, "path": f"{n}.onnx"} for n in "ab"] + [{"id": "n", "parts": ["a.onnx", "a.onnx"]}]
    manifest = manifest_of(**{**ONNX, "runtime": runtime}, models=models, visits=["a", "b", "n", "a"])
    (tmp_path / "manifest.json").write_text(json.dumps(manifest))
    done = subprocess.run(
        [sys.executable, "-I", "device_agents/cuda/agent.py", "manifest.json"],
        cwd=tmp_path, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    hello, *events, last = (e for e in map(json.loads, done.stdout.splitlines()) if e["type"] != "heartbeat")
    version = onnxruntime.__version__
    assert hello["runtime"] == {
        "onnxruntime-cuda": f"onnxruntime-cuda {version}",
        "tensorrt": f"tensorrt of a version that is not known, onnxruntime {version}",
    }[runtime]  # fmt: skip
    assert (hello["device"]["provider"], hello["device"]["nvml"]) == (CPU, "not to be had: this is a CPU")
    assert hello["device"]["timed_by"].startswith("the clock on the wall")
    assert [(e["type"], e["id"]) for e in events if e["type"] != "visit"] == [
        ("result", "a"), ("error", "b"), ("result", "n"), ("result", "a"),
    ]  # fmt: skip
    a, _, n, _ = (e for e in events if e["type"] != "visit")
    assert (a["inputs"], a["input_buffers"], len(a["samples_ns"]) >= RULES["max_runs"]) == ("warm", 1, True)
    assert n["samples_ns"] == [sum(times) for times in zip(*n["parts_ns"], strict=True)]
    assert (len(n["parts_ns"]), n["calls_per_sample"], n["parts_cpu_ns"]) == (2, 1, None)
    assert last["type"] == "done"


@pytest.mark.parametrize("cut", [(CHAIN,), (CHAIN[:1], CHAIN[1:]), tuple((block,) for block in CHAIN)])
@pytest.mark.parametrize("half", [False, True])
def test_parts_in_turn_compute_what_the_network_computes(tmp_path: Path, cut: tuple, half: bool) -> None:
    paths = [write(tmp_path, str(i), chain, half=half) for i, chain in enumerate(cut)]
    agent = agent_of(dtype="fp16" if half else "fp32")
    parts = agent.parts(paths)
    for _ in range(2):
        for part in parts:
            part()
    images = torch.from_numpy(agent._kept[0].given.numpy().astype(np.float32))
    expected = build_torch(network_graph(CHAIN, batch=2, weights=SameByShape()))(images).numpy()
    found = agent._kept[-1].output.numpy()
    assert (found.dtype, len(parts)) == (np.float16 if half else np.float32, len(cut))
    assert np.abs(expected).max() > 0.1
    tolerance = 1e-2 if half else 1e-4
    np.testing.assert_allclose(found.astype(np.float32), expected, rtol=tolerance, atol=tolerance)


class Parts(Cpu):
    """Every work takes as many nanoseconds as its number, and 1000 more in every batch."""

    def __init__(self) -> None:
        super().__init__(torch.device("cpu"))
        self.batches = 0

    def timed(self, works, meanwhile):
        self.batches += 1
        for work in works:
            work()
        meanwhile()
        return [1000 * self.batches + i for i in range(1, len(works))]


def test_of_a_network_in_parts_the_second_of_two_passes_is_timed_and_the_warm_up_is_not(tmp_path: Path) -> None:
    agent = agent_of(parts_rules={**RULES, "min_runs": 3, "max_runs": 3})
    agent.device, ran = Parts(), []
    agent.parts = lambda _: [lambda i=i: ran.append(i) for i in range(3)]  # type: ignore[method-assign]
    result = agent.visit_parts([tmp_path] * 3)
    batches = agent.device.batches
    assert ran[:6] == [0, 1, 2, 0, 1, 2]
    assert batches > 3
    timed = range(batches - 2, batches + 1)
    assert result["parts_ns"] == [[1000 * batch + i for batch in timed] for i in (3, 4, 5)]
    assert result["samples_ns"] == [sum(1000 * batch + i for i in (3, 4, 5)) for batch in timed]


def test_torch_runs_no_network_in_parts() -> None:
    agent = prepared(manifest_of())
    assert isinstance(agent, Agent)
    with pytest.raises(NoParts, match="runtime torch runs no network in 2 parts here"):
        agent.visit_parts([Path(), Path()])


def test_a_model_is_loaded_anew_and_the_one_before_is_let_go(tmp_path: Path) -> None:
    agent, path = agent_of(), write(tmp_path, "a")
    agent.visit("a", path)
    (first,) = agent._kept
    agent.visit("a", path)
    assert len(agent._kept) == 1
    assert agent._kept != [first]
    agent.let_go()
    assert agent._kept == []


# ---- the provider


def test_a_provider_is_told_the_gpu_the_stream_and_whether_to_capture_graphs(tmp_path: Path) -> None:
    asked = {**manifest_of(**ONNX), "device": "cuda:1"}
    provider = provider_of(asked, fake_cuda(), tmp_path)
    options = {"device_id": "1", "user_compute_stream": "77", "enable_cuda_graph": "1", "use_tf32": "0"}
    assert provider == Provider("CUDAExecutionProvider", options, "cuda", 1)
    assert provider_of({**asked, "mode": "eager"}, fake_cuda(), tmp_path).options["enable_cuda_graph"] == "0"
    assert "user_compute_stream" not in provider_of(asked, Waited(torch.device("cuda:1")), tmp_path).options
    rt = provider_of({**asked, "runtime": "tensorrt", "dtype": "fp16"}, fake_cuda(), tmp_path)
    assert (rt.name, rt.options["trt_fp16_enable"], rt.options["trt_cuda_graph_enable"]) == (
        "TensorrtExecutionProvider", "1", "1",
    )  # fmt: skip
    # engines lie in the folder of the run, and go with it
    assert rt.options["trt_engine_cache_path"] == rt.options["trt_timing_cache_path"] == str(tmp_path / "engines")
    assert provider_of({**asked, "device": "cpu"}, Cpu(torch.device("cpu")), tmp_path).name == CPU


class Session:
    """Stands for onnxruntime.InferenceSession: remembers how it was asked, and says whom it took."""

    took = "CUDAExecutionProvider"
    fails: Exception | None = None
    asked: ClassVar[dict] = {}

    def __init__(self, _, options, *, providers, provider_options, enable_fallback) -> None:
        if Session.fails:
            raise Session.fails
        entry = "session.disable_cpu_ep_fallback"
        Session.asked = {
            "providers": providers,
            "fallback": enable_fallback,
            "cpu": options.get_session_config_entry(entry),
            "options": provider_options[0],
        }

    def get_providers(self):
        return [Session.took]


@pytest.fixture
def fake_session(monkeypatch: pytest.MonkeyPatch) -> type[Session]:
    monkeypatch.setattr(onnxruntime, "InferenceSession", Session)
    monkeypatch.setattr(Session, "fails", None)
    monkeypatch.setattr(Session, "took", "CUDAExecutionProvider")
    return Session


TENSORRT = Provider("TensorrtExecutionProvider", {"trt_engine_cache_enable": "1"}, "cuda", 0)


def test_nothing_falls_back_to_the_cpu(fake_session: type[Session], monkeypatch: pytest.MonkeyPatch) -> None:
    CUDA.session("/x/b00017.onnx")
    assert fake_session.asked == {
        "providers": ["CUDAExecutionProvider"], "fallback": 0, "cpu": "1", "options": {"device_id": "0"},
    }  # fmt: skip
    monkeypatch.setattr(fake_session, "took", CPU)
    with pytest.raises(NotUsed, match="onnxruntime took CPUExecutionProvider in place of CUDAExecutionProvider"):
        CUDA.session("m.onnx")
    words = "1 : FAIL : This session contains graph nodes that are assigned to the default CPU EP, but fallback ..."
    monkeypatch.setattr(fake_session, "fails", RuntimeError(words))
    with pytest.raises(NotUsed, match="does not run all of this model: the rest would run on the CPU"):
        CUDA.session("m.onnx")
    monkeypatch.setattr(fake_session, "fails", RuntimeError("another fault"))
    with pytest.raises(RuntimeError, match="another fault"):
        CUDA.session("m.onnx")


def test_an_engine_is_its_own_models(fake_session: type[Session], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fake_session, "took", TENSORRT.name)
    TENSORRT.session("/x/b00017.onnx")
    assert fake_session.asked["options"]["trt_engine_cache_prefix"] == "b00017"
    TENSORRT.session(PROBE)
    assert "trt_engine_cache_prefix" not in fake_session.asked["options"]


@pytest.mark.parametrize(
    ("fault", "lacking", "words"),
    [
        (NotUsed("x"), None, "it leaves even the smallest model to the CPU: see that nvidia-smi shows a GPU"),
        (RuntimeError("CUDA failure 100\nmore"), None, "CUDA failure 100"),
        (NotUsed("x"), "libcudnn.so.9: no", "libcudnn.so.9: no: pip install 'onnxruntime-gpu[cuda,cudnn]'"),
    ],
)
def test_a_provider_that_does_not_run_is_one_line_before_the_first_visit(
    monkeypatch: pytest.MonkeyPatch, fault: Exception, lacking: str | None, words: str
) -> None:
    def failing(*_: object) -> None:
        raise fault

    monkeypatch.setattr(Provider, "session", failing)
    monkeypatch.setattr(onnx_session, "_load_libraries", lambda: None)
    monkeypatch.setattr(onnx_session, "missing_library", lambda _: lacking)
    asked = manifest_of(**{**ONNX, "device": "cuda:0", "dtype": "fp16"})
    with pytest.raises(NotUsed, match=f"^{re.escape('CUDAExecutionProvider does not run here: ' + words)}$"):
        onnx_agent(asked, Waited(torch.device("cuda:0")), NO_NVML, Path())


@pytest.mark.parametrize(
    ("said", "named"),
    [
        (
            "libcublasLt.so.13: cannot open shared object file: No such file or directory",
            "libcublasLt.so.13: cannot open shared object file",
        ),
        ("{path}: cannot open shared object file: No such file or directory", None),
        ("{path}: undefined symbol: Provider_GetHost", None),
    ],
)
def test_a_missing_library_is_named(monkeypatch: pytest.MonkeyPatch, said: str, named: str | None) -> None:
    def load(path: str) -> None:
        raise OSError(said.format(path=path))

    monkeypatch.setattr(onnx_session.ctypes, "CDLL", load)
    assert onnx_session.missing_library("CUDAExecutionProvider") == named


def test_the_probe_is_a_model_of_one_relu() -> None:
    from onnx import TensorProto, helper

    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1]) for name in "xy"]
    graph = helper.make_graph([helper.make_node("Relu", ["x"], ["y"])], "g", ends[:1], ends[1:])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    assert model.SerializeToString(deterministic=True) == PROBE
    probe = Provider(CPU, {}, "cpu", 0)
    model = Model(probe.session(PROBE), probe, np.random.default_rng(0), None)
    assert model.output.numpy() == np.maximum(0, model.given.numpy())


@pytest.mark.parametrize(("number", "version"), [(100900, "10.9.0"), (8601, "8.6.1"), (None, None)])
def test_tensorrt_tells_its_version_as_a_number(
    monkeypatch: pytest.MonkeyPatch, number: int | None, version: str | None
) -> None:
    monkeypatch.setattr(onnx_session, "version_of", lambda *_: number)
    assert tensorrt_version() == version


def test_a_library_that_is_loaded_tells_its_version() -> None:
    # any C library of this process will do
    assert onnx_session.version_of("libc", "getpid") == __import__("os").getpid()
    assert onnx_session.version_of("libc", "no_such_function") is None
    assert onnx_session.version_of("libnvinfer", "getInferLibVersion") is None
