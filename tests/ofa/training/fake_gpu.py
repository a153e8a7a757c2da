"""A device named "gpu" whose tensors lie in the CPU's memory, and a watcher of what would make the host wait for it.

`pretend` changes torch for the rest of the process: call it in one of its own.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map_only
from torch.utils.backend_registration import _DummyBackendModule, _setup_privateuseone_for_python_backend
from torch.utils.weak import WeakTensorKeyDictionary

GPU = "gpu:0"
# a GPU's driver takes so much of ordinary memory into the command itself; of more, the host waits
TAKEN_AT_ONCE = 64 * 1024
# what must know values to know a shape or an answer
READING = (
    "_local_scalar_dense",
    "equal",
    "nonzero",
    "nonzero_numpy",
    "masked_select",
    "repeat_interleave",
    "_unique2",
    "unique_dim",
    "unique_consecutive",
    "bincount",
)


class _Module(_DummyBackendModule):
    def get_amp_supported_dtype(self) -> list[torch.dtype]:
        return [torch.bfloat16, torch.float16]


def pretend() -> None:
    """From now on there is a device "gpu", and memory can be pinned for it."""
    _setup_privateuseone_for_python_backend("gpu", backend_module=_Module())
    pinned = WeakTensorKeyDictionary()

    def pin_memory(tensor: Tensor) -> Tensor:
        copy = tensor.clone()
        pinned[copy] = True
        return copy

    Tensor.pin_memory, Tensor.is_pinned = pin_memory, lambda tensor: tensor in pinned  # type: ignore[method-assign]


class OnGpu(Tensor):
    """A tensor on the pretended GPU; `inner` is where its numbers are."""

    inner: Tensor

    @staticmethod
    def __new__(cls, inner: Tensor) -> OnGpu:
        made: OnGpu = torch.Tensor._make_wrapper_subclass(  # type: ignore[attr-defined]
            cls,
            inner.size(),
            strides=inner.stride(),
            storage_offset=inner.storage_offset(),
            dtype=inner.dtype,
            device=GPU,
        )
        made.inner = inner
        return made

    def tolist(self) -> Any:
        return self.cpu().tolist()

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Iterable[type], args: Any = (), kwargs: Any = None) -> Any:
        return _run(func, args, kwargs or {})


def _run(func: Any, args: Any, kwargs: dict[str, Any]) -> Any:
    goes_to = kwargs.get("device")
    there = any(isinstance(leaf, OnGpu) for leaf in tree_leaves((args, kwargs)))
    inner_args, inner_kwargs = tree_map_only(OnGpu, lambda tensor: tensor.inner, (args, kwargs))
    if goes_to is not None:
        there = torch.device(goes_to).type == "gpu"
        inner_kwargs = {**inner_kwargs, "device": torch.device("cpu")}
    out = func(*inner_args, **inner_kwargs)
    if any(result.alias_info is not None and result.alias_info.is_write for result in func._schema.returns):
        return kwargs.get("out", args[0])  # changed in place
    return tree_map_only(Tensor, OnGpu, out) if there else out


class Watcher(TorchDispatchMode):
    """Lists, in `waits`, what would make the host wait for the GPU."""

    def __init__(self) -> None:
        super().__init__()
        self.waits: list[str] = []

    def __torch_dispatch__(self, func: Any, types: Iterable[type], args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        name = func._schema.name.removeprefix("aten::")
        on_gpu = [isinstance(leaf, OnGpu) for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, Tensor)]
        if any(on_gpu) and (name in READING or _by_mask(name, args)):
            self.waits.append(name)
        if name in ("_to_copy", "copy_"):
            self._moved(name, args, kwargs)
        if any(on_gpu) or (kwargs.get("device") is not None and torch.device(kwargs["device"]).type == "gpu"):
            return _run(func, args, kwargs)
        return func(*args, **kwargs)

    def _moved(self, name: str, args: Any, kwargs: dict[str, Any]) -> None:
        source = args[1] if name == "copy_" else args[0]
        target = args[0].device if name == "copy_" else torch.device(kwargs.get("device") or source.device)
        waiting = not (args[2] if name == "copy_" and len(args) > 2 else kwargs.get("non_blocking"))
        if source.device.type == "gpu" and target.type == "cpu":
            self.waits.append("copied to the host")
        elif source.device.type == "cpu" and target.type == "gpu":
            if waiting:
                self.waits.append("copied from the host, waiting")
            elif source.nbytes > TAKEN_AT_ONCE and not source.is_pinned():
                self.waits.append(f"{source.nbytes} bytes copied from memory that is not pinned")


def _by_mask(name: str, args: Any) -> bool:
    return name.startswith("index") and any(
        isinstance(leaf, Tensor) and leaf.dtype == torch.bool for leaf in tree_leaves(args[1:2])
    )
