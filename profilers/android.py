"""`python -m profilers.android`: measures every block of a space on a phone, over adb, into a latency table."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, ClassVar

from ofa.cli.command import Command
from ofa.cli.config import Free, Option, Output
from ofa.cli.console import make_console
from ofa.errors import InputError, UsageError, one_line
from ofa.optional_packages import require
from ofa.reading.numbers import short
from profilers.devices.phone.phone_options import ALL, PhoneOptions
from profilers.profiling.command_words import command_line
from profilers.profiling.profile_options import ProfileOptions, QuickestOptions, csv_file

if TYPE_CHECKING:
    from profilers.profiling.work import Work

# to load a model, about
LOADING_S = 0.01


@dataclass(frozen=True, kw_only=True)
class AndroidConfig(PhoneOptions, QuickestOptions):
    """Measure every block of a search space on an Android phone into a latency table.

    To look first, use --list, which shows the phones, or --dry-run, which shows what would be measured.

    Several phones are measured at once: each --serial, or with "--serial all" each that is attached, gets a table
    TABLE-SERIAL.csv and a journal of its own.
    """

    PANEL: ClassVar[str] = "Instead of a table"

    serial: Annotated[tuple[str, ...], Free(), Option(metavar="S", each=True)] = ()
    """USB serial, HOST:PORT or emulator-N (default: the only phone); repeat it for several phones at once, or use all
    """

    list: Annotated[bool, Free()] = False
    """show the phones that are attached, and end"""

    dry_run: Annotated[bool, Free()] = False
    """show the phone, the plan and its time, and end"""

    doctor: Annotated[bool, Free()] = False
    """examine the phone for a minute: one line for each fact that figures rest on, with what to do"""

    clean: Annotated[bool, Free()] = False
    """stop what we left running on the phone, restore its mode, remove our files, and end"""

    out: Annotated[Path | None, Output(), Option(metavar="CSV")] = None
    """the table to write; needed unless --list, --dry-run or --clean is given; its journal is written next to it"""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.at_most_one("list", "dry_run", "doctor", "clean")
        if self.timing == "in-place" and not self.runs_parts:
            raise UsageError("--timing in-place needs the agent as --runner, and --delegate xnnpack or none")
        twice = next((serial for serial in self.serial if self.serial.count(serial) > 1), None)
        if twice is not None:
            raise UsageError(f"--serial names {short(twice)} twice")
        if ALL in self.serial and len(self.serial) > 1:
            raise UsageError(f"--serial is {ALL}, and others are named too: leave one out")
        if self.is_for_a_table:
            if self.out is None:
                raise UsageError("--out is needed")
            csv_file("--out", self.out)
            if self.several and self.name is not None:
                raise UsageError("--name is for one phone: of several, each is called as it calls itself")

    @property
    def in_place(self) -> bool:
        return super().in_place and self.runs_parts

    @property
    def is_for_a_table(self) -> bool:
        return not (self.list or self.dry_run or self.doctor or self.clean)

    @property
    def several(self) -> bool:
        """Whether each phone gets a table of its own, named after it; of "all", a single one does too."""
        return len(self.serial) > 1 or ALL in self.serial

    @property
    def is_for_one_table(self) -> bool:
        return self.is_for_a_table and not self.several

    @property
    def only_serial(self) -> str | None:
        """None for the only phone that is attached. Not of several."""
        return self.serial[0] if self.serial else None

    def profile_options(self) -> ProfileOptions:
        """What the table is to hold. It must be for one."""
        return ProfileOptions(**{field.name: getattr(self, field.name) for field in fields(ProfileOptions)})


COMMAND = Command("profilers.android", AndroidConfig, "--serial R58M123ABC --space mbv3-w1.0 --out my-phone.csv")


def main(argv: Sequence[str] | None = None) -> int:
    config = COMMAND.parse(argv)
    require("adb_shell", "a phone")
    if config.list:
        return list_phones()
    if config.clean:
        return in_turn(config, clean_phone)
    if config.dry_run:
        return in_turn(config, lambda serial: dry_run(config, serial))
    if config.doctor:
        return in_turn(config, lambda serial: doctor(config, serial))
    if config.several:
        return profile_phones(config, sys.argv[1:] if argv is None else argv)
    return profile_phone(config, command_line("profilers.android", argv))


def in_turn(config: AndroidConfig, act: Callable[[str | None], int]) -> int:
    """Does something with one phone after another; the highest of their exit codes. What fails with one is said."""
    from profilers.devices.phone.serials import chosen_serials

    if not config.several:
        return act(config.only_serial)
    code = 0
    serials = chosen_serials(config.serial)
    for number, serial in enumerate(serials, start=1):
        # beside what is printed: a doctor's report is to be pasted, and has no serial in it
        print(f"phone {number} of {len(serials)}, {one_line(serial)}:", file=sys.stderr, flush=True)
        try:
            code = max(code, act(serial))
        except InputError as error:
            print(f"error: {error}", file=sys.stderr, flush=True)
            code = max(code, error.exit_code)
    return code


def check(config: AndroidConfig) -> None:
    """InputError for wrong options: they are named before the phone is asked for."""
    from profilers.estimating.quickest import chosen
    from profilers.measuring.models import check_runtime
    from profilers.measuring.pace import PHONE_PACE
    from profilers.profiling.work import planned

    check_runtime("tflite")
    if config.quickest:
        chosen(config)
    else:
        planned(config, PHONE_PACE, config.in_place)
    if config.runner == "benchmark_model" and (config.agent_bin is None or not config.agent_bin.is_file()):
        given = f"{config.agent_bin} is no file" if config.agent_bin else "no --agent-bin is given"
        raise InputError(f"--runner benchmark_model needs the tool itself, by --agent-bin: {given}")


def profile_phone(config: AndroidConfig, command: str) -> int:
    """Measures a space on a phone; 1 if blocks failed. command: as typed, for the table's header."""
    from profilers.devices.phone.adb import Adb
    from profilers.devices.phone.phone_target import described, open_phone, session_of
    from profilers.devices.phone.words import shareable
    from profilers.estimating.quickest import check_quickest, profile_quickest
    from profilers.profiling.console import ended_by_sigterm
    from profilers.profiling.profile import profile

    check(config)
    options, source = config.profile_options(), shareable(command)
    if config.quickest:
        check_quickest(options)
    with ended_by_sigterm(), Adb(config.only_serial) as adb:
        adb.connect()
        phone, cpus = open_phone(adb, config)
        _say(described(phone, cpus))
        kept = {"keep_models": not config.quickest, "in_place": config.in_place}
        with session_of(adb, phone, cpus, config, config.batch_size, config.timeout, _say, **kept) as target:
            return (profile_quickest if config.quickest else profile)(options, target, command, source)


