"""`python -m profilers.linux`: measures every block of a space on a Linux board (Raspberry Pi, Jetson) over ssh."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from profilers.devices.board.board_target import board_target, chosen_cpus
from profilers.devices.board.ssh import Board
from profilers.measuring.models import check_runtime
from profilers.profiling.arguments import add_options, command_line, options_of
from profilers.profiling.profile import profile
from profilers.profiling.profile_options import ProfileOptions, at_least_1


@dataclass(frozen=True, kw_only=True)
class LinuxOptions(ProfileOptions):
    """A space that is measured on a board, over ssh."""

    host: str
    """USER@ADDRESS, or a name of ssh's configuration"""

    ssh_config: Path | None = None
    """that configuration (default: ssh's own)"""

    threads: int = 1
    """of one operator, at least 1"""

    cpu: str | None = None
    """CPUs to pin to, such as "3" or "2,3" (default: the fastest, one a thread)"""

    delegate: str = "xnnpack"
    """xnnpack, or none for the runtime's own kernels"""

    agent_bin: Path | None = None
    """your own build of the agent"""

    agent_lib: Path | None = None
    """your own build of the runtime's library"""


def parser() -> argparse.ArgumentParser:
    parsed = argparse.ArgumentParser(
        prog="python -m profilers.linux",
        description="Measure every block of a search space on a 64-bit Linux board over ssh, into a latency table.",
        epilog="example: python -m profilers.linux --host pi@raspberrypi.local --space mbv3-w1.0 --out pi.csv",
    )
    add = parsed.add_argument
    add("--host", required=True, metavar="H", help="USER@ADDRESS, or a name of ~/.ssh/config; logged in to by key")
    add("--ssh-config", type=Path, metavar="FILE", help="ssh's configuration (default: ssh's own)")
    add("--threads", type=int, default=1, metavar="N", help="threads of one operator (default 1)")
    add("--cpu", metavar="N,N", help="CPUs to pin to (default: the fastest, one a thread)")
    add("--delegate", default="xnnpack", choices=("xnnpack", "none"), metavar="D",
        help="xnnpack, or none for the runtime's own kernels (default xnnpack)")  # fmt: skip
    add("--agent-bin", type=Path, metavar="FILE", help="your own build of the agent")
    add("--agent-lib", type=Path, metavar="FILE", help="your own build of the runtime's library")
    add_options(parsed)
    return parsed


def options(argv: Sequence[str] | None = None) -> LinuxOptions:
    """What a command line asks for."""
    return options_of(LinuxOptions, parser().parse_args(argv))


def main(argv: Sequence[str] | None = None) -> int:
    return profile_linux(options(argv), command_line("profilers.linux", argv))


def profile_linux(asked: LinuxOptions, command: str) -> int:
    """Measures a space on a board; 1 if blocks failed. command: as typed, for the table's header."""
    from device_agents.android import bundle

    at_least_1("--threads", asked.threads)
    check_runtime("tflite")
    board = Board(asked.host, asked.ssh_config)
    facts = board.facts()
    cpus = chosen_cpus(facts, asked.cpu, asked.threads)
    agent = bundle.make(facts.machine, agent_bin=asked.agent_bin, agent_lib=asked.agent_lib, tell=print)
    target = board_target(
        board,
        agent,
        batch=asked.batch_size,
        delegate=asked.delegate,
        threads=asked.threads,
        cpus=cpus,
        timeout_s=asked.timeout,
        say=print,
    )
    return profile(asked, target, command)


if __name__ == "__main__":
    from ofa.cli.run import run

    run(main)
