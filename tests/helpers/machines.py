"""Machines whose noise a test knows: this one's own, which no test chooses, decides nothing.

An agent runs for real. Its times are replaced by what another machine would have taken, before anything judges them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest

from profilers.measuring import conversation
from profilers.measuring.events import Event, Result

Kind = Literal["quiet", "fitful", "busy"]
# how many of a machine's visits something else disturbs
DISTURBED: dict[Kind, float] = {"quiet": 0.0, "fitful": 0.3, "busy": 1.0}
# the samples of a visit, over its median; a disturbed visit takes longer, and has the CPU for less of its time
WOBBLE = (0.998, 1.0, 1.001, 0.999, 1.002)
SLOWED, SHARE = 1.5, 0.6


def plant_machine(patched: pytest.MonkeyPatch, kind: Kind, seed: int = 0, slower: float = 1.0) -> None:
    """This machine's CPU is one of a kind: every run gives the same times, by the sizes of the models' files.

    slower: so many times as slow in all visits, as one that became hot, or a host that others use
    """
    rng = np.random.default_rng(seed)

    def agent(command: Sequence[str], folder: Path, manifest: Mapping[str, Any], timeout_s: float) -> Iterator[Event]:
        files = {m["id"]: m.get("parts", [m.get("path")]) for m in manifest["models"]}
        for event in conversation.local_agent(command, folder, manifest, timeout_s):
            if isinstance(event, Result) and "loop_ns" not in event.watched:
                sizes = [(folder / name).stat().st_size for name in files[event.id]]
                event = _timed(event, sizes, bool(rng.random() < DISTURBED[kind]), slower)
            yield event

    patched.setattr("profilers.devices.local_cpu.local_agent", agent)


def _timed(result: Result, sizes: Sequence[int], disturbed: bool, slower: float) -> Result:
    """A visit as it is on a machine that needs 20 us for a model, and a nanosecond more for each byte of it."""
    longer, share = (slower * SLOWED, SHARE) if disturbed else (slower, 1.0)
    parts = [[round(longer * share_of * (20_000 + size)) for share_of in WOBBLE] for size in sizes]
    parts_cpu = [[round(share * wall) for wall in times] for times in parts]
    told = result.cpu_ns is not None
    in_parts = result.parts_ns is not None
    return replace(
        result,
        samples_ns=[sum(times) for times in zip(*parts, strict=True)],
        cpu_ns=[sum(times) for times in zip(*parts_cpu, strict=True)] if told else None,
        calls_per_sample=1,
        parts_ns=parts if in_parts else None,
        parts_cpu_ns=parts_cpu if in_parts and told else None,
        watched={key: value for key, value in result.watched.items() if key != "process_cpu_ns"},
    )
