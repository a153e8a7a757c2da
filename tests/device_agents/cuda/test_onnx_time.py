"""How runs of onnxruntime are timed: queued behind a GPU that is held, or waited for one by one."""

import os
from pathlib import Path

import pytest
import torch

from device_agents.cuda.device import HELD_CYCLES, Cpu, Cuda, Waited, told_name
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
    agent = OnnxAgent(manifest_of(**{**ONNX, "mode": mode}), cuda, NO_NVML, provider)
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


def test_fp32_is_not_tf32(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NVIDIA_TF32_OVERRIDE", raising=False)
    for dtype, override in (("tf32", None), ("fp16", None), ("fp32", "0")):
        agent_of(dtype=dtype)
        assert os.environ.get("NVIDIA_TF32_OVERRIDE") == override
    monkeypatch.delenv("NVIDIA_TF32_OVERRIDE")


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
    monkeypatch.setattr(Provider, "check", lambda _: None)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    agent = agent_of(device="cuda:0")
    assert isinstance(agent.device, Waited)
    assert agent.facts()["timed_by"] == "the clock on the wall, each run waited for: launching it counts"
    assert agent.facts()["nvml"].startswith("not to be had: torch has no CUDA here")
    assert isinstance(agent.device.facts(), dict)


def test_a_fact_is_one_of_the_protocols() -> None:
    assert agent_of().facts().keys() <= AGENT_FACTS