def profile_phones(config: AndroidConfig, words: Sequence[str]) -> int:
    """Measures a space on several phones at once, each by a process of its own: what is timed runs on the phones.

    words: as typed. 0 all tables are whole, 2 none was written, else 1
    """
    from profilers.devices.phone.serials import chosen_serials, reach
    from profilers.devices.phone.words import name_in_files
    from profilers.profiling.several import profile_each, resumed, table_of_each

    assert config.out is not None, "checked with the config"
    check(config)
    reached = reach(chosen_serials(config.serial))
    for serial, other in reached.again.items():
        if ALL not in config.serial:
            raise InputError(f"--serial {serial} and {other} are the same phone: leave one out")
        _say(f"{one_line(serial)} is left out: it is the same phone as {one_line(other)}")
    tables = table_of_each(config.out, {serial: name_in_files(serial) for serial in reached.ready})
    return profile_each("profilers.android", words, tables, reached.failed, resumed("profilers.android", words))


def list_phones() -> int:
    """Prints what is attached, and how to name it."""
    from profilers.devices.phone.server import adb_server
    from profilers.devices.phone.usb import USB_HELP, emulators, usb_devices

    served = adb_server().devices() or {}
    found = [f"{serial}  by this computer's adb server ({state})" for serial, state in served.items()]
    try:
        found += [f"{serial}  USB" for serial, _ in usb_devices() if serial not in served]
    except InputError as reason:
        _say(f"USB cannot be looked at: {reason}")
    found += [
        f"{serial}  emulator of this machine: its times mean nothing" for serial in emulators() if serial not in served
    ]
    for line in found:
        _say(line)
    if not found:
        _say(f"no phone is attached: {USB_HELP}")
    _say("phones in the network (adb tcpip) are not looked for: --serial HOST:PORT")
    return 0


