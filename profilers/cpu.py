"""`python -m profilers.cpu`: measures every block of a space on this machine's CPU into a latency table."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from ofa.errors import InputError
from profilers.agent_session import local_agent
from profilers.command import Target, add_options, command_line, profile, require_positive
from profilers.plan import RUNTIMES, check_runtime

AGENT = Path(__file__).resolve().parent.parent / "device_agents" / "cpu" / "agent.py"
# a runtime's name in a table's header, which is that of its distribution
RUNTIME_OF = {
    "onnxruntime": "onnxruntime",
    "ai-edge-litert": "tflite",
    "tflite-runtime": "tflite-runtime",
    "torch": "torch",
}


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


def main(argv: Sequence[str] | None = None) -> int:
    args = parser().parse_args(argv)
    require_positive(args, "threads")
    target = cpu_target(args.runtime, args.threads, args.batch_size, args.cpu, args.timeout)
    return profile(args, target, command_line("profilers.cpu", argv))


def cpu_target(runtime: str, threads: int, batch: int, cpus: str | None, timeout_s: float) -> Target:
    """This machine's CPU; InputError if the runtime is not installed or a CPU is not to be had."""
    check_runtime(runtime)
    return Target(
        runtime=runtime,
        batch=batch,
        manifest={"runtime": runtime, "threads": threads, "cpus": chosen_cpus(cpus, threads)},
        start=lambda folder, manifest: local_agent([sys.executable, str(AGENT)], folder, manifest, timeout_s),
        header={"threads": str(threads), "dtype": "float32"},
    )


def target_of_header(header: Mapping[str, str], timeout_s: float) -> Target:
    """What a table of this command was measured on; InputError if its runtime is none of ours."""
    runtime = RUNTIME_OF.get(header["runtime"].split(" ")[0])
    if runtime is None:
        raise InputError(f"runtime {header['runtime']!r} is none of the CPU's: {', '.join(RUNTIMES)}")
    threads, batch = int(header.get("threads", 1)), int(header.get("batch", 1))
    return cpu_target(runtime, threads, batch, header.get("cpus"), timeout_s)


def chosen_cpus(asked: str | None, threads: int) -> list[int]:
    """The CPUs to pin to; InputError if one is not to be had."""
    if not hasattr(os, "sched_getaffinity"):
        raise InputError(
            "measuring pins the agent to a CPU, which this operating system does not let Python do: use Linux"
        )
    available = sorted(os.sched_getaffinity(0))
    if asked is None:
        if threads > len(available):
            raise InputError(f"--threads is {threads}, but this process may use {len(available)} CPUs")
        # the last ones: the first serves most interrupts
        return available[-threads:]
    try:
        cpus = sorted({int(number) for number in asked.split(",")})
    except ValueError:
        raise InputError(f"--cpu is {asked!r}, expected numbers such as 3 or 2,3") from None
    missing = [cpu for cpu in cpus if cpu not in available]
    if missing:
        raise InputError(f"--cpu names CPU {missing[0]}, this process may use {', '.join(map(str, available))}")
    return cpus


if __name__ == "__main__":
    from ofa.cli.run import run

    run(main)
