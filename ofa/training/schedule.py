"""How long and how fast a run trains: its plan, learning rates and optimiser (Cai et al. 2020, section 4.1)."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from ofa.errors import InputError


@dataclass(frozen=True)
class Plan:
    """The numbers of a training run.

    epochs: how often the data is seen
    steps_per_epoch: batches in each
    learning_rate: its peak, reached after the warm-up
    warmup_epochs: linear increase before the cosine, may be a fraction
    final_rate: where the cosine ends
    weight_decay: of weights; biases and normalisation have none
    momentum: Nesterov's
    seed: of everything random
    clip_norm: gradients are scaled down to this norm, all together; 0: not
    ema: weight of the past in a moving average of the weights, which is what a run results in; 0: none. It grows
        from 0.1 over the first steps (1 + step) / (10 + step)
    """

    epochs: int
    steps_per_epoch: int
    learning_rate: float
    warmup_epochs: float = 0.0
    weight_decay: float = 3e-5
    momentum: float = 0.9
    seed: int = 0
    clip_norm: float = 0.0
    ema: float = 0.0
    final_rate: float = 0.0

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
        if not (math.isfinite(self.clip_norm) and self.clip_norm >= 0):
            raise InputError(f"gradient norm to clip to is {self.clip_norm}, expected 0 (not) or more")
        if not 0 <= self.ema < 1:
            raise InputError(f"weight of the moving average is {self.ema}, expected 0 or more, and less than 1")

    @property
    def total_steps(self) -> int:
        return self.epochs * self.steps_per_epoch

    def rate(self, step: int) -> float:
        """The learning rate of a step, counted over all epochs from 0."""
        warmup = round(self.warmup_epochs * self.steps_per_epoch)
        return cosine_rate(step, self.total_steps, self.learning_rate, warmup, self.final_rate)


def cosine_rate(step: int, total_steps: int, peak: float, warmup_steps: int = 0, final: float = 0.0) -> float:
    """The learning rate of a step: linear from near 0 to `peak` over the warm-up, then half a cosine towards `final`.

    step: from 0 to total_steps - 1
    """
    if step < warmup_steps:
        return peak * (step + 1) / warmup_steps
    part = (step - warmup_steps) / max(1, total_steps - warmup_steps)
    return final + 0.5 * (peak - final) * (1 + math.cos(math.pi * part))


def parameter_groups(net: nn.Module, weight_decay: float) -> list[dict[str, Any]]:
    """Two groups for an optimiser: weights of convolutions and linear layers decay; biases, normalisation and kernel
    transformation matrices do not (these begin as the identity: decay would pull them away from it)."""
    decayed: list[nn.Parameter] = []
    kept: list[nn.Parameter] = []
    for layer in net.modules():
        is_norm = isinstance(layer, (nn.modules.batchnorm._BatchNorm, nn.LayerNorm, nn.GroupNorm))
        matrices = isinstance(layer, nn.ParameterDict)
        for name, parameter in layer.named_parameters(recurse=False):
            (kept if is_norm or matrices or name == "bias" else decayed).append(parameter)
    return [{"params": decayed, "weight_decay": weight_decay}, {"params": kept, "weight_decay": 0.0}]


def nesterov_sgd(net: nn.Module, weight_decay: float, momentum: float = 0.9) -> torch.optim.SGD:
    """SGD with Nesterov's momentum, in one pass; the loop sets the learning rate before every step."""
    # lr 0 would be refused by nothing, but a step before the loop's first rate must not move the weights
    groups = parameter_groups(net, weight_decay)
    optimizer = torch.optim.SGD(groups, lr=0.0, momentum=momentum, nesterov=True, fused=True)
    for group in groups:
        for parameter in group["params"]:
            # without them, torch expects that all weights have their first gradient in one step, and in fp16 that it is
            # finite: a buffer would be left as it was allocated
            optimizer.state[parameter]["momentum_buffer"] = torch.zeros_like(parameter)
    return optimizer
