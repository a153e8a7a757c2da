"""OpenVINO in the CPU agent: the type that it computes in is told, and looked at."""

from __future__ import annotations

import contextlib
import os
import shutil
import threading
from collections.abc import Sequence
from functools import cache, partial
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from device_agents.cpu.machine import half_is_available
from device_agents.cpu.parts import NotComputed, Part, Rng, Run, aligned, noise

# what it calls the types; by itself it takes bf16 wherever the CPU has it
_HEAVY = ("Convolution", "FullyConnected", "MatMul")
_MULTIPLIERS = ("Convolution", "GroupConvolution", "MatMul")  # what a model has before it is compiled
_PRECISIONS = {"fp32": "f32", "bf16": "bf16", "fp16": "f16"}


@cache
def _openvino_core() -> Any:
    import openvino

    return openvino.Core()


# bytes that stay free on the disk: whoever profiles writes a journal
_SPARE = 256 << 20
_Key = tuple[Path, int, str]
# models that stay loaded
_loaded: dict[_Key, Any] = {}
# others that this process compiled before, and where their compiled forms are
_kept: dict[_Key, Path] = {}
# set once memory or threads (OpenVINO starts two for each model) did not suffice: from then on no model stays loaded
_full = threading.Event()


def _compiled(path: Path, threads: int, dtype: str) -> Any:
    """A compiled model, with new memory for its tensors.

    Unlike with other runtimes, its weights may stay where they were: copies of a model take equally long
    (docs/results/runtimes.md), and compiling an int8 model takes as long as a visit or two. Where memory is short, what
    was compiled goes to a file beside the model, and is imported from there: the same kernels and numbers.
    """
    key = path, threads, dtype
    if key in _loaded:
        _loaded[key].release_memory()
        return _loaded[key]
    core = _openvino_core()
    settings = {
        "INFERENCE_PRECISION_HINT": _PRECISIONS[dtype],
        "INFERENCE_NUM_THREADS": threads,
        "NUM_STREAMS": 1,
        "ENABLE_CPU_PINNING": False,  # the agent is pinned as a whole
    }
    if key in _kept:
        return core.import_model(_kept[key].read_bytes(), "CPU", settings)
    model = core.read_model(path)
    try:
        compiled = core.compile_model(model, "CPU", settings)
    except RuntimeError:  # of the model, or for want of what the loaded ones hold, more than is free by the kernel
        if not _loaded:
            raise
        _loaded.clear()
        compiled = core.compile_model(model, "CPU", settings)
        _full.set()
    multiplies = any(node.get_type_name() in _MULTIPLIERS for node in model.get_ops())
    _check_precision(compiled, dtype, multiplies=multiplies)
    if half_is_available() and not _full.is_set():
        _loaded[key] = compiled
    else:
        _keep(compiled, key)
    return compiled


def prepare_openvino(path: Path, threads: int, dtype: str = "fp32") -> None:
    """Compiles a model, so that no visit has to, where memory allows. What fails says so at its visit."""
    if half_is_available() and not _full.is_set():
        with contextlib.suppress(Exception):
            _compiled(path, threads, dtype)


def _keep(compiled: Any, key: _Key) -> None:
    """Writes what was compiled beside its model, where there is room for it."""
    path, threads, dtype = key
    kept = path.with_suffix(f".{os.getpid()}.{threads}.{dtype}.blob")
    try:
        content = compiled.export_model().getvalue()
        if shutil.disk_usage(path.parent).free < len(content) + _SPARE:
            return
        kept.write_bytes(content)
        _kept[key] = kept
    except OSError:  # no room for it, all the same
        with contextlib.suppress(OSError):
            kept.unlink(missing_ok=True)


def _check_precision(compiled: Any, dtype: str, *, multiplies: bool) -> None:
    """NotComputed where an operator that multiplies matrices computes in another type than it was asked to.

    multiplies: whether the model has such an operator, one of which then has to say its type. A pooling has none, and
    computes in the type of what it is given.
    """
    found = set()
    for node in compiled.get_runtime_model().get_ops():
        facts = node.get_rt_info()
        if "runtimePrecision" in facts and facts["layerType"].astype(str) in _HEAVY:
            found.add(facts["runtimePrecision"].astype(str))
    wanted = _PRECISIONS[dtype]
    # float32 goes with the integers of a quantised model
    others = found & {"bf16", "f16"} if dtype == "fp32" else found - {wanted}
    if others:
        raise NotComputed(dtype, f"{dtype} was asked for, and OpenVINO computes in {' and '.join(sorted(found))}")
    if dtype != "fp32" and multiplies and not found:
        raise NotComputed(dtype, f"{dtype} was asked for, and OpenVINO does not say in which type it computes")


def load_openvino(path: Path, threads: int, rng: Rng, dtype: str = "fp32") -> Run:
    import openvino

    request = _compiled(path, threads, dtype).create_infer_request()
    given = _noise_like(request.get_input_tensor(), rng)
    request.set_input_tensor(openvino.Tensor(given, shared_memory=True))
    return _requested(request, given)


def load_openvino_parts(paths: Sequence[Path], threads: int, rng: Rng, dtype: str = "fp32") -> list[Part]:
    """Parts that read and write two buffers in turn."""
    import openvino

    requests = [_compiled(path, threads, dtype).create_infer_request() for path in paths]
    outputs = [request.get_output_tensor() for request in requests]
    buffers = [aligned(max(output.byte_size for output in outputs)) for _ in range(2)]
    source = _noise_like(requests[0].get_input_tensor(), rng)
    parts = []
    for i, (request, output) in enumerate(zip(requests, outputs, strict=True)):
        kind = output.element_type.to_dtype()
        result = buffers[i % 2][: output.byte_size].view(kind).reshape(tuple(output.shape))
        request.set_input_tensor(openvino.Tensor(source, shared_memory=True))
        request.set_output_tensor(openvino.Tensor(result, shared_memory=True))
        parts.append(Part(_requested(request, source, result), partial(_same, result)))
        source = result
    return parts


def _requested(request: Any, *kept: NDArray[Any]) -> Run:
    """Runs a request, and holds its buffers, which the request knows by address alone."""

    def run() -> object:
        return kept and request.infer(share_outputs=True)

    return run


def _noise_like(tensor: Any, rng: Rng) -> NDArray[Any]:
    """Noise of a tensor's type and shape, from the start of a cache line on."""
    kind, shape = tensor.element_type.to_dtype(), tuple(tensor.shape)
    values: NDArray[Any] = aligned(tensor.byte_size).view(kind).reshape(shape)
    values[:] = noise(rng, shape, kind)
    return values


def _same(values: NDArray[Any]) -> NDArray[Any]:
    return values
