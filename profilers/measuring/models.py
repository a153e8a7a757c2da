"""The models that are timed: chains of blocks, written for a runtime, in float32 or quantised to int8.

int8 is quantised as `ofa.export --int8` does. A chain of a network takes and gives int8, but for the images at its
beginning and the logits at its end: so no chain pays for a quantisation that the whole network does not have.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from ofa.blocks import Block
from ofa.errors import InputError
from ofa.graph import Graph, network_graph
from ofa.optional_packages import MissingPackage
from ofa.reading.numbers import short
from ofa.runs.journal import Journal
from ofa.runs.system import LINUX
from profilers.measuring.events import Event
from profilers.measuring.plan import VisitPlan

# of a model: its name, or those of its parts, in order
Files = str | tuple[str, ...]

# runtime: (file ending, extra of this package that installs what the runtime and its writer need)
RUNTIMES = {
    "onnxruntime": (".onnx", "onnxruntime"),
    "tflite": (".tflite", "tflite"),
    "tflite-runtime": (".tflite", "tflite-runtime"),
    "torch": (".pt", None),
    "openvino": (".onnx", "openvino"),
}


# types of the models' tensors
DTYPES = ("fp32", "int8", "bf16", "fp16")
# that a runtime is told to compute in, and which can be told; OpenVINO's models stay float32
REDUCED, TOLD = ("bf16", "fp16"), ("openvino", "torch")

# of models that compute other operations than before: journals are bound to it
FORM = "models_form"


def form_of(runtime: str, dtype: str) -> dict[str, int]:
    """The form of these models, where an older version wrote others; nothing where it wrote the same."""
    return {FORM: 2} if (runtime, dtype) == ("openvino", "int8") else {}


def refuse_other_form(path: Path, settings: Mapping[str, Any]) -> None:
    """InputError where a journal that is to be gone on with, if there is one, is of models of another form."""
    if path.is_file() and Journal.read(path).settings.get(FORM) != settings.get(FORM):
        raise InputError(
            f"{path} was begun by another version of this program, which wrote models that compute other operations: "
            "start again with --overwrite in place of --resume"
        )


def write_models(
    chains: Mapping[str, tuple[Block, ...]], runtime: str, folder: Path, batch: int, dtype: str = "fp32"
) -> dict[str, str]:
    """Writes the model of every id for the runtime; {id: file name}. Weights are random: they do not change the time.

    chains: {id: blocks, one after the other}; batch: images a run; dtype: one of DTYPES
    """
    write = writer_of(runtime, dtype)
    with _files(folder) as keep:
        for name, chain in chains.items():
            _write(name, chain, runtime, write, keep, batch)
    return {name: name + RUNTIMES[runtime][0] for name in chains}


def write_plan(plan: VisitPlan, runtime: str, folder: Path, batch: int, dtype: str = "fp32") -> dict[str, Files]:
    """Writes the models of a plan, as `write_models` does; {id: file name, or those of its parts, in order}.

    Parts that several models have in common are one file.
    """
    return write_parts(plan, plan.models, runtime, folder, batch, dtype)


def write_parts(
    plan: VisitPlan, names: Iterable[str], runtime: str, folder: Path, batch: int, dtype: str = "fp32"
) -> dict[str, Files]:
    """Writes these models of a plan, as `write_plan` does."""
    files, chains = _files_of(plan, names, runtime)
    write_models(chains, runtime, folder, batch, dtype)
    return files


@dataclass(frozen=True)
class Writing:
    """Models that a thread writes. files: as `write_plan` returns them; order: of all files, as they appear"""

    files: Mapping[str, Files]
    order: tuple[str, ...]
    _done: Future[None]

    def while_sound(self, events: Iterator[Event]) -> Iterator[Event]:
        """What an agent says that waits for the models; raises what their writing fails of."""
        for event in events:
            if self._done.done() and self._done.exception() is not None:
                if isinstance(events, Generator):
                    events.close()  # the agent is ended before its models are gone
                self._done.result()
            yield event


@contextmanager
def plan_being_written(
    plan: VisitPlan, runtime: str, folder: Path, batch: int, dtype: str = "fp32"
) -> Iterator[Writing]:
    """Has the models of a plan written as `write_plan` does, but for what an agent does meanwhile.

    A small one comes first, which starts the agent's runtime, then the longest. What is left at the end is not written.
    """
    files, chains = _files_of(plan, plan.models, runtime)
    *longest, smallest = sorted(chains, key=lambda name: len(chains[name]), reverse=True)
    write, stop = writer_of(runtime, dtype), threading.Event()

    def write_all() -> None:
        with _files(folder) as keep:
            for name in (smallest, *longest):
                if stop.is_set():
                    return
                _write(name, chains[name], runtime, write, keep, batch)

    order = tuple(name + RUNTIMES[runtime][0] for name in (smallest, *longest))
    with ThreadPoolExecutor(1) as writer:
        try:
            yield Writing(files, order, writer.submit(write_all))
        finally:
            stop.set()


def _files_of(
    plan: VisitPlan, names: Iterable[str], runtime: str
) -> tuple[dict[str, Files], dict[str, tuple[Block, ...]]]:
    """{id: file name, or those of its parts, in order} of models of a plan, and what is in each: {name: blocks}."""
    files: dict[str, Files] = {}
    whole: dict[str, tuple[Block, ...]] = {}
    parts: dict[tuple[Block, ...], str] = {}
    for name in names:
        if name not in plan.cuts:
            whole[name], files[name] = plan.models[name], name + RUNTIMES[runtime][0]
            continue
        for number, chain in enumerate(plan.parts(name)):
            parts.setdefault(chain, f"{name}-{number}")
        files[name] = tuple(parts[chain] + RUNTIMES[runtime][0] for chain in plan.parts(name))
    return files, {**whole, **{name: chain for chain, name in parts.items()}}


def _write(
    name: str,
    chain: tuple[Block, ...],
    runtime: str,
    write: Callable[[Graph], bytes],
    keep: Callable[[str, bytes], None],
    batch: int,
) -> None:
    graph = network_graph(chain, batch=batch)
    keep(name + RUNTIMES[runtime][0], write(graph))
    if runtime == "torch":  # TorchScript does not tell the shape of its input
        keep(f"{name}.json", json.dumps({"input_shape": graph.input_shape}).encode())


@contextmanager
def _files(folder: Path) -> Iterator[Callable[[str, bytes], None]]:
    """Writes files, (name, content), each while the next is made: of large models that is most of the time."""
    with ThreadPoolExecutor(1) as writer:
        written: Future[object] | None = None

        def keep(name: str, content: bytes) -> None:
            nonlocal written
            if written is not None:
                written.result()  # raises what it failed of; and no third model waits in memory
            written = writer.submit(_appears, folder / name, content)

        yield keep
        if written is not None:
            written.result()


def _appears(path: Path, content: bytes) -> None:
    """Writes a file that is whole as soon as it is there: an agent may wait for it."""
    partial_path = path.with_name(f"{path.name}.partial")
    partial_path.write_bytes(content)
    partial_path.replace(path)


def writer_of(runtime: str, dtype: str = "fp32") -> Callable[[Graph], bytes]:
    """What turns a graph into a model file of the runtime; InputError for a type that it has no models of."""
    if (runtime, dtype) == ("onnxruntime", "fp16"):  # for GPUs: its CPU provider computes them in float32
        from ofa.graph.onnx import write_onnx

        return partial(write_onnx, half=True)
    check_dtype_of(runtime, dtype)
    if dtype == "int8":
        return _int8_writer_of(runtime)
    if runtime in ("onnxruntime", "openvino"):
        from ofa.graph.onnx import write_onnx

        return partial(write_onnx, for_openvino=runtime == "openvino")
    if runtime == "torch":
        from ofa.graph.torch import write_torchscript

        return partial(write_torchscript, dtype=dtype)
    from ofa.graph.tflite import write_tflite

    return write_tflite


def _int8_writer_of(runtime: str) -> Callable[[Graph], bytes]:
    from ofa.graph.expected import as_normalised
    from ofa.graph.int8 import borders_of

    if runtime in ("onnxruntime", "openvino"):
        from ofa.graph.onnx_int8 import write_onnx_int8

        write: Callable[..., bytes] = partial(write_onnx_int8, for_openvino=runtime == "openvino")
    else:
        from ofa.graph.tflite_int8 import write_tflite_int8

        write = write_tflite_int8
    return lambda graph: write(*as_normalised(graph), borders=borders_of(graph))


def check_dtype_of(runtime: str, dtype: str) -> None:
    """InputError for a type that the runtime has no models of."""
    if dtype not in DTYPES:
        raise InputError(f"unknown type {short(dtype)} of models, expected one of {', '.join(DTYPES)}")
    if dtype in REDUCED and runtime not in TOLD:
        raise InputError(
            f"runtime {runtime} cannot be set to compute in {dtype}: use openvino or torch, or --dtype fp32"
        )
    if dtype == "int8" and runtime == "torch":
        raise InputError("there are no int8 models of the runtime torch: use onnxruntime or tflite, or --dtype fp32")


def check_runtime(runtime: str) -> None:
    """InputError if the runtime is unknown or not installed."""
    from importlib.util import find_spec

    if runtime not in RUNTIMES:
        raise InputError(f"unknown runtime {runtime!r}, expected one of {', '.join(RUNTIMES)}")
    needed: Iterable[str] = {
        "onnxruntime": ("onnxruntime", "onnx"),
        "tflite": ("ai_edge_litert", "flatbuffers"),
        "tflite-runtime": ("tflite_runtime", "ai_edge_litert", "flatbuffers"),
        "torch": ("torch",),
        "openvino": ("openvino", "onnx"),
    }[runtime]
    missing = [package for package in needed if find_spec(package) is None]
    if "tflite_runtime" in missing and not LINUX:
        raise InputError("runtime tflite-runtime has packages only for Linux: --runtime tflite is the same, and newer")
    if missing:
        extra = RUNTIMES[runtime][1]
        remedy = f"pip install 'ofa-latency[{extra}]'" if extra else "pip install torch"
        raise MissingPackage(f"runtime {runtime} needs {' and '.join(missing)}: {remedy}")
