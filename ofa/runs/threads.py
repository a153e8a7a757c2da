"""Independent work on every core: an item a thread."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from contextlib import contextmanager, suppress
from typing import TypeVar

from ofa.runs.system import raise_in_thread

Item = TypeVar("Item")
Result = TypeVar("Result")


class Unwanted(BaseException):
    """Raised in a thread whose result nobody waits for any more; no Exception, as KeyboardInterrupt is none."""


def in_threads(work: Callable[[Item], Result], items: Sequence[Item], threads: int) -> Generator[tuple[Item, Result]]:
    """Every item with what `work` makes of it, as they are done. To be closed where it is not used up.

    PyTorch computes each operator in one thread meanwhile. So results do not depend on the number of threads, and small
    operators do not wait for each other's halves.

    work: `Unwanted` is raised in it, wherever it is, when another item failed, or when what came so far was enough:
        Ctrl-C waits for an operator, not for an item
    """
    running, ended, lock = set[int](), False, threading.Lock()

    def run(item: Item) -> Result:
        with lock:
            if ended:
                raise Unwanted
            running.add(threading.get_ident())
        try:
            return work(item)
        finally:
            with lock:  # from here on, nothing is raised in this thread
                running.discard(threading.get_ident())

    with _one_thread_an_operator():
        pool = ThreadPoolExecutor(threads, initializer=_set_one_thread)
        futures: dict[Future[Result], Item] = {}
        try:
            futures.update((pool.submit(run, item), item) for item in items)
            for future in as_completed(futures):
                yield futures[future], future.result()
        finally:
            with lock:
                ended = True
                for thread in running:
                    raise_in_thread(thread, Unwanted)
            # for a second Ctrl-C too: Python would end before its threads, and abort in one that computes
            while any(future.running() for future in futures):
                with suppress(KeyboardInterrupt):
                    time.sleep(0.01)
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
