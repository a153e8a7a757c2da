"""What an agent says, as values: each line is checked once, here, and only what the protocol names is taken from it.

Unknown fields are dropped. So nothing that an agent says can stand in a place that is the host's, in a journal or in a
table's header.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeGuard

PROTOCOL = 1
# a sample, in nanoseconds, is shorter than a day; any other number is smaller than this
LONGEST_SAMPLE_NS = 86_400 * 10**9
LARGEST_NUMBER = 1e18
LONGEST_TEXT = 300
LONGEST_MESSAGE = 2000
LONGEST_LIST = 4096
LONGEST_SHOWN = 80
MOST_VISITS = 10**9
# a thread's CPU time may be a clock's tick longer than the wall time, and no more
CPU_TICK_NS = 20_000_000

# what an agent may tell of its device
AGENT_FACTS = frozenset({
    "android", "architecture", "build", "clock_mhz", "compute_capability", "cores", "cpu_count", "cpu_model",
    "cpus", "cuda", "cudnn", "device_id", "driver", "energy_counter", "governor", "gpu", "gpu_memory_mib",
    "l2_cache_kib", "load_average", "memory_mib", "multiprocessors", "nvml", "os", "other_processes", "power_limit_w",
    "product", "provider", "python", "soc", "temperature_c", "temperature_readable", "temperature_source",
    "thermal_status_readable", "timed_by",
})  # fmt: skip
# what the host adds to them
HOST_FACTS = frozenset({
    "airplane_mode", "battery", "battery_saver", "clusters", "cores_off", "emulated", "fixed_performance_mode",
    "heat_gate", "page_kib", "product", "screen", "temperature_c", "thermal_status",
})  # fmt: skip
_NUMBER_FACTS = frozenset({
    "clock_mhz", "cpu_count", "gpu_memory_mib", "l2_cache_kib", "load_average", "memory_mib", "multiprocessors",
    "power_limit_w", "temperature_c",
})  # fmt: skip
# what an agent may tell of a visit beside its samples
_WATCHED_NUMBERS = frozenset({
    "battery_counter", "battery_current", "battery_voltage", "clock_limit_mhz", "clock_mhz_after", "clock_mhz_before",
    "cooled_seconds",
    "cpu", "energy_error_mj", "energy_mj", "energy_seconds", "input_buffers", "input_buffers_bytes",
    "involuntary_switches", "late", "loop_ns", "max_ns", "min_ns", "peak_memory_kib", "plugged", "runs", "setup_ns",
    "std_ns", "temperature_c_after", "temperature_c_before", "timed_ns", "warmup_ns",
})  # fmt: skip
_WATCHED_TEXTS = frozenset({"battery_source", "battery_status", "delegated", "inputs", "statistic"})


class AgentFailed(Exception):
    """The agent died, hung or broke the protocol. The message says how, and what it last wrote to stderr."""


class ConnectionLost(AgentFailed):
    """The device cannot be reached any more: no fault of the agent's, nor of the model it was at."""


@dataclass(frozen=True)
class Hello:
    """agent, runtime: their names, the runtime's with its version

    device: facts of the device, of AGENT_FACTS; a session may add what only the host knows, of HOST_FACTS
    settings: how the runtime was set up, where the agent tells: backend, delegate, computes_in, xnnpack
    """

    agent: str
    runtime: str
    device: Mapping[str, Any]
    settings: Mapping[str, Any] = field(default_factory=dict)

    def record(self) -> dict[str, Any]:
        """The protocol's line, of checked fields alone."""
        return {
            "type": "hello",
            "protocol": PROTOCOL,
            "agent": self.agent,
            "runtime": self.runtime,
            **self.settings,
            "device": dict(self.device),
        }


@dataclass(frozen=True)
class Begins:
    """The agent is about to make a visit: its number in the manifest, and the model's id."""

    visit: int
    id: str


@dataclass(frozen=True)
class Result:
    """A visit was made.

    samples_ns: (N,) wall time of every sample; cpu_ns: (N,) the thread's CPU time; None: not told
    calls_per_sample: runs of the model that share a sample
    parts_ns, parts_cpu_ns: (parts, N) the same of every part of a model that was run in parts; None: of another
    watched: what was watched beside the time, by the protocol's names; a name is absent where the agent did not tell
    """

    visit: int
    id: str
    samples_ns: list[int]
    cpu_ns: list[int] | None
    calls_per_sample: int
    watched: Mapping[str, Any] = field(default_factory=dict)
    parts_ns: list[list[int]] | None = None
    parts_cpu_ns: list[list[int]] | None = None

    def record(self) -> dict[str, Any]:
        """The protocol's line, of checked fields alone."""
        parts = {} if self.parts_ns is None else {"parts_ns": self.parts_ns, "parts_cpu_ns": self.parts_cpu_ns}
        return {
            "type": "result",
            "visit": self.visit,
            "id": self.id,
            "samples_ns": self.samples_ns,
            "cpu_ns": self.cpu_ns,
            "calls_per_sample": self.calls_per_sample,
            **parts,
            **self.watched,
        }


