"""Independent work on every core."""

import ctypes
import re
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from ofa.runs import system, threads
from ofa.runs.threads import Unwanted, in_threads


@pytest.fixture(autouse=True)
def three_threads() -> Iterator[None]:
    """An operator has as many, so that it shows whether they come back."""
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    yield
    torch.set_num_threads(before)


def test_every_item_comes_with_its_result_and_operators_take_one_thread() -> None:
    before = torch.get_num_threads()
    found = dict(in_threads(lambda item: (item * item, torch.get_num_threads()), range(100), 3))
    assert found == {item: (item * item, 1) for item in range(100)}
    assert torch.get_num_threads() == before


@pytest.mark.skipif(not system.LINUX, reason="loaded libraries are listed in /proc")
def test_libraries_take_one_thread_too() -> None:
    """oneDNN asks OpenMP, which knows a number for each thread, and not PyTorch."""
    maps = Path("/proc/self/maps").read_text(encoding="utf-8").splitlines()
    found = {line.split(maxsplit=5)[5] for line in maps if re.search(r"/lib[gi]?omp5?[-.][^/]*$", line)}
    if not found:
        pytest.skip("this PyTorch has no OpenMP")
    library = ctypes.CDLL(found.pop())
    assert dict(in_threads(lambda _: library.omp_get_max_threads(), range(9), 3)) == dict.fromkeys(range(9), 1)
    assert library.omp_get_max_threads() == 3


def test_items_run_at_once() -> None:
    both = threading.Barrier(2)
    assert dict(in_threads(lambda _: both.wait() >= 0, "ab", 2)) == {"a": True, "b": True}


def for_long() -> None:
    """Work that asks nobody whether it is wanted."""
    for _ in range(10**9):
        pass


def test_a_failure_ends_what_runs_and_begins_nothing_more() -> None:
    begun, ended_itself = list[str](), list[str]()
    running = threading.Event()

    def work(item: str) -> None:
        begun.append(item)
        if item == "fails":
            assert running.wait()
            raise ValueError("of the item")
        running.set()
        for_long()
        ended_itself.append(item)

    before = torch.get_num_threads()
    with pytest.raises(ValueError, match="of the item"):
        list(in_threads(work, ["runs on", "fails", "waits"], 2))
    assert (begun, ended_itself) == (["runs on", "fails"], [])
    assert torch.get_num_threads() == before


def test_whoever_stops_listening_ends_what_runs() -> None:
    ends: list[BaseException] = []
    running = threading.Event()

    def work(item: int) -> int:
        if not item:
            assert running.wait()
            return item
        running.set()
        try:
            for_long()
        except Unwanted as end:
            ends.append(end)
            raise
        return item

    with pytest.raises(KeyboardInterrupt), closing(in_threads(work, range(9), 2)) as results:
        for item, _ in results:
            assert item == 0
            raise KeyboardInterrupt
    assert 1 <= len(ends) <= 2


def test_threads_whose_work_just_ended_are_left_in_peace(capfd: pytest.CaptureFixture[str]) -> None:
    """Wherever they are between one item and the next: what is raised there would be told as a fault."""
    for _ in range(200):
        with closing(in_threads(lambda item: item, range(40), 3)) as results:
            next(results)
    assert capfd.readouterr() == ("", "")


def test_a_second_ctrl_c_waits_for_the_threads_too(monkeypatch: pytest.MonkeyPatch) -> None:
    running, returned, ended, presses = threading.Event(), threading.Event(), list[int](), list[float]()

    def press(seconds: float) -> None:
        presses.append(seconds)
        if len(presses) == 3:
            returned.set()
        raise KeyboardInterrupt

    def work(item: int) -> None:
        if not item:
            assert running.wait()
            return
        running.set()
        try:
            returned.wait(20)  # as in an operator, where nothing is raised; if nobody waits, it ends all the same
        finally:
            ended.append(item)

    monkeypatch.setattr(threads, "time", SimpleNamespace(sleep=press))
    with pytest.raises(KeyboardInterrupt), closing(in_threads(work, range(2), 2)) as results:
        next(results)
        raise KeyboardInterrupt
    assert (len(presses) >= 3, ended) == (True, [1])
