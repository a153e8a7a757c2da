"""How a phone is asked, as values. Nothing here needs adb."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

from device_agents.android.agent_options import AgentOptions
from ofa.cli.config import Between, Free, Option
from profilers.devices.core_options import ClusterOptions
from profilers.devices.delegates import Dtype, check_dtype

# in place of serials: every phone that is attached
ALL = "all"


@dataclass(frozen=True, kw_only=True)
class PhoneOptions(ClusterOptions, AgentOptions):
    """How a phone is asked."""

    PANEL: ClassVar[str] = "Phone"

    delegate: Annotated[Literal["xnnpack", "gpu", "nnapi", "none"], Option(metavar="D")] = "xnnpack"
    """delegate that runs the operators; gpu and nnapi need your own --agent-lib or --agent-aar"""

    dtype: Dtype = "fp32"
    """fp16: XNNPACK computes float32 models in float16, if the processor can; int8: the models are quantised as
    ofa.export --int8 does"""

    runner: Annotated[Literal["agent", "benchmark_model"], Option(metavar="R")] = "agent"
    """program that times the models: the agent, or TensorFlow Lite's benchmark_model, given by --agent-bin"""

    max_temperature: Annotated[float, Between(20, 150), Free(), Option(metavar="C")] = 80.0
    """degrees Celsius; while the processor is hotter, visits wait until it is 5 degrees below"""

    cool_seconds: Annotated[float, Between(0, 86_400), Free(), Option(metavar="S")] = 180.0
    """the longest wait for that, seconds; then the run ends"""

    no_fixed_performance: bool = False
    """do not turn on Android's fixed-performance mode while measuring"""

    no_stay_awake: Annotated[bool, Free()] = False
    """do not keep the screen of a charging phone on while measuring"""

    @property
    def runs_parts(self) -> bool:
        """Whether networks can be run in parts, as far as is known beforehand."""
        return self.runner == "agent" and self.delegate in ("xnnpack", "none")

    def __post_init__(self) -> None:
        super().__post_init__()
        check_dtype(self.dtype, self.delegate, self.runner)