@dataclass(frozen=True)
class Error:
    """A visit failed; visit and id None: the agent cannot start. reason: one word for the host, or """ ""

    visit: int | None
    id: str | None
    message: str
    reason: str = ""


@dataclass(frozen=True)
class Heartbeat:
    """The transport is alive."""


@dataclass(frozen=True)
class Loading:
    """The agent loads models before the first visit; it began, or one more is loaded."""


@dataclass(frozen=True)
class Done:
    """All visits were made. stays: whether the agent waits for further ones"""

    stays: bool = False


Event = Hello | Loading | Begins | Result | Error | Heartbeat | Done


def event_of(line: Any, may_tell: frozenset[str] = AGENT_FACTS) -> Event:
    """The event of a decoded line; AgentFailed for what is none, or is not sound. may_tell: facts of the device."""
    kind = line.get("type") if isinstance(line, dict) else None
    if kind == "hello":
        return _hello(line, may_tell)
    if kind == "visit":
        return Begins(*_visit(line))
    if kind == "result":
        return _result(line)
    if kind == "error":
        visit, name = (None, None) if line.get("id") is None else _visit(line)
        return Error(
            visit, name, clean(str(line.get("message")), LONGEST_MESSAGE), clean(str(line.get("reason") or ""))
        )
    if kind == "heartbeat":
        return Heartbeat()
    if kind == "loading":
        return Loading()
    if kind == "done":
        return Done(line.get("stays") is True)
    raise AgentFailed(f"the agent sent a line that is not of the protocol: {shown(line)}")


def clean(text: str, longest: int = LONGEST_TEXT) -> str:
    """One line of printable characters, of bounded length: it may come from a stranger, and goes into a header."""
    line = " ".join(text[: 4 * longest].split())
    return "".join(c if c.isprintable() else "?" for c in line)[:longest]


def shown(value: Any) -> str:
    """The beginning of what was said, for a message: text in quotes, else JSON; "nothing" for what was left out."""
    if value is None:
        return "nothing"
    if isinstance(value, bytes):
        value = value[:LONGEST_SHOWN].decode("utf-8", "replace")
    try:
        return f"'{clean(value, LONGEST_SHOWN)}'" if isinstance(value, str) else clean(json.dumps(value), LONGEST_SHOWN)
    except RecursionError:
        return "what is nested too deeply"


def _hello(line: Mapping[str, Any], may_tell: frozenset[str]) -> Hello:
    if type(line.get("protocol")) is not int or line["protocol"] != PROTOCOL:
        raise AgentFailed(f"the agent speaks protocol {shown(line.get('protocol'))}, this host speaks {PROTOCOL}")
    runtime, device = line.get("runtime"), line.get("device")
    if not isinstance(runtime, str) or not clean(runtime) or not isinstance(device, dict):
        raise AgentFailed(f"the agent's hello names no runtime or device: {shown(line)}")
    facts = {key: _fact(key, value) for key, value in device.items() if key in may_tell}
    settings = {key: _fact(key, line[key]) for key in ("backend", "computes_in", "delegate", "xnnpack") if key in line}
    return Hello(clean(str(line.get("agent", ""))), clean(runtime), facts, settings)


def _fact(key: str, value: Any) -> Any:
    """A fact of the device: null, a truth value, a number, text, or a list of these."""
    if key == "cores":
        return value if _plain_cores(value) else None
    if key in _NUMBER_FACTS:
        return _sound("hello", key, value, value is None or is_number(value))
    values = value if isinstance(value, list) else [value]
    if len(values) > LONGEST_LIST or not all(v is None or isinstance(v, (bool, str)) or is_number(v) for v in values):
        raise AgentFailed(f"the agent's hello has no sound {key}: {shown(value)}")
    cleaned = [clean(v) if isinstance(v, str) else v for v in values]
    return cleaned if isinstance(value, list) else cleaned[0]


def _plain_cores(value: Any) -> bool:
    """A list of {name: number or null}."""
    return (
        isinstance(value, list)
        and len(value) <= LONGEST_LIST
        and all(isinstance(core, dict) and all(v is None or is_number(v) for v in core.values()) for core in value)
    )


