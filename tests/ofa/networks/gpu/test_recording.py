"""What is asked of CUDA to record, with a CUDA that is not there."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor

from ofa.networks.gpu import recording
from ofa.networks.gpu.recording import Cuda
from ofa.networks.gpu.repeated import Repeated

CPU = torch.device("cpu")
STREAM = SimpleNamespace(wait_stream=lambda _: None)


class Graph:
    """Its replays are counted; what is captured is done."""

    replays = 0

    def capture_begin(self, **_: Any) -> None: ...

    def capture_end(self) -> None: ...

    def replay(self) -> None:
        Graph.replays += 1


@pytest.fixture(autouse=True)
def cuda(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """Memory as it says: bytes that are free, reserved, allocated and were allocated at most; how often emptied."""
    memory = SimpleNamespace(free=100, reserved=0, used=0, most=40, emptied=0)
    monkeypatch.setattr(recording, "_side_stream", lambda _: STREAM)
    monkeypatch.setattr(recording, "recorder_on", Cuda)
    monkeypatch.setattr("ofa.networks.gpu.repeated.recorder_on", Cuda)
    fakes = {
        "current_stream": lambda _: STREAM,
        "stream": lambda _: nullcontext(),
        "graph_pool_handle": lambda: (0, 1),
        "CUDAGraph": Graph,
        "memory_reserved": lambda _: memory.reserved,
        "memory_allocated": lambda _: memory.used,
        "max_memory_allocated": lambda _: memory.most,
        "mem_get_info": lambda _: (memory.free, 1000),
        "empty_cache": lambda: setattr(memory, "emptied", memory.emptied + 1),
    }
    for name, fake in fakes.items():
        monkeypatch.setattr(torch.cuda, name, fake)
    return memory


@pytest.mark.parametrize(
    "around",
    [torch.no_grad(), torch.inference_mode(), torch.autocast("cpu", torch.bfloat16), nullcontext()],
    ids=["no_grad", "inference", "autocast", "plain"],
)
def test_a_recorder_begins_wherever_work_is_recorded(around: AbstractContextManager[Any]) -> None:
    """A collection calibrates without gradients and evaluates in inference mode: its first recording is there."""
    with around:
        Cuda(CPU)


class OnGpu(Tensor):
    """Says so."""

    is_cuda = True


@pytest.mark.parametrize("around", [torch.no_grad, torch.inference_mode])
def test_repeated_work_is_replayed_without_gradients(around: Any) -> None:
    Graph.replays, called = 0, []
    repeated = Repeated(lambda x: called.append(1) or x + 1)
    with around():
        for _ in range(4):
            repeated(torch.ones(3).as_subclass(OnGpu))
    assert (len(called), Graph.replays) == (2, 3)


def test_room_is_what_a_step_needs_twice_and_captures_get_what_the_cache_holds(cuda: SimpleNamespace) -> None:
    recorder = Cuda(CPU)
    found = {}
    for free, reserved in [(100, 0), (70, 10), (70, 9), (10, 70), (9, 71), (9, 70)]:
        cuda.free, cuda.reserved, cuda.emptied = free, reserved, 0
        found[free, reserved] = recorder.has_room(), cuda.emptied
    assert found == {
        (100, 0): (True, 0),
        (70, 10): (True, 0),
        (70, 9): (False, 0),
        (10, 70): (True, 0),
        (9, 71): (True, 1),
        (9, 70): (False, 0),
    }
    kept = recorder.pool()
    kept.bytes = 5  # of what is reserved and not allocated, graphs have this
    cuda.free, cuda.reserved, cuda.used = 30, 60, 6
    assert not recorder.has_room()
    cuda.used = 5
    assert recorder.has_room()


@pytest.mark.parametrize("error", [RuntimeError("no"), KeyboardInterrupt()])
def test_a_capture_that_fails_is_ended_and_the_next_one_works(
    error: BaseException, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where it cannot be ended in order: PyTorch is made to forget it."""
    for ends in (True, False):
        calls: list[str] = []

        class Watched(Graph):
            def __init__(self, calls: list[str] = calls, fails: bool = not ends) -> None:
                self.calls, self.fails = calls, fails and not calls

            def capture_begin(self, **_: Any) -> None:
                self.calls.append("begin")

            def capture_end(self) -> None:
                self.calls.append("end")
                if self.fails:
                    raise RuntimeError("the capture was invalidated")

        monkeypatch.setattr(torch.cuda, "CUDAGraph", Watched)
        monkeypatch.setattr(torch, "zeros", lambda *_, **__: None)
        recorder = Cuda(CPU)

        def failing() -> None:
            raise error

        with pytest.raises(type(error)):
            recorder.record(failing, recorder.pool())
        assert calls == ["begin", "end"] * (1 if ends else 2)
        recorder.record(lambda: None, recorder.pool())()
        assert calls[-2:] == ["begin", "end"]
