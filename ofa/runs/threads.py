"""Independent work on every core: an item a thread."""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")
GoOn = Callable[[], object]


class Unwanted(Exception):
    """Raised in a thread whose result nobody waits for any more."""


def in_threads(
    work: Callable[[Item, GoOn], Result], items: Sequence[Item], threads: int
) -> Generator[tuple[Item, Result]]:
    """Every item with what `work` makes of it, as they are done. To be closed where it is not used up.

    PyTorch computes each operator in one thread meanwhile. So results do not depend on the number of threads, and small
    operators do not wait for each other's halves.

    work: told an item, and what to call now and then: it raises `Unwanted` where another item failed, or where what
        came so far was enough
    """
    ended = threading.Event()

    def go_on() -> None:
        if ended.is_set():
            raise Unwanted

    with _one_thread_an_operator():
        pool = ThreadPoolExecutor(threads, initializer=_set_one_thread)
        try:
            futures = {pool.submit(work, item, go_on): item for item in items}
            for future in as_completed(futures):
                yield futures[future], future.result()
        finally:
            ended.set()
            pool.shutdown(cancel_futures=True)


@contextmanager
def _one_thread_an_operator() -> Iterator[None]:
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _set_one_thread() -> None:
    import torch

    torch.set_num_threads(1)
