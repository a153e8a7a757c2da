"""A training begins with a trial of graphs: those that compute something else are noticed."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from ofa.networks import Supernet
from ofa.space import Subnet, get_space
from ofa.training.graphs import trial
from ofa.training.graphs.trial import graphs_work
from ofa.training.precision import Precision
from ofa.training.recipe import Stage
from tests.helpers.supernets import lively
from tests.ofa.training.graphs.fake_recorder import FakeRecorder

STAGE = Stage("one", 1, 0.1)


def network() -> Supernet:
    return lively(get_space("mbv3-w0.25", 7)).train()


def works(recorder: FakeRecorder, precision: str = "fp32") -> bool:
    return graphs_work(network(), recorder, Precision(precision, torch.device("cpu")), STAGE, 32)


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_graphs_that_compute_what_blocks_do_work_and_leave_no_trace(precision: str) -> None:
    net, recorder = network(), FakeRecorder()
    dropout = net.get_submodule("classifier.dropout")
    assert isinstance(dropout, nn.Dropout)
    dropout.p = 0.1
    before = {name: tensor.clone() for name, tensor in net.state_dict().items()}
    generator = torch.get_rng_state()
    assert graphs_work(net, recorder, Precision(precision, torch.device("cpu")), STAGE, 32)
    assert recorder.replays > 50
    assert all(torch.equal(tensor, before[name]) for name, tensor in net.state_dict().items())
    assert all(weight.grad is None for weight in net.parameters())
    assert torch.equal(torch.get_rng_state(), generator)
    assert dropout.p == 0.1


def test_the_smallest_and_the_largest_network_are_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    tried, inner = set(), trial.supernet_run

    def watched(net: Supernet, *how: Any) -> Callable[[Tensor, Subnet], Tensor]:
        run = inner(net, *how)
        return lambda images, subnet: tried.add(subnet) or run(images, subnet)

    monkeypatch.setattr(trial, "supernet_run", watched)
    space = network().space
    assert works(FakeRecorder())
    assert tried == {*space.decode(STAGE.smallest(space, 32)), *space.decode(STAGE.largest(space, 32))}
    assert len(tried) == 2


class Idle(FakeRecorder):
    """One of its recordings, counted from 0, does nothing when it is replayed, from the second time on."""

    def __init__(self, which: int) -> None:
        super().__init__()
        self.which = which

    def record(self, work: Callable[[], object], pool: list) -> Callable[[], None]:  # type: ignore[type-arg]
        number, replay = len(self.recordings), super().record(work, pool)
        done = 0

        def sometimes() -> None:
            nonlocal done
            done += 1
            if number != self.which or done < 2:
                replay()

        return sometimes


@pytest.mark.parametrize("which", [0, 1, 20, 21])
def test_a_graph_that_does_nothing_is_noticed(which: int) -> None:
    assert not works(Idle(which))


class Stale(FakeRecorder):
    """Replays with the memory of some tensors as it was when it recorded, and puts it back."""

    def __init__(self, kept: list[Tensor]) -> None:
        super().__init__()
        self.kept = kept

    def record(self, work: Callable[[], object], pool: list) -> Callable[[], None]:  # type: ignore[type-arg]
        replay, then = super().record(work, pool), [tensor.clone() for tensor in self.kept]

        def as_it_was() -> None:
            now = [tensor.clone() for tensor in self.kept]
            self._put(then)
            replay()
            self._put(now)

        return as_it_was

    def _put(self, content: list[Tensor]) -> None:
        torch._foreach_copy_(self.kept, content)


@pytest.mark.parametrize("which", ["weights", "statistics"])
def test_graphs_of_old_weights_and_those_that_change_no_statistics_are_noticed(
    which: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    net = network()
    monkeypatch.setattr(trial, "copy", SimpleNamespace(deepcopy=lambda given: given))  # so that its tensors are known
    kept = {
        "weights": [weight.data for weight in net.parameters() if weight.ndim == 4],
        "statistics": [tensor.data for name, tensor in net.named_buffers() if "running" in name],
    }[which]
    assert not graphs_work(net, Stale(kept), Precision("fp32", torch.device("cpu")), STAGE, 32)
    assert graphs_work(net, FakeRecorder(), Precision("fp32", torch.device("cpu")), STAGE, 32)


def test_graphs_that_cannot_be_recorded_are_as_blocks_without() -> None:
    assert works(FakeRecorder(fails=lambda _: True))
