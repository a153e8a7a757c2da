"""How a phone is asked, as values. Nothing here needs adb."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class PhoneOptions:
    """serial: USB serial, HOST:PORT or emulator-N; None: the only phone on USB

    threads: of one operator, at least 1
    cpu: CPUs to pin to; None: the fastest, one a thread
    delegate: xnnpack, gpu, nnapi or none
    runner: agent, or benchmark_model, TensorFlow Lite's stock one, which is given as agent_bin
    agent_bin, agent_lib: own builds of the agent and of the runtime's library
    max_temperature_c: visits wait while the processor is hotter
    cool_s: the longest to wait for that, seconds; then the run ends
    fixed_performance: whether to use Android's fixed-performance mode while measuring
    """

    serial: str | None
    threads: int
    cpu: list[int] | None
    delegate: str
    runner: str
    agent_bin: Path | None
    agent_lib: Path | None
    max_temperature_c: float
    cool_s: float
    fixed_performance: bool
