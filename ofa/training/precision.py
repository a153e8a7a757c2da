"""Mixed precision: forward passes in bf16 or fp16 where torch's autocast says so, weights and sums in fp32."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import AbstractContextManager
from typing import Any

import torch
from torch import Tensor, nn

from ofa.errors import InputError
from ofa.evaluate.precision import autocast
from ofa.networks.gpu import layout_on

LAYOUTS = {"channels-last": torch.channels_last, "contiguous": torch.contiguous_format}
PRECISIONS = ("auto", "fp32", "bf16", "fp16")


def chosen_precision(name: str, device: torch.device) -> str:
    """ "auto" is bf16 on GPUs that have it, else fp32."""
    if name not in PRECISIONS:
        raise InputError(f"--precision is {name!r}, expected one of {', '.join(PRECISIONS)}")
    if name != "auto":
        return name
    return "bf16" if device.type == "cuda" and torch.cuda.is_bf16_supported() else "fp32"


def chosen_layout(name: str, device: torch.device) -> torch.memory_format:
    """The layout of weights and images. "auto" is channels last, but on GPUs without Triton contiguous."""
    return layout_on(device) if name == "auto" else LAYOUTS[name]


class Precision:
    """How forward and backward passes are computed. fp16's gradients are scaled, so that small ones do not vanish."""

    def __init__(self, name: str, device: torch.device) -> None:
        self.name, self.device = name, device
        self.scaler = torch.amp.GradScaler(device.type) if name == "fp16" else None

    def autocast(self) -> AbstractContextManager[Any]:
        """Wraps forward passes."""
        return autocast(self.name, self.device)

    def backward(self, loss: Tensor) -> None:
        """Adds the loss's gradients to those that are there."""
        loss = loss if self.scaler is None else self.scaler.scale(loss)
        loss.backward()  # type: ignore[no-untyped-call]

    def update(self, optimizer: torch.optim.Optimizer, parameters: Iterable[nn.Parameter], clip_norm: float) -> None:
        """The optimiser's step, gradients clipped to a total norm (0: not); in fp16, none where they overflowed."""
        if self.scaler is not None:
            self.scaler.unscale_(optimizer)
        if clip_norm:
            torch.nn.utils.clip_grad_norm_(parameters, clip_norm)
        if self.scaler is None:
            optimizer.step()
        else:
            self.scaler.step(optimizer)
            self.scaler.update()

    def to_dict(self) -> dict[str, Any]:
        """The state of fp16's scaling; empty otherwise."""
        return {} if self.scaler is None else self.scaler.state_dict()

    def restore(self, state: dict[str, Any]) -> None:
        """Takes up what `to_dict` gave."""
        if self.scaler is not None:
            self.scaler.load_state_dict(state)
