"""The runtimes of the CPU agent: each loads a model, or a network cut into parts, and returns what runs it."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from device_agents.cpu.openvino_runtime import load_openvino, load_openvino_parts, prepare_openvino
from device_agents.cpu.parts import NotComputed, Part, Rng, Run, aligned, noise, nothing


@dataclass(frozen=True)
class Runtime:
    """distribution: that has its version; load: a model; load_parts: a network's parts, None where it cannot chain.

    prepare: does what takes long of loading a file, once and for all its visits; None where each loads it anew
    """

    distribution: str
    load: Callable[[Path, int, Rng], Run]
    load_parts: Callable[[Sequence[Path], int, Rng], list[Part]] | None = None
    prepare: Callable[[Path, int], None] | None = None


# ---- onnxruntime

_KINDS = {"tensor(float)": np.float32, "tensor(int8)": np.int8, "tensor(uint8)": np.uint8}


# quantised models that this process optimised before, and where their optimised forms are
_optimised: dict[Path, Path] = {}


def _session(path: Path, threads: int, entries: Mapping[str, str] | None = None) -> Any:
    """A session of a model, new, with memory of its own.

    A process optimises a quantised model once, keeps the result in a file beside it, and from then on loads that: the
    same kernels and numbers. For a session of such a model spends most of its time on looking for integer kernels.
    """
    entries = entries or {}
    if path in _optimised:
        return _new_session(_optimised[path], threads, entries, optimise=False)
    if not _is_quantised(path):
        return _new_session(path, threads, entries)
    kept = path.with_suffix(f".{os.getpid()}.ort")
    try:
        session = _new_session(path, threads, entries, keep=kept)
    except Exception:  # no room for it; or the model is at fault, and says so now
        with contextlib.suppress(OSError):
            kept.unlink(missing_ok=True)
        return _new_session(path, threads, entries)
    _optimised[path] = kept
    return session


@cache
def _is_quantised(path: Path) -> bool:
    return b"QuantizeLinear" in path.read_bytes()


def _new_session(
    path: Path, threads: int, entries: Mapping[str, str], *, optimise: bool = True, keep: Path | None = None
) -> Any:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    if not optimise:
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    if keep is not None:
        options.optimized_model_filepath = str(keep)
        entries = {**entries, "save_model_format": "ORT"}
    for key, value in entries.items():
        options.add_session_config_entry(f"session.{key}", value)
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def load_onnxruntime(path: Path, threads: int, rng: Rng) -> Run:
    session = _session(path, threads)
    feeds = {entry.name: noise(rng, entry.shape, _KINDS[entry.type]) for entry in session.get_inputs()}
    return lambda: session.run(None, feeds)


@cache
def _share_the_arena() -> None:
    """One arena for all sessions of the process: in a network, too, later layers reuse the memory of earlier ones."""
    import onnxruntime
    from onnxruntime.capi import _pybind_state as binding

    kind = onnxruntime.OrtAllocatorType.ORT_ARENA_ALLOCATOR
    memory = binding.OrtMemoryInfo("Cpu", kind, 0, binding.OrtMemType.DEFAULT)
    onnxruntime.create_and_register_allocator(memory, None)


def load_onnxruntime_parts(paths: Sequence[Path], threads: int, rng: Rng) -> list[Part]:
    """Parts that read and write two buffers in turn, by io binding."""
    _share_the_arena()
    sessions = [_session(path, threads, {"use_env_allocators": "1"}) for path in paths]
    entries = [(session.get_inputs()[0], session.get_outputs()[0]) for session in sessions]
    buffers = [aligned(max(_bytes(output) for _, output in entries)) for _ in range(2)]
    first = entries[0][0]
    given = aligned(_bytes(first))
    given[:] = noise(rng, first.shape, _KINDS[first.type]).reshape(-1).view(np.uint8)
    parts = []
    for i, (session, (entry, output)) in enumerate(zip(sessions, entries, strict=True)):
        source, result = given if i == 0 else buffers[(i - 1) % 2], buffers[i % 2]
        binding = session.io_binding()
        binding.bind_input(entry.name, "cpu", 0, _KINDS[entry.type], entry.shape, source.ctypes.data)
        binding.bind_output(output.name, "cpu", 0, _KINDS[output.type], output.shape, result.ctypes.data)
        parts.append(_bound(session, binding, source, result, output))
    return parts


def _bytes(entry: Any) -> int:
    """Of an input or output."""
    return int(np.prod(entry.shape)) * np.dtype(_KINDS[entry.type]).itemsize


def _bound(session: Any, binding: Any, source: NDArray[np.uint8], result: NDArray[np.uint8], output: Any) -> Part:
    """A part that holds its buffers, which the binding knows by address alone."""
    kept = (source, result)

    def run() -> object:
        return kept and session.run_with_iobinding(binding)

    return Part(run, lambda: result[: _bytes(output)].view(_KINDS[output.type]).reshape(output.shape))


# ---- TFLite, by either of its names


def _interpreter(interpreter_of: Any, path: Path, threads: int) -> Any:
    interpreter = interpreter_of(model_path=str(path), num_threads=threads)
    interpreter.allocate_tensors()
    return interpreter


def _load_tflite(interpreter_of: Any, path: Path, threads: int, rng: Rng) -> Run:
    interpreter = _interpreter(interpreter_of, path, threads)
    for entry in interpreter.get_input_details():
        interpreter.set_tensor(entry["index"], noise(rng, entry["shape"], entry["dtype"]))
    invoke: Run = interpreter.invoke
    return invoke


def _load_tflite_parts(interpreter_of: Any, paths: Sequence[Path], threads: int, rng: Rng) -> list[Part]:
    """Interpreters, each with its own memory: an output is copied into the next input, between the timed runs."""
    interpreters = [_interpreter(interpreter_of, path, threads) for path in paths]
    first = interpreters[0].get_input_details()[0]
    interpreters[0].set_tensor(first["index"], noise(rng, first["shape"], first["dtype"]))

    def copier(source: Any, to: Any) -> Run:
        output, entry = source.get_output_details()[0]["index"], to.get_input_details()[0]["index"]
        return lambda: to.set_tensor(entry, source.get_tensor(output))

    def output_of(interpreter: Any) -> Callable[[], Any]:
        return lambda: interpreter.get_tensor(interpreter.get_output_details()[0]["index"])

    copies = [copier(source, to) for source, to in itertools.pairwise(interpreters)]
    return [
        Part(each.invoke, output_of(each), copy) for each, copy in zip(interpreters, [*copies, nothing], strict=True)
    ]


def load_litert(path: Path, threads: int, rng: Rng) -> Run:
    from ai_edge_litert.interpreter import Interpreter

    return _load_tflite(Interpreter, path, threads, rng)


def load_litert_parts(paths: Sequence[Path], threads: int, rng: Rng) -> list[Part]:
    from ai_edge_litert.interpreter import Interpreter

    return _load_tflite_parts(Interpreter, paths, threads, rng)


def load_tflite_runtime(path: Path, threads: int, rng: Rng) -> Run:
    from tflite_runtime.interpreter import Interpreter

    return _load_tflite(Interpreter, path, threads, rng)


def load_tflite_runtime_parts(paths: Sequence[Path], threads: int, rng: Rng) -> list[Part]:
    from tflite_runtime.interpreter import Interpreter

    return _load_tflite_parts(Interpreter, paths, threads, rng)


# ---- torch


def load_torch(path: Path, threads: int, rng: Rng, dtype: str = "fp32") -> Run:
    module, images = _scripted(path, threads), _images(path, rng, dtype)
    import torch

    def run() -> object:
        with torch.inference_mode():
            return module(images)

    _check_type(run(), dtype)
    return run


def load_torch_parts(paths: Sequence[Path], threads: int, rng: Rng, dtype: str = "fp32") -> list[Part]:
    import torch

    modules = [_scripted(path, threads) for path in paths]
    passed: list[Any] = [_images(paths[0], rng, dtype), *[None] * len(modules)]

    def part(number: int) -> Part:
        def run() -> None:
            with torch.inference_mode():
                passed[number + 1] = modules[number](passed[number])

        return Part(run, lambda: passed[number + 1].float().numpy())

    parts = [part(number) for number in range(len(modules))]
    for each in parts:
        each.run()
    _check_type(passed[-1], dtype)
    return parts


def _check_type(output: Any, dtype: str) -> None:
    """NotComputed where an output is of another type, or oneDNN, which torch convolves with, lacks the instructions."""
    import torch

    onednn = torch.ops.mkldnn
    supported = {"bf16": onednn._is_mkldnn_bf16_supported, "fp16": onednn._is_mkldnn_fp16_supported}
    if output.dtype is not _torch_type(dtype):
        raise NotComputed(dtype, f"{dtype} was asked for, and the output is {output.dtype}")
    if dtype in supported and not supported[dtype]():
        raise NotComputed(dtype, f"{dtype} was asked for, and torch's oneDNN does not compute in it on this CPU")


def _torch_type(dtype: str) -> Any:
    import torch

    return {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}[dtype]


def _scripted(path: Path, threads: int) -> Any:
    import torch

    torch.set_num_threads(threads)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # TorchScript is in maintenance
        return torch.jit.load(str(path))  # type: ignore[no-untyped-call]


def _images(path: Path, rng: Rng, dtype: str) -> Any:
    import torch

    shape = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))["input_shape"]
    return torch.from_numpy(rng.standard_normal(shape, dtype=np.float32)).to(_torch_type(dtype))


RUNTIMES = {
    "onnxruntime": Runtime("onnxruntime", load_onnxruntime, load_onnxruntime_parts),
    "tflite": Runtime("ai-edge-litert", load_litert, load_litert_parts),
    "tflite-runtime": Runtime("tflite-runtime", load_tflite_runtime, load_tflite_runtime_parts),
    "torch": Runtime("torch", load_torch, load_torch_parts),
    "openvino": Runtime("openvino", load_openvino, load_openvino_parts, prepare_openvino),
}
# in what else than float32 a runtime can be told to compute float32 models
REDUCED = {
    (name, dtype): Runtime(
        name, partial(load, dtype=dtype), partial(load_parts, dtype=dtype), prepare and partial(prepare, dtype=dtype)
    )
    for name, load, load_parts, prepare in (
        ("openvino", load_openvino, load_openvino_parts, prepare_openvino),
        ("torch", load_torch, load_torch_parts, None),
    )
    for dtype in ("bf16", "fp16")
}


def runtime_of(manifest: Mapping[str, Any]) -> Runtime:
    """What runs the models; ValueError for a runtime that is none, or a type that it cannot be told."""
    name, dtype = manifest["runtime"], manifest.get("dtype", "fp32")
    if name not in RUNTIMES:
        raise ValueError(f"runtime is {name!r}, expected one of {', '.join(RUNTIMES)}")
    if dtype == "fp32":
        return RUNTIMES[name]
    if (name, dtype) not in REDUCED:
        raise ValueError(f"dtype is {dtype!r}, which runtime {name} cannot be set to")
    return REDUCED[name, dtype]