def clean_phone(serial: str | None) -> int:
    """Ends what runs on the phone, restores its mode, removes all files of ours."""
    from profilers.devices.phone.adb import Adb
    from profilers.devices.phone.session import clean

    with Adb(serial) as adb:
        adb.connect()
        clean(adb)
    _say("nothing of ours is left on the phone")
    return 0


def doctor(config: AndroidConfig, serial: str | None) -> int:
    """Prints a verdict a line, to read and to paste; 1 if the phone cannot be measured as it is."""
    from profilers.devices.phone.adb import Adb
    from profilers.devices.phone.doctor.examine import examine, report
    from profilers.measuring.models import check_runtime

    check_runtime("tflite")
    with Adb(serial) as adb:
        adb.connect()
        found = examine(adb, config, config.timeout, _say)
    print(report(found, serial))
    return int(any(verdict.is_good is False for verdict in found))


def dry_run(config: AndroidConfig, serial: str | None) -> int:
    """Says what would be measured, how long that takes at most, and how the phone is."""
    from profilers.devices.phone.adb import Adb
    from profilers.devices.phone.facts import state
    from profilers.devices.phone.files import free_bytes
    from profilers.devices.phone.phone_target import described, open_phone
    from profilers.estimating.quickest import in_words

    check(config)
    with Adb(serial) as adb:
        adb.connect()
        _say(described(*open_phone(adb, config)))
        now = state(adb)
        free = free_bytes(adb)
    print(
        f"{in_words(config, LOADING_S) if config.quickest else _in_words(config)}\n"
        f"free on the phone: {free / 1e6:.0f} MB; "
        + ", ".join(f"{name.replace('_', ' ')}: {value or 'not known'}" for name, value in now.header().items())
        + f"; processor: {'not known' if now.processor_c is None else f'{now.processor_c:.1f} C'}"
    )
    return 0


def _in_words(config: AndroidConfig) -> str:
    """The plan of a whole table, and how long it takes."""
    from profilers.measuring.pace import PHONE_PACE
    from profilers.profiling.work import planned

    work = planned(config, PHONE_PACE, config.in_place)
    networks = f" and {len(work.networks)} whole networks" if work.networks else ""
    if work.carriers:
        networks += f", {len(work.carriers)} networks in parts"
    # a visit takes the rules' time but where runs are so slow that the fewest take longer
    seconds = sum(_seconds(work, visit.model) for visit in work.plan.visits)
    return (
        f"{work.measured} of {work.blocks} blocks of {work.space.name}{networks}, "
        f"{work.rounds} rounds: {len(work.plan.visits)} visits\n"
        f"about {seconds / 60:.0f} minutes, more where a block takes over "
        f"{1000 * work.rules['max_seconds'] / work.rules['min_runs']:.0f} ms a run; an estimate from the rules"
    )


def _seconds(work: Work, model: str) -> float:
    """The longest that a visit takes by the rules."""
    from profilers.measuring.pace import PHONE_PACE

    own = PHONE_PACE.in_place
    rules = own.parts if own is not None and model in work.plan.cuts else work.rules
    return float(rules["warmup_seconds"] + rules["max_seconds"] + LOADING_S)


def _say(text: str) -> None:
    make_console().print(text, soft_wrap=True)


if __name__ == "__main__":
    from ofa.cli.run import run

    run(main)
