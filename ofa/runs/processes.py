"""Several processes on one job, as torchrun starts them: gloo between CPUs, NCCL between GPUs."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn

from ofa.errors import InputError

# so many numbers are summed at a time
PIECE = 1 << 24


@dataclass(frozen=True)
class Processes:
    """This process among those of the job; 1 where torchrun was not used.

    rank: from 0 to count - 1; rank 0 writes results and shows progress
    device: this process's own
    """

    rank: int
    count: int
    device: torch.device

    def total(self, tensor: Tensor) -> Tensor:
        """The sum over all processes, on the CPU, the same in each; every process must call it.

        Piece by piece, so that a cache of images never lies on a GPU as a whole.
        """
        if self.count == 1:
            return tensor
        summed = torch.empty(tensor.numel(), dtype=tensor.dtype)
        flat = tensor.reshape(-1)
        for first in range(0, len(flat), PIECE):
            # a copy: the caller's stays as it is, also where it lies on this process's device
            piece = flat[first : first + PIECE].to(self.device, copy=True)
            dist.all_reduce(piece)
            summed[first : first + PIECE] = piece
        return summed.view(tensor.shape)

    def gathered(self, value: Any) -> list[Any]:
        """Everybody's value, in order of rank; every process must call it."""
        if self.count == 1:
            return [value]
        values: list[Any] = [None] * self.count
        dist.all_gather_object(values, value)
        return values

    def average_gradients(self, parameters: Iterable[nn.Parameter]) -> None:
        """Replaces every gradient by its mean over all processes, which must hold the same ones."""
        if self.count == 1:
            return
        grads = [p.grad for p in parameters if p.grad is not None]
        flat = torch.cat([grad.reshape(-1) for grad in grads])
        dist.all_reduce(flat)
        flat /= self.count
        for grad, mean in zip(grads, torch.split(flat, [grad.numel() for grad in grads]), strict=True):
            grad.copy_(mean.view(grad.shape))

    def wait(self) -> None:
        """Returns when every process has come here."""
        if self.count > 1:
            dist.barrier()


@contextmanager
def processes(device: str = "auto") -> Iterator[Processes]:
    """Joins the processes that torchrun started, if it did.

    device: "auto" takes GPUs where there are any, the local rank's own; else "cpu", "cuda", "cuda:1".
    Raises InputError for a device that there is not.
    """
    count, rank = int(os.environ.get("WORLD_SIZE", "1")), int(os.environ.get("RANK", "0"))
    chosen = _device(device, int(os.environ.get("LOCAL_RANK", "0")) if count > 1 else None)
    if chosen.type == "cuda":
        torch.cuda.set_device(chosen)
        # fp32 is fp32, for whatever is trained, evaluated or collected: by default cuDNN would take tf32
        torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = False
    if count == 1:
        yield Processes(0, 1, chosen)
        return
    # Its functions have the group of their first import as a default argument, and torch imports it with the first
    # optimiser: a group of before is kept beyond its destruction, and gloo's threads with it. One that then lets go of
    # a tensor while the interpreter ends aborts the process (pytorch issue 190489).
    from torch.distributed.nn import functional  # noqa: F401

    dist.init_process_group("nccl" if chosen.type == "cuda" else "gloo", timeout=timedelta(hours=6))
    try:
        yield Processes(rank, count, chosen)
    finally:
        dist.destroy_process_group()


def _device(name: str, local_rank: int | None) -> torch.device:
    gpus = torch.cuda.device_count() if torch.cuda.is_available() else 0
    try:
        device = torch.device(("cuda" if gpus else "cpu") if name == "auto" else name)
    except RuntimeError:
        raise InputError(f"--device is {name!r}, expected auto, cpu, cuda or cuda:N") from None
    if device.type not in ("cpu", "cuda"):
        raise InputError(f"--device is {name!r}, expected auto, cpu, cuda or cuda:N")
    if device.type == "cpu":
        return device
    index = device.index if device.index is not None else local_rank or 0
    if index >= gpus:
        raise InputError(f"there are {gpus} GPUs: none for process {index}" if gpus else "torch sees no GPU here")
    return torch.device("cuda", index)
