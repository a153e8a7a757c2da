"""`python -m profilers.cpu`: measures every block of a space on this machine's CPU into a latency table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Literal

from ofa.cli.command import Command
from ofa.cli.config import Option
from ofa.cli.options import OptionalCount
from ofa.errors import UsageError
from profilers.devices.core_options import CoreOptions, cpu_numbers
from profilers.profiling.command_words import command_line
from profilers.profiling.profile_options import ProfileOptions


@dataclass(frozen=True, kw_only=True)
class CpuConfig(CoreOptions, ProfileOptions):
    """Measure every block of a search space on this CPU into a latency table."""

    runtime: Annotated[str, Option(metavar="R")] = "onnxruntime"
    """runtime of the models: onnxruntime, tflite, tflite-runtime or torch"""

    cpu: Annotated[tuple[int, ...] | None, Option(metavar="N,N", parse=cpu_numbers)] = None
    """CPUs to pin to, such as 3 or 2,3 (default: the last ones, one for each thread)"""

    timing: Annotated[Literal["in-place", "warm"] | None, Option(metavar="T")] = None
    """in-place: time each block inside networks, after the blocks before it; warm: time each alone, repeatedly, which
    is faster than in a network (default: in-place; with --limit, warm)"""

    rounds: OptionalCount = None
    """visits of each block, spread over time (default: 5; with --quick 2 in place, 3 alone)"""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.timing == "in-place" and self.limit is not None:
            raise UsageError("--limit times blocks alone: --timing in-place needs all of them")

    @property
    def in_place(self) -> bool:
        return self.timing != "warm" and self.limit is None


COMMAND = Command("profilers.cpu", CpuConfig, "--space mbv3-w1.0 --resolutions 128,160,192,224 --out my-cpu.csv")


def main(argv: Sequence[str] | None = None) -> int:
    return profile_cpu(COMMAND.parse(argv), command_line("profilers.cpu", argv))


def profile_cpu(config: CpuConfig, command: str) -> int:
    """Measures a space on this CPU; 1 if blocks failed. command: as typed, for the table's header."""
    from profilers.devices.local_cpu import cpu_target
    from profilers.profiling.profile import profile

    target = cpu_target(config.runtime, config.threads, config.batch_size, config.cpu, config.timeout, config.in_place)
    return profile(config, target, command)


if __name__ == "__main__":
    from ofa.cli.run import run

    run(main)
