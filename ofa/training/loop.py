"""The epoch loop: steps, checkpoints, metrics, stopping and continuing. What a step does is the caller's.

A run is a folder: checkpoint.safetensors (the whole state, replaced after every epoch and on SIGTERM or Ctrl-C) and
metrics.jsonl (a line an epoch). A run that was stopped, or killed, continues to the same weights, bit for bit (on a
CPU, with the same number of threads), because all randomness derives from seed, epoch, step and process.

Several processes each compute the gradients of their own images. They are averaged in one piece after the step's last
backward pass: a step of a supernet has several, and torch's DistributedDataParallel would send them after each.
"""

from __future__ import annotations

import json
import math
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ofa.errors import InputError
from ofa.images.pixels.augment import derived_seed
from ofa.images.pixels.crops import moved
from ofa.networks.layers import memory_format_of
from ofa.runs.files import replace_file
from ofa.runs.processes import Processes
from ofa.runs.settings import Difference
from ofa.runs.stopping import stop_on_signals
from ofa.training.precision import Precision
from ofa.training.schedule import Plan, nesterov_sgd
from ofa.training.state import CHECKPOINT, read_state, write_state

METRICS = "metrics.jsonl"
LOOK_EVERY = 10  # steps on GPUs between looks at the losses, for which they must wait
Batch = tuple[Tensor, Tensor]


@dataclass(frozen=True)
class StepResult:
    """What a step saw. Tensors may be on a device.

    losses: (K,) mean over the batch of each of the step's networks; correct: scalar count, the mean over them
    images: in the batch
    """

    losses: Tensor
    correct: Tensor
    images: int


# from a batch and the number of the step: computes gradients and returns what it saw; the loop does the update
Step = Callable[[Tensor, Tensor, int], StepResult]