def _visit(line: Mapping[str, Any]) -> tuple[int, str]:
    """Number and id of the visit that a line is of."""
    visit, name = line.get("visit"), line.get("id")
    if type(visit) is not int or not 0 <= visit <= MOST_VISITS or not isinstance(name, str):
        raise AgentFailed(f"the agent spoke of visit {shown(visit)} of {shown(name)}, expected a number and an id")
    return visit, name


def _result(line: Mapping[str, Any]) -> Result:
    visit, name = _visit(line)
    samples, cpu, calls = line.get("samples_ns"), line.get("cpu_ns"), line.get("calls_per_sample")
    if (
        not _are_integers(samples, 1)
        or not _are_integers([calls], 1)
        or not (cpu is None or _are_cpu_times(cpu, samples))
    ):
        raise AgentFailed(f"the agent's result has no sound samples: {shown(line)}")
    parts, parts_cpu = line.get("parts_ns"), line.get("parts_cpu_ns")
    if parts is not None and not _are_parts(parts, parts_cpu, samples, cpu):
        raise AgentFailed(f"the agent's result has no sound parts: {shown(line)}")
    times = (None, None) if parts is None else (parts, parts_cpu)
    return Result(visit, name, samples, cpu, int(line["calls_per_sample"]), _watched(line), *times)


def _watched(line: Mapping[str, Any]) -> dict[str, Any]:
    """What a result tells beside the samples, in the order it is told."""
    checks: dict[str, Callable[[Any], bool]] = {
        **dict.fromkeys(_WATCHED_NUMBERS, is_number),
        **dict.fromkeys(_WATCHED_TEXTS, lambda value: isinstance(value, str) and len(value) <= LONGEST_TEXT),
        "throttling": lambda value: (
            isinstance(value, list) and all(isinstance(v, str) and clean(v) == v for v in value)
        ),
        "other_processes": lambda value: isinstance(value, list) and all(map(is_number, value)),
        "outputs": lambda value: isinstance(value, list) and all(v is None or is_number(v) for v in value),
        "process_cpu_ns": lambda value: _are_integers(value, 0) and len(value) == len(line["samples_ns"]),
    }
    watched = {
        key: _sound("result", key, value, value is None or checks[key](value))
        for key, value in line.items()
        if key in checks
    }
    energy, error = watched.get("energy_mj"), watched.get("energy_error_mj")
    _sound("result", "energy_mj", energy, energy is None or energy >= 0)
    _sound("result", "energy_error_mj", error, (error is None and energy is None) or (error is not None and error >= 0))
    return watched


def _sound(kind: str, key: str, value: Any, is_sound: bool) -> Any:
    if not is_sound:
        raise AgentFailed(f"the agent's {kind} has no sound {key}: {shown(value)}")
    return value


def is_number(value: Any) -> bool:
    """Whether it is one that an agent may tell."""
    return type(value) in (int, float) and math.isfinite(value) and abs(value) < LARGEST_NUMBER


def _are_cpu_times(cpu: Any, samples: Sequence[int]) -> TypeGuard[list[int]]:
    """Whether a thread can have had the CPU for so long in samples of that wall time."""
    return (
        _are_integers(cpu, 0)
        and len(cpu) == len(samples)
        and all(c <= 2 * wall + CPU_TICK_NS for c, wall in zip(cpu, samples, strict=True))
    )


def _are_parts(parts: Any, parts_cpu: Any, samples: Sequence[int], cpu: Sequence[int] | None) -> bool:
    """Whether parts were timed in every pass, and their times add up to the passes'."""
    return (
        _add_up(parts, 1, samples)
        and (parts_cpu is None) == (cpu is None)
        and (
            cpu is None
            or (
                _add_up(parts_cpu, 0, cpu)
                and len(parts_cpu) == len(parts)
                and all(_are_cpu_times(c, wall) for c, wall in zip(parts_cpu, parts, strict=True))
            )
        )
    )


def _add_up(parts: Any, least: int, sums: Sequence[int]) -> bool:
    return (
        isinstance(parts, list)
        and 0 < len(parts) <= LONGEST_LIST
        and all(_are_integers(times, least) and len(times) == len(sums) for times in parts)
        and [sum(times) for times in zip(*parts, strict=True)] == list(sums)
    )


def _are_integers(values: Any, least: int) -> TypeGuard[list[int]]:
    """At least one, and none beyond what a sample can be."""
    return (
        isinstance(values, list)
        and bool(values)
        and all(type(v) is int and least <= v <= LONGEST_SAMPLE_NS for v in values)
    )
