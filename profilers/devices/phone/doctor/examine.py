"""Looks at all that a table of a phone rests on, in about a minute, and writes what can be sent to strangers."""

from __future__ import annotations

import time
from collections.abc import Callable
from statistics import median
from typing import Any

from ofa import __version__
from ofa.blocks import all_blocks
from ofa.errors import InputError
from ofa.runs.places import temporary_folder
from ofa.space import get_space
from profilers.devices.phone.adb import Adb
from profilers.devices.phone.doctor import verdicts
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
BLOCK = "block"


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
    ]
    try:
        found += _of_one_block(adb, phone, cpus, asked, timeout_s, say)
    except (InputError, AgentFailed) as reason:
        found.append(Verdict("agent", False, str(reason)))
    return found


def _of_one_block(
    adb: Adb, phone: Phone, cpus: list[int], asked: PhoneOptions, timeout_s: float, say: Callable[[str], None]
) -> list[Verdict]:
    """One block of the usual kind, timed again and again."""
    hello, results, errors = None, list[Result](), list[Verdict]()
    with (
        temporary_folder("doctor") as folder,
        session_of(adb, phone, cpus, asked, 1, timeout_s, say, keep_models=False) as target,
    ):
        files = write_models({BLOCK: (all_blocks(get_space("mbv3-w1.0"), [160])[4],)}, "tflite", folder, batch=1)
        for event in target.start(folder, _manifest(target, files[BLOCK])):
            if isinstance(event, Hello):
                hello = event
            elif isinstance(event, Result):
                results.append(event)
            elif isinstance(event, Error):
                errors.append(Verdict("agent", False, event.message))
    if hello is None:
        return errors or [Verdict("agent", False, "it said nothing")]
    return errors[:1] + verdicts.of_agent(hello.device, hello.runtime, VISITS, results)


def _manifest(target: Target, file: str) -> dict[str, Any]:
    return {
        **target.manifest,
        "protocol": PROTOCOL,
        "seed": 0,
        "rules": target.pace.quick,
        "models": [{"id": BLOCK, "path": file}],
        "visits": [BLOCK] * VISITS,
    }


def report(found: list[Verdict], serial: str | None) -> str:
    """The verdicts as text to paste; a phone's serial number or address is not in it."""
    text = "\n".join([f"ofa-latency {__version__}, examined on {time.strftime('%Y-%m-%d')}", *(v.line for v in found)])
    return text.replace(serial, "(its serial)") if serial else text
