"""What a table's header says about how it was measured: facts of the device, and how quiet it was."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from profilers.in_place.blocks import InPlace
from profilers.measuring.judge import Outcome
from profilers.measuring.plan import VisitPlan
from profilers.measuring.statistics import Summary, by_cpu_time, median_mad, standard_error_of_few

NOT_KNOWN = "not known"
KIB = 1024


def known(value: Any) -> str:
    """The value as text; what the device did not tell stays unknown."""
    if value is None or value == "":
        return NOT_KNOWN
    return (", ".join(map(str, value)) or "none") if isinstance(value, list) else str(value)


def device_model(device: Mapping[str, Any]) -> str:
    """What computes: the GPU's, the SoC's or the CPU's name, by an agent's facts of its device."""
    return known(device.get("gpu") or device.get("soc") or device.get("cpu_model"))


# facts that are expected of any device, told or not
FACTS = ("os", "architecture", "memory_mib", "cpus", "governor", "clock_mhz", "temperature_c", "load_average")
# facts that go elsewhere in the header, or are too long for it
_ELSEWHERE = (
    "gpu",
    "soc",
    "cpu_model",
    "cpu_count",
    "product",
    "cores",
    "temperature_readable",
    "thermal_status_readable",
)


def device_name(device: Mapping[str, Any]) -> str:
    """What to call a device that its user did not name."""
    if product := device.get("product"):
        return str(product)
    model = device_model(device)
    return f"{model} ({known(device.get('cpu_count'))} CPUs)" if model == device.get("cpu_model") else model


def device_header(device: Mapping[str, Any]) -> dict[str, str]:
    """An agent's facts of its device that belong into a table: those expected of any, and what it tells besides."""
    return {fact: known(device.get(fact)) for fact in (*FACTS, *device) if fact not in _ELSEWHERE}


def quality_header(plan: VisitPlan, outcome: Outcome, summaries: Mapping[str, Summary]) -> dict[str, str]:
    """How far the figures can be trusted. summaries: of every measured model, at least one."""
    rejected = sum(s.rejected for s in summaries.values())
    runs = rejected + sum(s.runs for s in summaries.values())
    errors = [s.error_pct for s in summaries.values() if s.error_pct is not None]
    reference = "could not be measured: drift is not known"
    if outcome.reference_ns:
        median, mad = median_mad(outcome.reference_ns)
        reference = (
            f"{', '.join(map(str, plan.models[plan.reference]))}: median {median / 1e6:.6f} ms, "
            f"mad {100 * mad / median:.2f} % over {len(outcome.reference_ns)} visits"
        )
    header = {
        "statistic": "latency_ms is the median over visits of each visit's median; mad_ms and p90_ms are of all runs; "
        "all over the machine's slowness at the time",
        "slowness": f"{min(outcome.slowness):.3f} to {max(outcome.slowness):.3f}",
        "rejected_runs_pct": f"{100 * rejected / runs:.2f}",
        "reference_block": reference,
        "visits_repeated": str(outcome.repeated),
        "visits_doubtful": str(outcome.doubtful),
    }
    used = [result for results in outcome.results.values() for result in results]
    if disturbed := sum(map(by_cpu_time, used)):
        header["visits_by_cpu_time"] = (
            f"{disturbed} of {len(used)}, with something else running in most of their samples"
        )
    if errors:
        header["standard_error_pct"] = errors_in_words(errors)
    return {**header, **watched_header(outcome)}


def errors_in_words(errors: Sequence[float]) -> str:
    """Standard errors of blocks, per cent; the 90th percentile is one of them."""
    p90 = np.percentile(errors, 90, method="inverted_cdf")
    return f"median {np.median(errors):.2f}, p90 {p90:.2f} over the {len(errors)} blocks of more than one visit"


