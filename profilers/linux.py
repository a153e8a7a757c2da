"""`python -m profilers.linux`: measures every block of a space on a Linux board (Raspberry Pi, Jetson) over ssh."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from ofa.errors import InputError
from profilers.command import Target, add_options, command_line, profile, require_positive
from profilers.plan import check_runtime
from profilers.remote import fastest
from profilers.ssh import AgentOnBoard, Board, Facts


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


def main(argv: Sequence[str] | None = None) -> int:
    from device_agents.android import bundle

    args = parser().parse_args(argv)
    require_positive(args, "threads")
    check_runtime("tflite")
    board = Board(args.host, args.ssh_config)
    facts = board.facts()
    cpus = chosen_cpus(facts, args.cpu, args.threads)
    made = bundle.make(facts.machine, agent_bin=args.agent_bin, agent_lib=args.agent_lib, tell=print)
    files = {name: made.folder / name for name in made.files}
    target = Target(
        runtime="tflite",
        batch=args.batch_size,
        manifest={
            "runtime": "tflite",
            "backend": made.backend,
            "delegate": args.delegate,
            "threads": args.threads,
            "cpus": cpus,
        },
        start=AgentOnBoard(board, files, made.start_command, args.timeout, print).start,
        header={
            "agent": "linux",
            "threads": str(args.threads),
            "dtype": "float32",
            "delegate": args.delegate,
        },
    )
    return profile(args, target, command_line("profilers.linux", argv))


def chosen_cpus(facts: Facts, asked: str | None, threads: int) -> list[int]:
    """The CPUs asked for, or the fastest, the last of equal ones first; InputError if they are not to be had."""
    if asked is None:
        if threads > len(facts.usable):
            raise InputError(f"--threads is {threads}, but the board lets us use {len(facts.usable)} CPUs")
        return fastest(facts.usable, facts.max_khz, threads)
    try:
        cpus = sorted({int(number) for number in asked.split(",")})
    except ValueError:
        raise InputError(f"--cpu is {asked!r}, expected numbers such as 3 or 2,3") from None
    for cpu in cpus:
        if cpu not in facts.usable:
            raise InputError(f"--cpu names CPU {cpu}, the board has {', '.join(map(str, facts.usable))}")
    return cpus


if __name__ == "__main__":
    from ofa.cli.run import run

    run(main)
