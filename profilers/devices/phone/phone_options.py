"""How a phone is asked, as values. Nothing here needs adb."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, kw_only=True)
class PhoneOptions:
    """How a phone is asked."""

    serial: str | None = None
    """USB serial, HOST:PORT or emulator-N (default: the only phone on USB)"""

    threads: int = 1
    """of one operator, at least 1"""

    cpu: list[int] | None = None
    """CPUs to pin to (default: the fastest, one a thread)"""

    delegate: str = "xnnpack"
    """xnnpack, gpu, nnapi or none"""

    runner: str = "agent"
    """agent, or benchmark_model, TensorFlow Lite's stock one, which is given as agent_bin"""

    agent_bin: Path | None = None
    """your own build of the agent"""

    agent_lib: Path | None = None
    """your own build of the runtime's library"""

    max_temperature: float = 70.0
    """visits wait while the processor is hotter, Celsius"""

    cool_seconds: float = 180.0
    """the longest to wait for that; then the run ends"""

    no_fixed_performance: bool = False
    """leave Android's fixed-performance mode alone"""
