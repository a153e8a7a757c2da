"""How much of a profile goes into timed runs and warm-up, and how much into everything else.

python benchmarks/latency/profiling_overhead.py                       # one resolution, onnxruntime and tflite
python benchmarks/latency/profiling_overhead.py --resolutions 128,160,192,208,224 --runtimes onnxruntime --dtype int8

A second line has the overhead in seconds: until the first visit begins (models are written, and loaded if they stay
loaded), at each visit (loading, the stop rule, and the rest), and after the last one. The agent's CPU time besides its
visits is what it takes to load models ahead, by all CPUs.

The last figure compares each model's first visit with its later ones: onnxruntime optimises an int8 model at the first.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import resource
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np

from profilers.cpu import main as profile
from profilers.measuring.conversation import local_agent
from profilers.measuring.events import Begins, Done, Event


def first_over_later(results: Sequence[dict[str, Any]]) -> str:
    """Median over the models of first visit / median of the later ones, with its standard error."""
    medians: dict[str, list[float]] = {}
    for result in results:
        medians.setdefault(result["id"], []).append(np.median(result["samples_ns"]) / result["calls_per_sample"])
    ratios = np.array([first / np.median(later) for first, *later in medians.values() if later])
    return f"{np.median(ratios):.4f} (standard error {1.25 * ratios.std() / len(ratios) ** 0.5:.4f})"


def cpu_seconds_of_agents() -> float:
    """Of all that have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def share(runtime: str, space: str, resolutions: str, dtype: str) -> str:
    """One profile from start to end, as two lines."""
    begins: list[float] = []
    ends: list[float] = []

    def heard(*given: Any) -> Iterator[Event]:
        for event in local_agent(*given):
            if isinstance(event, Begins | Done):
                (begins if isinstance(event, Begins) else ends).append(time.perf_counter())
            yield event

    with tempfile.TemporaryDirectory() as folder, patch("profilers.devices.local_cpu.local_agent", heard):
        out = Path(folder) / "table.csv"
        agents, started = cpu_seconds_of_agents(), time.perf_counter()
        said = io.StringIO()
        with contextlib.redirect_stdout(said):
            what = ["--space", space, "--resolutions", resolutions, "--runtime", runtime, "--dtype", dtype]
            code = profile([*what, "--out", str(out)])
        ended = time.perf_counter()
        if code:
            raise SystemExit(f"{said.getvalue()}{runtime}: the profile ended with code {code}")
        lines = out.with_suffix(".journal.jsonl").read_text().splitlines()
    results = [record for record in map(json.loads, lines) if record["kind"] == "result"]
    # the samples alone: the stop rule's own arithmetic between them is overhead
    wall, runs = ended - started, sum(sum(r["samples_ns"]) for r in results) / 1e9
    spent = {part: sum(r[f"{part}_ns"] for r in results) / 1e9 for part in ("warmup", "setup", "timed")}
    rest, before, after = wall - runs - spent["warmup"], begins[0] - started, ended - ends[-1]
    rule = spent["timed"] - runs
    ahead = cpu_seconds_of_agents() - agents - spent["timed"] - spent["warmup"] - spent["setup"]
    return (
        f"{runtime}, {dtype}: {wall:.0f} s for {len(results)} visits: timed runs {runs / wall:.0%}, warm-up "
        f"{spent['warmup'] / wall:.0%}, overhead {rest / wall:.1%} (loading models: {spent['setup'] / wall:.1%}); "
        f"first visits over later ones: {first_over_later(results)}\n"
        f"  overhead {rest:.1f} s: before the first visit {before:.1f}, at visits: loading {spent['setup']:.1f}, stop "
        f"rule {rule:.1f}, rest {rest - before - after - spent['setup'] - rule:.1f}, after the last {after:.1f}; CPU "
        f"seconds of agents besides visits: {ahead:.1f}"
    )


def main(argv: list[str] | None = None) -> int:
    """Prints a line a runtime."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--space", default="mbv3-w1.0")
    parser.add_argument("--resolutions", default="160")
    parser.add_argument("--runtimes", nargs="+", default=["onnxruntime", "tflite"])
    parser.add_argument("--dtype", default="fp32")
    args = parser.parse_args(argv)
    for runtime in args.runtimes:
        print(share(runtime, args.space, args.resolutions, args.dtype), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
