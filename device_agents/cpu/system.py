"""What operating systems do differently, for the CPU agent. What a system does not tell or allow is None."""

from __future__ import annotations

import contextlib
import os
import platform
import subprocess
import sys
from collections.abc import Iterable, Sequence

if sys.platform == "win32":
    import winreg
else:
    import resource

_PROCESSOR = r"HARDWARE\DESCRIPTION\System\CentralProcessor\0"
# Windows counts a thread's CPU time in ticks of 15.6 ms, which says nothing of a sample
HAS_THREAD_TIMES: bool = sys.platform != "win32"


def pin(cpus: Sequence[int]) -> None:
    """Pins this thread, and those that it starts, to these CPUs; to none: they stay free. OSError if that cannot be."""
    if not cpus:
        return
    if not hasattr(os, "sched_setaffinity"):
        raise OSError("this operating system does not let Python pin a process to a CPU: cpus must be empty")
    os.sched_setaffinity(0, cpus)


def pin_threads(threads: Iterable[int], cpus: Sequence[int]) -> None:
    """Pins threads of this process, each by its number, as `pin`. One that ended meanwhile is none."""
    pin(cpus)
    for thread in threads if cpus else ():
        with contextlib.suppress(ProcessLookupError):
            os.sched_setaffinity(thread, cpus)


def usable_cpus() -> list[int]:
    """The CPUs that this process may run on; none where it cannot be pinned."""
    return sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []


def involuntary_switches() -> int | None:
    """How often this process lost the CPU."""
    if sys.platform == "win32":
        return None
    else:  # noqa: RET505 - what a type checker for Windows must not look at
        return resource.getrusage(resource.RUSAGE_SELF).ru_nivcsw


def switches_since(before: int | None) -> int | None:
    """How often this process has lost the CPU since `involuntary_switches` said so much."""
    now = involuntary_switches()
    return None if now is None or before is None else now - before


def load_average() -> float | None:
    """Of the last minute."""
    return round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None


def processor() -> str | None:
    """The CPU's name where the kernel shows no /proc/cpuinfo."""
    if sys.platform == "win32":
        try:
            with winreg.OpenKey(winreg.HKEY_LOCAL_MACHINE, _PROCESSOR) as key:
                return str(winreg.QueryValueEx(key, "ProcessorNameString")[0]).strip()
        except OSError:
            return platform.processor() or None
    if sys.platform == "darwin":
        asked = ["/usr/sbin/sysctl", "-n", "machdep.cpu.brand_string"]
        try:
            done = subprocess.run(asked, capture_output=True, encoding="utf-8", errors="replace", check=False)
        except OSError:
            return platform.processor() or None
        return done.stdout.strip() or platform.processor() or None
    return platform.processor() or None
