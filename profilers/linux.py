"""`python -m profilers.linux`: measures every block of a space on a Linux board (Raspberry Pi, Jetson) over ssh."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, ClassVar, Literal

from device_agents.android.agent_options import AgentOptions
from ofa.cli.command import Command
from ofa.cli.config import Free, Input, Option
from profilers.devices.core_options import ClusterOptions
from profilers.devices.delegates import Dtype, check_dtype
from profilers.profiling.command_words import command_line
from profilers.profiling.profile_options import ProfileOptions, QuickestOptions


@dataclass(frozen=True, kw_only=True)
class LinuxConfig(ClusterOptions, AgentOptions, QuickestOptions, ProfileOptions):
    """Measure every block of a search space on a 64-bit Linux board, over ssh, into a latency table."""

    PANEL: ClassVar[str] = "Board"

    host: Annotated[str, Free(), Option(metavar="H")]
    """USER@ADDRESS, or a name in ~/.ssh/config; the login must work by key"""

    ssh_config: Annotated[Path | None, Input(), Free(), Option(metavar="FILE")] = None
    """configuration file for ssh (default: ssh's own)"""

    delegate: Annotated[Literal["xnnpack", "none"], Option(metavar="D")] = "xnnpack"
    """xnnpack; none: the runtime's own kernels"""

    dtype: Dtype = "fp32"
    """fp16: XNNPACK computes float32 models in float16, if the processor can; int8: the models are quantised as
    ofa.export --int8 does"""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_dtype(self.dtype, self.delegate)


COMMAND = Command("profilers.linux", LinuxConfig, "--host pi@raspberrypi.local --space mbv3-w1.0 --out pi.csv")


def main(argv: Sequence[str] | None = None) -> int:
    return profile_linux(COMMAND.parse(argv), command_line("profilers.linux", argv))


def profile_linux(config: LinuxConfig, command: str) -> int:
    """Measures a space on a board; 1 if blocks failed. command: as typed, for the table's header."""
    from profilers.devices.board.board_target import open_board
    from profilers.estimating.quickest import check_quickest, profile_quickest
    from profilers.measuring.models import check_runtime
    from profilers.profiling.profile import profile

    check_runtime("tflite")
    if config.quickest:
        check_quickest(config)
    with open_board(
        config.host,
        config.ssh_config,
        config,
        config,
        batch=config.batch_size,
        delegate=config.delegate,
        dtype=config.dtype,
        timeout_s=config.timeout,
        say=print,
        keep_models=not config.quickest,
        in_place=config.in_place,
    ) as target:
        return (profile_quickest if config.quickest else profile)(config, target, command)


if __name__ == "__main__":
    from ofa.cli.run import run

    run(main)
