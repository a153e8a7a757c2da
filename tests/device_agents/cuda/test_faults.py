"""What goes wrong on a GPU: a capture that fails, a process that is lost, memory that is full."""

import sys
from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from device_agents.cuda.agent import Agent, prepared
from device_agents.cuda.device import CaptureFailed, Cpu, Cuda
from device_agents.cuda.nvml import Nvml
from ofa.runs.journal import Journal
from profilers.measuring.conversation import local_agent
from profilers.measuring.drive import Driver
from profilers.measuring.events import AgentFailed, Event
from profilers.measuring.ledger import Ledger
from profilers.measuring.models import write_models
from profilers.measuring.plan import make_plan
from profilers.measuring.run import carry_out
from tests.device_agents.cuda.manifests import BLOCK, manifest_of, tf32_flags, tf32_set_to, write_model

ROOT = Path(__file__).resolve().parents[3]


# ---- a capture that fails


class Graph:
    """Stands for torch.cuda.CUDAGraph: its capture cannot be ended, as often as it is told."""

    failures = 0

    def capture_begin(self, **_: object) -> None:
        pass

    def capture_end(self) -> None:
        if Graph.failures:
            Graph.failures -= 1
            raise RuntimeError("CUDA error: operation failed due to a previous error during capture\nmore words")

    def replay(self) -> None:
        pass


def test_a_capture_that_cannot_be_ended_is_told_from_work_that_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "CUDAGraph", Graph)
    cuda = object.__new__(Cuda)
    cuda._pool = None
    monkeypatch.setattr(Cuda, "settle", lambda _: None)

    def full() -> None:
        raise torch.OutOfMemoryError("CUDA out of memory")

    assert cuda.recorded(lambda: None)
    with pytest.raises(torch.OutOfMemoryError):
        cuda.recorded(full)
    Graph.failures = 1
    with pytest.raises(CaptureFailed, match="the capture failed: OutOfMemoryError: CUDA out of memory"):
        cuda.recorded(full)
    Graph.failures = 1
    with pytest.raises(CaptureFailed, match="the capture failed: RuntimeError: CUDA error: operation failed"):
        cuda.recorded(lambda: None)


