"""What processes do together, as far as one process can show it: their sums, and what fp32 is on a GPU."""

import pytest
import torch

from ofa.runs import processes
from ofa.runs.processes import Processes
from tests.device_agents.cuda.manifests import tf32_flags, tf32_set_to


@pytest.mark.parametrize("shape", [(300, 3, 5, 5), (300, 2), (64,), (0, 3), ()])
def test_a_sum_goes_through_the_device_piece_by_piece(monkeypatch: pytest.MonkeyPatch, shape: tuple[int, ...]) -> None:
    pieces = []

    def all_reduce(tensor: torch.Tensor) -> None:
        pieces.append(tensor.numel())
        tensor *= 2  # another process has the same

    monkeypatch.setattr(processes, "PIECE", 64)
    monkeypatch.setattr(processes.dist, "all_reduce", all_reduce)
    given = torch.randint(0, 100, shape, dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    before = given.clone()
    summed = Processes(0, 2, torch.device("cpu")).total(given)
    assert torch.equal(summed, 2 * before)
    assert torch.equal(given, before)
    assert (summed.shape, summed.dtype) == (given.shape, given.dtype)
    assert (sum(pieces), max(pieces, default=0) <= 64) == (given.numel(), True)


def test_one_process_has_the_sum_already() -> None:
    given = torch.ones(3)
    assert Processes(0, 1, torch.device("cpu")).total(given) is given


def test_on_a_gpu_fp32_is_fp32(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    monkeypatch.setattr(torch.cuda, "set_device", lambda _: None)
    with tf32_set_to(True), processes.processes("cuda") as procs:
        assert (procs.device, tf32_flags()) == (torch.device("cuda", 0), (False, False))
