"""A recorder in CUDA's place, on the CPU: it notes each operator of the work, and does all of them again to replay it.

As on a GPU, recording does nothing (what it changed is put back), a replay reads and writes the memory that was there
when it was recorded, and all recordings of a pool share one memory: whatever a replay does not read itself is lost.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves


class FakeRecorder:
    """room: whether there is any; fails: told the number of each recording, from 0, whether it fails half-way"""

    def __init__(self, room: bool = True, fails: Callable[[int], bool] = lambda _: False) -> None:
        self.room, self.fails = room, fails
        self.recordings: list[_Recording] = []
        self.replays = self.pools = self.settled = 0

    def pool(self) -> list[_Recording]:
        self.pools += 1
        return []

    def record(self, work: Callable[[], object], pool: list[_Recording]) -> Callable[[], None]:
        recording = _Recording(pool, self.fails(len(self.recordings)))
        self.recordings.append(recording)
        try:
            with recording:
                work()
        finally:
            recording.undo()
        pool.append(recording)

        def replay() -> None:
            self.replays += 1
            recording.replay()

        return replay

    def has_room(self) -> bool:
        return self.room

    def settle(self) -> None:
        self.settled += 1


class _Recording(TorchDispatchMode):
    def __init__(self, pool: list[_Recording], fails: bool) -> None:
        super().__init__()
        self.pool, self.fails = pool, fails
        self._operators: list[tuple[Any, Any, Any, list[Tensor]]] = []
        self.made: dict[int, Tensor] = {}  # by address, of what the work allocated
        self._before: dict[int, tuple[Tensor, Tensor]] = {}  # of what it found: as it was
        self._reads: list[_Recording] = []

    def __torch_dispatch__(self, func: Any, types: Iterable[type], args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        given = _tensors((args, kwargs))
        for tensor in given:
            address = _address(tensor)
            if address not in self.made and address not in self._before:
                whole = _whole(tensor)
                self._before[address] = whole, whole.clone()
        out = func(*args, **kwargs)
        results = _tensors(out)
        for tensor in results:
            if _address(tensor) not in self._before:
                self.made.setdefault(_address(tensor), _whole(tensor))
        if results:
            self._operators.append((func, args, kwargs, results))
        if self.fails and len(self._operators) > 3:
            raise RuntimeError("CUDA out of memory. Tried to allocate 20.00 MiB\nmore lines")
        return out

    def undo(self) -> None:
        """Recording does nothing: what was there is as it was, and what was made has no content."""
        for whole, before in self._before.values():
            whole.copy_(before)
        _lose(self.made.values())
        self._reads = [other for other in self.pool if other.made.keys() & self._before.keys()]
        self._before = {}

    def replay(self) -> None:
        for other in self.pool:
            if other not in self._reads:
                _lose(other.made.values())
        with torch.no_grad():
            for func, args, kwargs, results in self._operators:
                for result, tensor in zip(results, _tensors(func(*args, **kwargs)), strict=True):
                    if _address(result) != _address(tensor):
                        result.copy_(tensor)
        for other in self._reads:  # while the tape was walked through, its memory was free for what came after
            _lose(other.made.values())


def _tensors(tree: Any) -> list[Tensor]:
    """Those with content."""
    return [leaf for leaf in tree_leaves(tree) if isinstance(leaf, Tensor) and not leaf.is_meta]


def _address(tensor: Tensor) -> int:
    return tensor.untyped_storage().data_ptr()


def _whole(tensor: Tensor) -> Tensor:
    """All of a tensor's memory."""
    whole = torch.empty(0, dtype=tensor.dtype)
    return whole.set_(tensor.untyped_storage())  # type: ignore[call-overload, no-any-return]


def _lose(tensors: Iterable[Tensor]) -> None:
    for tensor in tensors:
        tensor.fill_(math.nan if tensor.is_floating_point() else 77)
