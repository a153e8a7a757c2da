"""Several phones at once: the command of one phone, run for each of them beside the others, with a table each."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ofa.cli.console import Bar, make_console, progress_bar, spelled
from ofa.errors import InputError, one_line
from profilers.profiling.beside import run_beside
from profilers.profiling.command_words import replaced
from profilers.profiling.console import LINE_EVERY_S, STOPPED, Progressed, progress_in

NO_TABLE = InputError.exit_code


def table_of_each(out: Path, names: Mapping[str, str]) -> dict[str, Path]:
    """{serial: its table}, beside each other. names: {serial: what stands for it in a file's name}"""
    return {serial: out.with_name(f"{out.stem}-{name}.csv") for serial, name in names.items()}


def profile_each(
    module: str, words: Sequence[str], tables: Mapping[str, Path], failed: Mapping[str, str], resume: str
) -> int:
    """Runs `module` once a phone and says what came of each: 0 all tables are whole, 2 none was written, else 1.

    words: as typed; tables: {serial: its table}; failed: {serial: why it is not measured}; resume: the command that
    goes on with all. 130: Ctrl-C or SIGTERM ended them all.
    """
    console = make_console()
    commands = {
        serial: [sys.executable, "-m", module, *replaced(words, {"--serial": serial, "--out": str(out)})]
        for serial, out in tables.items()
    }
    started = time.monotonic()
    with progress_bar(console, counted=True) as bar:
        watch = Watch(len(commands), console.out, bar if console.is_terminal else None)
        try:
            codes = run_beside(commands, watch.hear)
        except KeyboardInterrupt:
            print(f"stopped; what was measured is kept; continue with: {resume}", file=sys.stderr)
            return STOPPED
    console.out(f"{len(tables) + len(failed)} phones, {time.monotonic() - started:.0f} s:")
    for serial, why in failed.items():
        console.out(f"  {one_line(serial)}: no table: {why}")
    for serial, code in codes.items():
        console.out(f"  {one_line(serial)}: {_ended(code, tables[serial], watch.errors.get(serial, ''))}")
    if not failed and not any(codes.values()):
        return 0
    console.out(f"try again what failed with: {resume}")
    return 1 if any(code in (0, 1) and tables[serial].is_file() for serial, code in codes.items()) else NO_TABLE


def resumed(module: str, words: Sequence[str]) -> str:
    """The command that goes on where this one ended."""
    return spelled(module, *(word for word in words if word not in ("--overwrite", "--resume")), "--resume")


def _ended(code: int, table: Path, error: str) -> str:
    if code in (0, 1) and table.is_file():
        return f"wrote {table}{', in which blocks are missing' if code else ''}"
    return f"no table: {error or f'it ended with code {code}'}"


@dataclass
class Watch:
    """What the phones' processes say: each line with its phone before it, and how far they all are.

    tell: shows a line; bar: shows the progress, where there is a terminal; else a line of all phones does now and then
    errors: {serial: the last error that it named}
    """

    count: int
    tell: Callable[[str], object]
    bar: Bar | None = None
    errors: dict[str, str] = field(default_factory=dict)
    _latest: dict[str, Progressed] = field(default_factory=dict)
    _told: float = -float(LINE_EVERY_S)

    def hear(self, serial: str, line: str) -> None:
        """One line of one phone's process."""
        shown = one_line(serial)
        progress = progress_in(line)
        if progress is None:
            if line.startswith("error: "):
                self.errors[serial] = line.removeprefix("error: ")
            self.tell(f"{shown}: {line}")
            return
        self._latest[serial] = progress
        if self.bar is not None:
            self.bar.show(shown, progress.made, progress.total)
        elif time.monotonic() - self._told >= LINE_EVERY_S:
            self._told = time.monotonic()
            self.tell(self.summary())

    def summary(self) -> str:
        """How far each phone is, and when the last of them will be done."""
        each = [f"{one_line(serial)} {at.made} of {at.total} visits" for serial, at in self._latest.items()]
        left = max(at.left_s for at in self._latest.values())
        some = "" if len(each) == self.count else f" ({self.count - len(each)} more have not begun, or have ended)"
        return f"measured: {', '.join(each)}{some}; about {left:.0f} s left"
