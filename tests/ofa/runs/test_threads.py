"""Independent work on every core."""

import threading
from contextlib import closing

import pytest
import torch

from ofa.runs.threads import GoOn, Unwanted, in_threads


def test_every_item_comes_with_its_result_and_operators_take_one_thread() -> None:
    before = torch.get_num_threads()

    def work(item: int, go_on: GoOn) -> tuple[int, int]:
        go_on()
        return item * item, torch.get_num_threads()

    found = dict(in_threads(work, range(100), 3))
    assert found == {item: (item * item, 1) for item in range(100)}
    assert torch.get_num_threads() == before


def test_items_run_at_once() -> None:
    both = threading.Barrier(2)
    assert dict(in_threads(lambda _item, _go_on: both.wait() >= 0, "ab", 2)) == {"a": True, "b": True}


def test_a_failure_ends_what_runs_and_begins_nothing_more() -> None:
    begun: list[str] = []
    running = threading.Event()

    def work(item: str, go_on: GoOn) -> None:
        begun.append(item)
        if item == "fails":
            assert running.wait()
            raise ValueError("of the item")
        running.set()
        while True:
            go_on()

    before = torch.get_num_threads()
    with pytest.raises(ValueError, match="of the item"):
        list(in_threads(work, ["runs on", "fails", "waits"], 2))
    assert begun == ["runs on", "fails"]
    assert torch.get_num_threads() == before


def test_whoever_stops_listening_ends_what_runs() -> None:
    ends: list[BaseException] = []

    def work(item: int, go_on: GoOn) -> int:
        try:
            while item:
                go_on()
        except Unwanted as end:
            ends.append(end)
            raise
        return item

    with pytest.raises(KeyboardInterrupt), closing(in_threads(work, range(9), 2)) as results:
        for item, _ in results:
            assert item == 0
            raise KeyboardInterrupt
    assert 1 <= len(ends) <= 2