def test_libraries_begin_before_the_first_capture(monkeypatch: pytest.MonkeyPatch) -> None:
    done: list[str] = []

    class Noted(Graph):
        def capture_begin(self, **_: object) -> None:
            done.append("capture")

    product, convolution = torch.Tensor.__matmul__, torch.conv2d

    def multiplied(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
        done.append(f"product {a.dtype}")
        return product(a, b)

    def convolved(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
        done.append(f"convolution {a.dtype}")
        return convolution(a, b)

    for name, fake in (
        ("set_device", lambda _: None), ("set_stream", lambda _: None), ("graph_pool_handle", lambda: None),
        ("synchronize", lambda _: None), ("CUDAGraph", Noted), ("Stream", lambda _: SimpleNamespace(cuda_stream=77)),
    ):  # fmt: skip
        monkeypatch.setattr(torch.cuda, name, fake)
    monkeypatch.setattr(torch.Tensor, "__matmul__", multiplied)
    monkeypatch.setattr(torch, "conv2d", convolved)
    cuda = object.__new__(Cuda)
    cuda.device, cuda._queue = torch.device("cpu"), deque()
    cuda.open()
    # in a process's first capture, the first product would fail (pytorch issue 99397)
    kinds = ("torch.float32", "torch.float16")
    assert done == [*(f"{what} {kind}" for kind in kinds for what in ("product", "convolution")), "capture"]
    assert cuda.stream == 77


@pytest.mark.parametrize("dtype", ["fp32", "tf32", "fp16"])
def test_fp32_is_never_tf32(monkeypatch: pytest.MonkeyPatch, dtype: str) -> None:
    class Gpu(Cpu):
        properties = SimpleNamespace(major=9, name="G", uuid="12-34")

        def open(self) -> None:
            pass

    monkeypatch.setattr("device_agents.cuda.agent.Cuda", Gpu)
    with tf32_set_to(dtype != "tf32"):
        assert prepared(manifest_of(dtype=dtype, device="cuda:0")).runtime == "torch"
        assert tf32_flags() == (dtype == "tf32", dtype == "tf32")


BROKEN = """
import sys
from device_agents.cuda import agent, device
real = agent.Agent._visit
def lost(self):
    raise RuntimeError("the same")
def visit(self, name, path):
    if name == "{0}":
        raise device.CaptureFailed("the capture failed: no")
    if name == "{1}":
        device.Cpu.free = lost
        raise RuntimeError("CUDA error: an illegal memory access\\nCompile with ...")
    return real(self, name, path)
agent.Agent._visit = visit
sys.exit(agent.main(sys.argv[1:]))
"""
WORDS = ("CaptureFailed: the capture failed: no", "RuntimeError: CUDA error: an illegal memory access")


def test_an_agent_whose_process_is_lost_ends_and_its_block_is_blamed_once(tmp_path: Path) -> None:
    """Of two blocks, one after the other: each agent loads torch."""
    chains = [(BLOCK,), *((replace(BLOCK, kernel_size=size),) for size in (5, 7)), (replace(BLOCK, skip=False),)]
    plan = make_plan(chains, 2, 0)
    files = write_models(plan.models, "torch", tmp_path, 1)
    bad = [name for name in plan.models if name != plan.reference][:2]
    script = tmp_path / "broken.py"
    script.write_text(BROKEN.format(*bad))
    command = [
        sys.executable,
        "-c",
        f"import sys; sys.path.insert(0, {str(ROOT)!r}); exec(open({str(script)!r}).read())",
    ]
    ends = []

    def start(manifest: Mapping[str, Any]) -> Iterator[Event]:
        try:
            yield from local_agent(command, tmp_path, manifest, 60)
        except AgentFailed:
            ends.append("died")
            raise
        ends.append("done")

    given = {key: value for key, value in manifest_of().items() if key not in ("models", "visits")}
    journal = Journal.create(tmp_path / "t.journal.jsonl", {})
    try:
        outcome = carry_out(Driver(Ledger(plan, journal), files, given, start, progress=lambda *_: None))
    finally:
        journal.close()
    assert outcome.failed == {
        name: f"the agent exited with code 3; its last words: {words}" for name, words in zip(bad, WORDS, strict=True)
    }
    assert set(outcome.results) == set(plan.models) - set(bad)
    # on a busy machine another agent may have made visits again
    assert ends[:3] == ["died", "died", "done"]
    assert "died" not in ends[2:]


# ---- memory


class Forgetful(Cpu):
    """Runs out of memory so often, as a GPU does."""

    def __init__(self, failures: int) -> None:
        super().__init__(torch.device("cpu"))
        self.failures, self.freed = failures, 0

    def recorded(self, work):
        if self.failures:
            self.failures -= 1
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 9 GiB\nmore words")
        return work

    def free(self) -> None:
        self.freed += 1


def test_out_of_memory_frees_what_was_kept_and_tries_once_more(tmp_path: Path) -> None:
    write_model(tmp_path, "a")
    device = Forgetful(1)
    agent = Agent(manifest_of(), device, Nvml(None, "", "none"))
    assert agent.visit("a", tmp_path / "a.pt")["samples_ns"]
    assert (device.freed, list(agent._models)) == (1, ["a"])
    device = Forgetful(2)
    agent = Agent(manifest_of(), device, Nvml(None, "", "none"))
    with pytest.raises(MemoryError, match=r"^CUDA out of memory\. Tried to allocate 9 GiB$"):
        agent.visit("a", tmp_path / "a.pt")
    assert (device.freed, list(agent._models)) == (2, [])
    assert agent.visit("a", tmp_path / "a.pt")["samples_ns"], "the next visit is made"
