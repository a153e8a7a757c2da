"""What a table's header says about how it was measured: facts of the device, and how quiet it was."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from profilers.measure import Outcome
from profilers.plan import Plan
from profilers.statistics import Summary, median_mad

NOT_KNOWN = "not known"


def known(value: Any) -> str:
    """The value as text; what the device did not tell stays unknown."""
    if value is None or value == [] or value == "":
        return NOT_KNOWN
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def device_model(device: Mapping[str, Any]) -> str:
    """What computes: the GPU's, the SoC's or the CPU's name, by an agent's facts of its device."""
    return known(device.get("gpu") or device.get("soc") or device.get("cpu_model"))


# facts that every device has, told or not, and those that only some have
FACTS = (
    "os",
    "architecture",
    "memory_mib",
    "cpus",
    "governor",
    "clock_mhz",
    "temperature_c",
    "load_average",
)
FACTS_OF_SOME = (
    "python",
    "android",
    "build",
    "clusters",
    "fixed_performance_mode",
    "heat_gate",
    "battery",
    "battery_saver",
    "screen",
    "airplane_mode",
    "thermal_status",
    "emulated",
)


def device_header(device: Mapping[str, Any]) -> dict[str, str]:
    """An agent's facts of its device that belong into a table."""
    facts = (*FACTS, *(fact for fact in FACTS_OF_SOME if fact in device))
    return {fact: known(device.get(fact)) for fact in facts}


def quality_header(plan: Plan, outcome: Outcome, summaries: Mapping[str, Summary]) -> dict[str, str]:
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
    if errors:
        spread = f"median {np.median(errors):.2f}, p90 {np.percentile(errors, 90):.2f}"
        header["standard_error_pct"] = f"{spread} over the {len(errors)} blocks of more than one visit"
    return header