def in_place_header(found: InPlace, summaries: Mapping[str, Summary]) -> dict[str, str]:
    """How the figures of a table measured in place came to be."""
    f = found.factors
    lines = {
        "statistic": "latency_ms is in place, by the parts of networks below and warm_ms; warm_ms is the median over "
        "visits of each visit's median; mad_ms and p90_ms are of all runs of the block alone; visits_ms are of "
        "latency_ms, each by one round; all over the machine's slowness at the time",
        "in_place": f"{found.parts} parts of {found.carriers} networks: a block is {f.scale:.4g} warm_ms + "
        f"{f.weights:.4g} ms per MB of weights - {f.alone:.4g} ms - {f.conversions:.4g} ms per MB given and "
        f"passed on - {f.aliased:.4g} ms per MB given in planes of whole pages + its own "
        f"(sd {100 * f.block_spread:g} %); a part is its blocks + {f.borders:.4g} ms per MB at its cuts + "
        f"{f.calls:.4g} ms, and off by {100 * f.part_error:g} %"
        + (f"; {found.networks} whole networks are their blocks" if found.networks else ""),
    }
    errors = [
        100 * standard_error_of_few(visits) / found.latency_ms[name]
        for name, visits in found.visits_ms.items()
        if len(visits) > 1
    ]
    if errors:
        lines["standard_error_pct"] = errors_in_words(errors)
    if lacking := len(summaries) - len(found.seen):
        lines["blocks_not_in_place"] = f"{lacking}, whose figures rest on what all blocks have in common"
    return lines


# 5th and 95th percentile of constant clocks differ by no more than this share
CONSTANT_CLOCK = 0.02


def clocks_header(device: Mapping[str, Any], visits: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """The clocks that visits saw when warm and at their end, their limit, and whether a mode holds them."""
    keys = ("clock_mhz_before", "clock_mhz_after")
    clocks = [visit[key] for visit in visits for key in keys if visit.get(key) is not None]
    header = {"clock_mhz_seen": f"{min(clocks):.0f} to {max(clocks):.0f}"} if clocks else {}
    # a phone that was hot before the first visit shows no change: only its core's own highest clock tells
    limits = [visit["clock_limit_mhz"] for visit in visits if visit.get("clock_limit_mhz") is not None]
    highest = {core.get("cpu"): core.get("max_mhz") for core in device.get("cores") or ()}
    mhz = highest.get((device.get("cpus") or [None])[0])
    if limits and mhz and max(limits) < (1 - CONSTANT_CLOCK) * mhz:
        header["clock_limit_mhz"] = f"at most {max(limits):.0f}, where the core's highest is {mhz:.0f}"
    if device.get("fixed_performance_mode") == "on":
        header["fixed_performance_mode"] = f"on, {_clocks_in_words(clocks)}"
    return header


def _clocks_in_words(clocks: Sequence[float]) -> str:
    """Whether clocks that should be constant were."""
    if not clocks:
        return "not verified: no clock can be read"
    low, high = np.percentile(clocks, [5, 95])
    if high - low > CONSTANT_CLOCK * high:
        return f"but clocks moved, mostly between {low:.0f} and {high:.0f} MHz"
    return f"clocks constant at {high:.0f} MHz"


def watched_header(outcome: Outcome) -> dict[str, str]:
    """What an agent watched beside the time, where it tells: throttling, other processes, energy, inputs."""
    visits = [result for results in outcome.results.values() for result in results]
    header = {}
    if watched := [visit["throttling"] for visit in visits if visit.get("throttling") is not None]:
        reasons = Counter(reason for reasons in watched for reason in reasons)
        counts = ", ".join(f"{reason} in {count}" for reason, count in sorted(reasons.items())) or "none"
        header["throttling"] = f"{counts} of {len(watched)} visits"
    if watched := [visit["other_processes"] for visit in visits if visit.get("other_processes") is not None]:
        header["visits_beside_others"] = f"{sum(map(bool, watched))} of {len(watched)} visits beside other processes"
    if energies := [visit for visit in visits if visit.get("energy_mj")]:
        errors = [100 * visit["energy_error_mj"] / visit["energy_mj"] for visit in energies]
        header["energy_blocks"] = str(len({visit["id"] for visit in energies}))
        p90 = np.percentile(errors, 90, method="inverted_cdf")
        header["energy_error_pct"] = f"median {np.median(errors):.2f}, p90 {p90:.2f}"
    header |= clocks_header(outcome.greeted.device, visits)
    if peaks := [visit["peak_memory_kib"] for visit in visits if visit.get("peak_memory_kib") is not None]:
        header["peak_memory_mib"] = f"{max(peaks) / KIB:.0f}"
    cache_kib = outcome.greeted.device.get("l2_cache_kib")
    buffers = [visit["input_buffers_bytes"] for visit in visits if visit.get("input_buffers_bytes") is not None]
    if cache_kib and (held := [size > cache_kib * KIB for size in buffers]):
        header["inputs_beyond_cache"] = f"in {sum(held)} of {len(held)} visits the inputs together exceed the L2 cache"
    return header
