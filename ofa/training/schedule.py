"""Learning rates and optimisers, as the paper's trainings use them (Cai et al. 2020, section 4.1)."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import nn


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
    """SGD with Nesterov's momentum; the loop sets the learning rate before every step."""
    # lr 0 would be refused by nothing, but a step before the loop's first rate must not move the weights
    return torch.optim.SGD(parameter_groups(net, weight_decay), lr=0.0, momentum=momentum, nesterov=True)
