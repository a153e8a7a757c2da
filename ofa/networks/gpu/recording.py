"""What CUDA does, behind the few calls that recording needs; tests put a recorder of their own in its place."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from functools import lru_cache
from typing import Any, Protocol
from weakref import WeakSet

import torch
import torch.nn.functional as F

Work = Callable[[], object]
# room for so many times what a step took at most stays outside of graphs: a step without them must still fit
SPARE = 2


class Recorder(Protocol):
    """Records work on a device. What the work allocates lies in a pool, whose memory later recordings use again."""

    def pool(self) -> Any:
        """A pool, which must not outlive its recordings: new ones need a new pool when the last one is gone."""

    def record(self, work: Work, pool: Any) -> Work:
        """Notes what the work queues, without doing it; what comes back does it. RuntimeError where that fails."""

    def has_room(self) -> bool:
        """Whether there is memory for more."""

    def settle(self) -> None:
        """Returns when all that was queued is done."""


def not_recorded(error: RuntimeError) -> str:
    """In words, for a warning."""
    return f"a CUDA graph could not be recorded ({str(error).partition(chr(10))[0]})"


class _Pool:
    def __init__(self) -> None:
        self.handle, self.bytes = torch.cuda.graph_pool_handle(), 0


class Cuda:
    """A GPU that records CUDA graphs, on a side stream, as PyTorch asks for."""

    def __init__(self, device: torch.device) -> None:
        self._device, self._stream = device, _side_stream(device)
        self._pools: WeakSet[_Pool] = WeakSet()
        self._stream.wait_stream(torch.cuda.current_stream(device))
        with (
            torch.cuda.stream(self._stream),
            # whoever records, a collection for one, may have switched gradients off
            torch.inference_mode(False),
            torch.enable_grad(),
            torch.autocast("cuda", enabled=False),
        ):
            for dtype in (torch.float32, torch.bfloat16, torch.float16):
                # products of matrices have memory of their own on each stream and thread, which no pool may hold
                one = torch.ones(16, 16, dtype=dtype, device=device, requires_grad=True)
                F.linear(one, one, one[0]).sum().backward()  # type: ignore[no-untyped-call]
        torch.cuda.current_stream(device).wait_stream(self._stream)

    def pool(self) -> _Pool:
        pool = _Pool()
        self._pools.add(pool)
        return pool

    def record(self, work: Work, pool: _Pool) -> Work:
        graph, before = torch.cuda.CUDAGraph(), torch.cuda.memory_reserved(self._device)
        self._stream.wait_stream(torch.cuda.current_stream(self._device))
        with torch.cuda.stream(self._stream):
            # of other threads, those that decode and pin images, CUDA may be asked anything meanwhile
            graph.capture_begin(pool=pool.handle, capture_error_mode="thread_local")
            try:
                work()
            except BaseException:
                with suppress(RuntimeError):
                    self._end(graph, pool)
                raise
            self._end(graph, pool)
        torch.cuda.current_stream(self._device).wait_stream(self._stream)
        pool.bytes += max(0, torch.cuda.memory_reserved(self._device) - before)
        return graph.replay

    def _end(self, graph: torch.cuda.CUDAGraph, pool: _Pool) -> None:
        try:
            graph.capture_end()
        except RuntimeError:
            # before 2.12, PyTorch's allocator still believes that it captures (pytorch pull request 180395); its random
            # numbers may, until a capture succeeds
            with suppress(RuntimeError):
                torch._C._cuda_endAllocateToPool(self._device.index or 0, pool.handle)
            whole = torch.cuda.CUDAGraph()
            whole.capture_begin(capture_error_mode="thread_local")
            torch.zeros(1, device=self._device)
            whole.capture_end()
            raise

    def has_room(self) -> bool:
        reserved, used = torch.cuda.memory_reserved(self._device), torch.cuda.memory_allocated(self._device)
        unused = max(0, reserved - used - sum(pool.bytes for pool in self._pools))
        free, _ = torch.cuda.mem_get_info(self._device)
        step = torch.cuda.max_memory_allocated(self._device)
        room = free + unused >= SPARE * step
        if room and free < step / 4:  # one block takes less
            torch.cuda.empty_cache()  # while it captures, PyTorch gives nothing of it back, and has no memory
        return room

    def settle(self) -> None:
        torch.cuda.synchronize(self._device)


@lru_cache
def _side_stream(device: torch.device) -> torch.cuda.Stream:
    """The same for all: on each stream, products of matrices keep memory for good."""
    return torch.cuda.Stream(device)  # type: ignore[no-untyped-call]


@lru_cache
def recorder_on(device: torch.device) -> Cuda:
    """That of a GPU, for work that comes again and again."""
    return Cuda(device)
