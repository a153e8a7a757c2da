"""The training loop: learning rates, losses that are not finite, and checkpoints that are no checkpoints."""

import math
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from ofa.errors import InputError
from ofa.runs.processes import Processes
from ofa.training.loop import StepResult, Training
from ofa.training.schedule import Plan, cosine_rate
from tests.helpers.interrupted import assert_same


def test_learning_rate_rises_linearly_and_falls_by_half_a_cosine() -> None:
    rates = [cosine_rate(step, 12, 0.8, 4) for step in range(12)]
    assert rates[:4] == pytest.approx([0.2, 0.4, 0.6, 0.8])
    assert rates[4] == 0.8
    assert rates[8] == pytest.approx(0.4)
    assert rates[11] == pytest.approx(0.4 * (1 + math.cos(math.pi * 7 / 8)))


def test_the_cosine_ends_where_it_is_told_to() -> None:
    assert [cosine_rate(step, 10, 0.8, 2, final=0.8) for step in range(2, 10)] == [0.8] * 8
    assert cosine_rate(10_000, 10_001, 0.8, 2, final=0.2) == pytest.approx(0.2)
    assert cosine_rate(6, 10, 0.8, 2, final=0.2) == pytest.approx(0.5)


def _toy(folder: Path, bad_step: int) -> tuple[Training, Any, Any]:
    torch.manual_seed(0)
    net = nn.Linear(3 * 2 * 2, 2)

    def batches(epoch: int, first: int) -> Iterator[tuple[Tensor, Tensor]]:
        for n in range(first, 2):
            generator = torch.Generator().manual_seed(10 * epoch + n)
            yield torch.randn(4, 3, 2, 2, generator=generator), torch.tensor([0, 1, 0, 1])

    def step(images: Tensor, labels: Tensor, number: int) -> StepResult:
        loss = nn.functional.cross_entropy(net(images.flatten(1)), labels)
        loss = loss * math.nan if number == bad_step else loss
        loss.backward()
        return StepResult(loss[None], torch.tensor(0), len(images))

    plan = Plan(epochs=3, steps_per_epoch=2, learning_rate=0.1)
    return Training(net, plan, folder, {"data": "toy"}, Processes(0, 1, torch.device("cpu"))), batches, step


def test_a_loss_that_is_not_finite_stops_and_keeps_the_last_checkpoint(tmp_path: Path) -> None:
    training, batches, step = _toy(tmp_path / "none", bad_step=1)
    training.start()
    with pytest.raises(
        InputError, match=r"the loss of the network is no longer finite .* in epoch 1, .* there is no checkpoint"
    ):
        training.run(batches, step)
    training, batches, step = _toy(tmp_path / "run", bad_step=3)
    training.start()
    with pytest.raises(InputError, match=r"in epoch 2, .*kept in .*checkpoint\.safetensors\. Start again with a lower"):
        training.run(batches, step)
    again, batches, step = _toy(tmp_path / "run", bad_step=-1)
    again.resume()
    assert (again.epoch, again.step, len(again.history)) == (1, 0, 1)
    assert again.run(batches, step)
    whole, batches, step = _toy(tmp_path / "whole", bad_step=-1)
    whole.start()
    assert whole.run(batches, step)
    assert_same(again.net.state_dict(), whole.net.state_dict())


def test_a_resumed_momentum_lies_as_its_weights_do(tmp_path: Path) -> None:
    """In a file all tensors are contiguous; the fused optimiser walks through weights and momentum side by side."""

    def training() -> Training:
        net = nn.Conv2d(3, 4, 3).to(memory_format=torch.channels_last)
        return Training(net, Plan(1, 1, 0.1), tmp_path / "run", {}, Processes(0, 1, torch.device("cpu")))

    first, again = training(), training()
    first.start()
    (kept,) = [state["momentum_buffer"] for p, state in first.optimizer.state.items() if p.ndim == 4]
    kept.normal_(generator=torch.Generator().manual_seed(0))
    first.save()
    again.resume()
    (found,) = [state["momentum_buffer"] for p, state in again.optimizer.state.items() if p.ndim == 4]
    assert torch.equal(found, kept)
    assert found.stride() == kept.stride() == again.net.weight.stride()


def test_weights_that_are_not_finite_are_never_saved(tmp_path: Path) -> None:
    training, _, _ = _toy(tmp_path / "run", bad_step=-1)
    training.start()
    next(iter(training.net.parameters())).data[0, 0] = math.nan
    with pytest.raises(InputError, match="weight is no longer finite"):
        training.save()
    assert not (tmp_path / "run" / "checkpoint.safetensors").exists()


def test_a_damaged_or_hostile_checkpoint_is_refused(tmp_path: Path) -> None:
    training, _, _ = _toy(tmp_path, bad_step=-1)
    path = tmp_path / "checkpoint.safetensors"
    torch.save({"format": os.system}, path)
    with pytest.raises(InputError, match=r"not a checkpoint|damaged"):
        training.resume()
    training.save()
    path.write_bytes(path.read_bytes()[:-500])
    with pytest.raises(InputError, match=r"not a checkpoint|damaged"):
        training.resume()
    save_file({"weights": torch.zeros(1)}, path)
    with pytest.raises(InputError, match="of ours"):
        training.resume()


def test_a_checkpoint_for_which_memory_is_too_small_is_not_damaged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    training, _, _ = _toy(tmp_path, bad_step=-1)
    training.start()
    training.save()

    def full(_: Any) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(training.net, "load_state_dict", full)
    with pytest.raises(torch.OutOfMemoryError):
        training.resume()
