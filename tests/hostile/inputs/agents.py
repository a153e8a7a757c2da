"""What an agent says."""

from __future__ import annotations

import json
import queue
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

from ofa.errors import InputError

from ..edits import DIGITS, Edit, edited, line, put
from ..format import Format

L = "lines"


def make_lines(folder: Path) -> None:
    lines: list[dict[str, Any]] = [
        {"type": "hello", "protocol": 1, "agent": "a", "runtime": "r 1", "device": {"cpu_model": "Z80", "cores": []}},
        {"type": "visit", "visit": 0, "id": "b00000"},
        {"type": "heartbeat"},
        {"type": "result", "visit": 0, "id": "b00000", "samples_ns": [1000] * 20, "calls_per_sample": 1,
         "cpu_ns": [900] * 20, "temperature_c_after": 40.5},
        {"type": "error", "visit": 1, "id": "b00001", "message": "no", "reason": "busy"},
        {"type": "done"},
    ]  # fmt: skip
    (folder / "lines").write_text("".join(json.dumps(line) + "\n" for line in lines))


class AgentRefused(InputError):
    """AgentFailed, with the file's name, so that it is held to the rule of all others."""


def read_lines(path: Path) -> None:
    from profilers.measuring.conversation import checked_events
    from profilers.measuring.events import AgentFailed, Result

    lines: queue.Queue[bytes | None] = queue.Queue()
    for said in path.read_bytes().splitlines(keepends=True):
        lines.put(said)
    lines.put(None)
    try:
        for event in checked_events(lines, 600, lambda: "exited with code 1", lambda: ""):
            if isinstance(event, Result):
                assert all(0 < ns <= 86_400 * 10**9 for ns in event.samples_ns)
                json.dumps(event.record(), allow_nan=False)
    except AgentFailed as error:
        raise AgentRefused(f"{path}: {error}") from None


FORMATS: Mapping[str, Format] = {
    "lines": Format("lines", make_lines, read_lines),
}

REFUSED: Mapping[str, Mapping[str, Edit]] = {
    "lines": {
        "empty": put(L, ""),
        "no-hello": partial(edited, L, lambda content: content.split(b"\n", 1)[1]),
        "deep": put(L, "[" * 100_000 + "\n"),
        "digits": put(L, f'{{"type": "hello", "protocol": {DIGITS}}}\n'),
        "nan": put(L, '{"type": NaN}\n'),
        "twice": put(L, '{"type": "hello", "type": "done"}\n'),
        "binary": put(L, bytes(range(256)) * 40),
        "type-list": line(L, 0, type=["hello"]),
        "type-long": line(L, 0, type="x\x1b" * 5000),
        "protocol-text": line(L, 0, protocol="1" * 5000),
        "protocol-true": line(L, 0, protocol=True),
        "runtime-empty": line(L, 0, runtime=" "),
        "device-list": line(L, 0, device=[1]),
        "clock-1e300": line(L, 0, device={"clock_mhz": 1e300}),
        "fact-object": line(L, 0, device={"os": {"a": 1}}),
        "fact-long-list": line(L, 0, device={"os": [1] * 5000}),
        "visit-text": line(L, 3, visit="0"),
        "visit-digits": line(L, 3, visit=10**39),
        "id-list": line(L, 3, id=[1] * 1000),
        "samples-none": line(L, 3, samples_ns=[]),
        "samples-1e300": line(L, 3, samples_ns=[1e300] * 20),
        "samples-zero": line(L, 3, samples_ns=[0] * 20),
        "samples-true": line(L, 3, samples_ns=[True] * 20),
        "samples-year": line(L, 3, samples_ns=[10**17] * 20),
        "cpu-times": line(L, 3, cpu_ns=[10**12] * 20),
        "cpu-short": line(L, 3, cpu_ns=[900]),
        "calls-zero": line(L, 3, calls_per_sample=0),
        "calls-text": line(L, 3, calls_per_sample="1"),
        "temperature-text": line(L, 3, temperature_c_after="hot" * 5000),
        "throttling": line(L, 3, throttling="x"),
        "throttling-deep": line(L, 3, throttling=[[1]]),
        "energy-negative": line(L, 3, energy_mj=-1, energy_error_mj=0),
        "energy-alone": line(L, 3, energy_mj=1),
    },
}

# what may be read, as long as it is read soundly

ODD: Mapping[str, Mapping[str, Edit]] = {
    "lines": {
        "words": partial(edited, L, lambda content: content.replace(b'"no"', json.dumps("\x1b\n" * 5000).encode())),
        "unknown-facts": line(
            L, 0, device={"sum_correction": "scale=9", "omits": "conv", "cpu_model": "\u00a0Z\u202e80"}
        ),
        "host-fields": line(L, 3, **{"pass": 7, "number": 9, "kind": "x", "slowness": 5}),
        "cores-odd": line(L, 0, device={"cores": [{"a": [1]}]}),
    },
}
