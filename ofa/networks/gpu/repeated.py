"""The same work on many batches of one shape, which a GPU is told of once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, TypeVar

import torch
from torch import Tensor

Result = TypeVar("Result")


class Repeated(Generic[Result]):
    """Calls `work` on tensors of one shape at a time; on a GPU, from the second on, by replaying a CUDA graph.

    A small batch of many small layers is queued more slowly than it is computed. What comes back of a replay is
    overwritten by the next one. `work` must do the same whatever the tensor holds, and read nothing from the device.
    """

    def __init__(self, work: Callable[[Tensor], Result]) -> None:
        self._work = work
        self._shape: torch.Size | None = None
        self._graph: torch.cuda.CUDAGraph | None = None

    def __call__(self, x: Tensor) -> Result:
        """What `work` gives for x."""
        if not x.is_cuda or x.shape != self._shape:
            if self._graph is None:
                self._shape = x.shape
            return self._work(x)
        if self._graph is None:
            self._x = x.clone()
            graph = torch.cuda.CUDAGraph()
            # other threads read images meanwhile, and may ask CUDA for memory
            with torch.cuda.graph(graph, capture_error_mode="thread_local"):
                self._result = self._work(self._x)
            self._graph = graph
        self._x.copy_(x)
        self._graph.replay()
        return self._result
