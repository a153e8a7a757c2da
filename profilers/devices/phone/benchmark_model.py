"""TensorFlow Lite's stock benchmark_model in the agent's place: one process a visit, its output put into our lines."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from device_agents.android.benchmark_model import BenchmarkFailed, arguments, parse
from profilers.devices.phone.adb import Adb
from profilers.devices.phone.files import place
from profilers.devices.sent_files import SentFolder
from profilers.measuring.drive import NO_PARTS
from profilers.measuring.events import PROTOCOL, Begins, Done, Error, Event, event_of

# taskset of Android's toybox takes the mask in hexadecimal
RUN = 'cd "$1" && shift && exec taskset "$@" 2>&1'
FACTS = (
    "getprop ro.soc.model; getprop ro.build.version.release; getprop ro.build.fingerprint; uname -sr; uname -m; "
    'sed -n "s/^MemTotal:[^0-9]*\\([0-9]*\\).*/\\1/p" /proc/meminfo; nproc'
)


def benchmark_model_events(
    adb: Adb, tool: SentFolder, models: SentFolder, manifest: Mapping[str, Any], timeout_s: float
) -> Iterator[Event]:
    """What an agent would say of the manifest's visits. Raises ConnectionLost.

    tool: the folder on the phone with benchmark_model in it; timeout_s: of one visit
    """
    yield event_of(
        {
            "type": "hello",
            "protocol": PROTOCOL,
            "agent": "benchmark_model",
            "runtime": f"benchmark_model (sha256 {tool.sums['benchmark_model'][:12]})",
            "device": {**_facts(adb), "cpus": manifest["cpus"]},
        }
    )
    mask = format(sum(1 << cpu for cpu in manifest["cpus"]), "x")
    paths = {model["id"]: f"{place(models)}/{model['path']}" for model in manifest["models"] if "path" in model}
    for number, name in enumerate(manifest["visits"]):
        yield Begins(number, name)
        if name not in paths:
            yield Error(number, name, "benchmark_model cannot run the parts of a network", NO_PARTS)
            continue
        asked = arguments(paths[name], manifest["threads"], manifest["rules"], manifest["delegate"])
        answer = adb.run(RUN, place(tool), mask, "./benchmark_model", *asked, timeout_s=timeout_s)
        try:
            if answer.code != 0:
                raise BenchmarkFailed(f"benchmark_model exited with code {answer.code}: {answer.text[-200:]}")
            yield event_of({**parse(answer.text), "type": "result", "visit": number, "id": name})
        except BenchmarkFailed as failure:
            yield Error(number, name, str(failure))
    yield Done()


def _facts(adb: Adb) -> dict[str, Any]:
    lines = adb.run(FACTS).text.splitlines()
    soc, android, build, system, machine, memory, cpus = (line or None for line in (lines + [""] * 7)[:7])
    return {
        "cpu_model": soc,
        "soc": soc,
        "android": android,
        "build": build,
        "os": system,
        "architecture": machine,
        "memory_mib": int(memory) // 1024 if memory and memory.isdigit() else None,
        "cpu_count": int(cpus) if cpus and cpus.isdigit() else None,
    }
