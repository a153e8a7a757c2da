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


FAULTS: dict[str, Callable[[Tensor], Tensor]] = {
    "scaled": lambda grad: 1.3 * grad,
    "zeroed": torch.zeros_like,
    "shifted": lambda grad: grad.roll(1, 0),
}


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_one_wrong_gradient_among_hundreds_is_noticed(precision: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """But for those that cancel, of which rounding leaves no more than the fault does: more of them in half precision.

    In fp32 these are the gradients of shifts that the next normalisation takes away: they are zero.
    """
    given: list[Any] = []
    inner = trial.alike

    def alike(*of: Any, tolerance: float) -> bool:
        given.append((of, tolerance))
        return inner(*of, tolerance=tolerance)

    monkeypatch.setattr(trial, "alike", alike)
    assert works(FakeRecorder(), precision)
    (found, *others), tolerance = next(of for of in given if "stem.conv.weight" in of[0][0])
    assert len(found) > 200
    missed = {}
    for fault, spoilt in FAULTS.items():
        names = [name for name, grad in found.items() if len(grad) > 1]
        missed[fault] = {
            n for n in names if inner({n: spoilt(found[n])}, *({n: of[n]} for of in others), tolerance=tolerance)
        }
    if precision == "fp32":
        shifts = {n for n in found if n.endswith("project.bn.bias")}
        assert missed == dict.fromkeys(FAULTS, shifts)
    else:
        noticed = {fault: 1 - len(names) / len(found) for fault, names in missed.items()}
        assert noticed["scaled"] > 0.6
        assert noticed["zeroed"] > 0.85
        assert noticed["shifted"] > 0.85


class Spoiling(FakeRecorder):
    """Its replays spoil what they add to a weight's gradient."""

    def __init__(self, weight: nn.Parameter, fault: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.weight, self.fault = weight, fault

    def record(self, work: Callable[[], object], pool: list) -> Callable[[], None]:  # type: ignore[type-arg]
        replay = super().record(work, pool)

        def spoilt() -> None:
            before = None if self.weight.grad is None else self.weight.grad.clone()
            replay()
            if before is not None and self.weight.grad is not None:
                self.weight.grad.copy_(before + self.fault(self.weight.grad - before))

        return spoilt


@pytest.mark.parametrize("fault", FAULTS)
def test_a_graph_that_spoils_one_gradient_is_noticed(fault: str, monkeypatch: pytest.MonkeyPatch) -> None:
    net = network()
    monkeypatch.setattr(trial, "copy", SimpleNamespace(deepcopy=lambda given: given))  # so that its tensors are known
    weight = net.get_parameter("unit_3_layer_2.matrices.5to3")
    recorder = Spoiling(weight, FAULTS[fault])
    assert not graphs_work(net, recorder, Precision("fp32", torch.device("cpu")), STAGE, 32)


@pytest.mark.filterwarnings("ignore:TF32 acceleration")
@pytest.mark.parametrize("precision", ["fp32", "bf16", "fp16"])
def test_other_algorithms_round_otherwise_and_are_right(precision: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Blocks with graphs by oneDNN, those without by PyTorch's own kernels."""
    again = trial._Seen.again

    def otherwise(*given: Any) -> Any:
        with torch.backends.mkldnn.flags(enabled=False):
            return again(*given)

    differed: list[bool] = []
    inner = trial.alike

    def alike(*of: Any, tolerance: float) -> bool:
        differed.append(any(not torch.equal(of[0][name], of[1][name]) for name in of[0]))
        return inner(*of, tolerance=tolerance)

    monkeypatch.setattr(trial._Seen, "again", otherwise)
    monkeypatch.setattr(trial, "alike", alike)
    assert works(FakeRecorder(), precision)
    assert differed == [True] * 3


def test_graphs_that_cannot_be_recorded_are_as_blocks_without() -> None:
    assert works(FakeRecorder(fails=lambda _: True))
