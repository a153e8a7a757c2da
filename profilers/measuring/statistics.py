"""From raw samples to a latency: pure functions, times in nanoseconds unless a name says otherwise."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

# a sample whose thread had the CPU for less of the wall time than this was interrupted by something else
CPU_SHARE = 0.98
# by how much `standard_error_of_median` of so many normal samples must be stretched for its median to be right: the MAD
# of a few is mostly too small (60,000 draws each, within 1 %; tests/profilers/measuring/test_statistics.py draws again)
_FEW = {2: 1.122, 3: 1.725, 4: 1.294, 5: 1.282, 6: 1.141, 7: 1.174, 8: 1.096, 9: 1.12, 10: 1.061}
# the variance of the median of so many normal samples (the same test draws it again)
_MEDIANS_OF_FEW = {1: 1.0, 2: 0.5, 3: 0.449, 4: 0.298, 5: 0.287, 6: 0.215, 7: 0.210, 8: 0.168, 9: 0.166, 10: 0.138}
# rounds in which slowness is told from the visits' own medians, which it disturbs
_SLOWNESS_ROUNDS = 3
# what slows a device against its will; a power limit is how the device always runs
_SLOWED = {
    "hardware slowdown", "software thermal", "hardware thermal", "power brake", "ran on another core",
    "clock limit lowered",
}  # fmt: skip
# with several threads: a sample in which they had so much less CPU time together, of its wall time, than in the best of
# its visit was interrupted (reasoned: a thread that waits for another spins first, and so seems busy)
SHARE_OF_SEVERAL = 0.9


@dataclass(frozen=True)
class Summary:
    """One block's latency over all its visits.

    latency_ms: median over the visits of each visit's median: one bad moment does not move it
    mad_ms, p90_ms: median absolute deviation and 90th percentile of all samples kept
    error_pct: standard error of latency_ms as the visits' medians tell it, right in the median over blocks; None for a
        single visit
    runs: samples kept; rejected: samples that were interrupted
    energy_mj: median over the visits that tell; None where none does
    visits_ms: each visit's median
    """

    latency_ms: float
    mad_ms: float
    p90_ms: float
    error_pct: float | None
    runs: int
    rejected: int
    visits_ms: tuple[float, ...]
    energy_mj: float | None = None


def median_mad(samples: Sequence[float] | NDArray[Any]) -> tuple[float, float]:
    """Median and median absolute deviation from it."""
    median = float(np.median(samples))
    return median, float(np.median(np.abs(np.asarray(samples, dtype=np.float64) - median)))


def standard_error_of_median(samples: Sequence[float] | NDArray[Any]) -> float:
    """Of the median of N samples, in their unit, as if they were normal: 1.2533 sigma / sqrt(N), sigma 1.4826 MAD.

    Rests on the MAD, since a few slow samples say nothing about the median.
    """
    _, mad = median_mad(samples)
    return 1.2533 * 1.4826 * mad / math.sqrt(len(samples))


def standard_error_of_few(samples: Sequence[float] | NDArray[Any]) -> float:
    """The same of a handful of samples, such as the visits of a block: right in the median over many blocks."""
    return _FEW.get(len(samples), 1.0) * standard_error_of_median(samples)


def variance_of_median(count: int) -> float:
    """Of the median of so many normal samples of variance 1."""
    return _MEDIANS_OF_FEW.get(count, math.pi / (2 * count))


def kept_with(values: Sequence[float] | NDArray[Any], confidence: float) -> float | None:
    """What a further value, drawn as these were, does not exceed with so many per cent: one of them, by its rank.

    None where there are too few to say: 95 % is said from 19 values on (the same rank as in ofa.tables.margin).
    """
    rank = math.ceil(round((len(values) + 1) * confidence / 100, 9))
    return float(np.sort(values)[rank - 1]) if rank <= len(values) else None


def interrupted(samples: Sequence[int], cpu: Sequence[int] | None) -> NDArray[np.bool_]:
    """Which samples lost the CPU to something else for a while; none where there are no CPU times."""
    if cpu is None:
        return np.zeros(len(samples), dtype=bool)
    lost: NDArray[np.bool_] = np.asarray(cpu, dtype=np.float64) < CPU_SHARE * np.asarray(samples, dtype=np.float64)
    return lost


def _kept(lost: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Which samples to keep where these lost the CPU: those during which the thread held it throughout.

    Others measured another process. Where fewer than half would be left, all are kept: then the machine was busy all
    along, and the survivors would be no fair sample.
    """
    return np.ones(len(lost), dtype=bool) if lost.sum() * 2 > len(lost) else ~lost


def _lost(result: Mapping[str, Any]) -> NDArray[np.bool_]:
    """Which samples of a visit lost the CPU to something else for a while."""
    if result["cpu_ns"] is not None or result.get("process_cpu_ns") is None:
        return interrupted(result["samples_ns"], result["cpu_ns"])
    share = np.asarray(result["process_cpu_ns"], dtype=np.float64) / np.asarray(result["samples_ns"], dtype=np.float64)
    lost: NDArray[np.bool_] = share < SHARE_OF_SEVERAL * np.percentile(share, 90)
    return lost


def disturbed_throughout(result: Mapping[str, Any]) -> bool:
    """Whether a visit was interrupted so often that no sample of it could be rejected, or heat slowed the device."""
    if _SLOWED & set(result.get("throttling") or ()):
        return True
    lost = _lost(result)
    return bool(lost.any() and _kept(lost).all())


