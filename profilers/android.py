"""`python -m profilers.android`: measures every block of a space on a phone, over adb, into a latency table."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from ofa.errors import InputError
from ofa.optional_packages import require
from profilers.devices.phone.phone_options import PhoneOptions
from profilers.measuring.models import check_runtime
from profilers.profiling.arguments import add_options, command_line, options_of
from profilers.profiling.profile import profile
from profilers.profiling.profile_options import PlanOptions, ProfileOptions, at_least_1, planned
from profilers.profiling.profile_report import say

# to load a model, about
LOADING_S = 0.01
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
    require("adb_shell", "a phone")
    if args.list:
        return list_phones()
    asked = options_of(PhoneOptions, args)
    if args.clean:
        return clean_phone(asked.serial)
    if args.dry_run:
        return dry_run(asked, options_of(PlanOptions, args))
    if args.out is None:
        parsed.error("the following arguments are required: --out")
    return profile_phone(asked, options_of(ProfileOptions, args), command_line("profilers.android", argv))


def table_options(argv: Sequence[str]) -> tuple[PhoneOptions, ProfileOptions] | None:
    """What a command line asks for; None where it asks for something else than a table."""
    args = parser().parse_args(argv)
    if args.list or args.dry_run or args.clean:
        return None
    return options_of(PhoneOptions, args), options_of(ProfileOptions, args)


def check(asked: PhoneOptions, plan: PlanOptions) -> None:
    """InputError for wrong options: they are named before the phone is asked for."""
    at_least_1("--threads", asked.threads)
    check_runtime("tflite")
    planned(plan)
    if asked.runner == "benchmark_model" and (asked.agent_bin is None or not asked.agent_bin.is_file()):
        raise InputError(f"--runner benchmark_model needs the tool itself: --agent-bin is {asked.agent_bin}")


def profile_phone(asked: PhoneOptions, what: ProfileOptions, command: str) -> int:
    """Measures a space on a phone; 1 if blocks failed. command: as typed, for the table's header."""
    from profilers.devices.phone.adb import Adb
    from profilers.devices.phone.phone_target import described, open_phone, session_of

    check(asked, what)
    console = Console()
    with Adb(asked.serial) as adb:
        adb.connect()
        phone, cpus = open_phone(adb, asked)
        say(console, described(phone, cpus))
        session = session_of(adb, phone, cpus, asked, what.batch_size, what.timeout, lambda text: say(console, text))
        with session as target:
            return profile(what, target, command)


def list_phones() -> int:
    """Prints what is attached, and how to name it."""
    from profilers.devices.phone.adb import USB_HELP, emulators, usb_devices

    console = Console()
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


def clean_phone(serial: str | None) -> int:
    """Ends what runs on the phone, restores its mode, removes all files of ours."""
    from profilers.devices.phone.adb import Adb
    from profilers.devices.phone.session import clean

    with Adb(serial) as adb:
        adb.connect()
        clean(adb)
    Console().print("nothing of ours is left on the phone")
    return 0


def dry_run(asked: PhoneOptions, plan: PlanOptions) -> int:
    """Says what would be measured, how long that takes at most, and how the phone is."""
    from profilers.devices.phone.adb import Adb
    from profilers.devices.phone.facts import state
    from profilers.devices.phone.files import free_bytes
    from profilers.devices.phone.phone_target import described, open_phone

    check(asked, plan)
    work = planned(plan)
    visits = len(work.plan.visits)
    # a visit takes the rules' time but where runs are so slow that the fewest take longer
    seconds = visits * (work.rules["warmup_seconds"] + work.rules["max_seconds"] + LOADING_S)
    with Adb(asked.serial) as adb:
        adb.connect()
        say(Console(), described(*open_phone(adb, asked)))
        now = state(adb)
        free = free_bytes(adb)
    print(
        f"{len(work.plan.models)} of {work.blocks} blocks of {work.space.name}, {work.rounds} rounds: {visits} visits\n"
        f"about {seconds / 60:.0f} minutes, more where a block takes over "
        f"{1000 * work.rules['max_seconds'] / work.rules['min_runs']:.0f} ms a run; an estimate from the rules\n"
        f"free on the phone: {free / 1e6:.0f} MB; "
        + ", ".join(f"{name.replace('_', ' ')}: {value or 'not known'}" for name, value in now.header().items())
        + f"; processor: {'not known' if now.processor_c is None else f'{now.processor_c:.1f} C'}"
    )
    return 0


if __name__ == "__main__":
    from ofa.cli.run import run

    run(main)
