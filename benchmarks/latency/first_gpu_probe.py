"""What a GPU's first seconds must tell: does cuDNN compile depthwise convolutions at run time, and what does NVML cost?

    python benchmarks/latency/first_gpu_probe.py --out probe.jsonl                # on a GPU
    python benchmarks/latency/first_gpu_probe.py --out probe.jsonl --device cpu   # a dry run, marked as one

One JSON object a line, each on disk as soon as it is known: `facts`, `nvml`, a `case` for every shape, type and layout
(milliseconds of the first and of the second call, forward and backward; of a later call, by events, in microseconds),
in `nvml` the power of one steady load by windows of 0.3, 1 and 3 s (mW, their error, seconds),
`summary` (first calls by way, and how many shapes took over 100 ms). After --seconds, imports included, it ends
whatever it is at, with the summary of what was done. The exit code is 0 if a case was done.
"""

# ruff: noqa: E402 -- the clock starts before torch is imported
from __future__ import annotations

import time

STARTED = time.monotonic()

import argparse
import itertools
import json
import os
import statistics
import sys
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from device_agents.cuda.nvml import nvml_of
from device_agents.cuda.timing import power_mw

# channels, pixels, kernel size, stride: as in MobileNetV3 at 224 px, large and small maps, strides, kernels in turn
SHAPES = (
    (64, 112, 3, 2), (960, 7, 5, 1), (72, 56, 3, 1), (672, 14, 7, 2), (144, 56, 5, 2), (480, 14, 3, 1),
    (120, 28, 7, 1), (672, 14, 5, 1), (240, 28, 5, 2), (960, 7, 7, 1),
)  # fmt: skip
DTYPES = {"fp16": torch.float16, "bf16": torch.bfloat16, "fp32": torch.float32}
# type, layout, whether cuDNN may be used: best value first
WAYS = (
    ("fp16", "channels_last", True), ("fp16", "contiguous", True), ("fp32", "channels_last", True),
    ("bf16", "channels_last", True), ("fp16", "contiguous", False), ("fp32", "contiguous", True),
    ("bf16", "contiguous", True), ("fp16", "channels_last", False), ("fp32", "contiguous", False),
)  # fmt: skip
SLOW_MS = 100
# of the agent's energies, and longer ones: a counter may look at the power for a part of the time only
WINDOWS_S = (0.3, 1.0, 3.0)


