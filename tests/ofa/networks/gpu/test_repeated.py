"""Work that is recorded once and replayed, by a recorder that stands in CUDA's place."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from ofa.networks.gpu.repeated import Repeated
from tests.ofa.training.graphs.fake_recorder import FakeRecorder

WEIGHT = torch.randn(4, 4)


def work(x: Tensor) -> dict[str, Tensor]:
    hidden = torch.relu(x @ WEIGHT)
    return {"sum": hidden.sum(0), "mean": hidden.mean(0) + 1}


@pytest.mark.parametrize("fails", [False, True])
def test_every_batch_gives_what_the_work_gives_for_it(fails: bool) -> None:
    recorder = FakeRecorder(fails=lambda _: fails)
    repeated = Repeated(work, recorder)
    batches = [torch.randn(count, 4) for count in (8, 8, 8, 5, 8, 5, 8)]
    copies = [x.clone() for x in batches]
    with torch.no_grad():
        for x, kept in zip(batches, copies, strict=True):
            for name, tensor in repeated(x).items():
                assert torch.equal(tensor, work(kept)[name])
    assert all(torch.equal(x, kept) for x, kept in zip(batches, copies, strict=True))
    assert len(recorder.recordings) == 1
    assert recorder.replays == (0 if fails else 4)


def test_work_that_is_not_recorded_is_told_of_once(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A collection has a Repeated for every group of sub-networks."""
    monkeypatch.setattr(Repeated, "_told", False)
    for _ in range(2):
        repeated = Repeated(work, FakeRecorder(fails=lambda _: True))
        with torch.no_grad():
            for _ in range(3):
                repeated(torch.randn(8, 4))
    why = "a CUDA graph could not be recorded (CUDA out of memory. Tried to allocate 20.00 MiB)"
    assert capsys.readouterr().err == f"warning: {why}: some batches take longer, as exact\n"


def test_another_layout_is_another_shape() -> None:
    recorder = FakeRecorder()
    repeated = Repeated(work, recorder)
    with torch.no_grad():
        repeated(torch.randn(4, 4))
        x = torch.randn(4, 4).t()
        assert torch.equal(repeated(x)["sum"], work(x)["sum"])
    assert not recorder.recordings


def test_on_a_cpu_nothing_is_recorded() -> None:
    repeated = Repeated(work)
    x = torch.randn(3, 4)
    for _ in range(3):
        assert torch.equal(repeated(x)["sum"], work(x)["sum"])
