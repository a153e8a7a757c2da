"""A training begins with a trial of graphs: those that compute something else are noticed."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import nn

from ofa.networks import Supernet
from ofa.space import get_space
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
    """Replays with the weights as they were when it recorded."""

    def record(self, work: Callable[[], object], pool: list) -> Callable[[], None]:  # type: ignore[type-arg]
        replay = super().record(work, pool)
        recording = self.recordings[-1]
        kept = [(t, t.clone()) for args in recording._operators for t in _weights(args)]

        def as_it_was() -> None:
            now = [(t, t.clone()) for t, _ in kept]
            for t, then in kept:
                t.data.copy_(then)
            replay()
            for t, today in now:
                t.data.copy_(today)

        return as_it_was


def _weights(operator: tuple) -> list[torch.Tensor]:  # type: ignore[type-arg]
    return [t for t in operator[1] if isinstance(t, torch.Tensor) and t.is_leaf and t.requires_grad and t.ndim == 4]


def test_graphs_of_old_weights_are_noticed() -> None:
    assert not works(Stale())


def test_graphs_that_cannot_be_recorded_are_as_blocks_without() -> None:
    assert works(FakeRecorder(fails=lambda _: True))