class Lines:
    """The file of results: a line at a time, flushed; the summary is the last, whoever writes it."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("w", encoding="utf-8")
        self._lock = threading.Lock()
        self.cases: list[dict[str, Any]] = []
        self._ended = False

    def write(self, kind: str, **fields: Any) -> None:
        with self._lock:
            if not self._ended:
                self._write(kind, **fields)
                if kind == "case":
                    self.cases.append(fields)

    def _write(self, kind: str, **fields: Any) -> None:
        line = json.dumps({"kind": kind, **fields})
        self._file.write(line + "\n")
        self._file.flush()
        os.fsync(self._file.fileno())
        if kind != "case":
            print(line, flush=True)

    def end(self, why: str) -> None:
        with self._lock:
            if not self._ended:
                self._write("summary", ended=why, seconds=round(time.monotonic() - STARTED, 1), **summary(self.cases))
            self._ended = True


def summary(cases: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """By way: cases, errors, medians and maxima in ms, shapes whose first call took over SLOW_MS."""
    ways: dict[str, Any] = {}
    for dtype, layout, cudnn in WAYS:
        mine = [c for c in cases if (c["dtype"], c["layout"], c["cudnn"]) == (dtype, layout, cudnn)]
        good = [c for c in mine if "error" not in c]
        if not mine:
            continue
        way: dict[str, Any] = {"cases": len(mine), "errors": len(mine) - len(good)}
        if good:
            for key in ("forward_first_ms", "forward_second_ms", "backward_first_ms", "backward_second_ms"):
                values = [c[key] for c in good]
                way[key] = {"median": round(statistics.median(values), 3), "max": round(max(values), 3)}
            way["forward_us"] = [c["forward_us"] for c in good]
            way["slow_first_forwards"] = sum(c["forward_first_ms"] > SLOW_MS for c in good)
            way["slow_first_backwards"] = sum(c["backward_first_ms"] > SLOW_MS for c in good)
        ways[f"{dtype} {layout} {'cudnn' if cudnn else 'native'}"] = way
    return {"cases": len(cases), "ways": ways}


def took_ms(device: torch.device, work: Callable[[], Any]) -> tuple[float, Any]:
    """Wall time of a call, from an idle device to an idle device, and its result."""
    settle(device)
    began = time.perf_counter()
    result = work()
    settle(device)
    return round(1000 * (time.perf_counter() - began), 3), result


def settle(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def later_us(device: torch.device, work: Callable[[], Any], runs: int = 20) -> float:
    """Microseconds of one of `runs` calls, by events; on the CPU of one, by the clock on the wall."""
    if device.type != "cuda":
        return round(1000 * took_ms(device, work)[0], 2)
    begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    begin.record()
    for _ in range(runs):
        work()
    end.record()
    end.synchronize()
    return round(1000 * begin.elapsed_time(end) / runs, 2)


def case(device: torch.device, batch: int, shape: tuple[int, int, int, int], dtype: str, layout: str) -> dict[str, Any]:
    """First, second and later calls of one depthwise convolution."""
    channels, pixels, kernel, stride = shape
    if device.type == "cpu":
        channels = 8  # a dry run is of the way, not of the figures
    memory_format = torch.channels_last if layout == "channels_last" else torch.contiguous_format
    images = torch.randn(batch, channels, pixels, pixels, device=device, dtype=DTYPES[dtype])
    images = images.to(memory_format=memory_format).requires_grad_()
    weight = torch.randn(channels, 1, kernel, kernel, device=device, dtype=DTYPES[dtype])
    weight = weight.to(memory_format=memory_format).requires_grad_()

    def forward() -> torch.Tensor:
        return torch.conv2d(images, weight, None, stride, kernel // 2, groups=channels)

    times: dict[str, Any] = {}
    for turn in ("first", "second"):
        times[f"forward_{turn}_ms"], out = took_ms(device, forward)
        gradient = torch.ones_like(out)
        times[f"backward_{turn}_ms"], _ = took_ms(device, lambda out=out, gradient=gradient: out.backward(gradient))
    with torch.inference_mode():
        times["forward_us"] = later_us(device, forward)
    return times


def nvml_costs(device: torch.device) -> dict[str, Any]:
    """Microseconds of one question of each kind, and how often the energy counter moves, under a light load."""
    if device.type != "cuda":
        return {"missing": "this is a CPU"}
    nvml = nvml_of(str(torch.cuda.get_device_properties(device).uuid))
    costs: dict[str, Any] = {"missing": nvml.missing, "facts": nvml.facts()}
    questions = {"clock": nvml.clock_mhz, "throttling": nvml.throttling, "processes": nvml.processes,
                 "temperature": nvml.temperature_c, "energy": nvml.energy_mj}  # fmt: skip
    for name, ask in questions.items():
        began = time.perf_counter()
        answers = [ask() for _ in range(5)]
        costs[f"{name}_us"] = round(1e6 * (time.perf_counter() - began) / 5, 1)
        costs[f"{name}_told"] = answers[-1] is not None
    steps, last, began = [], nvml.energy_mj(), time.monotonic()
    matrix = torch.randn(2048, 2048, device=device)
    while last is not None and time.monotonic() - began < 1.0:
        matrix @ matrix
        torch.cuda.synchronize(device)
        value = nvml.energy_mj()
        if value != last:
            steps.append(time.monotonic())
            last = value
    gaps = [1000 * (b - a) for a, b in itertools.pairwise(steps)]
    costs["energy_steps_ms"] = [round(gap, 1) for gap in gaps[:30]]

    def keep_busy() -> None:
        matrix @ matrix
        torch.cuda.synchronize(device)

    return costs | power_by_window(nvml.energy_mj, keep_busy)


def power_by_window(
    read_mj: Callable[[], float | None], keep_busy: Callable[[], None], now: Callable[[], float] = time.monotonic
) -> dict[str, Any]:
    """Of one steady load: mW, their error and seconds, by the length that a window has at least; null: not told."""
    found = {f"power_of_{seconds:g}_s": power_mw(read_mj, keep_busy, seconds, now) for seconds in WINDOWS_S}
    return {name: power and [round(value, 3) for value in power] for name, power in found.items()}


def facts(device: torch.device) -> dict[str, Any]:
    told: dict[str, Any] = {
        "torch": torch.__version__,
        "python": sys.version.split()[0],
        "dry_run": device.type == "cpu",
    }
    if device.type == "cuda":
        p = torch.cuda.get_device_properties(device)
        told |= {"gpu": p.name, "l2_bytes": p.L2_cache_size, "cuda": torch.version.cuda,
                 "cudnn": torch.backends.cudnn.version()}  # fmt: skip
    return told


def main(argv: Sequence[str] | None = None) -> int:
    parsed = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parsed.add_argument("--out", type=Path, required=True, metavar="JSONL")
    parsed.add_argument("--device", default="cuda:0", metavar="D")
    parsed.add_argument("--batch-size", type=int, metavar="N", help="images (default 64, on a CPU 1)")
    parsed.add_argument("--seconds", type=float, default=24.0, metavar="S", help="it ends after (default 24)")
    args = parsed.parse_args(argv)
    args.out.parent.mkdir(parents=True, exist_ok=True)
    lines = Lines(args.out)

    def stop() -> None:
        lines.end("the time was up")
        os._exit(0 if lines.cases else 1)

    watch = threading.Timer(max(0.0, args.seconds - (time.monotonic() - STARTED)), stop)
    watch.daemon = True
    watch.start()
    device = torch.device(args.device)
    batch = args.batch_size or (64 if device.type == "cuda" else 1)
    lines.write("facts", batch=batch, import_s=round(time.monotonic() - STARTED, 1), **facts(device))
    start_ms, _ = took_ms(device, lambda: torch.ones(8, device=device) + 1)
    lines.write("context", ms=start_ms)
    try:
        lines.write("nvml", **nvml_costs(device))
    except Exception as error:
        lines.write("nvml", error=f"{type(error).__name__}: {error}".splitlines()[0])
    # every way before the next shape: a shape may take seconds, and then the time is up after a few
    for shape, (dtype, layout, cudnn) in itertools.product(SHAPES, WAYS):
        about = {"shape": shape, "dtype": dtype, "layout": layout, "cudnn": cudnn}
        try:
            torch.backends.cudnn.enabled = cudnn
            lines.write("case", **about, **case(device, batch, shape, dtype, layout))
        except Exception as error:  # a way that this GPU does not know; the others are tried
            lines.write("case", **about, error=f"{type(error).__name__}: {error}".splitlines()[0])
    watch.cancel()
    lines.end("all was done")
    return 0 if lines.cases else 1


if __name__ == "__main__":
    sys.exit(main())
