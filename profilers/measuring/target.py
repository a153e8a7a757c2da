"""A device, as a measurement asks it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from profilers.measuring.events import Event
from profilers.measuring.pace import CPU_PACE, Pace


@dataclass(frozen=True)
class Target:
    """A device, and how it is asked.

    runtime: what the models are written for, one of profilers.measuring.models.RUNTIMES; batch: images a run
    manifest: the protocol's fields that concern the device: runtime, threads, cpus, ...; the journal is bound to them
    start: starts an agent, given the folder of the model files and a manifest, and yields what it says
    header: what the table is to say of the device beside what the agent tells
    tries: a block at which the agent died, or the device was lost, so often in a row is given up
    pace: how long and how often it is measured
    in_place: whether blocks are timed in networks, where they stand, and not alone only
    dtype: of the models' tensors, one of profilers.measuring.models.DTYPES
    awaits_models: whether its agent loads models while others are still being written
    """

    runtime: str
    batch: int
    manifest: Mapping[str, Any]
    start: Callable[[Path, Mapping[str, Any]], Iterator[Event]]
    header: Mapping[str, str]
    tries: int = 1
    pace: Pace = CPU_PACE
    in_place: bool = False
    dtype: str = "fp32"
    awaits_models: bool = False
