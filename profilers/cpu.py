"""`python -m profilers.cpu`: measures every block of a space on this machine's CPU into a latency table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Literal

from ofa.cli.command import Command
from ofa.cli.config import Option
from profilers.devices.core_options import CoreOptions, cpu_numbers
from profilers.profiling.command_words import command_line
from profilers.profiling.profile_options import InPlaceOptions, ProfileOptions


@dataclass(frozen=True, kw_only=True)
class CpuConfig(CoreOptions, InPlaceOptions, ProfileOptions):
    """Measure every block of a search space on this CPU into a latency table."""

    runtime: Annotated[str, Option(metavar="R")] = "onnxruntime"
    """runtime of the models: onnxruntime, tflite, tflite-runtime, openvino or torch"""

    dtype: Literal["fp32", "bf16", "fp16", "int8"] = "fp32"
    """type of the models: fp32; int8, quantised as ofa.export --int8 does (not torch); or bf16 or fp16, where the CPU
    computes in it (openvino and torch)"""

    cpu: Annotated[tuple[int, ...] | None, Option(metavar="N,N", parse=cpu_numbers)] = None
    """CPUs to pin to, such as 3 or 2,3 (default: the last ones, one for each thread)"""


COMMAND = Command("profilers.cpu", CpuConfig, "--space mbv3-w1.0 --resolutions 128,160,192,224 --out my-cpu.csv")


def main(argv: Sequence[str] | None = None) -> int:
    return profile_cpu(COMMAND.parse(argv), command_line("profilers.cpu", argv))


def profile_cpu(config: CpuConfig, command: str) -> int:
    """Measures a space on this CPU; 1 if blocks failed. command: as typed, for the table's header."""
    from profilers.devices.local_cpu import cpu_target
    from profilers.profiling.profile import profile

    target = cpu_target(
        config.runtime,
        config.threads,
        config.batch_size,
        config.cpu,
        config.timeout,
        in_place=config.in_place,
        dtype=config.dtype,
    )
    return profile(config, target, command)


if __name__ == "__main__":
    from ofa.cli.run import run

    run(main)
