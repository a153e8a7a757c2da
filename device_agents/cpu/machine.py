"""What the CPU agent tells of its machine, and the energy of a run: what cannot be read is null, never guessed."""

from __future__ import annotations

import math
import os
import platform
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from device_agents.cpu.system import load_average, pin_threads, processor

# which instructions multiply in a type, as the kernel calls them: x86's, then ARM's
INSTRUCTIONS = {"bf16": ("avx512_bf16", "amx_bf16", "bf16"), "fp16": ("avx512_fp16", "amx_fp16", "asimdhp")}
POWERCAP = Path("/sys/class/powercap")
CPUS, THREADS = Path("/sys/devices/system/cpu"), Path("/proc/self/task")
# of control groups, version 2 and 1, as a container sees its own: (folder, its limit, what is in use in memory.stat)
GROUPS = (
    ("/sys/fs/cgroup", "memory.max", "anon"),
    ("/sys/fs/cgroup/memory", "memory.limit_in_bytes", "total_rss"),
)
# the energy counters move about once so often (Intel's manual, volume 3, section 15.10)
RAPL_STEP_S = 0.001


def read_text(path: str) -> str | None:
    try:
        return Path(path).read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return None


def clock_mhz(cpus: Sequence[int]) -> float | None:
    """Of the first CPU; None where the process is not pinned."""
    text = read_text(f"/sys/devices/system/cpu/cpu{cpus[0]}/cpufreq/scaling_cur_freq") if cpus else None
    return int(text) / 1000 if text and text.isdigit() else None


def temperature_c() -> float | None:
    """The hottest thermal zone."""
    readings = []
    for zone in Path("/sys/class/thermal").glob("thermal_zone*"):
        text = read_text(str(zone / "temp"))
        if text and text.lstrip("-").isdigit():
            readings.append(int(text) / 1000)
    return max(readings, default=None)


def near(cpus: Sequence[int], usable: Sequence[int], folder: Path = CPUS) -> list[int]:
    """The usable CPUs that have their memory where one of `cpus` has its own."""

    def nodes(cpu: int) -> frozenset[str]:
        return frozenset(node.name for node in (folder / f"cpu{cpu}").glob("node[0-9]*"))

    wanted = {nodes(cpu) for cpu in cpus}
    return [cpu for cpu in usable if nodes(cpu) in wanted]


def pin_all(cpus: Sequence[int]) -> None:
    """Pins this process to these CPUs, all its threads, where the kernel shows them; to none: it stays free."""
    pin_threads([int(thread.name) for thread in THREADS.glob("*")], cpus)


def cpu_model() -> str | None:
    for line in (read_text("/proc/cpuinfo") or "").splitlines():
        key, _, value = line.partition(":")
        if key.strip() in ("model name", "Model", "Hardware"):
            return value.strip()
    return processor()


def cpu_features() -> frozenset[str]:
    """The instructions that the kernel shows: x86's flags, ARM's features; none where it shows none."""
    for line in (read_text("/proc/cpuinfo") or "").splitlines():
        key, _, value = line.partition(":")
        if key.strip() in ("flags", "Features"):
            return frozenset(value.split())
    return frozenset()


def computes(dtype: str) -> bool:
    """Whether this CPU has instructions that multiply in a type; in float32 and integers every one does."""
    return dtype not in INSTRUCTIONS or not cpu_features().isdisjoint(INSTRUCTIONS[dtype])


def _memory_kib(of: str) -> int | None:
    """MemTotal or MemAvailable; None where the kernel does not tell."""
    lines = (line.split() for line in (read_text("/proc/meminfo") or "").splitlines())
    return next((int(line[1]) for line in lines if line[0] == f"{of}:"), None)


def half_is_available() -> bool:
    """Whether half of the memory is free, or could be at once; of a container's too, where that has a limit."""
    total, available = _memory_kib("MemTotal"), _memory_kib("MemAvailable")
    return total is not None and available is not None and 2 * available > total and _half_of_the_group_is_available()


def _half_of_the_group_is_available() -> bool:
    for folder, limit, used in GROUPS:
        most = read_text(f"{folder}/{limit}")
        if most and most.isdigit():  # else "max"
            lines = (line.split() for line in (read_text(f"{folder}/memory.stat") or "").splitlines())
            if any(line[0] == used and 2 * int(line[1]) >= int(most) for line in lines):
                return False
    return True


def machine(cpus: list[int]) -> dict[str, Any]:
    memory = _memory_kib("MemTotal")
    return {
        "cpu_model": cpu_model(),
        "cpu_count": os.cpu_count(),
        "cpus": cpus,
        "architecture": platform.machine(),
        "memory_mib": memory // 1024 if memory else None,
        "os": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "governor": read_text(f"/sys/devices/system/cpu/cpu{cpus[0]}/cpufreq/scaling_governor") if cpus else None,
        "load_average": load_average(),
        "clock_mhz": clock_mhz(cpus),
        "temperature_c": temperature_c(),
        "energy_counter": "RAPL, the whole processor, idle power included" if rapl_zones() else None,
    }


def rapl_zones() -> list[tuple[Path, int]]:
    """Each processor package's counter, microjoules, and where it starts again at 0; none unless all can be read."""
    zones = []
    for name in sorted(POWERCAP.glob("*/name")):
        if (read_text(str(name)) or "").startswith("package"):
            counter = name.with_name("energy_uj")
            ends = read_text(str(name.with_name("max_energy_range_uj")))
            if ends is None or read_text(str(counter)) is None:
                return []
            zones.append((counter, int(ends)))
    return zones


def measure_energy(run: Callable[[], object], run_ns: float, seconds: float) -> dict[str, float | None]:
    """Millijoules of one run: the mean over so many seconds of runs, and its error."""
    zones = rapl_zones()
    runs = max(1, math.ceil(seconds * 1e9 / run_ns))
    started = time.perf_counter()
    before = [int(counter.read_text(encoding="ascii")) for counter, _ in zones]
    for _ in range(runs):
        run()
    after = [int(counter.read_text(encoding="ascii")) for counter, _ in zones]
    took = time.perf_counter() - started
    used = sum((b - a) % ends for a, b, (_, ends) in zip(before, after, zones, strict=True)) / 1000
    if not used:
        return {"energy_mj": None, "energy_error_mj": None}
    # either reading may be a step old
    return {
        "energy_mj": used / runs,
        "energy_error_mj": used / runs * 2 * RAPL_STEP_S / took,
        "energy_seconds": took,
    }
