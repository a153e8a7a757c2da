"""`python -m profilers.cpu`: measures every block of a space on this machine's CPU into a latency table."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass

from profilers.devices.local_cpu import cpu_target
from profilers.measuring.models import RUNTIMES
from profilers.profiling.arguments import add_options, command_line, options_of
from profilers.profiling.options import ProfileOptions, at_least_1
from profilers.profiling.profile import profile


@dataclass(frozen=True)
class CpuOptions:
    """runtime: what runs the models, one of RUNTIMES

    threads: of one operator, at least 1
    cpu: CPUs to pin to, such as "3" or "2,3"; None: the last ones, one a thread
    profile: what is measured, how often, and where it goes
    """

    runtime: str
    threads: int
    cpu: str | None
    profile: ProfileOptions


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
    args = parser().parse_args(argv)
    return options_of(CpuOptions, args, profile=options_of(ProfileOptions, args))


def main(argv: Sequence[str] | None = None) -> int:
    return profile_cpu(options(argv), command_line("profilers.cpu", argv))


def profile_cpu(asked: CpuOptions, command: str) -> int:
    """Measures a space on this CPU; 1 if blocks failed. command: as typed, for the table's header."""
    at_least_1("--threads", asked.threads)
    what = asked.profile
    target = cpu_target(asked.runtime, asked.threads, what.batch_size, asked.cpu, what.timeout_s)
    return profile(what, target, command)


if __name__ == "__main__":
    from ofa.cli.run import run

    run(main)