def by_cpu_time(result: Mapping[str, Any]) -> bool:
    """Whether a visit is told by the thread's CPU time: something else ran in most of its samples."""
    if result["cpu_ns"] is None:
        return False
    lost = interrupted(result["samples_ns"], result["cpu_ns"])
    return bool(lost.sum() * 2 > len(lost) and min(result["cpu_ns"]) > 0)


def visit_median_ns(result: Mapping[str, Any]) -> float:
    """Median time of one call in one visit (a `result` line of the protocol), over its `slowness` where known."""
    return float(np.median(_kept_ns(result)))


def part_medians_ns(result: Mapping[str, Any]) -> NDArray[np.float64]:
    """(parts,) median time of each part in one visit of a network that was run in parts, over its `slowness`.

    A part that lost the CPU is judged for itself: the others of that pass are sound.
    """
    cpu = result["parts_cpu_ns"] or [None] * len(result["parts_ns"])
    parts = [
        np.median(_kept_ns({**result, "samples_ns": wall, "cpu_ns": own, "process_cpu_ns": None}))
        for wall, own in zip(result["parts_ns"], cpu, strict=True)
    ]
    return np.array(parts, dtype=np.float64)


def _kept_ns(result: Mapping[str, Any]) -> NDArray[np.float64]:
    """The undisturbed samples of a visit, nanoseconds a call, over the visit's `slowness`.

    Where most were interrupted, the CPU time of all: a network of 8 ms that waits for its turn reads 12 by the wall.
    """
    keep = _kept(_lost(result))
    times = result["cpu_ns"] if by_cpu_time(result) else result["samples_ns"]
    samples = np.asarray(times, dtype=np.float64)[keep]
    a_call: NDArray[np.float64] = samples / (result["calls_per_sample"] * result.get("slowness", 1.0))
    return a_call


def slowness(models: Sequence[str], medians: Sequence[float], neighbours: int = 12) -> NDArray[np.float64]:
    """How slow the machine was around each of N visits, made in this order: 1.02 is 2 % slower than usual.

    Every visit's median relative to its model's median over all visits tells something of the moment; the median over
    so many neighbours before and after a visit tells it well. Where fewer than that many tell anything, since a model
    that was visited once does not, it is nan: not known. A model's median knows nothing yet of how slow the machine was
    when it was visited: so it is taken again of the visits as they are without that, a few times over.
    """
    values = np.asarray(medians, dtype=np.float64)
    visits: dict[str, list[int]] = {}
    for i, model in enumerate(models):
        visits.setdefault(model, []).append(i)
    equal: dict[int, list[list[int]]] = {}  # models that were visited as often, together
    for each in visits.values():
        equal.setdefault(len(each), []).append(each)
    groups = [np.array(rows) for count, rows in equal.items() if count > 1]
    slow = np.full(len(values), np.nan)
    for _ in range(_SLOWNESS_ROUNDS):
        usual = values / np.nan_to_num(slow, nan=1.0)
        relative = np.full(len(values), np.nan)
        for rows in groups:  # (models, visits of each)
            relative[rows] = values[rows] / np.median(usual[rows], axis=1, keepdims=True)
        slow = _medians_around(relative, neighbours)
    return slow


def _medians_around(values: NDArray[np.float64], neighbours: int) -> NDArray[np.float64]:
    """(N,) median of each value and so many before and after it; nan where fewer than that many are not nan."""
    if not len(values):
        return values
    padded = np.pad(values, neighbours, constant_values=np.nan)
    windows = np.sort(np.lib.stride_tricks.sliding_window_view(padded, 2 * neighbours + 1), axis=1)  # nan comes last
    known, rows = (~np.isnan(windows)).sum(axis=1), np.arange(len(values))
    medians = (windows[rows, np.maximum(known - 1, 0) // 2] + windows[rows, known // 2]) / 2
    return np.where(known >= max(1, neighbours), medians, np.nan)


def summarise(results: Sequence[Mapping[str, Any]]) -> Summary:
    """The latency of a block from all its visits."""
    kept = [_kept_ns(result) for result in results]
    rejected = sum(len(result["samples_ns"]) for result in results) - sum(map(len, kept))
    pooled = np.concatenate(kept)
    _, mad = median_mad(pooled)
    medians = [float(np.median(samples)) for samples in kept]
    latency = float(np.median(medians))
    energies = [result["energy_mj"] for result in results if result.get("energy_mj") is not None]
    return Summary(
        latency_ms=round(latency / 1e6, 6),
        mad_ms=round(mad / 1e6, 6),
        p90_ms=round(float(np.percentile(pooled, 90)) / 1e6, 6),
        error_pct=round(100 * standard_error_of_few(medians) / latency, 3) if len(medians) > 1 else None,
        runs=len(pooled),
        rejected=rejected,
        energy_mj=round(float(np.median(energies)), 6) if energies else None,
        visits_ms=tuple(round(median / 1e6, 6) for median in medians),
    )


def drifted(reference: Sequence[float], threshold: float) -> NDArray[np.bool_]:
    """Which visits of the reference block differ from the median of all by more than a share."""
    values = np.asarray(reference, dtype=np.float64)
    off: NDArray[np.bool_] = np.abs(values / np.median(values) - 1) > threshold
    return off
