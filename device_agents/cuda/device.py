"""What CUDA does, behind the few calls that timing needs; and the CPU in its place, for tests."""

from __future__ import annotations

import gc
import hashlib
import itertools
import os
import platform
import sys
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, NoReturn

import torch

from device_agents.cuda.kernel import told_name

Work = Callable[[], object]
# exit code of an agent whose process is of no more use
LOST = 3
# for so many cycles of its clock, 2 ms at 2 GHz, the GPU is held before a batch of runs that are launched one by one,
# and for twice as many as often as that was too short; for more, a second, runs are not held
HELD_CYCLES, MOST_CYCLES = 1 << 22, 1 << 31
# for so many, a tenth of a second, where a single launch is to be told from a run
ASKED_CYCLES = 1 << 28


class CaptureFailed(RuntimeError):
    """A capture could not be ended: PyTorch's allocator may still think that it captures, and this process is lost."""


class Cuda:
    """A CUDA GPU. Everything runs on one side stream, as capturing a graph asks for."""

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.properties = torch.cuda.get_device_properties(device)
        self.l2_bytes = int(self.properties.L2_cache_size)
        self._queue: deque[torch.cuda.Event] = deque()
        # how long the GPU is held before a batch; 0: it is not
        self.held_cycles = 0

    def open(self) -> None:
        """Begins to use the GPU: before this the process has no context there."""
        torch.cuda.set_device(self.device)
        stream = torch.cuda.Stream(self.device)  # type: ignore[no-untyped-call]
        torch.cuda.set_stream(stream)
        self.stream = int(stream.cuda_stream)
        # all graphs share one pool, since no two run at a time; a pool lives as long as a graph that uses it
        self._pool = torch.cuda.graph_pool_handle()
        for dtype in (torch.float32, torch.float16):
            # cuBLAS and cuDNN begin with the first product and the first convolution, which no capture may hold
            one = torch.ones(8, 8, dtype=dtype, device=self.device)
            torch.conv2d((one @ one).view(1, 8, 8, 1), one.view(8, 8, 1, 1))
        self._anchor = self.recorded(lambda: one + 1)

    def recorded(self, work: Work) -> Work:
        """The work as a CUDA graph's replay. What the work allocates lies in the pool: its results are not kept.

        The work ran before, outside of any capture: libraries begin, and choose algorithms, in a first run. Raises what
        the work raises, or CaptureFailed.
        """
        graph = torch.cuda.CUDAGraph()
        self.settle()
        graph.capture_begin(pool=self._pool, capture_error_mode="thread_local")
        try:
            work()
        except Exception as error:
            _end(graph, error)
            raise
        _end(graph)
        return graph.replay

    def timed(self, works: Sequence[Work], meanwhile: Callable[[], None]) -> list[int]:
        """Nanoseconds of each work but the first, which keeps the GPU busy while the others are queued.

        If the GPU is held before, all is queued before the first work ends, or it is tried again, held for longer: so
        that no launch is waited for, however short the works are.
        """
        while True:
            events = [torch.cuda.Event(enable_timing=True) for _ in works]  # type: ignore[no-untyped-call]
            if self.held_cycles:
                torch.cuda._sleep(self.held_cycles)  # type: ignore[no-untyped-call]
            for work, event in zip(works, events, strict=True):
                work()
                event.record()
            was_waited_for = bool(self.held_cycles) and events[0].query()  # type: ignore[no-untyped-call]
            meanwhile()
            events[-1].synchronize()
            if not was_waited_for:
                return [max(1, round(a.elapsed_time(b) * 1e6)) for a, b in itertools.pairwise(events)]
            if self.held_cycles >= MOST_CYCLES:
                raise RuntimeError("the GPU finished runs before the next were queued, however long it was held")
            self.held_cycles *= 2

    def waits_for(self, work: Work) -> bool:
        """Whether a work that was queued behind a held GPU comes back only when the GPU is done with it."""
        event = torch.cuda.Event()  # type: ignore[no-untyped-call]
        torch.cuda._sleep(ASKED_CYCLES)  # type: ignore[no-untyped-call]
        event.record()
        work()
        waited: bool = event.query()  # type: ignore[no-untyped-call]
        self.settle()
        return waited

    def keep_busy(self, works: Sequence[Work]) -> None:
        """Returns at once; to be called again and again: the works are queued twice over at any time."""
        if self._queue and self._queue[0].query():  # type: ignore[no-untyped-call]
            self._queue.popleft()
        while len(self._queue) < 2:
            for work in works:
                work()
            event = torch.cuda.Event()  # type: ignore[no-untyped-call]
            event.record()
            self._queue.append(event)

    def settle(self) -> None:
        """Waits for all that is queued; raises what went wrong there."""
        self._queue.clear()
        torch.cuda.synchronize(self.device)

    def free(self) -> None:
        """Hands unused memory back. Raises if the GPU is of no more use to this process."""
        gc.collect()
        self.settle()
        torch.cuda.empty_cache()

    def facts(self) -> dict[str, Any]:
        p = self.properties
        return {
            "gpu": p.name,
            "compute_capability": f"{p.major}.{p.minor}",
            "multiprocessors": p.multi_processor_count,
            "gpu_memory_mib": p.total_memory >> 20,
            "l2_cache_kib": self.l2_bytes >> 10,
            "cuda": torch.version.cuda,
            "cudnn": str(torch.backends.cudnn.version()),  # type: ignore[no-untyped-call]
            "device_id": device_id(str(p.uuid)),
        }


def device_id(uuid: str) -> str:
    """What tells a GPU from others of its model, as the host makes it (profilers.devices.identity)."""
    return f"gpu-{hashlib.sha256(f'ofa-latency gpu {uuid}'.encode()).hexdigest()[:12]}"


def _end(graph: torch.cuda.CUDAGraph, reason: Exception | None = None) -> None:
    """Ends the capture; CaptureFailed, with the first reason, where PyTorch cannot."""
    try:
        graph.capture_end()
    except RuntimeError as error:
        first = reason or error
        raise CaptureFailed(f"the capture failed: {type(first).__name__}: {first}") from first


def end_lost(why: str) -> NoReturn:
    """Ends this process without another call of CUDA's; the host blames the visit by the last words, once, and
    starts another agent."""
    sys.stderr.write(why.splitlines()[0] + "\n")
    sys.stderr.flush()
    os._exit(LOST)


class Cpu:
    """This machine's CPU in a GPU's place, so that tests need no GPU: a graph is the function itself."""

    l2_bytes = 0

    def __init__(self, device: torch.device) -> None:
        self.device = device

    def recorded(self, work: Work) -> Work:
        return work

    def timed(self, works: Sequence[Work], meanwhile: Callable[[], None]) -> list[int]:
        """Nanoseconds of each work but the first, as on a GPU."""
        times = []
        for work in works:
            work()
            times.append(time.perf_counter_ns())
        meanwhile()
        return [max(1, b - a) for a, b in itertools.pairwise(times)]

    def keep_busy(self, works: Sequence[Work]) -> None:
        for work in works:
            work()

    def settle(self) -> None:
        pass

    def free(self) -> None:
        gc.collect()

    def facts(self) -> dict[str, Any]:
        return {"cpu_model": platform.processor() or platform.machine()}


class Waited(Cpu):
    """A GPU that torch cannot ask: each work waits for it, so that the clock on the wall tells its time."""

    def facts(self) -> dict[str, Any]:
        return {"gpu": told_name()}


def load_average() -> float | None:
    """Of the last minute; None on Windows, which has none."""
    ask = getattr(os, "getloadavg", None)
    return None if ask is None else round(ask()[0], 2)
