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

from ofa.errors import InputError


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
    """Tried once: Triton needs a GPU of compute capability 8.0, and a C compiler. A line says why they do not."""
    if find_spec("triton") is None:
        reason = "it is not installed"
    elif torch.cuda.get_device_capability(device) < (8, 0):
        reason = "it needs compute capability 8.0"
    else:
        reason = _fault_on(device)
    if reason:
        slower = "PyTorch's own kernels are used, which are several times slower"
        print(f"warning: Triton does not work on {device} ({reason}): {slower}", file=sys.stderr)
    return not reason


def _fault_on(device: torch.device) -> str:
    """What is wrong with the kernels' results; empty where nothing is. No two numbers that they are given are alike."""
    x = torch.arange(128.0, device=device).view(1, 8, 4, 4).contiguous(memory_format=torch.channels_last)
    weight = torch.arange(72.0, device=device).view(8, 1, 3, 3)
    scale, shift = weight.flatten()[1:9], weight.flatten()[3:11]
    try:
        from ofa.networks.gpu.batch_norm import normalised
        from ofa.networks.gpu.depthwise import depthwise

        with torch.no_grad(), torch.autocast("cuda", enabled=False):
            convolved = depthwise(x, weight, 1)
            activated = normalised(x, scale, shift, None, 0.0, 1e-5, "relu")
        plain = x.cpu().double()
        expected = F.conv2d(plain, weight.cpu().double(), None, 1, 1, groups=8)
        if not torch.equal(convolved.cpu().double(), expected):  # of whole numbers: exact
            return "its convolutions are wrong"
        expected = F.relu(F.batch_norm(plain, None, None, scale.cpu().double(), shift.cpu().double(), True))
        right = torch.allclose(activated.cpu().double(), expected, rtol=1e-4, atol=1e-4)
        return "" if right else "its batch normalisation is wrong"
    except torch.OutOfMemoryError:
        raise
    except Exception as error:  # whatever Triton, a compiler or a driver has to say
        cause = error.__cause__ if isinstance(error, InputError) and error.__cause__ else error
        return (str(cause).strip() or type(cause).__name__).splitlines()[0]
