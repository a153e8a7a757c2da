"""This machine's CPU as a target: which CPUs, which runtime, and the same again from a table's header."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from device_agents.cpu.machine import INSTRUCTIONS, computes
from ofa.errors import InputError
from ofa.reading.numbers import short
from ofa.runs import system
from ofa.tables.header import PINNED
from profilers.devices.core_options import cpu_numbers
from profilers.devices.delegates import check_computed
from profilers.devices.identity import DEVICE_ID, device_id, is_told_apart, machine_identity
from profilers.measuring.conversation import local_agent
from profilers.measuring.events import AgentFailed, Event, Loading
from profilers.measuring.models import DTYPES, REDUCED, RUNTIMES, check_dtype_of, check_runtime, form_of
from profilers.measuring.target import Target

AGENT = Path(__file__).resolve().parents[2] / "device_agents" / "cpu" / "agent.py"
# a runtime's name in a table's header, which is that of its distribution
RUNTIME_OF = {
    "onnxruntime": "onnxruntime",
    "ai-edge-litert": "tflite",
    "tflite-runtime": "tflite-runtime",
    "torch": "torch",
    "openvino": "openvino",
}


def cpu_target(
    runtime: str,
    threads: int,
    batch: int,
    cpus: Sequence[int] | None,
    timeout_s: float,
    *,
    in_place: bool = False,
    dtype: str = "fp32",
) -> Target:
    """This machine's CPU; InputError if the runtime is not installed, has no such models, or a CPU is not to be had.

    in_place: whether blocks are timed in networks, where they stand; dtype: of the models, or what is computed in
    """
    check_runtime(runtime)
    check_dtype_of(runtime, dtype)
    check_computes(dtype)
    chosen = chosen_cpus(cpus, threads)

    def start(folder: Path, manifest: Mapping[str, Any]) -> Iterator[Event]:
        for event in _agent(folder, manifest, timeout_s):
            check_computed(event, manifest)
            yield event

    return Target(
        runtime=runtime,
        batch=batch,
        manifest={
            "runtime": runtime,
            "threads": threads,
            "cpus": chosen,
            **({"dtype": dtype} if dtype in REDUCED else {}),
            **form_of(runtime, dtype),
        },
        start=start,
        header={
            **({DEVICE_ID: device_id("cpu", here)} if is_told_apart(here := machine_identity()) else {}),
            "threads": str(threads),
            "dtype": dtype_in_header(dtype),
            **({} if chosen else {PINNED: "no"}),
        },
        in_place=in_place,
        dtype=dtype,
        awaits_models=runtime == "openvino",
    )


def _agent(folder: Path, manifest: Mapping[str, Any], timeout_s: float) -> Iterator[Event]:
    """An agent's events. If it ends while it loads models ahead, another loads each at its visit, which then fails."""
    command, loading = [sys.executable, str(AGENT)], False
    try:
        for event in local_agent(command, folder, {**manifest, "load_ahead": True}, timeout_s):
            loading = isinstance(event, Loading)
            yield event
    except AgentFailed:
        if not loading:
            raise
        yield from local_agent(command, folder, manifest, timeout_s)


def target_of_header(header: Mapping[str, str], timeout_s: float) -> Target:
    """What a table of this command was measured on; InputError if its runtime is none of ours."""
    runtime = RUNTIME_OF.get(header["runtime"].split(" ")[0])
    if runtime is None:
        raise InputError(f"runtime {short(header['runtime'])} is none of the CPU's: {', '.join(RUNTIMES)}")
    threads, batch = int(header.get("threads", 1)), int(header.get("batch", 1))
    try:
        cpus = cpu_numbers(header["cpus"]) if "cpus" in header and header.get(PINNED) != "no" else None
    except ValueError as error:
        raise InputError(f"cpus: {error}") from None
    return cpu_target(runtime, threads, batch, cpus, timeout_s, dtype=dtype_of_header(header))


def check_computes(dtype: str) -> None:
    """InputError where this CPU has no instructions for a type: a runtime would compute in another, or far slower."""
    if not computes(dtype):
        named = ", ".join(INSTRUCTIONS[dtype])
        raise InputError(f"this CPU does not compute in {dtype} (it has none of {named}): leave --dtype {dtype} out")


def dtype_in_header(dtype: str) -> str:
    """What a table's header calls a type of models."""
    return "float32" if dtype == "fp32" else dtype


def dtype_of_header(header: Mapping[str, str]) -> str:
    """The type of the models behind a table of this command; InputError for one that it has none of."""
    known = {dtype_in_header(dtype): dtype for dtype in DTYPES}
    stated = header.get("dtype", "float32")
    if stated not in known:
        raise InputError(f"dtype is {short(stated)}, which profilers.cpu has no models of: {', '.join(known)}")
    return known[stated]


def chosen_cpus(asked: Sequence[int] | None, threads: int) -> list[int]:
    """The CPUs to pin to, none where the system pins no process; InputError if one is not to be had."""
    available = system.usable_cpus()
    if available is None:
        if asked is not None:
            raise InputError("this operating system does not let Python pin a process to a CPU: leave --cpu out")
        if threads > (count := os.cpu_count() or 1):
            raise InputError(f"--threads is {threads}, but this machine has {count} CPUs")
        return []
    if asked is None:
        if threads > len(available):
            raise InputError(f"--threads is {threads}, but this process may use {len(available)} CPUs")
        # the last ones: the first serves most interrupts
        return available[-threads:]
    missing = [cpu for cpu in asked if cpu not in available]
    if missing:
        raise InputError(f"--cpu names CPU {missing[0]}, this process may use {', '.join(map(str, available))}")
    return sorted({*asked})
