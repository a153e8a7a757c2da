"""How runs of onnxruntime are timed: queued behind a GPU that is held, or waited for one by one."""

import os
from pathlib import Path
from types import SimpleNamespace
from typing import ClassVar

import pytest
import torch

from device_agents.cuda import agent as cuda_agent
from device_agents.cuda.agent import prepared
from device_agents.cuda.device import HELD_CYCLES, Cpu, Cuda, Waited
from device_agents.cuda.kernel import told_name
from device_agents.cuda.onnx_session import CPU, Provider
from device_agents.cuda.onnx_visits import OnnxAgent
from profilers.measuring.events import AGENT_FACTS
from tests.device_agents.cuda.manifests import manifest_of
from tests.device_agents.cuda.onnx_models import CUDA, NO_NVML, ONNX, agent_of, fake_cuda, write


class Event:
    """Stands for torch.cuda.Event: the GPU needs 2 us a work; the host, `host_us`."""

    host_us = 0.0
    now_us = free_us = 0.0

    def __init__(self, **_: object) -> None:
        self.at = 0.0

    def record(self) -> None:
        self.at = Event.free_us

    def query(self) -> bool:
        return self.at <= Event.now_us

    def synchronize(self) -> None:
        Event.now_us = max(Event.now_us, self.at)

    def elapsed_time(self, other: "Event") -> float:
        return (other.at - self.at) / 1000

    @classmethod
    def sleep(cls, cycles: int) -> None:
        cls.free_us = max(cls.free_us, cls.now_us) + cycles / 2000

    @classmethod
    def work(cls) -> None:
        cls.now_us += cls.host_us
        cls.free_us = max(cls.free_us, cls.now_us) + 2


@pytest.fixture
def events(monkeypatch: pytest.MonkeyPatch) -> type[Event]:
    monkeypatch.setattr(torch.cuda, "Event", Event)
    monkeypatch.setattr(torch.cuda, "_sleep", Event.sleep)
    monkeypatch.setattr(Event, "now_us", 0.0)
    monkeypatch.setattr(Event, "free_us", 0.0)
    return Event


@pytest.mark.parametrize("host_us", [0.5, 40, 3000])
def test_runs_that_are_launched_slower_than_they_run_are_timed_without_the_launching(
    events: type[Event], host_us: float
) -> None:
    events.host_us, cuda = host_us, fake_cuda()
    works = [Event.work] * 11
    if host_us > 2:
        assert cuda.timed(works, lambda: None) == [1000 * host_us] * 10, "not held, launching is what is measured"
    cuda.held_cycles = HELD_CYCLES
    assert cuda.timed(works, lambda: None) == [2000] * 10
    # 33 ms of launching take 17 ms of waiting once, and from then on at once
    assert cuda.held_cycles == HELD_CYCLES << (4 if host_us == 3000 else 0)


def test_runs_that_nothing_can_hold_are_an_error(events: type[Event]) -> None:
    events.host_us, cuda = 10_000_000, fake_cuda()
    cuda.held_cycles = HELD_CYCLES
    with pytest.raises(RuntimeError, match="the GPU finished runs before the next were queued"):
        cuda.timed([Event.work] * 3, lambda: None)


@pytest.mark.parametrize(("mode", "held"), [("graph", HELD_CYCLES), ("eager", 0)])
def test_only_graphs_are_held_and_no_run_is_waited_for_between_events(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mode: str, held: int
) -> None:
    monkeypatch.setattr(Cuda, "settle", lambda _: None)
    monkeypatch.setattr(Cuda, "free", lambda _: None)
    cuda, provider = fake_cuda(), Provider(CPU, {}, "cpu", 0)
    monkeypatch.setattr(Cuda, "waits_for", lambda *_: False)
    agent = OnnxAgent(manifest_of(**{**ONNX, "mode": mode}), cuda, NO_NVML, provider)
    agent.check()
    assert cuda.held_cycles == held
    (model,) = agent.parts([write(tmp_path, "a")])
    assert model._options.get_run_config_entry("disable_synchronize_execution_providers") == "1"
    assert agent_of().parts([tmp_path / "a.onnx"])[0]._options is None


def test_a_provider_that_leaves_the_stream_is_found_out() -> None:
    agent = OnnxAgent(manifest_of(**ONNX), fake_cuda(), NO_NVML, CUDA)
    assert agent.run_ns(5000.0) == 5000.0
    with pytest.raises(
        RuntimeError, match="by events a run takes 300 ns: CUDAExecutionProvider does not use the stream"
    ):
        agent.run_ns(300.0)
    # by the clock on the wall a run may be short
    assert OnnxAgent(manifest_of(**ONNX), Cpu(torch.device("cpu")), NO_NVML, CUDA).run_ns(300.0) == 300.0


class Begun(Cuda):
    """Stands for a GPU: remembers what libraries would read when they begin."""

    major = 8
    overrides: ClassVar[list[str | None]] = []

    def __init__(self, device: torch.device) -> None:
        self.device, self.l2_bytes, self.stream, self.held_cycles = device, 0, 7, 0
        self.properties = SimpleNamespace(major=self.major, name="NVIDIA T4", uuid="none")

    def open(self) -> None:
        self.overrides.append(os.environ.get("NVIDIA_TF32_OVERRIDE"))


