"""What becomes of a run on a phone, in words; and what stands for its serial, which is nobody else's business."""

from __future__ import annotations

import hashlib
import itertools
import re
import shlex
from collections.abc import Mapping
from typing import Any

from ofa.errors import InputError
from profilers.devices.phone.phone_options import ALL

# exit codes of a shell whose program SIGSYS or SIGKILL ended
SECCOMP, KILLED = 128 + 31, 128 + 9
# as the agent calls where a temperature is from, where it may read no sensor
THERMAL_SERVICE = "Android's thermal service"
CLOSED = "adb may not read the processor's temperature"
# of a serial in a file's name
LONGEST_NAME = 40


def heat_gate(device: Mapping[str, Any], limit_c: float) -> str:
    """What visits wait for, by what the agent can read of heat while it measures."""
    above, cut = f"the processor is above {limit_c:g} C", "Android's thermal status is 2 or more"
    readable, source = device.get("temperature_c") is not None, device.get("temperature_source")
    if not device.get("thermal_status_readable"):
        return f"visits wait while {above}" if readable else f"off: {CLOSED} while it measures"
    if not readable:
        return f"every 20th visit waits while {cut}; {CLOSED}"
    if source == THERMAL_SERVICE:
        return f"every 20th visit waits while {above} or {cut}, by {source}"
    return f"visits wait while {above}, every 20th also while {cut}"


def too_hot(why: str) -> InputError:
    return InputError(
        f"the phone is too hot ({why}): take it out of its case, off the sun and the fast charger, let it cool, and "
        "continue with --resume; what was measured is kept"
    )


def ending(code: int, peak_kib: float | None = None) -> str:
    """How an agent ended, by its shell's exit code. peak_kib: the most memory that it was seen to hold"""
    if code == SECCOMP:
        return (
            "was ended by signal 31: this Android forbids a system call that the C library sent with it makes as it "
            "starts; take Android's own (--libc bionic, with --agent-aar), or give a build by the NDK (--agent-bin)"
        )
    if code == KILLED and peak_kib is not None:
        return f"was ended by signal 9, as Android does where memory is short: it held up to {peak_kib / 1024:.0f} MiB"
    if code > 128:
        return f"was ended by signal {code - 128}"
    return f"exited with code {code}" if code >= 0 else "was ended together with its shell"


def name_in_files(serial: str) -> str:
    """What stands for a serial in the name of a file: different for different ones, and never a way out of a folder.

    Capitals and digits are kept as they are. Of all others, what a file may be called, and a hash.
    """
    if re.fullmatch(rf"[A-Z0-9]{{1,{LONGEST_NAME}}}", serial):
        return serial
    readable = re.sub(r"[^A-Za-z0-9]+", "-", serial)[:LONGEST_NAME].strip("-")
    digest = hashlib.sha256(serial.encode("utf-8", "surrogatepass")).hexdigest()[:8]
    return f"{readable}-{digest}" if readable else digest


def shareable(command: str) -> str:
    """A command as it was typed, for other people's eyes: SERIAL in place of every phone's, in names of files too."""
    try:
        words = shlex.split(command)
    except ValueError:  # it has a quote of an odd kind: no part of it can be told from another
        return "not shown" if "--serial" in command else command
    following = [after for word, after in itertools.pairwise(words) if word == "--serial"]
    serials = {*following, *(word.partition("=")[2] for word in words if word.startswith("--serial="))} - {ALL, ""}
    for name in sorted({*serials, *map(name_in_files, serials)}, key=len, reverse=True):
        command = re.sub(rf"(?<![A-Za-z0-9]){re.escape(name)}(?![A-Za-z0-9])", "SERIAL", command)
    return command
