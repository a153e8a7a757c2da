"""The runtimes of the CPU agent: each loads a model, or a network cut into parts, and returns what runs it."""

from __future__ import annotations

import itertools
import json
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

Run = Callable[[], object]
Rng = np.random.Generator
# tensors start where no vector straddles two cache lines
_ALIGNMENT = 64
# a standard deviation of quantised noise, in steps: four of them reach the end
_DEVIATION = 32


def _nothing() -> None: ...


@dataclass(frozen=True)
class Part:
    """A part of a network. run: on what the part before put out; output: what it put out itself

    hand_on: makes that the next part's input; in a network nothing does, so it is not timed
    """

    run: Run
    output: Callable[[], Any]
    hand_on: Run = _nothing


@dataclass(frozen=True)
class Runtime:
    """distribution: that has its version; load: a model; load_parts: a network's parts, None where it cannot chain."""

    distribution: str
    load: Callable[[Path, int, Rng], Run]
    load_parts: Callable[[Sequence[Path], int, Rng], list[Part]] | None = None


def noise(rng: Rng, shape: Any, kind: Any) -> NDArray[Any]:
    """Normal noise; of integers, around the middle of what they can be, as quantised tensors are."""
    values: NDArray[Any] = rng.standard_normal(shape, dtype=np.float32)
    if kind == np.float32:
        return values
    least, most = np.iinfo(kind).min, np.iinfo(kind).max
    whole = np.rint(_DEVIATION * values + (int(least) + int(most) + 1) // 2)
    clipped: NDArray[Any] = np.clip(whole, least, most)
    return clipped.astype(kind)


# ---- onnxruntime

_KINDS = {"tensor(float)": np.float32, "tensor(int8)": np.int8, "tensor(uint8)": np.uint8}


def _session(path: Path, threads: int, **entries: str) -> Any:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
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
    sessions = [_session(path, threads, use_env_allocators="1") for path in paths]
    entries = [(session.get_inputs()[0], session.get_outputs()[0]) for session in sessions]
    buffers = [_aligned(max(_bytes(output) for _, output in entries)) for _ in range(2)]
    first = entries[0][0]
    given = _aligned(_bytes(first))
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


def _aligned(size: int) -> NDArray[np.uint8]:
    """So many bytes from the start of a cache line on."""
    raw = np.zeros(size + _ALIGNMENT, dtype=np.uint8)
    start = -raw.ctypes.data % _ALIGNMENT
    return raw[start : start + size]


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
        Part(each.invoke, output_of(each), copy) for each, copy in zip(interpreters, [*copies, _nothing], strict=True)
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


def load_torch(path: Path, threads: int, rng: Rng) -> Run:
    module, images = _scripted(path, threads), _images(path, rng)
    import torch

    def run() -> object:
        with torch.inference_mode():
            return module(images)

    return run


def load_torch_parts(paths: Sequence[Path], threads: int, rng: Rng) -> list[Part]:
    import torch

    modules = [_scripted(path, threads) for path in paths]
    passed: list[Any] = [_images(paths[0], rng), *[None] * len(modules)]

    def part(number: int) -> Part:
        def run() -> None:
            with torch.inference_mode():
                passed[number + 1] = modules[number](passed[number])

        return Part(run, lambda: passed[number + 1].numpy())

    return [part(number) for number in range(len(modules))]


def _scripted(path: Path, threads: int) -> Any:
    import torch

    torch.set_num_threads(threads)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # TorchScript is in maintenance
        return torch.jit.load(str(path))  # type: ignore[no-untyped-call]


def _images(path: Path, rng: Rng) -> Any:
    import torch

    shape = json.loads(path.with_suffix(".json").read_text())["input_shape"]
    return torch.from_numpy(rng.standard_normal(shape, dtype=np.float32))


RUNTIMES = {
    "onnxruntime": Runtime("onnxruntime", load_onnxruntime, load_onnxruntime_parts),
    "tflite": Runtime("ai-edge-litert", load_litert, load_litert_parts),
    "tflite-runtime": Runtime("tflite-runtime", load_tflite_runtime, load_tflite_runtime_parts),
    "torch": Runtime("torch", load_torch, load_torch_parts),
}
