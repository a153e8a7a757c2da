"""The epoch loop: steps, checkpoints, metrics, stopping and continuing. What a step does is the caller's.

A run is a folder: checkpoint.pt (the whole state, replaced after every epoch and on SIGTERM or Ctrl-C) and
metrics.jsonl (a line an epoch). A run that was stopped, or killed, continues to the same weights, bit for bit (on a
CPU, with the same number of threads), because all randomness derives from seed, epoch and step.
"""

from __future__ import annotations

import json
import math
import signal
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from types import FrameType
from typing import Any

import torch
from torch import Tensor, nn

from ofa.errors import InputError
from ofa.files import replace_file
from ofa.training.augment import derived_seed
from ofa.training.schedule import cosine_rate, nesterov_sgd

FORMAT = "ofa-training/1"
CHECKPOINT, METRICS = "checkpoint.pt", "metrics.jsonl"
Batch = tuple[Tensor, Tensor]


@dataclass(frozen=True)
class Plan:
    """The numbers of a training run.

    epochs: how often the data is seen
    steps_per_epoch: batches in each
    learning_rate: its peak, reached after the warm-up
    warmup_epochs: linear increase before the cosine, may be a fraction
    weight_decay: of weights; biases and normalisation have none
    momentum: Nesterov's
    seed: of everything random
    """

    epochs: int
    steps_per_epoch: int
    learning_rate: float
    warmup_epochs: float = 0.0
    weight_decay: float = 3e-5
    momentum: float = 0.9
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("epochs", "steps_per_epoch"):
            if getattr(self, name) < 1:
                raise InputError(f"{name} is {getattr(self, name)}, expected at least 1")
        if not (math.isfinite(self.learning_rate) and self.learning_rate > 0):
            raise InputError(f"learning rate is {self.learning_rate}, expected more than 0")
        if not 0 <= self.warmup_epochs < self.epochs:
            raise InputError(f"warm-up is {self.warmup_epochs} epochs, expected 0 or more and less than {self.epochs}")
        if not (math.isfinite(self.weight_decay) and self.weight_decay >= 0):
            raise InputError(f"weight decay is {self.weight_decay}, expected 0 or more")
        if not 0 < self.momentum < 1:
            raise InputError(f"momentum is {self.momentum}, expected between 0 and 1")
        if self.seed < 0:
            raise InputError(f"seed is {self.seed}, expected 0 or more")

    @property
    def total_steps(self) -> int:
        return self.epochs * self.steps_per_epoch

    def rate(self, step: int) -> float:
        """The learning rate of a step, counted over all epochs from 0."""
        warmup = round(self.warmup_epochs * self.steps_per_epoch)
        return cosine_rate(step, self.total_steps, self.learning_rate, warmup)


@dataclass(frozen=True)
class StepResult:
    """loss: scalar mean over the batch; correct: scalar count; images: in the batch. Tensors may be on a device."""

    loss: Tensor
    correct: Tensor
    images: int


# from a batch and the number of the step: computes gradients and returns what it saw; the loop does the update
Step = Callable[[Tensor, Tensor, int], StepResult]