class Training:
    """A run in progress. `net` is trained in place.

    folder: of checkpoint.safetensors and metrics.jsonl
    settings: everything else that makes the run what it is (data, batch size ...): a run continues only with the same
    precision: of the step's forward and backward passes
    describe: names a step's k-th network, given the number of the step and k, for a message
    """

    def __init__(
        self,
        net: nn.Module,
        plan: Plan,
        folder: Path,
        settings: Mapping[str, Any],
        procs: Processes,
        *,
        precision: Precision | None = None,
        describe: Callable[[int, int], str] = lambda *_: "the network",
    ) -> None:
        self.net, self.plan, self.folder, self.procs = net.to(procs.device), plan, folder, procs
        self.device = procs.device
        self.precision = precision or Precision("fp32", procs.device)
        # through JSON, so that what is compared on resuming is of the same types
        self.settings: dict[str, Any] = json.loads(json.dumps({**asdict(plan), **settings}))
        self.optimizer = nesterov_sgd(net, plan.weight_decay, plan.momentum)
        self.epoch = 0
        self.step = 0  # in the epoch
        self.history: list[dict[str, Any]] = []
        self._describe = describe
        self._average = {n: p.detach().clone() for n, p in net.named_parameters()} if plan.ema else {}
        self._seconds = 0.0
        self._seen: list[tuple[int, StepResult]] = []  # steps of the run that nobody looked at yet
        self._sums = torch.zeros(3, dtype=torch.float64)  # of the others: loss times images, correct, images
        self._bad = (-1, -1)  # step of the run, network in the step, of the first loss that is not finite; -1: none

    @property
    def checkpoint(self) -> Path:
        return self.folder / CHECKPOINT

    @property
    def number(self) -> int:
        """Steps done, over all epochs."""
        return self.epoch * self.plan.steps_per_epoch + self.step

    def start(self) -> None:
        """Begins anew; InputError where the folder already has a run."""
        if self.checkpoint.exists() or (self.folder / METRICS).exists():
            raise InputError(f"{self.folder} already has a run: continue it with --resume, or choose another --out")
        self.procs.wait()
        self.folder.mkdir(parents=True, exist_ok=True)

    def resume(self) -> None:
        """Takes up the folder's checkpoint; InputError where it is damaged, or of other settings, naming them.

        A folder without one (the first epoch was not over) starts anew.
        """
        if not self.checkpoint.is_file():
            self.procs.wait()
            if self.procs.rank == 0:
                (self.folder / METRICS).unlink(missing_ok=True)
            self.procs.wait()
            self.start()
            return
        groups, facts = read_state(self.checkpoint)
        if different := Difference.between(facts.get("settings"), self.settings):
            way_out = different.way_out("name another --out")
            raise InputError(f"{self.checkpoint} was made {different.words('this run')}: {way_out}")
        try:
            self.net.load_state_dict(groups["network"])
            self._restore_momentum(groups.get("momentum", {}))
            for name, average in self._average.items():
                average.copy_(groups["average"][name])
            self.epoch, self.step = int(facts["epoch"]), int(facts["step"])
            if self.procs.rank == 0:  # the sums of all processes were stored
                self._sums.copy_(torch.tensor(facts["sums"], dtype=torch.float64))
            self._seconds = float(facts["seconds"])
            self.history = list(facts["history"])
            self.precision.restore(facts["precision"])
        except torch.OutOfMemoryError:  # a RuntimeError, but nothing is wrong with the file
            raise
        except (KeyError, TypeError, RuntimeError, ValueError) as error:
            raise InputError(f"{self.checkpoint}: damaged checkpoint: {str(error).splitlines()[0]}") from None
        self._write_metrics()

    def run(
        self,
        batches: Callable[[int, int], Iterable[Batch]],
        step: Step,
        *,
        validate: Callable[[], Mapping[str, Any]] | None = None,
        on_step: Callable[[int], object] = lambda _: None,
        on_epoch: Callable[[Mapping[str, Any]], object] = lambda _: None,
    ) -> bool:
        """Trains to the end: True; or until SIGTERM or Ctrl-C, whose state is saved first: False.

        batches: this process's batches of an epoch from a step on, given (epoch, first step), both from 0
        step: see `Step`; `net` is in training mode, gradients are cleared, torch's generator seeded by the step
        validate: called after every epoch with `net` in evaluation mode; what it returns joins the metrics
        on_step: told the number of steps done; on_epoch: told the epoch's metrics
        Raises InputError where the loss or a weight stops being finite; the last good checkpoint stays.
        """
        with stop_on_signals() as stopped:
            while self.epoch < self.plan.epochs:
                began = time.perf_counter()
                self.net.train()
                for images, labels in batches(self.epoch, self.step):
                    stop = self._one_step(images, labels, step, stopped)
                    on_step(self.number)
                    if stop:
                        self._seconds += time.perf_counter() - began
                        self.save()
                        return False
                self._seconds += time.perf_counter() - began
                metrics = self._finish_epoch(validate)
                on_epoch(metrics)
                if self._agreed(stopped):
                    return self.epoch >= self.plan.epochs
        return True

    @contextmanager
    def averaged(self) -> Iterator[None]:
        """Within, the network has the moving average of its weights, if there is one."""
        kept = {n: p.detach().clone() for n, p in self.net.named_parameters()} if self._average else {}
        self._fill(self._average)
        try:
            yield
        finally:
            self._fill(kept)

    def finish(self) -> None:
        """Leaves the moving average in the network, if there is one: what the run results in."""
        self._fill(self._average)

    def _fill(self, weights: Mapping[str, Tensor]) -> None:
        if weights:
            with torch.no_grad():
                for name, parameter in self.net.named_parameters():
                    parameter.copy_(weights[name])

    def _one_step(self, images: Tensor, labels: Tensor, step: Step, stopped: threading.Event) -> bool:
        """True where every process has agreed to stop."""
        for group in self.optimizer.param_groups:
            group["lr"] = self.plan.rate(self.number)
        self.optimizer.zero_grad(set_to_none=True)
        images = moved(images, self.device, memory_format_of(self.net))
        labels = moved(labels, self.device)
        with torch.random.fork_rng([self.device] if self.device.type == "cuda" else []):
            # dropout, and what step draws
            self._seed(derived_seed(self.plan.seed, self.epoch, self.step, 1 + self.procs.rank))
            self._seen.append((self.number, step(images, labels, self.number)))
        # reading it makes a GPU wait, so there only now and then
        look = self.device.type == "cpu" or self.step % LOOK_EVERY == LOOK_EVERY - 1
        stop = self._agreed(stopped) if look else False
        self.procs.average_gradients(self.net.parameters())
        self.precision.update(self.optimizer, self.net.parameters(), self.plan.clip_norm)
        if self._average:
            weight = min(self.plan.ema, (1 + self.number) / (10 + self.number))
            torch._foreach_lerp_(list(self._average.values()), [p.detach() for p in self.net.parameters()], 1 - weight)
        self.step += 1
        return stop

    def _seed(self, seed: int) -> None:
        """As torch.manual_seed does, but for devices that are not this one: each would note a traceback."""
        torch.default_generator.manual_seed(seed)
        if self.device.type == "cuda":
            with torch.cuda.device(self.device):
                torch.cuda.manual_seed(seed)

    def _look(self) -> None:
        """Adds up what steps saw since the last look, for which a GPU must be waited for, once."""
        if not self._seen:
            return
        tensors = [tensor.detach() for _, seen in self._seen for tensor in (seen.losses, seen.correct.reshape(1))]
        values = torch.cat(tensors).tolist()
        for number, seen in self._seen:
            losses, correct, values = (
                values[: len(seen.losses)],
                values[len(seen.losses)],
                values[len(seen.losses) + 1 :],
            )
            mean = sum(losses) / len(losses)
            self._sums += torch.tensor([mean * seen.images, correct, seen.images], dtype=torch.float64)
            infinite = [k for k, loss in enumerate(losses) if not math.isfinite(loss)]
            if infinite and self._bad[0] < 0:
                self._bad = number, infinite[0]
        self._seen = []

    def _agreed(self, stopped: threading.Event) -> bool:
        """Whether any process was told to stop. Raises InputError in all where a loss of any was not finite."""
        self._look()
        flags = self.procs.total(torch.tensor([float(stopped.is_set()), float(self._bad[0] >= 0)]))
        if flags[1] > 0:
            self._raise_bad_loss()
        return bool(flags[0] > 0)

    def _raise_bad_loss(self) -> None:
        bad = max(self.procs.gathered(self._bad))  # of any process that saw one
        epoch, step = divmod(bad[0], self.plan.steps_per_epoch)
        raise self._not_finite(f"the loss of {self._describe(*bad)}", epoch, step)

    def _finish_epoch(self, validate: Callable[[], Mapping[str, Any]] | None) -> dict[str, Any]:
        self._agreed(threading.Event())
        self._check_weights()
        loss_sum, correct, images = self.procs.total(self._sums).tolist()
        metrics: dict[str, Any] = {
            "epoch": self.epoch + 1,
            "learning_rate": self.plan.rate(self.number - 1),
            "train_loss": loss_sum / images,
            "train_top1": 100 * correct / images,
            "train_images": int(images),
            "seconds": round(self._seconds, 3),
        }
        if validate is not None:
            self.net.eval()
            with torch.random.fork_rng([self.device] if self.device.type == "cuda" else []), self.averaged():
                metrics.update(validate())
            self.net.train()
        self.history.append(metrics)
        self.epoch, self.step, self._seconds = self.epoch + 1, 0, 0.0
        self._sums.zero_()
        self.save()
        self._write_metrics()
        return metrics

    def save(self) -> None:
        """Replaces the checkpoint by the present state, in one step; InputError where that is not finite.

        Every process must call it; the first writes.
        """
        self._agreed(threading.Event())
        self._check_weights()
        sums = self.procs.total(self._sums).tolist()
        if self.procs.rank == 0:
            momentum = {
                name: self.optimizer.state[parameter]["momentum_buffer"]
                for name, parameter in self.net.named_parameters()
            }
            facts = {
                "settings": self.settings,
                "epoch": self.epoch,
                "step": self.step,
                "sums": sums,
                "seconds": self._seconds,
                "history": self.history,
                "precision": self.precision.to_dict(),
            }
            groups = {"network": self.net.state_dict(), "momentum": momentum, "average": self._average}
            write_state(self.checkpoint, groups, facts)
        self.procs.wait()

    def _restore_momentum(self, momentum: Mapping[str, Tensor]) -> None:
        for name, parameter in self.net.named_parameters():
            if name in momentum:
                self.optimizer.state[parameter]["momentum_buffer"].copy_(momentum[name])

    def _check_weights(self) -> None:
        tensors = [tensor for tensor in (*self.net.parameters(), *self.net.buffers()) if tensor.is_floating_point()]
        if torch.nn.utils.get_total_norm(tensors).isfinite():
            return  # of all of them at once; of huge weights the norm alone may not be finite
        for name, tensor in self.net.state_dict().items():
            if tensor.is_floating_point() and not bool(tensor.isfinite().all()):
                raise self._not_finite(name, self.epoch, self.step)

    def _not_finite(self, what: str, epoch: int, step: int) -> InputError:
        there = self.checkpoint.exists()
        kept = f"the checkpoint before it is kept in {self.checkpoint}" if there else "there is no checkpoint before it"
        rate = self.plan.rate(epoch * self.plan.steps_per_epoch + step)
        return InputError(
            f"{what} is no longer finite (NaN or infinite) in epoch {epoch + 1}, step {step + 1}, "
            f"learning rate {rate:g}; {kept}. Start again with a lower learning rate"
        )

    def _write_metrics(self) -> None:
        if self.procs.rank == 0:
            text = "".join(json.dumps(line) + "\n" for line in self.history)
            replace_file(
                self.folder / METRICS, lambda temporary: temporary.write_text(text, encoding="utf-8", newline="\n")
            )
