"""The same work on many batches of one shape, which a GPU is told of once."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import ClassVar, Generic, TypeVar

import torch
from torch import Tensor

from ofa.networks.gpu.recording import Recorder, Work, not_recorded, recorder_on

Result = TypeVar("Result")


class Repeated(Generic[Result]):
    """Calls `work` on tensors of one shape at a time; on a GPU, from the second on, by replaying a CUDA graph.

    A small batch of many small layers is queued more slowly than it is computed. What comes back of a replay is
    overwritten by the next one. `work` must do the same whatever the tensor holds, and read nothing from the device.
    What cannot be recorded, for lack of memory say, is called for every batch; the first time, a line says so.

    recorder: what records (default: the GPU of the tensors)
    """

    _told: ClassVar[bool] = False  # of any: there is one for every group of sub-networks

    def __init__(
        self,
        work: Callable[[Tensor], Result],
        recorder: Recorder | None = None,
    ) -> None:
        self._work, self._recorder = work, recorder
        self._form: tuple[torch.Size, tuple[int, ...]] | None = None
        self._replay: Work | None = None
        self._given_up = False

    def __call__(self, x: Tensor) -> Result:
        """What `work` gives for x."""
        form = x.shape, x.stride()
        if not (x.is_cuda or self._recorder) or self._given_up or form != self._form:
            if self._replay is None:
                self._form = form
            return self._work(x)
        if self._replay is None:
            self._record(x)
            if self._replay is None:
                return self._work(x)
        self._x.copy_(x)
        self._replay()
        return self._result[0]

    def _record(self, x: Tensor) -> None:
        recorder = self._recorder or recorder_on(x.device)
        self._x, self._result, self._pool = x.clone(), list[Result](), recorder.pool()
        try:
            self._replay = recorder.record(lambda: self._result.append(self._work(self._x)), self._pool)
        except RuntimeError as error:
            self._given_up, self._result = True, []
            if not Repeated._told:
                Repeated._told = True
                print(f"warning: {not_recorded(error)}: some batches take longer, as exact", file=sys.stderr)
