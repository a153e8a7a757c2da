"""Kernels for NVIDIA GPUs, in Triton: what cuDNN plans anew for every shape, and what PyTorch is slow at.

They are for images whose channels lie last. Without Triton, networks on a GPU are laid out contiguously.
"""

from __future__ import annotations

import sys
from functools import lru_cache
from importlib.util import find_spec

import torch
import torch.nn.functional as F
from torch import Tensor


def quick(x: Tensor) -> bool:
    """Whether these kernels run where x is."""
    return x.is_cuda and x.dtype in (torch.float32, torch.float16, torch.bfloat16) and _run_on(x.device)


def layout_on(device: torch.device) -> torch.memory_format:
    """The layout that networks are quickest in on a device: channels last, or contiguous on a GPU without Triton.

    Contiguous, PyTorch has depthwise kernels of its own; channels last, cuDNN plans every shape, 0.6 s each on an H200.
    """
    if device.type == "cuda" and not _run_on(device):
        return torch.contiguous_format
    return torch.channels_last


@lru_cache
def _run_on(device: torch.device) -> bool:
    """Tried once: Triton needs a GPU of compute capability 8.0, and a C compiler."""
    if find_spec("triton") is None or torch.cuda.get_device_capability(device) < (8, 0):
        return False
    from ofa.networks.gpu.depthwise import depthwise

    x, weight = torch.ones(1, 8, 4, 4, device=device), torch.ones(8, 1, 3, 3, device=device)
    x = x.contiguous(memory_format=torch.channels_last)
    try:
        with torch.no_grad(), torch.autocast("cuda", enabled=False):
            found = depthwise(x, weight, 1)
            if torch.equal(found, F.conv2d(x.contiguous(), weight, None, 1, 1, groups=8)):
                return True
            reason = "its results are wrong"
    except torch.OutOfMemoryError:
        raise
    except Exception as error:  # whatever Triton, a compiler or a driver has to say
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
    slower = "PyTorch's own kernels are used, which are several times slower"
    print(f"warning: Triton does not work on {device} ({reason}): {slower}", file=sys.stderr)
    return False
