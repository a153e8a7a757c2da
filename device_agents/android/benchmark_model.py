"""The stock `benchmark_model` of TensorFlow Lite as a runner: its arguments, and its text output as a `result` line.

For delegates that only a vendor's build of the tool has. It costs a process a model, and tells the mean and spread of
its runs but no raw samples: such a visit has one sample, and the fields it does not tell are null.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any

_NUMBER = r"[-+0-9.e]+"
# "count=50 first=249042 curr=250889 min=247067 max=254474 avg=249684 std=1442", newer ones add "p5= median= p95=";
# a single run, or equal ones: "count=1 curr=3512391". On Android a log tag may stand before it
_COUNTS = re.compile(rf"(?:^|\s)count=(\d+)((?:\s+[a-z0-9]+={_NUMBER})+)")
_PAIR = re.compile(rf"([a-z0-9]+)=({_NUMBER})")
_TIMINGS = re.compile(
    rf"Inference timings in us: Init: ({_NUMBER}), First inference: ({_NUMBER}), "
    rf"Warmup \(avg\): ({_NUMBER}), Inference \(avg\): ({_NUMBER})"
)
_PEAK = re.compile(rf"Overall peak memory footprint \(MB\) via periodic monitoring: ({_NUMBER})")
_DELEGATED = re.compile(r"model graph will be (completely|partially) executed by the delegate")
_REFUSED = re.compile(r"will not be executed by the delegate")
_PROBLEM = re.compile(r"error|failed|cannot|unable|not found", re.IGNORECASE)


class BenchmarkFailed(ValueError):
    """The tool did not time the model. The message is the first thing it said about it."""


def arguments(path: str, threads: int, rules: Mapping[str, Any], delegate: str) -> list[str]:
    """Flags of benchmark_model that come nearest to the protocol's rules; `path` is the model's, on the device."""
    return [
        f"--graph={path}",
        f"--num_threads={threads}",
        f"--warmup_runs={rules['warmup_runs']}",
        f"--warmup_min_secs={rules['warmup_seconds']}",
        f"--num_runs={rules['min_runs']}",
        f"--min_secs={rules['max_seconds']}",
        f"--use_xnnpack={str(delegate == 'xnnpack').lower()}",
        f"--use_gpu={str(delegate == 'gpu').lower()}",
        f"--use_nnapi={str(delegate == 'nnapi').lower()}",
    ]


def parse(output: str) -> dict[str, Any]:
    """The fields of a `result` line but `visit` and `id`, from what the tool printed (stdout and stderr together).

    samples_ns: one, the median where the tool tells it, else all runs together, with calls_per_sample their number.
    statistic: "median" or "mean", which of them that is; runs, min_ns, max_ns, std_ns: of single runs.
    delegated: "completely", "partially" or "not"; None where it does not say.
    Raises BenchmarkFailed.
    """
    counts = [_statistics(match) for match in _COUNTS.finditer(output)]
    timings = _TIMINGS.search(output)
    # the warm-up has such a line of its own, before that of the timed runs
    if len(counts) < 2 or timings is None or counts[-1]["count"] < 1:
        problems = [line.strip() for line in output.splitlines() if _PROBLEM.search(line)]
        raise BenchmarkFailed(problems[0][:300] if problems else "benchmark_model printed no timings")
    warmup, timed = counts[-2], counts[-1]
    runs = int(timed["count"])
    mean_us = timed.get("avg", timed.get("curr", math.nan))
    init_us, _, warmup_us, _ = (_number(text) for text in timings.groups())
    if not all(math.isfinite(value) and value > 0 for value in (mean_us, timed.get("median", mean_us))):
        raise BenchmarkFailed(f"benchmark_model printed no sound timings: {timings.group(0)}")
    by_median = "median" in timed
    peak = _PEAK.search(output)
    delegated = _DELEGATED.search(output)
    return {
        "samples_ns": [_ns(timed["median"]) if by_median else _ns(mean_us * runs)],
        "cpu_ns": None,
        "calls_per_sample": 1 if by_median else runs,
        "statistic": "median" if by_median else "mean",
        "runs": runs,
        "min_ns": _ns(timed.get("min", mean_us)),
        "max_ns": _ns(timed.get("max", mean_us)),
        "std_ns": _ns(timed.get("std", 0.0)),
        "setup_ns": _ns(init_us),
        "warmup_ns": _ns(warmup_us * warmup["count"]),
        "timed_ns": _ns(mean_us * runs),
        "peak_memory_kib": round(_number(peak.group(1)) * 1024) if peak else None,
        "delegated": delegated.group(1) if delegated else "not" if _REFUSED.search(output) else None,
        "involuntary_switches": None,
        "clock_mhz_before": None,
        "clock_mhz_after": None,
        "temperature_c_before": None,
        "temperature_c_after": None,
        "cpu": None,
    }


def _statistics(match: re.Match[str]) -> dict[str, float]:
    """Microseconds by name, and the count."""
    found = {name: _number(value) for name, value in _PAIR.findall(match.group(2))}
    return {**found, "count": int(match.group(1))}


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return math.nan


def _ns(microseconds: float) -> int | None:
    return round(microseconds * 1000) if math.isfinite(microseconds) else None