class Training:
    """A run in progress. `net` is trained in place.

    folder: of checkpoint.pt and metrics.jsonl
    settings: everything else that makes the run what it is (data, batch size ...): a run continues only with the same
    """

    def __init__(
        self, net: nn.Module, plan: Plan, folder: Path, settings: Mapping[str, Any], device: torch.device
    ) -> None:
        self.net, self.plan, self.folder, self.device = net.to(device), plan, folder, device
        # through JSON, so that what is compared on resuming is of the same types
        self.settings: dict[str, Any] = json.loads(json.dumps({**asdict(plan), **settings}))
        self.optimizer = nesterov_sgd(net, plan.weight_decay, plan.momentum)
        self.epoch = 0
        self.step = 0  # in the epoch
        self.history: list[dict[str, Any]] = []
        self._seconds = 0.0
        self._sums = torch.zeros(3, dtype=torch.float64, device=device)  # loss times images, correct, images

    def start(self) -> None:
        """Begins anew; InputError where the folder already has a run."""
        if (self.folder / CHECKPOINT).exists() or (self.folder / METRICS).exists():
            raise InputError(f"{self.folder} already has a run: continue it with --resume, or choose another --out")
        self.folder.mkdir(parents=True, exist_ok=True)

    def resume(self) -> None:
        """Takes up the folder's checkpoint; InputError where it is damaged, or of other settings, naming them.

        A folder without one (the first epoch was not over) starts anew.
        """
        path = self.folder / CHECKPOINT
        if not path.is_file():
            (self.folder / METRICS).unlink(missing_ok=True)
            self.start()
            return
        state = _read_state(path)
        stored = json.loads(state["settings"])
        for key in {**self.settings, **stored}:
            if stored.get(key) != self.settings.get(key):
                raise InputError(
                    f"{path} was made with {key} = {stored.get(key)!r}, but this run has {self.settings.get(key)!r}: "
                    "give the same settings, or another --out"
                )
        try:
            self.net.load_state_dict(state["network"])
            self.optimizer.load_state_dict(state["optimizer"])
            self.epoch, self.step = int(state["epoch"]), int(state["step"])
            self._sums = state["sums"].to(self.device)
            self._seconds = float(state["seconds"])
            self.history = json.loads(state["history"])
        except (KeyError, RuntimeError, ValueError) as error:
            raise InputError(f"{path}: damaged checkpoint: {str(error).splitlines()[0]}") from None
        self._write_metrics()

    def run(
        self,
        batches: Callable[[int, int], Iterable[Batch]],
        step: Step,
        *,
        validate: Callable[[], Mapping[str, Any]] | None = None,
        on_step: Callable[[int], None] = lambda _: None,
        on_epoch: Callable[[Mapping[str, Any]], None] = lambda _: None,
    ) -> bool:
        """Trains to the end: True; or until SIGTERM or Ctrl-C, whose state is saved first: False.

        batches: the batches of an epoch from a step on, given (epoch, first step), both from 0
        step: see `Step`; `net` is in training mode, gradients are cleared, torch's generator seeded by the step
        validate: called after every epoch with `net` in evaluation mode; what it returns joins the metrics
        on_step: told the number of steps done; on_epoch: told the epoch's metrics
        Raises InputError where the loss or a weight stops being finite; the last good checkpoint stays.
        """
        with _stop_on_signals() as stopped:
            while self.epoch < self.plan.epochs:
                began = time.perf_counter()
                self.net.train()
                for images, labels in batches(self.epoch, self.step):
                    self._one_step(images, labels, step)
                    on_step(self.epoch * self.plan.steps_per_epoch + self.step)
                    if stopped.is_set():
                        self._seconds += time.perf_counter() - began
                        self.save()
                        return False
                self._seconds += time.perf_counter() - began
                metrics = self._finish_epoch(validate)
                on_epoch(metrics)
                if stopped.is_set():
                    return self.epoch >= self.plan.epochs
        return True

    def _one_step(self, images: Tensor, labels: Tensor, step: Step) -> None:
        number = self.epoch * self.plan.steps_per_epoch + self.step
        for group in self.optimizer.param_groups:
            group["lr"] = self.plan.rate(number)
        self.optimizer.zero_grad(set_to_none=True)
        images = images.to(self.device, memory_format=torch.channels_last, non_blocking=True)
        labels = labels.to(self.device, non_blocking=True)
        with torch.random.fork_rng([self.device] if self.device.type == "cuda" else []):
            torch.manual_seed(derived_seed(self.plan.seed, self.epoch, self.step, 1))  # dropout, and what step draws
            result = step(images, labels, number)
        loss = result.loss.detach().double()
        self._sums += torch.stack(
            [loss * result.images, result.correct.double(), torch.full_like(loss, float(result.images))]
        )
        # reading it makes a GPU wait, so there only now and then
        if (self.device.type == "cpu" or self.step % 50 == 49) and not bool(self._sums[0].isfinite()):
            raise self._not_finite("the loss")
        self.optimizer.step()
        self.step += 1

    def _finish_epoch(self, validate: Callable[[], Mapping[str, Any]] | None) -> dict[str, Any]:
        self._check_finite()
        loss_sum, correct, images = self._sums.tolist()
        metrics: dict[str, Any] = {
            "epoch": self.epoch + 1,
            "learning_rate": self.optimizer.param_groups[0]["lr"],
            "train_loss": loss_sum / images,
            "train_top1": 100 * correct / images,
            "train_images": int(images),
            "seconds": round(self._seconds, 3),
        }
        if validate is not None:
            self.net.eval()
            with torch.random.fork_rng([self.device] if self.device.type == "cuda" else []):
                metrics.update(validate())
            self.net.train()
        self.history.append(metrics)
        self.epoch, self.step, self._seconds = self.epoch + 1, 0, 0.0
        self._sums.zero_()
        self.save()
        self._write_metrics()
        return metrics

    def save(self) -> None:
        """Replaces checkpoint.pt by the present state, in one step; InputError where that is not finite."""
        self._check_finite()
        state = {
            "format": FORMAT,
            "settings": json.dumps(self.settings),
            "network": self.net.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "epoch": self.epoch,
            "step": self.step,
            "sums": self._sums,
            "seconds": self._seconds,
            "history": json.dumps(self.history),
        }
        replace_file(self.folder / CHECKPOINT, lambda temporary: torch.save(state, temporary))

    def _check_finite(self) -> None:
        if not bool(self._sums[0].isfinite()):
            raise self._not_finite("the loss")
        for name, tensor in self.net.state_dict().items():
            if tensor.is_floating_point() and not bool(tensor.isfinite().all()):
                raise self._not_finite(name)

    def _not_finite(self, what: str) -> InputError:
        path = self.folder / CHECKPOINT
        kept = f"the checkpoint before it is kept in {path}" if path.exists() else "there is no checkpoint before it"
        return InputError(
            f"{what} is no longer finite (NaN or infinite) in epoch {self.epoch + 1}, at or shortly before step "
            f"{self.step + 1}, learning rate {self.optimizer.param_groups[0]['lr']:g}; {kept}. "
            "Start again with a lower --learning-rate"
        )

    def _write_metrics(self) -> None:
        text = "".join(json.dumps(line) + "\n" for line in self.history)
        replace_file(self.folder / METRICS, lambda temporary: temporary.write_text(text, encoding="utf-8"))


def _read_state(path: Path) -> dict[str, Any]:
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # whatever a damaged or hostile pickle provokes
        reason = str(error).strip().split("\n")[0][:200] or type(error).__name__
        raise InputError(f"{path}: not a checkpoint of a training run: {reason}") from None
    if not isinstance(state, dict) or state.get("format") != FORMAT:
        raise InputError(f"{path}: not a checkpoint of a training run of ours ({FORMAT})")
    return state


@contextmanager
def _stop_on_signals() -> Iterator[threading.Event]:
    """An event that SIGTERM and Ctrl-C set; a second Ctrl-C interrupts at once. In the main thread only."""
    stopped = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield stopped
        return

    def stop(number: int, _: FrameType | None) -> None:
        if number == signal.SIGINT and stopped.is_set():
            raise KeyboardInterrupt
        stopped.set()

    before = {number: signal.signal(number, stop) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield stopped
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
