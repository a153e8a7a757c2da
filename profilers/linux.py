"""`python -m profilers.linux`: measures every block of a space on a Linux board (Raspberry Pi, Jetson) over ssh."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from profilers.devices.board.ssh import Board
from profilers.devices.board.target import board_target, chosen_cpus
from profilers.measuring.models import check_runtime
from profilers.profiling.arguments import add_options, command_line, options_of
from profilers.profiling.options import ProfileOptions, at_least_1
from profilers.profiling.profile import profile


@dataclass(frozen=True)
class LinuxOptions:
    """host: USER@ADDRESS, or a name of ssh's configuration

    ssh_config: that configuration; None: ssh's own
    threads: of one operator, at least 1
    cpu: CPUs to pin to, such as "3" or "2,3"; None: the fastest, one a thread
    delegate: xnnpack, or none for the runtime's own kernels
    agent_bin, agent_lib: own builds of the agent and of the runtime's library
    profile: what is measured, how often, and where it goes
    """

    host: str
    ssh_config: Path | None
    threads: int
    cpu: str | None
    delegate: str
    agent_bin: Path | None
    agent_lib: Path | None
    profile: ProfileOptions


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
    args = parser().parse_args(argv)
    return options_of(LinuxOptions, args, profile=options_of(ProfileOptions, args))


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
        batch=asked.profile.batch_size,
        delegate=asked.delegate,
        threads=asked.threads,
        cpus=cpus,
        timeout_s=asked.profile.timeout_s,
        say=print,
    )
    return profile(asked.profile, target, command)


if __name__ == "__main__":
    from ofa.cli.run import run

    run(main)
