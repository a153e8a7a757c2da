"""The CPU agent: times models on the machine it runs on, and speaks the protocol of device_agents/PROTOCOL.md.

    python device_agents/cpu/agent.py manifest.json

Nothing of the host side: copy the folder device_agents/cpu to a device with numpy and one runtime, and it runs there.
"""

from __future__ import annotations

import json
import os
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TextIO

import numpy as np

if not __package__:  # started as a file
    sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from device_agents.cpu.ahead import awaited, files_of_visits, load_ahead, smallest_then_longest
from device_agents.cpu.loop import Loop
from device_agents.cpu.machine import clock_mhz, machine, measure_energy, temperature_c
from device_agents.cpu.parts import NotComputed
from device_agents.cpu.runtimes import runtime_of
from device_agents.cpu.system import HAS_THREAD_TIMES, pin, usable_cpus
from device_agents.cpu.timing import time_model, time_parts

PROTOCOL = 1


class NoParts(ValueError):
    """A runtime runs no network in parts."""

    reason = "no_parts"


class Speaker:
    """Writes protocol lines to the real standard output, and points the runtimes' own chatter at stderr."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._out: TextIO = os.fdopen(os.dup(1), "w", encoding="utf-8", newline="\n")
        os.dup2(2, 1)

    def say(self, kind: str, **fields: Any) -> None:
        with self._lock:
            self._out.write(json.dumps({"type": kind, **fields}, allow_nan=False) + "\n")
            self._out.flush()


def visit(model: Mapping[str, Any], manifest: Mapping[str, Any]) -> dict[str, Any]:
    """Loads a model, or a network's parts, and times it. model: its `Path`, or its `parts`, a list of them

    Anew for every visit: where a model lies in memory makes some blocks several per cent faster or slower, and a
    model that stays loaded would repeat its luck in every round. Only OpenVINO's may stay (`openvino_runtime`).
    """
    cpus = manifest["cpus"]
    before = {"clock_mhz_before": clock_mhz(cpus), "temperature_c_before": temperature_c()}
    timed = _time_alone(model["path"], manifest) if "path" in model else _time_in_place(model["parts"], manifest)
    return {**before, **timed, "clock_mhz_after": clock_mhz(cpus), "temperature_c_after": temperature_c()}


def _time_alone(path: Path, manifest: Mapping[str, Any]) -> dict[str, Any]:
    started = time.perf_counter_ns()
    rng = np.random.default_rng(manifest["seed"])
    run = runtime_of(manifest).load(path, manifest["threads"], rng)
    setup = time.perf_counter_ns() - started
    timed = time_model(run, manifest["rules"], _tells_cpu_time(manifest))
    energy = {}
    if manifest.get("energy_seconds"):
        run_ns = float(np.median(timed["samples_ns"])) / timed["calls_per_sample"]
        energy = measure_energy(run, run_ns, manifest["energy_seconds"])
    return {"setup_ns": setup, **timed, **energy}


def _time_in_place(paths: list[Path], manifest: Mapping[str, Any]) -> dict[str, Any]:
    load_parts = runtime_of(manifest).load_parts
    if load_parts is None:
        raise NoParts(f"runtime {manifest['runtime']} cannot run the parts of a network one after the other")
    started = time.perf_counter_ns()
    parts = load_parts(paths, manifest["threads"], np.random.default_rng(manifest["seed"]))
    setup = time.perf_counter_ns() - started
    rules = manifest.get("parts_rules", manifest["rules"])
    return {"setup_ns": setup, **time_parts(parts, rules, _tells_cpu_time(manifest))}


def _tells_cpu_time(manifest: Mapping[str, Any]) -> bool:
    """Whether the CPU time of this thread is that of a run."""
    return HAS_THREAD_TIMES and manifest["threads"] == 1


def files_of(model: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """Where a model of the manifest lies: its `path`, or those of its `parts`."""
    if "parts" in model:
        if not model["parts"]:
            raise ValueError(f"model {model['id']!r} has no parts")
        return {"parts": [safe_path(folder, name) for name in model["parts"]]}
    return {"path": safe_path(folder, model["path"])}


def beat(speaker: Speaker, seconds: float) -> None:
    """Says now and then that the agent lives; ends it, hanging or not, when nobody listens any more."""
    try:
        while True:
            time.sleep(seconds)
            speaker.say("heartbeat")
    except OSError:
        os._exit(1)


def safe_path(folder: Path, name: str) -> Path:
    path = (folder / name).resolve()
    if not path.is_relative_to(folder):
        raise ValueError(f"model path {name!r} leaves the manifest's folder")
    return path


def main(argv: list[str]) -> int:
    if len(argv) != 1:
        print(__doc__, file=sys.stderr)
        return 2
    speaker = Speaker()
    try:
        from importlib.metadata import version

        manifest = json.loads(Path(argv[0]).read_text(encoding="utf-8"))
        if manifest.get("protocol") != PROTOCOL:
            raise ValueError(
                f"manifest is of protocol {manifest.get('protocol', 'missing')!r}, this agent speaks {PROTOCOL}"
            )
        runtime = runtime_of(manifest)
        folder = Path(argv[0]).resolve().parent
        models = {model["id"]: files_of(model, folder) for model in manifest["models"]}
        order = [safe_path(folder, name) for name in manifest.get("awaits", ())]
        loop = Loop(manifest) if manifest.get("sustained") else None
        usable = usable_cpus()
        pin(manifest["cpus"])
        runtime_version = version(runtime.distribution)
    except Exception as error:
        speaker.say("error", id=None, message=f"{type(error).__name__}: {error}")
        return 1
    speaker.say(
        "hello",
        protocol=PROTOCOL,
        agent="cpu",
        runtime=f"{runtime.distribution} {runtime_version}",
        **({"computes_in": manifest["dtype"]} if "dtype" in manifest else {}),
        device=machine(manifest["cpus"]),
    )
    threading.Thread(target=beat, args=(speaker, manifest.get("heartbeat_seconds", 5)), daemon=True).start()
    paths = files_of_visits(manifest["visits"], models)
    coming = awaited(order, paths) if order else smallest_then_longest(paths)
    if manifest.get("load_ahead") and (prepare := runtime.prepare) is not None:
        for loaded in load_ahead(lambda path: prepare(path, manifest["threads"]), coming, manifest["cpus"], usable):
            speaker.say("loading", loaded=loaded, files=len(paths))
    else:
        for path in coming:
            if path is None:
                speaker.say("loading", loaded=0, files=len(paths))
    make_visits(speaker, manifest["visits"], models, manifest, loop)
    # what each visit loads anew needs no agent that stays
    if manifest.get("stay") and runtime.prepare is not None:
        speaker.say("done", stays=True)
        for line in sys.stdin:
            make_visits(speaker, json.loads(line)["visits"], models, manifest, loop)
            speaker.say("done", stays=True)
    else:
        speaker.say("done")
    return 0


def make_visits(
    speaker: Speaker, visits: Sequence[str], models: Mapping[str, Any], manifest: Mapping[str, Any], loop: Loop | None
) -> None:
    for number, name in enumerate(visits):
        speaker.say("visit", visit=number, id=name)
        try:
            result = visit(models[name], manifest) if loop is None else loop.visit(models[name])
        except Exception as error:
            reason = {"reason": error.reason} if isinstance(error, (NoParts, NotComputed)) else {}
            speaker.say("error", visit=number, id=name, message=f"{type(error).__name__}: {error}", **reason)
        else:
            speaker.say("result", visit=number, id=name, **result)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
