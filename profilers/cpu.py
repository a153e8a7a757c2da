"""`python -m profilers.cpu`: measures every block of a space on this machine's CPU into a latency table."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass

from profilers.devices.local_cpu import cpu_target
from profilers.measuring.models import RUNTIMES
from profilers.profiling.arguments import add_options, command_line, options_of
from profilers.profiling.profile import profile
from profilers.profiling.profile_options import ProfileOptions, at_least_1


@dataclass(frozen=True, kw_only=True)
class CpuOptions(ProfileOptions):
    """A space that is measured on this machine's CPU."""

    runtime: str = "onnxruntime"
    """what runs the models, one of RUNTIMES"""

    threads: int = 1
    """of one operator, at least 1"""

    cpu: str | None = None
    """CPUs to pin to, such as "3" or "2,3" (default: the last ones, one a thread)"""


def parser() -> argparse.ArgumentParser:
    parsed = argparse.ArgumentParser(
        prog="python -m profilers.cpu",
        description="Measure every block of a search space on this CPU, once, into a latency table.",
        epilog="example: python -m profilers.cpu --space mbv3-w1.0 --resolutions 128,160,192,224 --out my-cpu.csv",
    )
    add = parsed.add_argument
    add("--runtime", default="onnxruntime", metavar="R", help=f"{', '.join(RUNTIMES)} (default onnxruntime)")
    add("--threads", type=int, default=1, metavar="N", help="threads of one operator (default 1)")
    add("--cpu", metavar="N,N", help="CPUs to pin to (default: the last ones, one a thread)")
    add_options(parsed)
    return parsed


def options(argv: Sequence[str] | None = None) -> CpuOptions:
    """What a command line asks for."""
    return options_of(CpuOptions, parser().parse_args(argv))


def main(argv: Sequence[str] | None = None) -> int:
    return profile_cpu(options(argv), command_line("profilers.cpu", argv))


def profile_cpu(asked: CpuOptions, command: str) -> int:
    """Measures a space on this CPU; 1 if blocks failed. command: as typed, for the table's header."""
    at_least_1("--threads", asked.threads)
    target = cpu_target(asked.runtime, asked.threads, asked.batch_size, asked.cpu, asked.timeout)
    return profile(asked, target, command)


if __name__ == "__main__":
    from ofa.cli.run import run

    run(main)
