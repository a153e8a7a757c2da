"""Forward passes in bf16 or fp16 where torch's autocast says so; weights, statistics and sums stay in fp32."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch

from ofa.errors import InputError


def autocast(name: str, device: torch.device) -> AbstractContextManager[Any]:
    """Wraps forward passes of a precision: "fp32", "bf16" or "fp16"."""
    if name == "fp32":
        return nullcontext()
    return torch.autocast(device.type, torch.bfloat16 if name == "bf16" else torch.float16)


def check_precision(name: str, device: torch.device) -> None:
    """InputError where a device does not compute in the precision that networks are to be evaluated in."""
    if name == "bf16" and device.type == "cuda" and not torch.cuda.is_bf16_supported(including_emulation=False):
        raise InputError(f"--precision bf16 needs a GPU of compute capability 8.0, {device} has less: use fp16 or fp32")
    if name == "fp16" and device.type != "cuda":
        raise InputError(f"--precision fp16 needs a GPU, the device is {device}: use bf16 or fp32")
