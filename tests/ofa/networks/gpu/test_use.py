"""Whether our kernels are used on a GPU: they are tried once, with Triton and a GPU that are not there."""

from __future__ import annotations

import sys
from collections.abc import Callable
from types import ModuleType
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from ofa.networks import gpu

CPU = torch.device("cpu")


def right(x: Tensor, weight: Tensor, stride: int) -> Tensor:
    return F.conv2d(x, weight, None, stride, 1, groups=len(weight))


def normalised(x: Tensor, scale: Tensor, shift: Tensor, *_: object) -> Tensor:
    return F.relu(F.batch_norm(x, None, None, scale, shift, True))


def raising(error: Exception) -> Callable[..., Tensor]:
    def depthwise(*_: object) -> Tensor:
        raise error

    return depthwise


@pytest.fixture
def tried(monkeypatch: pytest.MonkeyPatch) -> Callable[..., bool]:
    def run_on(
        depthwise: Callable[..., Tensor],
        norm: Callable[..., Tensor] = normalised,
        capability: tuple[int, int] = (8, 0),
        triton: bool = True,
    ) -> bool:
        for name, function in (("depthwise", depthwise), ("normalised", norm)):
            module = ModuleType("ofa.networks.gpu." + name.replace("normalised", "batch_norm"))
            setattr(module, name, function)
            monkeypatch.setitem(sys.modules, module.__name__, module)
        monkeypatch.setattr(gpu, "find_spec", lambda _: object() if triton else None)
        monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _: capability)
        return gpu._run_on.__wrapped__(CPU)

    return run_on


def test_kernels_that_compute_what_pytorch_does_are_used(
    tried: Callable[..., bool], capsys: pytest.CaptureFixture[str]
) -> None:
    assert tried(right)
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ({"depthwise": lambda x, *rest: right(x.roll(1, 1), *rest)}, "its convolutions are wrong"),
        ({"depthwise": lambda x, weight, stride: right(x, weight.roll(1, 3), stride)}, "its convolutions are wrong"),
        ({"norm": lambda x, *rest: normalised(x.roll(1, 2), *rest)}, "its batch normalisation is wrong"),
        ({"norm": lambda x, scale, *rest: normalised(x, scale.roll(1), *rest)}, "its batch normalisation is wrong"),
        ({"norm": raising(RuntimeError("out of registers"))}, "out of registers"),
        ({"depthwise": raising(RuntimeError("Failed to find C compiler.\nmore"))}, "Failed to find C compiler."),
        ({"depthwise": raising(OSError())}, "OSError"),
        ({"capability": (7, 5)}, "it needs compute capability 8.0"),
        ({"triton": False}, "it is not installed"),
    ],
)
def test_others_are_not_and_a_line_says_so(
    given: dict[str, Any], reason: str, tried: Callable[..., bool], capsys: pytest.CaptureFixture[str]
) -> None:
    """Rows, channels and taps that are shifted by one are noticed."""
    assert not tried(**{"depthwise": right, **given})
    slower = "PyTorch's own kernels are used, which are several times slower"
    assert capsys.readouterr().err == f"warning: Triton does not work on cpu ({reason}): {slower}\n"


def test_a_gpu_that_is_full_is_no_fault_of_triton(tried: Callable[..., bool]) -> None:
    with pytest.raises(torch.OutOfMemoryError):
        tried(raising(torch.OutOfMemoryError("CUDA out of memory")))


def test_layouts_follow_the_kernels(monkeypatch: pytest.MonkeyPatch) -> None:
    cuda = torch.device("cuda:0")
    for run, layout in ((True, torch.channels_last), (False, torch.contiguous_format)):
        monkeypatch.setattr(gpu, "_run_on", lambda _, run=run: run)
        assert (gpu.layout_on(CPU), gpu.layout_on(cuda)) == (torch.channels_last, layout)
