"""The CPU agent: times models on the machine it runs on, and speaks the protocol of device_agents/PROTOCOL.md.

    python agent.py manifest.json

One file, with nothing of the host side: copy it to a device with numpy and one runtime, and it runs there.
"""

from __future__ import annotations

import json
import math
import os
import platform
import resource
import sys
import threading
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, TextIO

import numpy as np

PROTOCOL = 1
# the spread is looked at again when there are a tenth, and at least this many, more samples: it is not free
CHECK_EVERY = 5
POWERCAP = Path("/sys/class/powercap")
# the energy counters move about once so often (Intel's manual, volume 3, section 15.10)
RAPL_STEP_S = 0.001


class Speaker:
    """Writes protocol lines to the real standard output, and points the runtimes' own chatter at stderr."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._out: TextIO = os.fdopen(os.dup(1), "w", encoding="utf-8")
        os.dup2(2, 1)

    def say(self, kind: str, **fields: Any) -> None:
        with self._lock:
            self._out.write(json.dumps({"type": kind, **fields}, allow_nan=False) + "\n")
            self._out.flush()


# ---- runtimes: each loads a model and returns a function that runs it once


def load_onnxruntime(path: Path, threads: int, rng: np.random.Generator) -> Callable[[], object]:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    feeds = {entry.name: rng.standard_normal(entry.shape, dtype=np.float32) for entry in session.get_inputs()}
    return lambda: session.run(None, feeds)


def _load_tflite(interpreter_of: Any, path: Path, threads: int, rng: np.random.Generator) -> Callable[[], object]:
    interpreter = interpreter_of(model_path=str(path), num_threads=threads)
    interpreter.allocate_tensors()
    for entry in interpreter.get_input_details():
        interpreter.set_tensor(entry["index"], rng.standard_normal(entry["shape"], dtype=np.float32))
    invoke: Callable[[], object] = interpreter.invoke
    return invoke


def load_litert(path: Path, threads: int, rng: np.random.Generator) -> Callable[[], object]:
    from ai_edge_litert.interpreter import Interpreter

    return _load_tflite(Interpreter, path, threads, rng)


def load_tflite_runtime(path: Path, threads: int, rng: np.random.Generator) -> Callable[[], object]:
    from tflite_runtime.interpreter import Interpreter

    return _load_tflite(Interpreter, path, threads, rng)


def load_torch(path: Path, threads: int, rng: np.random.Generator) -> Callable[[], object]:
    import torch

    torch.set_num_threads(threads)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # TorchScript is in maintenance
        module = torch.jit.load(str(path))  # type: ignore[no-untyped-call]
    shape = json.loads(path.with_suffix(".json").read_text())["input_shape"]
    images = torch.from_numpy(rng.standard_normal(shape, dtype=np.float32))

    def run() -> object:
        with torch.inference_mode():
            return module(images)

    return run


# runtime: (the distribution that has its version, its loader)
RUNTIMES: dict[str, tuple[str, Callable[[Path, int, np.random.Generator], Callable[[], object]]]] = {
    "onnxruntime": ("onnxruntime", load_onnxruntime),
    "tflite": ("ai-edge-litert", load_litert),
    "tflite-runtime": ("tflite-runtime", load_tflite_runtime),
    "torch": ("torch", load_torch),
}


# ---- facts of the machine: what cannot be read is null, never guessed


def read_text(path: str) -> str | None:
    try:
        return Path(path).read_text().strip()
    except OSError:
        return None


def clock_mhz(cpu: int) -> float | None:
    text = read_text(f"/sys/devices/system/cpu/cpu{cpu}/cpufreq/scaling_cur_freq")
    return int(text) / 1000 if text and text.isdigit() else None


def temperature_c() -> float | None:
    """The hottest thermal zone."""
    readings = []
    for zone in Path("/sys/class/thermal").glob("thermal_zone*"):
        text = read_text(str(zone / "temp"))
        if text and text.lstrip("-").isdigit():
            readings.append(int(text) / 1000)
    return max(readings, default=None)


def cpu_model() -> str | None:
    for line in (read_text("/proc/cpuinfo") or "").splitlines():
        key, _, value = line.partition(":")
        if key.strip() in ("model name", "Model", "Hardware"):
            return value.strip()
    return platform.processor() or None


def machine(cpus: list[int]) -> dict[str, Any]:
    memory = next(
        (line.split()[1] for line in (read_text("/proc/meminfo") or "").splitlines() if line.startswith("MemTotal")),
        None,
    )
    return {
        "cpu_model": cpu_model(),
        "cpu_count": os.cpu_count(),
        "cpus": cpus,
        "architecture": platform.machine(),
        "memory_mib": int(memory) // 1024 if memory else None,
        "os": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "governor": read_text(f"/sys/devices/system/cpu/cpu{cpus[0]}/cpufreq/scaling_governor"),
        "load_average": round(os.getloadavg()[0], 2),
        "clock_mhz": clock_mhz(cpus[0]),
        "temperature_c": temperature_c(),
        "energy_counter": "RAPL, the whole processor, idle power included" if rapl_zones() else None,
    }


# ---- energy


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
    before = [int(counter.read_text()) for counter, _ in zones]
    for _ in range(runs):
        run()
    after = [int(counter.read_text()) for counter, _ in zones]
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


# ---- timing


def relative_error_of_median(samples: list[int]) -> float:
    """Standard error of the median over the median, from the median absolute deviation."""
    values = np.asarray(samples, dtype=np.float64)
    median = np.median(values)
    deviation = 1.4826 * np.median(np.abs(values - median))
    return float(1.2533 * deviation / math.sqrt(len(values)) / median)


def time_model(run: Callable[[], object], rules: dict[str, Any], one_thread: bool) -> dict[str, Any]:
    """Warm-up, then samples until the median is known well enough or the time is up.

    cpu_ns is each sample's CPU time of this thread: where it falls short of the wall time, something else ran.
    """
    started = time.perf_counter_ns()
    took: list[int] = []
    # the first runs plan memory and fill caches: never timed
    while len(took) < rules["warmup_runs"] or sum(took) < rules["warmup_seconds"] * 1e9:
        before = time.perf_counter_ns()
        run()
        took.append(max(1, time.perf_counter_ns() - before))
    # the clock cannot resolve very short calls: several make one sample
    calls = max(1, math.ceil(rules["min_sample_us"] * 1000 / min(took)))
    warm = time.perf_counter_ns()
    switches = resource.getrusage(resource.RUSAGE_SELF).ru_nivcsw
    samples: list[int] = []
    cpu: list[int] = []
    deadline = warm + int(rules["max_seconds"] * 1e9)
    check_at = rules["min_runs"]
    while True:
        cpu_before = time.thread_time_ns()
        before = time.perf_counter_ns()
        for _ in range(calls):
            run()
        after = time.perf_counter_ns()
        cpu_after = time.thread_time_ns()
        samples.append(after - before)
        cpu.append(cpu_after - cpu_before)
        if len(samples) >= rules["max_runs"]:
            break
        if len(samples) < check_at:
            if len(samples) >= rules["min_runs"] and after > deadline:
                break
            continue
        if after > deadline or relative_error_of_median(samples) < rules["target_error"]:
            break
        check_at = len(samples) + max(CHECK_EVERY, len(samples) // 10)
    return {
        "samples_ns": samples,
        "cpu_ns": cpu if one_thread else None,
        "calls_per_sample": calls,
        "warmup_ns": warm - started,
        "timed_ns": time.perf_counter_ns() - warm,
        "involuntary_switches": resource.getrusage(resource.RUSAGE_SELF).ru_nivcsw - switches,
    }


def visit(path: Path, manifest: dict[str, Any]) -> dict[str, Any]:
    """Loads the model and times it.

    Anew for every visit: where a model lies in memory makes some blocks several per cent faster or slower, and a
    model that stays loaded would repeat its luck in every round.
    """
    started = time.perf_counter_ns()
    rng = np.random.default_rng(manifest["seed"])
    run = RUNTIMES[manifest["runtime"]][1](path, manifest["threads"], rng)
    setup = time.perf_counter_ns() - started
    cpu = manifest["cpus"][0]
    facts = {"setup_ns": setup, "clock_mhz_before": clock_mhz(cpu), "temperature_c_before": temperature_c()}
    timed = time_model(run, manifest["rules"], manifest["threads"] == 1)
    energy = {}
    if manifest.get("energy_seconds"):
        run_ns = float(np.median(timed["samples_ns"])) / timed["calls_per_sample"]
        energy = measure_energy(run, run_ns, manifest["energy_seconds"])
    return {**facts, **timed, **energy, "clock_mhz_after": clock_mhz(cpu), "temperature_c_after": temperature_c()}


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
            raise ValueError(f"manifest is of protocol {manifest.get('protocol')!r}, this agent speaks {PROTOCOL}")
        if manifest["runtime"] not in RUNTIMES:
            raise ValueError(f"runtime is {manifest['runtime']!r}, expected one of {', '.join(RUNTIMES)}")
        folder = Path(argv[0]).resolve().parent
        paths = {model["id"]: safe_path(folder, model["path"]) for model in manifest["models"]}
        os.sched_setaffinity(0, manifest["cpus"])
        distribution = RUNTIMES[manifest["runtime"]][0]
        runtime_version = version(distribution)
    except Exception as error:
        speaker.say("error", id=None, message=f"{type(error).__name__}: {error}")
        return 1
    speaker.say(
        "hello",
        protocol=PROTOCOL,
        agent="cpu",
        runtime=f"{distribution} {runtime_version}",
        device=machine(manifest["cpus"]),
    )
    threading.Thread(target=beat, args=(speaker, manifest.get("heartbeat_seconds", 5)), daemon=True).start()
    for number, name in enumerate(manifest["visits"]):
        speaker.say("visit", visit=number, id=name)
        try:
            result = visit(paths[name], manifest)
        except Exception as error:
            speaker.say("error", visit=number, id=name, message=f"{type(error).__name__}: {error}")
        else:
            speaker.say("result", visit=number, id=name, **result)
    speaker.say("done")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
