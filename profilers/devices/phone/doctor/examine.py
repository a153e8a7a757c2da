"""Looks at all that a table of a phone rests on, in about a minute, and writes what can be sent to strangers."""

from __future__ import annotations

import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from statistics import median
from typing import Any

from ofa import __version__
from ofa.blocks import Block, all_blocks
from ofa.errors import InputError
from ofa.runs.places import temporary_folder
from ofa.space import get_space
from profilers.devices.phone.adb import Adb
from profilers.devices.phone.doctor import verdicts
from profilers.devices.phone.doctor.numerics import difference, outputs_here, tolerance_of
from profilers.devices.phone.doctor.verdicts import Verdict
from profilers.devices.phone.facts import Phone
from profilers.devices.phone.files import free_bytes
from profilers.devices.phone.phone_options import PhoneOptions
from profilers.devices.phone.phone_target import open_phone, session_of
from profilers.measuring.events import PROTOCOL, AgentFailed, Error, Hello, Result
from profilers.measuring.models import write_models
from profilers.measuring.target import Target

# of one block, long enough for clocks to move
VISITS = 40
CALLS = 5
BLOCK, OUTPUTS = "block", "outputs"
# with every kind of step: convolutions, depthwise, squeeze-and-excite, h-swish
VARIED = Block("mbconv", 9, 40, 120, 48, 5, 2, "h_swish", True, False)
MOST_OUTPUTS = 1 << 20
SEED = 0


def examine(adb: Adb, asked: PhoneOptions, timeout_s: float, say: Callable[[str], None]) -> list[Verdict]:
    """A verdict on everything that could be looked at. InputError where there is no phone. adb is connected to it."""
    calls = []
    for _ in range(CALLS):
        begun = time.perf_counter()
        adb.run("true")
        calls.append(1000 * (time.perf_counter() - begun))
    phone, cpus = open_phone(adb, asked)
    found = [
        verdicts.of_connection(adb.way, median(calls)),
        *verdicts.of_phone(phone, cpus),
        verdicts.of_space(free_bytes(adb)),
        verdicts.of_energy(adb.run(verdicts.ENERGY).text),
    ]
    try:
        found += _of_one_block(adb, phone, cpus, asked, timeout_s, say)
    except (InputError, AgentFailed) as reason:
        found.append(Verdict("agent", False, str(reason)))
    return found


def _of_one_block(
    adb: Adb, phone: Phone, cpus: list[int], asked: PhoneOptions, timeout_s: float, say: Callable[[str], None]
) -> list[Verdict]:
    """One block of the usual kind, timed again and again; of another one, what comes out."""
    hello, results, errors = None, list[Result](), list[Verdict]()
    with (
        temporary_folder("doctor") as folder,
        session_of(adb, phone, cpus, asked, 1, timeout_s, say, keep_models=False) as target,
    ):
        usual = all_blocks(get_space("mbv3-w1.0"), [160])[4]
        files = write_models({BLOCK: (usual,), OUTPUTS: (VARIED,)}, "tflite", folder, batch=1)
        for event in target.start(folder, _manifest(target, BLOCK, files[BLOCK], VISITS)):
            if isinstance(event, Hello):
                hello = event
            elif isinstance(event, Result):
                results.append(event)
            elif isinstance(event, Error):
                errors.append(Verdict("agent", False, event.message))
        numerics = _of_outputs(target, asked, folder, files[OUTPUTS]) if results else None
    if hello is None or numerics is None:
        return errors[:1] or [Verdict("agent", False, "it sent nothing")]
    return errors[:1] + verdicts.of_agent(hello.device, hello.runtime, VISITS, results, numerics)


def _of_outputs(target: Target, asked: PhoneOptions, folder: Path, file: str) -> Verdict:
    """A block's outputs on the phone against those of this computer's runtime."""
    asked_for = {"outputs": MOST_OUTPUTS, "rules": {**target.pace.quick, "min_runs": 1, "max_runs": 1}}
    there: list[float | None] | None = None
    for event in target.start(folder, {**_manifest(target, OUTPUTS, file, 1), **asked_for}):
        if isinstance(event, Result):
            there = event.watched.get("outputs")
    off = None if there is None else difference(there, outputs_here(folder / file, SEED))
    runtime = f"ai-edge-litert {version('ai-edge-litert')}"
    return verdicts.of_numerics(off, tolerance_of(asked.delegate, asked.dtype), runtime)


def _manifest(target: Target, name: str, file: str, visits: int) -> dict[str, Any]:
    return {
        **target.manifest,
        "protocol": PROTOCOL,
        "seed": SEED,
        "rules": target.pace.quick,
        "models": [{"id": name, "path": file}],
        "visits": [name] * visits,
    }


def report(found: list[Verdict], serial: str | None) -> str:
    """The verdicts as text to paste; a phone's serial number or address is not in it."""
    text = "\n".join([f"ofa-latency {__version__}, examined on {time.strftime('%Y-%m-%d')}", *(v.line for v in found)])
    return text.replace(serial, "(its serial)") if serial else text
