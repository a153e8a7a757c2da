"""`python -m profilers.android`: measures every block of a space on a phone, over adb, into a latency table."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console

from ofa.errors import InputError
from profilers.command import Target, add_options, command_line, planned, profile, require_positive
from profilers.plan import check_runtime

if TYPE_CHECKING:
    from profilers.adb import Adb
    from profilers.phone import Phone

# a block at which the agent died twice is given up
TRIES = 2
EXAMPLES = """examples:
  python -m profilers.android --list
  python -m profilers.android --serial R58M123ABC --space mbv3-w1.0 --out my-phone.csv
"""


def parser() -> argparse.ArgumentParser:
    parsed = argparse.ArgumentParser(
        prog="python -m profilers.android",
        description="Measure every block of a search space on an Android phone, once, into a latency table.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parsed.add_argument
    add("--serial", metavar="S",
        help="USB serial, HOST:PORT or emulator-N (default: the only phone on USB)")  # fmt: skip
    instead = parsed.add_mutually_exclusive_group()
    instead.add_argument("--list", action="store_true", help="show the phones that are attached, and end")
    instead.add_argument("--dry-run", action="store_true", help="show the phone, the plan and its time, and end")
    instead.add_argument("--clean", action="store_true",
        help="end what runs on the phone, restore its mode, remove all files of ours, and end")  # fmt: skip
    add("--threads", type=int, default=1, metavar="N", help="threads of one operator (default 1)")
    add("--cpu", type=cpu_numbers, metavar="N,N", help="CPUs to pin to (default: the fastest, one a thread)")
    add("--delegate", default="xnnpack", choices=("xnnpack", "gpu", "nnapi", "none"), metavar="D",
        help="xnnpack, gpu, nnapi or none (default xnnpack; gpu and nnapi need your own --agent-lib)")  # fmt: skip
    add("--runner", default="agent", choices=("agent", "benchmark_model"), metavar="R",
        help="agent, or TensorFlow Lite's stock benchmark_model, given by --agent-bin (default agent)")  # fmt: skip
    add("--agent-bin", type=Path, metavar="FILE", help="your own build of the agent, such as by the NDK")
    add("--agent-lib", type=Path, metavar="FILE", help="your own build of the runtime's library")
    add("--max-temperature", type=float, default=70.0, metavar="C",
        help="wait while the processor is hotter, in Celsius (default 70)")  # fmt: skip
    add("--cool-seconds", type=float, default=180.0, metavar="S",
        help="the longest to wait for that, then the run ends (default 180)")  # fmt: skip
    add("--no-fixed-performance", action="store_true",
        help="leave Android's fixed-performance mode alone (default: on while measuring)")  # fmt: skip
    add_options(parsed, out_required=False)
    return parsed


def cpu_numbers(text: str) -> list[int]:
    """An argparse type: "3" or "2,3"."""
    try:
        return sorted({int(number) for number in text.split(",")})
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r}, expected numbers such as 7 or 6,7") from None


def main(argv: Sequence[str] | None = None) -> int:
    parsed = parser()
    args = parsed.parse_args(argv)
    if find_spec("adb_shell") is None:
        raise InputError("phones need adb-shell: pip install 'ofa-latency[android]'")
    from profilers.adb import Adb
    from profilers.phone_session import clean

    console = Console()
    if args.list:
        return list_phones(console)
    if args.out is None and not (args.dry_run or args.clean):
        parsed.error("the following arguments are required: --out")
    require_positive(args, "threads")
    if not args.clean:
        check_runtime("tflite")
        planned(args)  # wrong options are said before the phone is asked for
        if args.runner == "benchmark_model" and (args.agent_bin is None or not args.agent_bin.is_file()):
            raise InputError(f"--runner benchmark_model needs the tool itself: --agent-bin is {args.agent_bin}")
    with Adb(args.serial) as adb:
        adb.connect()
        if not args.clean:
            return _profile_phone(args, adb, console, command_line("profilers.android", argv))
        clean(adb)
    console.print("nothing of ours is left on the phone")
    return 0


def _profile_phone(args: argparse.Namespace, adb: Adb, console: Console, command: str) -> int:
    from device_agents.android import bundle
    from profilers.phone import chosen_cores, facts
    from profilers.phone_session import PhoneSession, Policy
    from profilers.remote import folder

    def say(text: str) -> None:
        console.print(text, highlight=False, markup=False, soft_wrap=True)

    stock = args.runner == "benchmark_model"
    phone = facts(adb, own_agent=args.agent_bin is not None and (stock or args.agent_lib is not None))
    cpus = chosen_cores(phone, args.cpu, args.threads)
    say(described(phone, cpus))
    if args.dry_run:
        dry_run(args, adb)
        return 0
    policy = Policy(args.max_temperature, args.cool_seconds, not args.no_fixed_performance)
    backend, start_command = "tflite", None
    if stock:
        files = folder("agent", {"benchmark_model": args.agent_bin})
    else:
        abi = phone.abi if phone.abi in bundle.ABIS else bundle.ABIS[0]  # of no matter to agents that are brought
        agent = bundle.make(abi, agent_bin=args.agent_bin, agent_lib=args.agent_lib, tell=say)
        files = folder("agent", {name: agent.folder / name for name in agent.files})
        backend, start_command = agent.backend, agent.start_command
    with PhoneSession(adb, phone, files, start_command, policy, args.timeout, say) as session:
        target = Target(
            runtime="tflite",
            batch=args.batch_size,
            manifest={
                "runtime": "tflite",
                "backend": backend,
                "delegate": args.delegate,
                "threads": args.threads,
                "cpus": cpus,
                "phone": phone.identity,
            },
            start=session.start,
            header={
                "agent": "android",
                "threads": str(args.threads),
                "dtype": "float32",
                "delegate": args.delegate,
            },
            tries=TRIES,
        )
        return profile(args, target, command)


def described(phone: Phone, cpus: Sequence[int]) -> str:
    from profilers.phone import clusters

    pinned = f"pinned to CPU {', '.join(map(str, cpus))}"
    why = clusters(phone) or "maximum clocks are not readable: these are the last CPUs"
    emulated = f"; EMULATED ({phone.emulated}): its times mean nothing" if phone.emulated else ""
    return f"{phone.name}, {phone.abi}, {pinned} ({why}){emulated}"


def list_phones(console: Console) -> int:
    """Prints what is attached, and how to name it."""
    from profilers.adb import USB_HELP, emulators, usb_devices

    try:
        found = [f"{serial}  USB" for serial, _ in usb_devices()]
    except InputError as reason:
        console.print(f"USB cannot be looked at: {reason}", highlight=False, markup=False)
        found = []
    found += [f"{serial}  emulator of this machine: its times mean nothing" for serial in emulators()]
    for line in found:
        console.print(line, highlight=False, markup=False)
    if not found:
        console.print(f"no phone is attached: {USB_HELP}", highlight=False, markup=False)
    console.print("phones in the network (adb tcpip) are not looked for: --serial HOST:PORT", highlight=False)
    return 0


def dry_run(args: argparse.Namespace, adb: Adb) -> None:
    """Says what would be measured, how long that takes at most, and how the phone is."""
    from profilers.phone import state
    from profilers.phone_files import free_bytes

    work = planned(args)
    visits = len(work.plan.visits)
    # a visit takes the rules' time but where runs are so slow that the fewest take longer; loading is about 10 ms
    seconds = visits * (work.rules["warmup_seconds"] + work.rules["max_seconds"] + 0.01)
    now = state(adb)
    print(
        f"{len(work.plan.models)} of {work.blocks} blocks of {work.space.name}, {work.rounds} rounds: {visits} visits\n"
        f"about {seconds / 60:.0f} minutes, more where a block takes over "
        f"{1000 * work.rules['max_seconds'] / work.rules['min_runs']:.0f} ms a run; an estimate from the rules\n"
        f"free on the phone: {free_bytes(adb) / 1e6:.0f} MB; "
        + ", ".join(f"{name.replace('_', ' ')}: {value or 'not known'}" for name, value in now.header().items())
        + f"; processor: {'not known' if now.processor_c is None else f'{now.processor_c:.1f} C'}"
    )


if __name__ == "__main__":
    from ofa.cli.run import run

    run(main)
