"""What a supernet's step computes: the gradients of its sub-networks, distilled (Cai et al. 2020, section 3.3)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from ofa.networks import Supernet
from ofa.networks.elastic import Normalise, RunBlock, first, run_elastic
from ofa.networks.statistics import batch_statistics, stored_statistics
from ofa.space import Subnet
from ofa.training.accumulated import accumulated
from ofa.training.draws import Draws
from ofa.training.loop import StepResult
from ofa.training.precision import Precision
from ofa.training.recipe import Stage


@dataclass(frozen=True, eq=False)
class SupernetStep:
    """Computes a step's gradients; call it with images (N, 3, R, R), labels (N,) and the number of the step.

    run: logits of the trained network for images and a sub-network
    teacher: a frozen supernet, whose largest sub-network is the teacher; None where the stage distils from none
    label_smoothing: of the loss against labels
    class_weights: (classes,) of the loss against labels, None for equal ones
    normalise_teacher: the teacher's batch normalisation: by the batch, as the networks it teaches do
    run_teacher: runs the teacher's blocks
    """

    run: Callable[[Tensor, Subnet], Tensor]
    stage: Stage
    draws: Draws
    precision: Precision
    teacher: Supernet | None = None
    label_smoothing: float = 0.1
    class_weights: Tensor | None = None
    normalise_teacher: Normalise = batch_statistics
    run_teacher: RunBlock = run_elastic

    def __call__(self, images: Tensor, labels: Tensor, number: int) -> StepResult:
        """Gradients of all sub-networks of the step, added up."""
        soft = None if self.teacher is None else self._taught(self.teacher, images)
        losses: list[Tensor] = []
        correct = torch.zeros((), device=images.device)
        subnets = self.draws.subnets(number)
        for k, subnet in enumerate(subnets):
            with self.precision.autocast():
                logits = _at_least_single(self.run(images, subnet))
            if self.stage.sandwich and k > 0:
                assert soft is not None
                loss = F.cross_entropy(logits, soft)
            else:
                loss = F.cross_entropy(logits, labels, self.class_weights, label_smoothing=self.label_smoothing)
                if soft is not None:
                    weight = self.stage.distill / (1 + self.stage.distill)
                    loss = torch.lerp(loss, F.cross_entropy(logits, soft), weight)
            if self.stage.sandwich and k == 0:
                soft = logits.detach().softmax(1)
            self.precision.backward(loss)
            losses.append(loss.detach())
            correct += (logits.argmax(1) == labels).sum()
        return StepResult(torch.stack(losses), correct / len(subnets), len(images))

    def _taught(self, teacher: Supernet, images: Tensor) -> Tensor:
        """(N, classes) probabilities."""
        largest = teacher.space.decode(self.stage.largest(teacher.space, images.shape[-1]))[0]
        with torch.no_grad(), self.precision.autocast():
            logits = teacher.run(images, largest, self.normalise_teacher, first, self.run_teacher)
            return _at_least_single(logits).softmax(1)


def _at_least_single(logits: Tensor) -> Tensor:
    return logits.to(torch.promote_types(logits.dtype, torch.float32))


def supernet_run(
    net: Supernet, normalise: Normalise | None = None, run_block: RunBlock = run_elastic
) -> Callable[[Tensor, Subnet], Tensor]:
    """How a supernet is run while it is trained. normalise: instead of by this process's batch"""
    by = normalise or stored_statistics(training=True, take=accumulated)
    return lambda images, subnet: net.run(images, subnet, by, accumulated, run_block)
