"""How a collection divides its groups among the cores."""

import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from ofa.errors import InputError
from ofa.evaluate.scores import Scores
from ofa.networks import Supernet, build_supernet
from ofa.networks.calibrate import Calibrating
from ofa.predictors.collect import collection
from ofa.predictors.collect.collection import Collection, CollectWatcher
from ofa.predictors.collect.measuring import draw, tree_order
from ofa.space import Subnet, get_space
from tests.helpers.supernets import TINY

SPACE = get_space(str(TINY), 6)
SUBNETS = draw(SPACE, (32, 48), 0, range(20))


@pytest.fixture(autouse=True)
def three_cores() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    yield
    torch.set_num_threads(before)


@dataclass
class Journal:
    lines: list[dict[str, Any]] = field(default_factory=list)

    def append(self, line: dict[str, Any]) -> None:
        self.lines.append(line)


def run(
    measure: Callable[..., list[Scores]], monkeypatch: pytest.MonkeyPatch, journal: Journal, feature_maps: int = 5
) -> None:
    images: Any = SimpleNamespace(calibration=(None, range(64)), data=None, cut=Calibrating())
    options: Any = SimpleNamespace(batch_size=64)
    monkeypatch.setattr(Collection, "_prepared", lambda _self, part: (dict.fromkeys(part), []))
    net, unused, watcher = build_supernet(SPACE), range(9), CollectWatcher()
    given: Any = (net, SUBNETS, images, unused, options, journal, watcher, measure, feature_maps)
    Collection(*given).run(tree_order(SPACE, SUBNETS), 100)


def scored(subnets: Sequence[Subnet]) -> list[Scores]:
    return [Scores(9, SUBNETS.index(subnet), 9, 1.0) for subnet in subnets]


def test_groups_run_at_once_and_every_network_gets_its_own_scores(monkeypatch: pytest.MonkeyPatch) -> None:
    together, sizes = threading.Barrier(3), list[int]()

    def measure(
        _net: Supernet, subnets: Sequence[Subnet], _images: Any, advance: Callable[[float], Any]
    ) -> list[Scores]:
        if len(sizes) < 3:
            sizes.append(len(subnets))
            together.wait()
        assert torch.get_num_threads() == 1
        assert len({subnet.resolution for subnet in subnets}) == 1
        advance(1.0)
        return scored(subnets)

    journal = Journal()
    run(measure, monkeypatch, journal)
    assert max(sizes) <= 7, "so that each of three cores has a group"
    assert sorted(line["index"] for line in journal.lines) == list(range(100, 120))
    assert all(line["top1"] == pytest.approx(100 * (line["index"] - 100) / 9) for line in journal.lines)
    assert torch.get_num_threads() == 3


def test_what_is_measured_stays_where_another_group_fails_and_the_others_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(collection, "GROUP", 4)
    done, lock, begun = threading.Event(), threading.Lock(), list[Sequence[Subnet]]()

    def measure(
        _net: Supernet, subnets: Sequence[Subnet], _images: Any, _advance: Callable[[float], Any]
    ) -> list[Scores]:
        with lock:
            begun.append(subnets)
            number = len(begun)
        if number == 1:
            done.set()
            return scored(subnets)
        assert done.wait()
        if number == 3:
            while not journal.lines:
                pass
            raise InputError("not finite")
        for _ in range(10**9):  # asks nobody whether it is wanted
            pass
        ended_itself.append(number)
        return []

    journal, ended_itself = Journal(), list[int]()
    with pytest.raises(InputError, match="not finite"):
        run(measure, monkeypatch, journal)
    assert (len(journal.lines), ended_itself) == (len(begun[0]), [])


@pytest.mark.parametrize(
    ("memory", "feature_maps", "threads"), [(None, 5, 3), (1 << 40, 5, 3), (1 << 20, 5, 1), (1 << 40, 1 << 20, 1)]
)
def test_as_many_groups_as_memory_has_room_for(
    memory: int | None, feature_maps: int, threads: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(collection, "memory_bytes", lambda: memory)
    asked: list[int] = []

    def in_threads(_work: Any, _items: Any, threads: int) -> Iterator[Any]:
        asked.append(threads)
        yield from ()

    monkeypatch.setattr(collection, "in_threads", in_threads)
    run(lambda *_: [], monkeypatch, Journal(), feature_maps)
    assert asked == [threads]