@pytest.fixture
def begun(monkeypatch: pytest.MonkeyPatch) -> type[Begun]:
    monkeypatch.setattr(cuda_agent, "Cuda", Begun)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(OnnxAgent, "check", lambda _: None)
    monkeypatch.setattr(Begun, "overrides", [])
    return Begun


@pytest.mark.parametrize("before", [None, "0"])
def test_fp32_is_not_tf32_which_is_settled_before_cuda_begins(
    begun: type[Begun], monkeypatch: pytest.MonkeyPatch, before: str | None
) -> None:
    found = {}
    for dtype in ("tf32", "fp16", "fp32"):
        if before is None:
            monkeypatch.delenv("NVIDIA_TF32_OVERRIDE", raising=False)
        else:
            monkeypatch.setenv("NVIDIA_TF32_OVERRIDE", before)
        agent = agent_of(dtype=dtype, device="cuda:0")
        found[dtype] = agent.provider.options["use_tf32"]
    assert begun.overrides == [None, before, "0"]
    assert found == {"tf32": "1", "fp16": "0", "fp32": "0"}
    monkeypatch.setenv("NVIDIA_TF32_OVERRIDE", "")  # so that it is put back as it was before the test


@pytest.mark.parametrize("runtime", ["torch", "onnxruntime-cuda", "tensorrt"])
def test_a_gpu_without_tf32_is_not_asked_for_it(
    begun: type[Begun], monkeypatch: pytest.MonkeyPatch, runtime: str
) -> None:
    monkeypatch.setattr(Begun, "major", 7)
    with pytest.raises(ValueError, match=r"^NVIDIA T4 has no tf32: it takes compute capability 8.0$"):
        prepared(manifest_of(**{**ONNX, "runtime": runtime}, dtype="tf32", device="cuda:0"))
    assert begun.overrides == []


@pytest.mark.parametrize("waits", [False, True])
def test_a_gpu_is_held_only_where_runs_are_not_waited_for(
    events: type[Event], monkeypatch: pytest.MonkeyPatch, waits: bool
) -> None:
    """As TensorRT's replay of a graph is, whatever it is told."""
    events.host_us, told = 40, []

    class Replay:
        def unwaited(self) -> None:
            told.append("unwaited")

        def __call__(self) -> None:
            assert told, "else every run is waited for"
            Event.work()
            if waits:
                Event.now_us = Event.free_us

    def settle(_: Cuda) -> None:
        Event.now_us = max(Event.now_us, Event.free_us)

    monkeypatch.setattr(Cuda, "settle", settle)
    monkeypatch.setattr(Provider, "check", lambda _: Replay())
    monkeypatch.setattr(Cuda, "facts", lambda _: {})
    for mode in ("graph", "eager"):
        agent = OnnxAgent(manifest_of(**ONNX, mode=mode), fake_cuda(), NO_NVML, CUDA)
        agent.check()
        assert isinstance(agent.device, Cuda)
        held = mode == "graph" and not waits
        assert bool(agent.device.held_cycles) == held
        counts = mode == "graph" and waits
        assert agent.facts()["timed_by"] == "CUDA events" + (
            ", each run waited for by onnxruntime: launching it counts" if counts else ""
        )
        # and so its runs are timed, rather than waited for in vain
        assert agent.device.timed([Replay()] * 4, lambda: None) == [2000 if held else 42_000 if waits else 40_000] * 3


# ---- a GPU that torch does not know


def test_the_kernel_names_the_gpu_that_torch_does_not_know(tmp_path: Path) -> None:
    assert told_name(tmp_path) is None
    cards = tmp_path / "driver" / "nvidia" / "gpus"
    for number in (0, 1):
        (cards / f"0000:0{number}:00.0").mkdir(parents=True)
        (cards / f"0000:0{number}:00.0" / "information").write_text("Model: \t\t NVIDIA L4\nIRQ:   1\n")
    assert told_name(tmp_path) == "NVIDIA L4"
    (cards / "0000:01:00.0" / "information").write_text("Model: \t\t NVIDIA T4\n")
    assert told_name(tmp_path) is None, "which of them, nobody says"
    (tmp_path / "device-tree").mkdir()
    (tmp_path / "device-tree" / "model").write_text("Raspberry Pi 5\0")
    assert told_name(tmp_path) is None
    (tmp_path / "device-tree" / "model").write_text("NVIDIA Jetson Orin Nano Developer Kit\0")
    assert told_name(tmp_path) == "NVIDIA Jetson Orin Nano Developer Kit"


def test_without_cuda_in_torch_runs_are_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Provider, "check", lambda _: None)  # nor is it asked whether runs can be queued
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    agent = agent_of(device="cuda:0")
    assert isinstance(agent.device, Waited)
    assert agent.facts()["timed_by"] == "the clock on the wall, each run waited for: launching it counts"
    assert agent.facts()["nvml"].startswith("not to be had: torch has no CUDA here")
    assert isinstance(agent.device.facts(), dict)


def test_a_fact_is_one_of_the_protocols() -> None:
    assert agent_of().facts().keys() <= AGENT_FACTS
