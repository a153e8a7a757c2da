"""Launching Triton's kernels. Each is compiled where it is first met, which may be in the middle of a training."""

from __future__ import annotations

from subprocess import CalledProcessError
from typing import Any

from triton.errors import TritonError

from ofa.errors import InputError


def launch(kernel: Any, grid: tuple[int, ...], *given: Any, **constants: Any) -> None:
    """Queues the kernel; InputError where Triton, or a compiler that it calls, does not make it."""
    try:
        kernel[grid](*given, **constants)
    except (TritonError, CalledProcessError, RuntimeError) as error:
        if isinstance(error, RuntimeError) and not str(error).startswith("Triton Error"):
            raise  # of what was queued before, or of memory
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise InputError(
            f"Triton does not make the kernel {kernel.__name__.strip('_')} ({reason}): uninstall triton, and PyTorch's "
            "own kernels are used, which are several times slower; a training then continues with --resume"
        ) from error
